"""The quantities that every run has, and functions that compute a quantity from a run's files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from replication.results.quantities import COUNT, LOSS, NUMBER, SAFETY, SHARE, SIZE, Format, Quantity
from replication.results.read import Run
from replication.settings import ExperimentSettings
from replication.tasks import tables_of
from scpo.arrays import Array


def of_summary(key: str, *methods: str) -> Callable[[Run], float | None]:
    """Return a function that gives an entry of run.json; None if it is null, or for methods not in ``methods``."""

    def compute(run: Run) -> float | None:
        if methods and run.method not in methods:
            return None
        value = run.summary[key]
        return None if value is None else float(value)

    return compute


def final(key: str) -> Callable[[Run], float]:
    """Return a function that gives a held-out value of the final policy; NaN if it was not finite."""
    return lambda run: _finite(run.summary.final[key])


def initial(key: str) -> Callable[[Run], float]:
    """Return a function that gives a held-out value of the initial policy; NaN if it was not finite."""
    return lambda run: _finite(run.summary.initial[key])


def reduction(key: str) -> Callable[[Run], float]:
    """Return a function that gives the fall of a loss over training, as a share of its initial value."""
    return lambda run: 1.0 - final(key)(run) / initial(key)(run)


def equal_rollouts(arms: Mapping[str, ExperimentSettings]) -> int | None:
    """Return the rollouts after which an experiment's baselines end; None if it has none."""
    limits = [arm.schedule.max_rollouts for arm in arms.values() if arm.schedule.max_rollouts is not None]
    return max(limits, default=None)


def objective_after(run: Run, rollouts: Array) -> Array:
    """Return the held-out objective (n,) after so many ``rollouts`` (n,); once the run has ended, its last one."""
    spent = np.interp(run.evaluations["update"], run.series["update"], run.series["rollouts"])
    return np.asarray(np.interp(rollouts, spent, run.evaluations[tables_of(run.experiment).objective]))


def _at_equal_rollouts(run: Run) -> float | None:
    rollouts = equal_rollouts(run.arms)
    return None if rollouts is None else float(objective_after(run, np.array([rollouts], dtype=np.float64))[0])


def _finite(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _share_of_updates(key: str, *methods: str) -> Callable[[Run], float | None]:
    def compute(run: Run) -> float | None:
        if methods and run.method not in methods:
            return None
        return float(run.summary[key]) / run.summary.updates

    return compute


def _near_miss_share(run: Run) -> float | None:
    """Return 0 for a run in which no constraint was near its limit: it missed none."""
    near = run.summary.near_constraints
    return run.summary.near_misses / max(1, near) if run.method == SCPO else None


def _unsafe_nominal_rejected(run: Run) -> float | None:
    unsafe = run.summary.nominal_unsafe
    return 1.0 - run.summary.nominal_unsafe_taken / unsafe if unsafe else None


def _worst_miss(run: Run) -> float | None:
    if run.series.empty:  # run.json knows the misses alone
        return run.summary.largest_miss
    worst = run.series["worst_miss_high"].max()
    return None if np.isnan(worst) else float(worst)


def _heldout_excess(run: Run) -> float | None:
    worst = final("heldout_max_g")(run)
    return worst if worst > 0 else None


SCPO = "scpo"
#: Methods that check a proposal before they take it.
CHECKED = (SCPO, "backtracking")

RUN = (
    Quantity("updates", "Updates of the run.", COUNT, of_summary("updates"), unit="updates"),
    Quantity(
        "failed",
        "1 for a run that could not go on, which counts as unsafe; 0 for the others.",
        COUNT,
        lambda run: int(run.summary.failed),
    ),
    Quantity("epochs", "Epochs of the run.", NUMBER, lambda run: run.epochs, unit="epochs"),
    Quantity(
        "evaluations",
        "Policies of the run that were evaluated on held-out points.",
        COUNT,
        lambda run: len(run.evaluations),
        unit="iterates",
    ),
    # safety on the training points, of every iterate
    Quantity(
        "unsafe-iterates",
        "Iterates at which a constraint is above 0; at least 1 for a run that could not go on.",
        COUNT,
        lambda run: max(run.summary.unsafe_iterates, int(run.summary.failed)),
        unit="iterates",
    ),
    Quantity(
        "unsafe-share",
        "Share of the iterates at which a constraint is above 0.",
        SHARE,
        _share_of_updates("unsafe_iterates"),
    ),
    Quantity(
        "first-unsafe-update",
        "First update after which a constraint is above 0; no value for a run that stays safe.",
        COUNT,
        of_summary("first_unsafe_update"),
        unit="updates",
    ),
    Quantity("worst-g", "Largest constraint value of any iterate.", SAFETY, of_summary("max_g")),
    # safety on held-out points, of the evaluated iterates
    Quantity(
        "unsafe-evaluations",
        "Evaluated iterates at which a constraint is above 0 on held-out points.",
        COUNT,
        lambda run: int((run.evaluations["heldout_max_g"] > 0).sum()),
        unit="iterates",
    ),
    Quantity(
        "heldout-worst-g",
        "Largest constraint value on held-out points of any evaluated iterate.",
        SAFETY,
        lambda run: float(run.evaluations["heldout_max_g"].max()),
    ),
    Quantity(
        "final-heldout-worst-g",
        "Largest constraint value of the final policy on held-out points.",
        SAFETY,
        final("heldout_max_g"),
    ),
    Quantity(
        "heldout-excess",
        "Largest constraint value of the final policy on held-out points, where it is above 0.",
        LOSS,
        _heldout_excess,
    ),
    Quantity(
        "heldout-unsafe-share",
        "Share of the held-out points, or starts, at which the final policy is unsafe.",
        SHARE,
        final("heldout_unsafe"),
    ),
    # the bound and the projection
    Quantity(
        "bound-misses",
        "Updates in which a constraint exceeded its step bound U(z).",
        COUNT,
        of_summary("bound_misses", SCPO),
        unit="updates",
    ),
    Quantity(
        "bound-miss-share",
        "Share of the updates in which a constraint exceeded its step bound U(z).",
        SHARE,
        _share_of_updates("bound_misses", SCPO),
    ),
    Quantity(
        "near-miss-share",
        "Share of the constraints near their limits that exceeded their step bound; near: half their slack is spent.",
        SHARE,
        _near_miss_share,
    ),
    Quantity(
        "first-missed-update",
        "First update in which a constraint exceeded its step bound; no value for a run without one.",
        COUNT,
        of_summary("first_missed_update", SCPO),
        unit="updates",
    ),
    Quantity(
        "worst-miss",
        "Size of the largest bound miss: constraint less step bound U(z), over all updates; negative without a miss.",
        SAFETY,
        _worst_miss,
    ),
    Quantity(
        "unsafe-proposals",
        "Proposed steps that a rollout found unsafe.",
        COUNT,
        of_summary("unsafe_proposals", *CHECKED),
        unit="proposals",
    ),
    Quantity(
        "unsafe-proposals-per-update",
        "Proposed steps that a rollout found unsafe, per update.",
        Format("size", 2),
        _share_of_updates("unsafe_proposals"),
    ),
    Quantity(
        "unsafe-probes",
        "Probes at which a constraint is above 0.",
        COUNT,
        of_summary("unsafe_probes", SCPO),
        unit="probes",
    ),
    Quantity(
        "unsafe-looks",
        "Looks along a step at which a constraint is above 0.",
        COUNT,
        of_summary("unsafe_looks", SCPO),
        unit="looks",
    ),
    Quantity(
        "unsafe-rollouts",
        "Policies evaluated in training at which a constraint is above 0: proposals, probes and looks.",
        COUNT,
        lambda run: run.summary.unsafe_proposals + run.summary.unsafe_probes + run.summary.unsafe_looks,
        unit="rollouts",
    ),
    Quantity(
        "solver-failures", "Projections that no solver solved.", COUNT, of_summary("solver_failures"), unit="updates"
    ),
    Quantity(
        "projected-share",
        "Share of the updates whose nominal step the projection changed.",
        SHARE,
        of_summary("projected_share", SCPO),
    ),
    Quantity(
        "captured-energy",
        "Share of the nominal step's squared length within the sampled directions, median over the updates.",
        SHARE,
        of_summary("captured_energy", SCPO),
    ),
    # what theta + p would have been, at the evaluated iterates
    Quantity(
        "unsafe-nominal-rejected",
        "Share of the nominal steps that a rollout at theta + p finds unsafe which were not taken.",
        SHARE,
        _unsafe_nominal_rejected,
    ),
    Quantity("rollouts", "Evaluations of all constraints.", COUNT, of_summary("rollouts"), unit="rollouts"),
    Quantity(
        "rollouts-per-update",
        "Evaluations of all constraints per update.",
        Format("size", 2),
        _share_of_updates("rollouts"),
        unit="rollouts",
    ),
    Quantity(
        "objective-at-rollouts",
        "Held-out objective after the rollouts that the baselines have; for a run that ends before, the final one.",
        LOSS,
        _at_equal_rollouts,
    ),
    Quantity("median-step", "Length of a step, median over the updates.", SIZE, of_summary("median_step")),
    Quantity(
        "median-nominal-step",
        "Length of the nominal step, median over the updates.",
        SIZE,
        of_summary("median_nominal"),
    ),
    Quantity(
        "median-smoothness",
        "Largest smoothness constant in use, median over the updates.",
        SIZE,
        of_summary("median_smoothness"),
    ),
    Quantity(
        "largest-required-smoothness",
        "Largest smoothness constant that a step of the run would have needed to meet its bound.",
        SIZE,
        of_summary("largest_required"),
    ),
)


def total(runs: Iterable[Run], name: str) -> float:
    """Return the sum over ``runs`` of a quantity that every run has.

    Figures count with it, so that a figure waits for its own runs and not for the table of quantities of all runs.
    """
    compute = {quantity.name: quantity.compute for quantity in RUN}[name]
    assert compute is not None
    values = [compute(run) for run in runs]
    return float(sum(value for value in values if value is not None))
