"""Writes what architecture.md shows of the import contracts in pyproject.toml: ``python docs/architecture.py``.

It writes the table of floors into the page, and the picture figures/architecture.svg.  A test fails when one of them
differs from the contracts.
"""

from __future__ import annotations

import re
import tomllib
from html import escape
from pathlib import Path

PROJECT = Path(__file__).parents[1]
PAGE = PROJECT / "docs" / "architecture.md"
PICTURE = PROJECT / "docs" / "figures" / "architecture.svg"
BEGIN, END = "<!-- floors -->", "<!-- end of floors -->"

#: The bands of the picture from the bottom up: name, what it holds, and a room on its highest floor.
BANDS = (
    ("Basics", "errors, files, and the settings that every experiment has", "settings"),
    ("Tasks", "the data, the plant and the constraint of each experiment; proofs about them", "tasks"),
    ("Training", "from a configuration to the files of a run", "training"),
    ("Results", "runs as tables, quantities, figures", "experiments"),
    ("Report", "claims and their verdicts, the report, the explorer, the command", "__main__"),
)
#: What is said of each package.
PACKAGES = {
    "scpo": "the library: it imports nothing of the replication",
    "replication": "the paper: a module imports what lies left of it in its band, the bands below, and the library",
    "snakemake_logger_plugin_replication": "Snakemake finds the display of the progress by this name",
}
#: Sizes in pixels: the picture's width, the space around and between boxes, a room's height, the rooms in a column.
WIDTH, PAD, GAP, ROOM, ROWS = 760, 14, 20, 24, 3
#: The width of a character in the font of the rooms, which has a size of 12 pixels, and the height of a heading.
CHARACTER, HEADING = 7.3, 26
STYLE = """
  .paper { fill: #ffffff; } .box { fill: #ffffff; stroke: #8a8a8a; } .band { fill: #f1f1ee; }
  .room { fill: #ffffff; stroke: #b5b5b5; } .arrow { stroke: #5c5c5c; fill: none; } .head { fill: #5c5c5c; }
  text { fill: #222222; font: 12px system-ui, "Liberation Sans", "DejaVu Sans", sans-serif; }
  .code { font-family: ui-monospace, "Liberation Mono", "DejaVu Sans Mono", monospace; }
  .name { font-weight: 600; } .said { fill: #5c5c5c; } .middle { text-anchor: middle; }
  @media (prefers-color-scheme: dark) {
    .paper, .box { fill: #15181b; } .box { stroke: #868c92; } .band { fill: #23282c; }
    .room { fill: #15181b; stroke: #545b62; } .arrow { stroke: #a9adb1; } .head, .said { fill: #a9adb1; }
    text { fill: #ececea; }
  }
"""


def layers(contract: str) -> list[list[str]]:
    """Return the layers of an import contract, from the top down, each as the names that stand side by side."""
    contracts = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (found,) = (one["layers"] for one in contracts if one["id"] == contract)
    return [[name.strip() for name in re.split(r"[|:]", layer)] for layer in found]


def table() -> str:
    """Return the floors of replication as a table in Markdown, between its marks."""
    found = layers("floors")
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


def picture() -> str:
    """Return the picture of the packages and the floors (SVG): every arrow leads to what is imported.

    It has a background of its own, so it is readable on a light page and on a dark one.
    """
    y, parts = float(PAD), []
    packages = [package for layer in layers("packages") for package in layer]
    for package in packages:
        if package != packages[0]:
            parts.append(_arrow(WIDTH / 2, y, WIDTH / 2, y + GAP))
            y += GAP
        box, height = _replication(y) if package == "replication" else _package(package, y, HEADING + 10)
        parts.append(box)
        y += height
    said = "The packages and the floors of replication; arrows lead to what is imported."
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + PAD:g}" role="img">',
            f"<title>{said}</title>",
            f"<style>{STYLE}</style>",
            f'<rect class="paper" width="{WIDTH}" height="{y + PAD:g}" rx="8"/>',
            *parts,
            "</svg>\n",
        ]
    )


def bands() -> list[tuple[str, str, list[list[str]]]]:
    """Return the bands from the bottom up: name, what it holds, and its floors from the lowest to the highest."""
    rest, found = layers("floors")[::-1], []
    for name, said, highest in BANDS:
        count = next((number for number, rooms in enumerate(rest, 1) if highest in rooms), None)
        if count is None:
            raise SystemExit(f"pyproject.toml: no floor above the band below {name} has the room {highest}")
        found.append((name, said, rest[:count]))
        rest = rest[count:]
    if rest:
        raise SystemExit(f"pyproject.toml: floors above the highest band of the picture: {rest}")
    return found


def _replication(top: float) -> tuple[str, float]:
    """Return the box of replication with its bands, and its height."""
    y, parts = top + HEADING + 10, []
    for number, (name, said, floors) in enumerate(reversed(bands())):
        if number:
            parts.append(_arrow(WIDTH / 2, y, WIDTH / 2, y + GAP))
            y += GAP
        band, height = _band(y, name, said, floors)
        parts.append(band)
        y += height
    height = y + PAD - top
    return "\n".join([_package("replication", top, height)[0], *parts]), height


def _package(package: str, top: float, height: float) -> tuple[str, float]:
    """Return the box of a package, with its name and what is said of it, and its height."""
    x, baseline = 2 * PAD, top + 22
    box = f'<rect class="box" x="{PAD}" y="{top:g}" width="{WIDTH - 2 * PAD}" height="{height:g}" rx="6"/>'
    name = f'<text class="code name" x="{x}" y="{baseline:g}">{escape(package)}</text>'
    said = f'<text class="said" x="{x + CHARACTER * len(package) + PAD:g}" y="{baseline:g}">{PACKAGES[package]}</text>'
    return "\n".join([box, name, said]), height


def _band(top: float, name: str, said: str, floors: list[list[str]]) -> tuple[str, float]:
    """Return a band with the rooms of its floors, the lowest floor on the left, and its height."""
    tallest = max(min(len(rooms), ROWS) for rooms in floors)
    height, x = HEADING + tallest * (ROOM + 4) + PAD / 2, 3.0 * PAD
    middle = top + HEADING + tallest * (ROOM + 4) / 2
    parts = [
        f'<rect class="band" x="{2 * PAD}" y="{top:g}" width="{WIDTH - 4 * PAD}" height="{height:g}" rx="4"/>',
        f'<text class="name" x="{x:g}" y="{top + 18:g}">{name}</text>',
        f'<text class="said" x="{x + 66:g}" y="{top + 18:g}">{said}</text>',
    ]
    for number, rooms in enumerate(floors):
        if number:
            parts.append(_arrow(x + GAP, middle, x, middle))
            x += GAP
        for first in range(0, len(rooms), ROWS):
            column = rooms[first : first + ROWS]
            width = CHARACTER * max(map(len, column)) + PAD
            y = middle - len(column) * (ROOM + 4) / 2 + 2
            parts += [_room(room, x, y + row * (ROOM + 4), width) for row, room in enumerate(column)]
            x += width + (4 if first + ROWS < len(rooms) else 0)
    if x > WIDTH - 3 * PAD:
        raise SystemExit(f"the band {name} is wider than the picture: {x:g} of {WIDTH - 3 * PAD}")
    return "\n".join(parts), height


def _room(room: str, x: float, y: float, width: float) -> str:
    return (
        f'<rect class="room" x="{x:g}" y="{y:g}" width="{width:g}" height="{ROOM}" rx="4"/>'
        f'<text class="code middle" x="{x + width / 2:g}" y="{y + 16:g}">{escape(room)}</text>'
    )


def _arrow(x: float, y: float, to_x: float, to_y: float) -> str:
    """Return an arrow to the left or down, with a little space at both ends."""
    if y == to_y:
        line, head = f"M{x - 4:g} {y:g}H{to_x + 8:g}", f"M{to_x + 3:g} {y:g}l8 -4v8z"
    else:
        line, head = f"M{x:g} {y + 4:g}V{to_y - 8:g}", f"M{x:g} {to_y - 3:g}l-4 -8h8z"
    return f'<path class="arrow" d="{line}"/><path class="head" d="{head}"/>'


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
    PICTURE.write_text(picture())
