"""The page's data on the regression: policies and slack over training, and the published curve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from replication.experiments import policies
from replication.experiments.regression.published import read_policy
from replication.experiments.regression.read import EXPERIMENT, METHODS, read_settings
from replication.page.counts import counts, totals
from replication.page.encode import array
from replication.results.read import Run, read_arm
from replication.tasks.regression.data import target
from scpo.arrays import Array

#: Points at which the target is drawn.
POINTS = 801


def view(results: Path) -> dict[str, Any] | None:
    """Return the data of the view; None if the scale runs none of the arms that it shows.

    Raises:
        ResultError: a result file is missing or damaged.
    """
    settings, saved, published = read_settings(results), policies.read(results, EXPERIMENT), read_policy()
    x = np.linspace(-np.pi, np.pi, POINTS)
    arms = [arm for arm in METHODS if arm in settings.arms]
    if not arms:
        return None
    return {
        "bound": settings.bound,
        "grid": settings.grid_size,
        "heldout": settings.heldout,
        "target": {"x": array(x, "f4"), "y": array(target(x), "f4")},
        "published": {"x": array(published["x"], "f4"), "y": array(published["pi_theta"], "f4")},
        "arms": {arm: _arm(results, arm, saved) for arm in arms},
        "counts": {arm: totals(results, EXPERIMENT, arm) for arm in arms},
    }


def _arm(results: Path, arm: str, saved: dict[tuple[str, int], dict[str, Array]]) -> dict[str, dict[str, Any]]:
    """Return seed -> run."""
    counted = counts(results, EXPERIMENT, arm)
    return {
        str(run.seed): counted[run.seed] | _run(run, saved.get((arm, run.seed)))
        for run in read_arm(results, EXPERIMENT, arm)
    }


def _run(run: Run, saved: dict[str, Array] | None) -> dict[str, Any]:
    """Return the data of a run but its counts: the bins of its series, its held-out evaluations, and its policies."""
    series, held = run.series, run.evaluations
    final = run.exhibits["curve"]
    if saved is None:
        kept = {"x": array(final["x"], "f4"), "pi": array(final[["pi"]].to_numpy().T, "f4"), "evaluations": [-1]}
    else:
        rows = np.searchsorted(held["update"], saved["updates"])
        kept = {"x": array(saved["x"], "f4"), "pi": array(saved["pi"], "f4"), "evaluations": rows.tolist()}
    return {
        "series": {
            "epoch": array(series["epoch"], "f4"),
            "update": array(series["update"], "i4"),
            "slack": array(-series["max_g_high"], "f4"),
            "updates": array(series["updates"], "i2"),
            "unsafe": array(series["unsafe_iterates"], "i2"),
        },
        "evaluations": {
            "epoch": array(held["epoch"], "f4"),
            "update": array(held["update"], "i4"),
            "loss": array(held["fresh_loss"], "f4"),
            "slack": array(-held["heldout_max_g"], "f4"),
        },
        "policies": kept,
    }
