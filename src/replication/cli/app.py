"""The application that the commands register with, and the types of parameters that several of them have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

app = App(
    name="replicate",
    help="Commands of the SCPO replication, one stage each.",
    help_format="plaintext",
    default_parameter=Parameter(negative=()),
    result_action="return_value",
    version_flags=(),
)

Changes = Annotated[list[str] | None, Parameter(name="--set")]
Files = Annotated[list[Path], Parameter(consume_multiple=True)]
Texts = Annotated[list[str] | None, Parameter(consume_multiple=True)]
