"""What a setting means, and where in the sources or in config/claims.yaml a setting or a claim is declared."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from replication import schema
from replication.claims import claims
from replication.config import Config
from replication.paths import REPOSITORY
from replication.report import numbers
from scpo.errors import ConfigurationError
from scpo.options import Options


def of_setting(name: str, config: Config) -> tuple[list[str], str] | None:
    """Return lines that say what a setting is and has as its value, and its line in the sources; None for no setting.

    ``name`` is experiment/arm/path or experiment/path.
    """
    experiment, arm, _ = numbers.split(name)
    section = config.experiments.get(experiment)
    if section is None or (arm and arm not in section.arms):
        return None
    try:
        owner, last, value = numbers.setting_of(name, config)
    except ConfigurationError:
        return None
    lines = [f"setting   {name}: {_said(owner, last)}", "unit      none but what this names", f"value     {value}"]
    return lines, _declared(owner, last)


def of_claim(name: str) -> str:
    """Return the file and line at which a claim is stated; "" if it is stated no longer."""
    for number, line in enumerate(claims.FILE.read_text(encoding="utf-8").splitlines(), start=1):
        if re.fullmatch(rf"\s*-?\s*id: *{re.escape(name)}", line):
            return f"{_shown(claims.FILE)}:{number}"
    return ""


def _said(owner: Any, name: str) -> str:
    """Return the description of a field, else the first line of the docstring of a property or of a section."""
    known = schema.descriptions(owner) if isinstance(owner, BaseModel | Options) else {}
    documented = vars(type(owner)).get(name) or getattr(owner, name, None)
    return known.get(name) or (inspect.getdoc(documented) or "not described").splitlines()[0]


def _declared(owner: Any, name: str) -> str:
    """Return file and line of the field or property ``name`` of a section; "" for an entry of a list or a mapping."""
    for one in type(owner).__mro__:
        if one.__module__.split(".")[0] not in ("replication", "scpo"):
            continue
        lines, first = inspect.getsourcelines(one)
        for number, line in enumerate(lines, start=first):
            if re.match(rf"\s+(def {name}\(|{name}\s*:)", line):
                return f"{_shown(Path(inspect.getsourcefile(one) or ''))}:{number}"
    return ""


def _shown(path: Path) -> str:
    return str(path.relative_to(REPOSITORY) if path.is_relative_to(REPOSITORY) else path)
