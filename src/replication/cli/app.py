"""The application that the commands register with, and the parameters that several of them have.

Each is explained here, once.  A command's docstring explains the parameters that are its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

if TYPE_CHECKING:
    from replication.config import Config

app = App(
    name="replicate",
    help="Commands of the SCPO replication, one stage each.",
    help_format="plaintext",
    default_parameter=Parameter(negative=()),
    result_action="return_value",
    version_flags=(),
)

Files = Annotated[list[Path], Parameter(consume_multiple=True)]
Texts = Annotated[list[str] | None, Parameter(consume_multiple=True)]
Results = Annotated[Path, Parameter(help="results/<scale>, with the runs and what was made of them so far.")]
Chosen = Annotated[
    Path | None,
    Parameter(help="results/<scale>; by default results/paper if it is finished, else the shipped results."),
]
Paper = Annotated[Path, Parameter(help="Folder of the report's text.")]
Referee = Annotated[Path, Parameter(help="The referee's script.")]
Jobs = Annotated[int, Parameter(help="Processes that run side by side.")]
Replace = Annotated[
    list[str] | None,
    Parameter(
        consume_multiple=True,
        help="Arms, as regression/scpo, whose settings were changed on purpose: the bank's runs of their former "
        "settings are lost.  Without this such runs are refused.",
    ),
]
Planned = Annotated[
    str | None, Parameter(help="Digest of the settings that the workflow planned with; others are refused.")
]
PAPER, REFEREE = Path("paper"), Path("workflow/scripts/referee.py")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Scale:
    """The scale that a command is for, as its parameters."""

    scale_file: Annotated[Path, Parameter(help="The scale, config/<scale>.yaml.")]
    changes: Annotated[
        list[str] | None,
        Parameter(name="--set", help="Settings to change, as a.b=c; several are separated by blanks."),
    ] = None

    def load(self, jobs: int = 1) -> Config:
        """Return the configuration; its runs may need no more memory, ``jobs`` side by side, than there is."""
        from replication import scales

        return scales.load_scale(self.scale_file, self.changes or [], jobs)
