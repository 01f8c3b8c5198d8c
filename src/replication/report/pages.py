r"""Pages in Markdown with numbers of the results: README.md and docs/.

A page writes a number between two marks, as the report's text does with \q:

    <!--q regression/scpo/unsafe-iterates sum-->2<!--/q-->    a statistic of a quantity
    <!--q[1] regression/scpo/final-loss median-->...          the same with a number of digits
    <!--setting regression/bound-->1.4<!--/q-->               a setting
    <!--count supported-->21<!--/q-->                         how many claims have a verdict; "all": how many there are;
                                                              "open": how many deviate and are left open

The table of all claims stands between the marks of :mod:`replication.claims.verdicts`.  An image figures/NAME.png is
the figure NAME of the report.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from replication.claims import decide, verdicts
from replication.claims.claims import load
from replication.claims.verdicts import Verdict
from replication.config import Config
from replication.experiments import quantities
from replication.files import write_bytes, write_text
from replication.report import made, numbers
from replication.report.parts import part
from replication.report.text import Number
from replication.results.quantities import Table
from replication.results.read import read_config
from replication.typeset.style import png
from scpo.errors import ConfigurationError

_MARK = re.compile(r"<!--(?P<kind>q|setting|count)(?:\[(?P<digits>\d+)\])? (?P<name>[^<>]*?)-->[^<>]*<!--/q-->")
_FIGURE = re.compile(r"!\[[^\]]*\]\(((?:[^()\s]*/)?figures/([a-z0-9-]+)\.png)\)")


def write(pages: Sequence[Path], results: Path) -> None:
    """Bring the numbers, the tables of claims and the figures of ``pages`` up to date with ``results``.

    Raises:
        ConfigurationError: a page names a quantity, a statistic, an arm or a verdict that does not exist.
        ResultError: results are missing or damaged, or a page has one mark of a table without the other.
    """
    table, config = quantities.collect(results), read_config(results)
    decided = decide.evaluate(results, load(), table)
    for page in pages:
        text = page.read_text(encoding="utf-8")
        write_text(page, filled(text, str(page), table, config, decided))
        for path, drawn in figures(text).items():
            write_bytes(page.parent / path, picture(drawn, results))


def figures(page: str) -> dict[str, str]:
    """Return the figures of the report that ``page`` shows: path relative to the page -> name of the figure."""
    return dict(_FIGURE.findall(page))


def picture(name: str, results: Path) -> bytes:
    """Return a figure of the report as PNG.

    Raises:
        ConfigurationError: there is none of that name.
        ResultError: a result file is missing or damaged.
    """
    return png(made(part(name), results))


def filled(page: str, name: str, table: Table, config: Config, decided: Sequence[Verdict]) -> str:
    """Return ``page`` with the numbers and the table of claims from the results.

    Raises:
        ConfigurationError: it names a quantity, a statistic, an arm or a verdict that does not exist.
        ResultError: a number has no value, or a mark of the table stands alone.
    """

    def number(mark: re.Match[str]) -> str:
        where = f"{name}:{page.count(chr(10), 0, mark.start()) + 1}"
        found = _count(mark["name"], decided, where) if mark["kind"] == "count" else plain(looked_up(mark, where))
        return f"{mark[0].partition('-->')[0]}-->{found}<!--/q-->"

    def looked_up(mark: re.Match[str], where: str) -> str:
        path, _, statistic = mark["name"].rpartition(" ")
        digits = None if mark["digits"] is None else int(mark["digits"])
        wanted = (
            Number("q", path, statistic, digits, where)
            if mark["kind"] == "q"
            else Number("setting", mark["name"], "", None, where)
        )
        return plain(numbers.checked(wanted, table, config))

    text = _MARK.sub(number, page)
    if len(_MARK.findall(page)) != page.count("<!--/q-->"):
        raise ConfigurationError(f"{name}: a mark <!--/q--> ends no number")
    return verdicts.updated(text, decided) if verdicts.BEGIN in text or verdicts.END in text else text


def plain(latex: str) -> str:
    r"""Return a number in LaTeX (\num, \SI, brackets) as text for Markdown."""
    text = re.sub(r"\\SI\{([^{}]*)\}\{\\percent\}", r"\1 %", latex)
    text = re.sub(r"\\num\{([^{}]*)\}", lambda found: _grouped(found[1]), text)
    text = (
        re.sub(r"\\emph\{([^{}]*)\}", r"\1", text).replace(r"\(", "").replace(r"\)", "").replace(r"\infty", "infinity")
    )
    return text.replace("<", "less than ").replace(">", "more than ")


def _grouped(number: str) -> str:
    """Return a number with commas between the thousands of an integer."""
    return f"{int(number):,}" if re.fullmatch(r"[+-]?\d{5,}", number) else number


def _count(status: str, decided: Sequence[Verdict], where: str) -> str:
    if status not in ("all", "open", *verdicts.STATUSES):
        raise ConfigurationError(f"{where}: no verdict {status!r}; there are all, open, {', '.join(verdicts.STATUSES)}")
    return str(sum(one.left_open if status == "open" else status in ("all", one.status) for one in decided))
