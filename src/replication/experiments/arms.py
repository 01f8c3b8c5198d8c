"""A table of the arms of a scale in plain text: the quantities that the run.json of each finished run gives."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from replication import documents, scales
from replication.bank import Bank
from replication.config import Config
from replication.documents import RunSummary
from replication.experiments.overview import overview
from replication.experiments.quantities import QUANTITIES
from replication.experiments.shown import objective_of
from replication.results import quantities
from replication.results.read import Run

#: Heading -> quantity and statistic over the runs.
COLUMNS = {
    "unsafe": ("unsafe-iterates", "nonzero"),
    "at most": ("unsafe-iterates", "upper-bound"),
    "iterates": ("unsafe-iterates", "sum"),
    "worst g": ("worst-g", "max"),
    "held-out": ("heldout-unsafe-share", "nonzero"),
    "worst": ("final-heldout-worst-g", "max"),
    "misses": ("bound-miss-share", "mean"),
    "near": ("near-miss-share", "mean"),
    "largest": ("worst-miss", "max"),
    "rollouts": ("rollouts", "median"),
}
LEGEND = """
runs: finished, of those planned.  unsafe: runs with an unsafe iterate.  at most: share of such runs, one-sided
95 % (exact).  iterates: unsafe ones in all runs.  held-out: final policies that are unsafe at held-out
points, with their largest constraint value.  misses: share of updates with a miss, mean of the runs.  near: share of
the constraints near their limits that were missed.  largest: of all misses.  rollouts: median.  median, loss: of the
held-out objective, the second with its exact interval.
"""


def text(config: Config, results: Path, bank: Path | None = None) -> str:
    """Return the table, made from the finished runs in ``results`` (results/<scale>) and in a bank.

    Raises:
        ResultError: a run.json or a shard of the bank is damaged.
    """
    kept = None if bank is None else Bank(bank)
    parts = [_of_experiment(config, experiment, results, kept) for experiment in config.experiments]
    return pd.concat(parts).to_string() + "\n" + LEGEND


def _of_experiment(config: Config, experiment: str, results: Path, kept: Bank | None) -> pd.DataFrame:
    """Return a row for each arm of the experiment, without values where no run is finished."""
    arms = config.section(experiment).arms
    found = {arm: _summaries(config, experiment, arm, results, kept) for arm in arms}
    loss = objective_of(experiment)
    columns = COLUMNS | {"median": (loss, "median"), "loss": (loss, "interval")}
    chosen = [QUANTITIES[name] for name in dict.fromkeys(name for name, _ in columns.values())]
    runs = (Run(experiment, arm, one.seed, one) for arm, of in found.items() for one in of)
    table = quantities.of_rows(row for run in runs for row in quantities.of_run(run, chosen))
    shown = overview(table, experiment, columns).reindex(list(arms), columns=list(columns), fill_value="")
    shown.insert(0, "runs", [_finished(found[arm], one.seeds) for arm, one in arms.items()])
    return shown.set_axis([f"{experiment}/{arm}" for arm in arms])


def _summaries(config: Config, experiment: str, arm: str, results: Path, kept: Bank | None) -> list[RunSummary]:
    seeds = config.section(experiment).arms[arm].seed_range
    paths = [results / experiment / arm / f"seed-{seed}" / "run.json" for seed in seeds]
    found = [documents.read(path, RunSummary) for path in paths if path.is_file()]
    if kept is not None:
        digest = scales.digest(scales.for_arm(config, experiment, arm))
        found += [
            RunSummary.model_validate_json(files["run.json"])
            for key, files in kept.read(experiment, arm)
            if key.seed in seeds and kept.holds(key, digest)
        ]
    return found


def _finished(found: list[RunSummary], planned: int) -> str:
    diverged = sum(one.diverged_update is not None for one in found)
    return f"{len(found)}/{planned}" + (f" ({diverged} diverged)" if diverged else "")
