"""Writes the floors in architecture.md from the import contract in pyproject.toml: ``python docs/architecture.py``.

A test fails when the two differ.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1]
PAGE = PROJECT / "docs" / "architecture.md"
BEGIN, END = "<!-- floors -->", "<!-- end of floors -->"


def floors() -> list[list[str]]:
    """Return the rooms of each floor of replication, from the top down."""
    contracts = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["id"] == "floors")
    return [[room.strip() for room in re.split(r"[|:]", floor)] for floor in layers]


def table() -> str:
    """Return the floors as a table in Markdown, between its marks."""
    found = floors()
    lines = [BEGIN, "| floor | rooms |", "|--:|---|"]
    lines += [
        f"| {len(found) - number} | {', '.join(f'`{room}`' for room in rooms)} |" for number, rooms in enumerate(found)
    ]
    return "\n".join([*lines, "| 0 | `scpo`, the library |", END])


def page(text: str) -> str:
    """Return the page with a new table."""
    new, count = re.subn(f"{BEGIN}.*?{END}", lambda _: table(), text, flags=re.DOTALL)
    if count != 1:
        raise SystemExit(f"{PAGE}: expected {BEGIN} and {END} once, found {count}")
    return new


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
