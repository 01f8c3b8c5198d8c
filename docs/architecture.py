"""Writes the picture in architecture.md from the import contract in pyproject.toml: ``python docs/architecture.py``.

A test fails when the two differ.
"""

from __future__ import annotations

import re
import tomllib
from itertools import pairwise
from pathlib import Path

PROJECT = Path(__file__).parents[1]
PAGE = PROJECT / "docs" / "architecture.md"
PICTURE = re.compile(r"```mermaid\n.*?```\n", re.DOTALL)
#: Jobs beside the packages that use them as anybody could.
OUTSIDE = {
    "workflow": "Snakefile, workflow/: when which job runs",
    "notebooks": "notebooks/: one per experiment, and the tutorial",
    "referee": "workflow/scripts/referee.py: NumPy alone",
}


def floors() -> list[list[str]]:
    """Return the rooms of each floor of replication, from the top down."""
    contracts = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["id"] == "floors")
    return [[room.strip() for room in re.split(r"[|:]", floor)] for floor in layers]


def picture() -> str:
    """Return the picture as a Mermaid block."""
    lines = ["```mermaid", "flowchart TB"]
    lines += [f'    {name}["{text}"]' for name, text in OUTSIDE.items()]
    lines += ["    subgraph replication", "        direction TB"]
    names = []
    for number, rooms in enumerate(floors()):
        names.append(f"floor{number}")
        lines.append(f'        floor{number}["{" · ".join(rooms)}"]')
    lines += [f"        {upper} --> {lower}" for upper, lower in pairwise(names)]
    lines += ["    end", '    scpo["scpo, the library"]']
    lines += ["    workflow --> replication", "    notebooks --> replication", "    replication --> scpo"]
    lines += ["    workflow -. runs beside the packages .-> referee", "```"]
    return "\n".join(lines) + "\n"


def page(text: str) -> str:
    """Return the page with a new picture."""
    new, count = PICTURE.subn(lambda _: picture(), text)
    if count != 1:
        raise SystemExit(f"{PAGE}: expected one Mermaid block, found {count}")
    return new


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
