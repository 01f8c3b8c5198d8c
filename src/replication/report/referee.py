"""The table of the independent referee's findings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from replication.experiments.shown import Cells
from replication.report.arm_names import arm_name
from replication.results import quantities
from replication.results.read import read_config
from replication.typeset import latex, parts
from replication.typeset.latex import RULE, Row, Span

COUNTS = ("referee-runs", "referee-iterates", "recorded-unsafe", "recomputed-unsafe")
DIFFERENCES = ("referee-difference-g", "referee-difference-others")


@parts.table("referee")
def referee(results: Path) -> str:
    """What the independent referee recomputed, arm by arm, and how far its values were from the records."""
    head: list[Row] = [
        ["experiment", "arm", "runs", "iterates", "unsafe,", "unsafe,", Span(2, "largest difference", "r")],
        ["", "", "", "", "recorded", "recomputed", r"\quad max.\ \(g\)", "others"],
    ]
    return latex.booktabs("llrrrrrr", head, _rows(results), pages=True)


def _rows(results: Path) -> Iterator[Row | str]:
    table = quantities.read(results)
    for position, (experiment, section) in enumerate(read_config(results).experiments.items()):
        if position > 0:
            yield RULE
        for line, arm in enumerate(section.arms):
            cells = Cells(table, experiment, arm)
            found = [cells.cell(name, "value") for name in (*COUNTS, *DIFFERENCES)]
            yield [experiment if line == 0 else "", arm_name(experiment, arm), *found]
