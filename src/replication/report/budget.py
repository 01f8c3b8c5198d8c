"""The table of the effort of the reported runs, in counts.  Times depend on the machine and are not reported."""

from __future__ import annotations

from pathlib import Path

from replication.experiments.shown import shown
from replication.results import quantities
from replication.results.read import read_config
from replication.typeset import latex, parts
from replication.typeset.latex import Row

#: Heading of a column -> quantity and statistic over all runs of an experiment.
COLUMNS = {"runs": ("updates", "seeds"), "updates": ("updates", "sum"), "rollouts": ("rollouts", "sum")}


@parts.table("budget")
def budget(results: Path) -> str:
    """Runs, updates and rollouts of training, by experiment."""
    table = quantities.read(results)
    rows: list[Row] = [
        [
            experiment.replace("-", " "),
            *(shown(table, experiment, "+".join(section.arms), *of) for of in COLUMNS.values()),
        ]
        for experiment, section in read_config(results).experiments.items()
    ]
    return latex.booktabs("lrrr", [["experiment", *COLUMNS]], rows)
