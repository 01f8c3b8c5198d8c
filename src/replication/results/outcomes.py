"""Outcomes of an arm's runs: counts over seeds, extremes and shares, as tables, macros and claims report them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from replication.results.read import Run

Runs = Sequence[Run]


def total(runs: Runs, key: str) -> int:
    """Return the sum over seeds of a count in run.json."""
    return sum(int(run.summary[key]) for run in runs)


def unsafe_share(runs: Runs) -> float:
    """Return the share of unsafe iterates, over all seeds."""
    return total(runs, "unsafe_iterates") / total(runs, "updates")


def worst_iterate(runs: Runs) -> float:
    """Return the worst raw g of any iterate of any seed."""
    return max(float(run.summary["max_g"]) for run in runs)


def worst_heldout(runs: Runs) -> float:
    """Return the worst raw g on held-out points of any evaluated iterate of any seed."""
    return max(float(run.evaluations["heldout_max_g"].max()) for run in runs)


def heldout_excess(runs: Runs) -> list[float]:
    """Return the worst raw g on held-out points of each final policy that is unsafe there."""
    return [worst for run in runs if (worst := float(run.final["heldout_max_g"])) > 0]


def unsafe_evaluations(runs: Runs) -> int:
    """Return how many evaluated iterates were unsafe on held-out points."""
    return sum(int((run.evaluations["heldout_max_g"] > 0).sum()) for run in runs)


def worst_share(runs: Runs) -> float:
    """Return the largest share of held-out starts from which a final policy of any seed was unsafe."""
    return float(max(run.final["heldout_unsafe"] for run in runs))


def seeds_unsafe(runs: Runs) -> int:
    """Return the number of seeds with at least one unsafe iterate."""
    return sum(run.summary["unsafe_iterates"] > 0 for run in runs)


def first_unsafe(runs: Runs) -> int | None:
    """Return the earliest unsafe update of any seed, or None."""
    firsts = [run.summary["first_unsafe_update"] for run in runs]
    return min((int(first) for first in firsts if first is not None), default=None)


def reduction(run: Run, loss: str) -> float:
    """Return the share of its initial value by which the held-out ``loss`` fell."""
    return 1.0 - merit(run, loss) / merit(run, loss, "initial")


def merit(run: Run, name: str, when: str = "final") -> float:
    """Return a figure of merit of the final or initial policy; NaN where the records have null, for not finite."""
    value = run.summary[when][name]
    return math.nan if value is None else float(value)


def merit_at(run: Run, name: str, epoch: float) -> float:
    """Return a figure of merit at the last evaluation up to ``epoch``."""
    rows = run.evaluations
    return float(rows.loc[rows["epoch"] <= epoch, name].iloc[-1])
