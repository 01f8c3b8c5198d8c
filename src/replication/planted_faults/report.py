"""The page of planted faults: its table, its figure and its numbers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from replication.errors import ResultError
from replication.report.tables import row
from replication.results.summaries import read_findings
from replication.typeset import numbers, parts, style

#: finding -> heading above it in the table
HEADINGS = {
    "constants-too-small": "The method's assumptions and inputs",
    "unsafe-pocket": "Policies before the set-based certificate",
    "altered-metric": "Result files after a run",
}
SWEEP = "constants-too-small"


def read(results: Path) -> list[dict[str, Any]]:
    """Return the findings; the page is only made if every planted fault was caught.

    Raises:
        ResultError: the file is missing or damaged, or a fault was not caught.
    """
    findings = read_findings(results)
    if missed := [finding["name"] for finding in findings if not finding["caught"]]:
        raise ResultError(f"{results / 'falsification.json'}: planted faults were not caught: {', '.join(missed)}")
    return findings


@parts.table("falsification")
def faults(results: Path) -> str:
    """What was planted, what must happen and what happened, fault by fault."""
    column = r">{\raggedright\arraybackslash}p"
    lines = [
        rf"\begin{{tabular}}{{@{{}}{column}{{0.29\textwidth}}{column}{{0.30\textwidth}}{column}{{0.35\textwidth}}@{{}}}}",
        r"\toprule",
        row("planted", ["must happen", "happened"]),
    ]
    for finding in read(results):
        if heading := HEADINGS.get(finding["name"]):
            lines += [r"\midrule", rf"\multicolumn{{3}}{{@{{}}l}}{{\emph{{{heading}}}}} \\"]
        lines.append(row(latex(finding["planted"]), [latex(finding[key]) for key in ("expected", "observed")]))
        lines.append(r"\addlinespace[0.4ex]")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


@parts.figure("falsification-smoothness")
def smoothness(results: Path) -> Figure:
    """Share of updates with a bound miss, and of unsafe iterates, against the L used over the proven one."""
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


def collect(results: Path) -> dict[str, str]:
    """Return name (without backslash) -> LaTeX of the section's numbers."""
    sweep = _sweep(results)
    sound = [index for index, factor in enumerate(sweep["factors"]) if factor >= 1.0]
    return {
        "FalsificationFaults": numbers.count(len(read(results))),
        "FalsificationSoundUpdates": numbers.count(sweep["updates"] * len(sound)),
        "FalsificationSoundMisses": numbers.count(sum(sweep["bound_misses"][index] for index in sound)),
        "FalsificationSoundUnsafe": numbers.count(sum(sweep["unsafe_iterates"][index] for index in sound)),
        "FalsificationLeastFactor": numbers.setting(sweep["factors"][-1]),
        "FalsificationLeastMissShare": numbers.percent(sweep["bound_misses"][-1] / sweep["updates"]),
        "FalsificationLeastUnsafeShare": numbers.percent(sweep["unsafe_iterates"][-1] / sweep["updates"]),
        "FalsificationLeastUnsafeRuns": numbers.count(sweep["unsafe_runs"][-1]),
        "FalsificationRuns": numbers.count(sweep["runs"]),
        "FalsificationUpdates": numbers.count(sweep["updates"]),
    }


def latex(text: str) -> str:
    r"""Return plain text as LaTeX: special characters escaped, numbers as \num{...}."""
    escaped = re.sub(r"([&%$#_{}])", r"\\\1", text)
    return re.sub(r"(?<![\w.-])\d+(?:\.\d+)?(?:e[-+]?\d+)?(?!\w)", lambda found: numbers.number(found[0]), escaped)


def _sweep(results: Path) -> dict[str, Any]:
    return dict(next(finding["numbers"] for finding in read(results) if finding["name"] == SWEEP))
