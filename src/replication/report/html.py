"""The verdicts on the claims, and the figures at a glance, as pages of HTML for Snakemake's report."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from html import escape
from pathlib import Path

from replication.claims import verdicts
from replication.claims.verdicts import Verdict
from replication.files import write_text
from replication.report import parts, text
from replication.results.read import read_config

COLOURS = {"reproduced": "#00664a", "supported": "#0072b2", "deviates": "#b34700", "not-run": "#666"}
STYLE = """body { font: 15px/1.45 sans-serif; margin: 2em; color: #222; max-width: 75em }
table { border-collapse: collapse } th, td { text-align: left; vertical-align: top; padding: .35em .8em }
figure { display: inline-block; vertical-align: top; width: 22em; margin: 0 1.5em 2em 0 } img { width: 100% }
th, tr { border-bottom: 1px solid #ccc } td.status { font-weight: bold; white-space: nowrap }"""


def write(claims: Path, out: Path) -> None:
    """Write the page of the verdicts in ``claims`` (claims.json) to ``out``.

    Raises:
        ResultError: the file is missing or damaged.
    """
    write_text(out, page(verdicts.read(claims)))


def page(found: Sequence[Verdict]) -> str:
    """Return a page with a row for each verdict."""
    headings = ("verdict", "claim", "stands in", "setting", "measured", "expected", "seeds")
    head = "".join(f"<th>{heading}</th>" for heading in headings)
    return "\n".join(
        [
            f"<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><title>Claims</title><style>{STYLE}</style>",
            f"</head><body>\n<p>{escape(verdicts.summary(found))}.</p>\n<table>\n<tr>{head}</tr>",
            *map(_row, found),
            "</table>\n</body></html>\n",
        ]
    )


def _row(one: Verdict) -> str:
    notes = "".join(f"<br><small>{escape(note)}</small>" for note in (one.quantity, one.reason) if note)
    statement = escape(one.statement) + notes
    cells = (one.source, one.setting, one.found, one.wanted, str(len(one.seeds)))
    status = f"<td class='status' style='color: {COLOURS[one.status]}'>{escape(one.said)}</td>"
    return f"<tr>{status}<td>{statement}</td>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"


def write_gallery(pictures: Sequence[Path], results: Path, out: Path, folder: Path = text.FOLDER) -> None:
    """Write a page with all ``pictures`` (figures of the report as PNG) in small, numbered as in the report."""
    config = read_config(results)
    titles = {path: text.title(f"figures/{path.stem}", config, folder) for path in pictures}
    figures = [_figure(path, titles[path]) for path in sorted(pictures, key=lambda path: _order(titles[path], path))]
    head = f"<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><title>Figures</title><style>{STYLE}</style>"
    write_text(out, "\n".join([f"{head}</head><body>", *figures, "</body></html>\n"]))


def _order(title: str, picture: Path) -> tuple[int, str]:
    number = title.rpartition(" ")[2]
    return (int(number) if number else 10**6, picture.stem)


def _figure(picture: Path, title: str) -> str:
    image = f"<img alt='' src='data:image/png;base64,{b64encode(picture.read_bytes()).decode()}'>"
    caption = f"<b>{escape(title or 'Not in the report')}</b>, {picture.stem}. {escape(parts.part(picture.stem).shows)}"
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"
