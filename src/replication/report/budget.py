"""The table of the effort of the reported runs: counts, and the processor time, which depends on the machines."""

from __future__ import annotations

from pathlib import Path

from replication.experiments.quantities import effort
from replication.experiments.shown import shown
from replication.results import quantities
from replication.results.read import read_config
from replication.typeset import latex, parts
from replication.typeset.latex import Row

#: Heading of a column -> quantity and statistic over all runs of an experiment.
COLUMNS = {"runs": ("updates", "seeds"), "updates": ("updates", "sum"), "rollouts": ("rollouts", "sum")}


@parts.table("budget")
def budget(results: Path) -> str:
    """Runs, updates, rollouts and processor hours of training, by experiment."""
    table = quantities.read(results)
    rows: list[Row] = [
        [
            experiment.replace("-", " "),
            *(shown(table, experiment, "+".join(section.arms), *of) for of in COLUMNS.values()),
            _hours(results, experiment, list(section.arms)),
        ]
        for experiment, section in read_config(results).experiments.items()
    ]
    return latex.booktabs("lrrrr", [["experiment", *COLUMNS, "processor hours"]], rows)


def _hours(results: Path, experiment: str, arms: list[str]) -> str:
    """Return the processor hours of all runs as LaTeX, or a dash if a run does not state them."""
    table = effort(results, experiment)
    if not all(table.has(experiment, arm, "processor-hours") for arm in arms):
        return latex.DASH
    return shown(table, experiment, "+".join(arms), "processor-hours", "sum")
