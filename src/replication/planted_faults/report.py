"""The report's table and figure of the planted faults."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from replication.documents import PlantedFault
from replication.errors import ResultError
from replication.results.read import read_findings
from replication.typeset import latex, parts, style
from replication.typeset.latex import RULE, Row, Title

#: finding -> heading above it in the table
HEADINGS = {
    "constants-too-small": "The method's assumptions and inputs",
    "unsafe-pocket": "Policies before the set-based certificate",
    "altered-metric": "Result files after a run",
}
SWEEP = "constants-too-small"


def read(results: Path) -> tuple[PlantedFault, ...]:
    """Return the findings, if every planted fault was caught.

    Raises:
        ResultError: the file is missing or damaged, or a fault was not caught.
    """
    findings = read_findings(results)
    if missed := [finding.name for finding in findings if not finding.caught]:
        raise ResultError(f"{results / 'falsification.json'}: planted faults were not caught: {', '.join(missed)}")
    return findings


@parts.table("falsification")
def faults(results: Path) -> str:
    """The planted faults: for each what was planted, what had to happen and what happened."""
    columns = [latex.paragraph(share) for share in (0.29, 0.30, 0.35)]
    return latex.booktabs(columns, [["planted", "must happen", "happened"]], _rows(read(results)))


def _rows(findings: Sequence[PlantedFault]) -> Iterator[Row | Title | str]:
    for position, finding in enumerate(findings):
        if heading := HEADINGS.get(finding.name):
            if position > 0:
                yield RULE
            yield Title(heading)
        yield [latex.text_with_numbers(finding[key]) for key in ("planted", "expected", "observed")]
        yield r"\addlinespace[0.4ex]"


@parts.figure("falsification-smoothness", reads=["falsification.json"])
def smoothness(results: Path) -> Figure:
    """Shares of updates with a bound miss and of unsafe iterates, against the ratio of the used L to the proven L."""
    sweep = _sweep(results)
    lines = (("bound_misses", "bound missed", "o", style.BLUE), ("unsafe_iterates", "iterate unsafe", "x", style.INK))
    with style.look():
        drawing = style.new_figure(0.62 * style.TEXT_WIDTH, 2.1)
        axes = drawing.subplots()
        for name, label, marker, colour in lines:
            shares = [count / sweep["updates"] for count in sweep[name]]
            axes.plot(sweep["factors"], shares, marker=marker, markersize=4, color=colour)
            beside: dict[str, Any] = {"textcoords": "offset points", "va": "center", "color": colour, "fontsize": 8}
            axes.annotate(label, (sweep["factors"][-1], shares[-1]), (6, 0), **beside)
        axes.axvline(1.0, color=style.INK, linewidth=0.6, linestyle=style.DASHED)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(sweep["factors"]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_xlabel("$L$ used / $L$ proven")
        axes.set_ylabel("share of updates")
        axes.invert_xaxis()
        return drawing


def _sweep(results: Path) -> dict[str, Any]:
    return dict(next(finding.numbers for finding in read(results) if finding.name == SWEEP))
