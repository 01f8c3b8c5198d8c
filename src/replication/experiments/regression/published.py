"""The published regression figure, digitised, and numbers that are computed from it.

The figure is one run with an unknown seed: agreement with it is consistency, not evidence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from replication.files import require_listed
from replication.paths import PUBLISHED, REPOSITORY
from replication.results.read import Run, read_csv
from replication.tasks.regression.data import target
from scpo.arrays import Array

LOSS, POLICY = (REPOSITORY / name for name in PUBLISHED)
SUMS = "SHA256SUMS"  # beside the figure, in the format of sha256sum
READING_EPOCHS, READING_LOSS = 4, 0.01  # reading error of the digitised loss
OUTER_PEAK, FLANK, TAILS = 1.1, 0.3, 2.0  # where the loss above the floor is looked for, in |x|
LATE = 1000.0  # from this epoch on the published loss is a stationary band


@dataclass(frozen=True)
class Band:
    """The published loss from epoch 1,000 on: the medians of its lower and upper edge, and the highest peak."""

    low: float
    high: float
    peak: float


def read_loss() -> pd.DataFrame:
    """Return the digitised loss band: epoch, loss_low, loss_high."""
    return _read(LOSS, ("epoch", "loss_low", "loss_high"))


def read_policy() -> pd.DataFrame:
    """Return the digitised final policy: x, pi_theta."""
    return _read(POLICY, ("x", "pi_theta"))


def _read(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    return read_csv(require_listed(path, path.with_name(SUMS)), columns)


def late_band() -> Band:
    """Return the band of the published loss from epoch 1,000 on."""
    loss = read_loss()
    late = loss[loss["epoch"] >= LATE]
    return Band(float(late["loss_low"].median()), float(late["loss_high"].median()), float(late["loss_high"].max()))


def policy_error() -> float:
    """Return the mean squared error of the digitised policy against f, uniformly over [-pi, pi]."""
    policy = read_policy().sort_values("x")
    grid = np.linspace(-np.pi, np.pi, 10_001)
    return float(np.mean((np.interp(grid, policy["x"], policy["pi_theta"]) - target(grid)) ** 2))


@cache
def floor(bound: float, inputs: str) -> float:
    """Return the least mean squared error of a policy with |pi(x)| <= bound; clip(f) has it.

    Args:
        bound: the limit of |pi(x)|.
        inputs: "normal" for x ~ N(0, 1), "uniform" for x uniform on [-pi, pi].
    """
    half_width = 8.0 if inputs == "normal" else np.pi
    x = np.linspace(-half_width, half_width, 200_001)
    density = _normal(x) if inputs == "normal" else np.full_like(x, 0.5 / np.pi)
    return float(np.trapezoid(density * _unavoidable(x, bound), x))


def _normal(x: Array) -> Array:
    """Return the density of N(0, 1)."""
    return np.asarray(np.exp(-0.5 * x**2) / np.sqrt(2.0 * np.pi))


def _unavoidable(x: Array, bound: float) -> Array:
    """Return the squared error of clip(f), the least within the limits."""
    return np.asarray(np.maximum(np.abs(target(x)) - bound, 0.0) ** 2)


def loss_by_place(loss: float, curve: pd.DataFrame, bound: float) -> dict[str, float]:
    """Return how a policy's ``loss`` for x ~ N(0, 1) is spread over the inputs.

    Args:
        loss: the loss on fresh inputs.
        curve: the policy ``pi`` at ``x`` in [-pi, pi].
        bound: the limit of |pi(x)|.

    Returns:
        ``inside``: the loss for inputs in [-pi, pi] alone.  The other entries split the loss above the floor:
        ``tails``: at |x| > 2.  ``peaks``: around |x| = 1.1, where f exceeds the limits.  ``rest``: elsewhere in
        [-pi, pi].  ``beyond``: outside of it, with the sampling error of fresh inputs.
    """
    x = np.linspace(-np.pi, np.pi, 20_001)
    density = _normal(x)
    error = (np.interp(x, curve["x"], curve["pi"]) - target(x)) ** 2
    excess = density * (error - _unavoidable(x, bound))
    tails, peaks = np.abs(x) > TAILS, np.abs(np.abs(x) - OUTER_PEAK) <= FLANK
    parts = {"tails": tails, "peaks": peaks, "rest": ~tails & ~peaks}
    found = {name: float(np.trapezoid(np.where(part, excess, 0.0), x)) for name, part in parts.items()}
    found["beyond"] = loss - floor(bound, "normal") - sum(found.values())
    return found | {"inside": float(np.trapezoid(density * error, x)) / (1.0 - _share_beyond())}


def _share_beyond() -> float:
    """Return the share of N(0, 1) that lies outside [-pi, pi]."""
    return math.erfc(np.pi / math.sqrt(2.0))


def share_inside(run: Run) -> float:
    """Return the share of the published figure's columns in which the run's losses meet the published band.

    They meet in a column if the ranges from lowest to highest loss overlap.  Columns after the run's end are left out.
    """
    band, bins = read_loss(), run.series
    column = np.clip(np.searchsorted(bins["epoch"], band["epoch"]), 0, len(bins) - 1)
    low, high = (bins[name].to_numpy()[column] for name in ("loss_low", "loss_high"))
    inside = (low <= band["loss_high"]) & (high >= band["loss_low"])
    return float(inside[band["epoch"] <= bins["epoch"].iloc[-1]].mean())
