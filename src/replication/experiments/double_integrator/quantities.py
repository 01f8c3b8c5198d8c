"""The quantities of the double integrator, in addition to those that every run has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from replication.experiments.double_integrator.documents import ReferenceNumbers
from replication.experiments.double_integrator.read import (
    EXPERIMENT,
    Certificate,
    References,
    read_certificates,
    read_references,
    read_settings,
)
from replication.results.quantities import COUNT, LOSS, NUMBER, RATIO, SHARE, Format, Provider, Quantity, Row, single
from replication.results.read import Run, read_arm
from replication.results.run_quantities import final, initial, reduction
from replication.tasks.double_integrator.system import lqr

ONE_DECIMAL, FOUR_DECIMALS = Format("loss", 1), Format("loss", 4)
#: Held-out values of a policy: key in run.json -> what it is, how it is printed.
VALUES = {
    "cost": ("closed-loop cost", ONE_DECIMAL),
    "scenario_loss": ("loss against the scenario's labels", LOSS),
    "clean_loss": ("loss on the good labels", LOSS),
    "spectral_radius": ("spectral radius of the closed loop at the origin", LOSS),
}
#: The data set without any label that is worth following.
ALL_HARMFUL = "hostile"


def _applies(key: str, compute: Callable[[Run], float]) -> Callable[[Run], float | None]:
    """Return ``compute`` with the value None for runs whose data set has no good labels."""
    return lambda run: None if key == "clean_loss" and run.summary.dataset == ALL_HARMFUL else compute(run)


def _values() -> Iterator[Quantity]:
    for key, (what, shown) in VALUES.items():
        name = key.replace("_", "-")
        yield Quantity(name, f"Final {what}.", shown, _applies(key, final(key)))
        yield Quantity(f"initial-{name}", f"Initial {what}.", shown, _applies(key, initial(key)))


RUN = (
    *_values(),
    Quantity(
        "clean-loss-reduction",
        "Share by which the loss on the good labels fell.",
        SHARE,
        _applies("clean_loss", reduction("clean_loss")),
    ),
)

REFERENCES = (
    Quantity("backup-cost", "Closed-loop cost of the backup.", ONE_DECIMAL),
    Quantity("mpc-cost", "Closed-loop cost of the MPC.", ONE_DECIMAL),
    Quantity("gain-position", "The backup's gain on the position.", FOUR_DECIMALS),
    Quantity("gain-velocity", "The backup's gain on the velocity.", FOUR_DECIMALS),
    Quantity("mpc-gain-position", "Gain on the position of the LQR of the stage cost.", RATIO),
    Quantity("backup-radius", "Spectral radius of the backup's closed loop.", LOSS),
    Quantity("cost-starts", "Starts that the closed-loop cost is averaged over.", COUNT, unit="starts"),
    Quantity("cost-horizon", "Steps that the closed-loop cost is summed over.", COUNT, unit="steps"),
    Quantity("area", "Area of the backup's invariant set O_inf.", ONE_DECIMAL),
    Quantity("area-of-starts", "Area of the set of starts, rho O_inf.", ONE_DECIMAL),
    Quantity("area-control-invariant", "Area of the maximal control invariant set.", ONE_DECIMAL),
    Quantity("area-outside", "Area of the state constraints' box outside the control invariant set.", ONE_DECIMAL),
    Quantity("box-area", "Area of the state constraints' box.", NUMBER),
    Quantity("gamma-lyapunov", "Gain of the residual below which a Lyapunov argument proves stability.", FOUR_DECIMALS),
    Quantity(
        "gamma-tightest", "Gain of the residual below which the tightest condition proves stability.", FOUR_DECIMALS
    ),
    Quantity("state-limit", "Limit of |x_i|.", NUMBER),
    Quantity("input-limit", "Limit of |u|.", NUMBER),
    Quantity("stage-input-weight", "Weight of u^2 in the stage cost.", NUMBER),
    Quantity("backup-input-weight", "Weight of u^2 in the cost that the backup minimises.", NUMBER),
    Quantity("malicious-above", "x_1 above which the labels of the mixed scenario are harmful.", NUMBER),
    Quantity("sharpness", "beta of the log-sum-exp over time.", NUMBER),
)
COSTS = (
    Quantity("cost-over-backup", "Closed-loop cost of the final policy over that of the backup.", RATIO),
    Quantity("gap-closed", "Share of the gap between the costs of backup and MPC that the final policy closes.", SHARE),
)
#: The scenario whose expert is the MPC, so that its cost can be reached.
REACHES_MPC = "cooperative"


def _references(results: Path) -> Iterator[Row]:
    references = read_references(results)
    numbers, box = references.numbers, (2.0 * references.numbers.state_bound) ** 2
    declared = {quantity.name for quantity in REFERENCES}
    same = {name: numbers[key] for key in ReferenceNumbers.model_fields if (name := key.replace("_", "-")) in declared}
    values = same | {
        "backup-cost": references.numbers.costs.backup,
        "mpc-cost": references.numbers.costs.mpc,
        "gain-position": numbers.gain[0],
        "gain-velocity": numbers.gain[1],
        "mpc-gain-position": lqr(numbers.stage_input_weight)[0][0, 0],
        "backup-radius": numbers.spectral_radius,
        "state-limit": numbers.state_bound,
        "input-limit": numbers.input_bound,
        "box-area": box,
        "area-outside": box - numbers.area_control_invariant,
    }
    return single(values, EXPERIMENT)


def _costs(results: Path, arm: str) -> Iterator[Row]:
    references, reachable = read_references(results), read_settings(results).arms[arm].dataset == REACHES_MPC
    for run in read_arm(results, EXPERIMENT, arm):
        cost = final("cost")(run)
        yield EXPERIMENT, arm, run.seed, "cost-over-backup", cost / references.numbers.costs.backup
        if reachable:
            yield EXPERIMENT, arm, run.seed, "gap-closed", references.gap_closed(cost)


CERTIFICATES = (
    Quantity(
        "certified", "Whether a set of starts is certified for the final policy (1 or 0).", COUNT, unit="policies"
    ),
    Quantity(
        "covers-starts",
        "Whether the whole set of starts is certified for the final policy (1 or 0).",
        COUNT,
        unit="policies",
    ),
    Quantity("certified-area", "Certified area of the final policy.", ONE_DECIMAL),
    Quantity("refuted-area", "Area from which the final policy is proven to violate a constraint.", ONE_DECIMAL),
    Quantity(
        "undecided-area", "Area of the box that is neither certified nor refuted for the final policy.", ONE_DECIMAL
    ),
    Quantity("certified-level", "Largest multiple of 0.01 of O_inf that is certified for the final policy.", RATIO),
    Quantity("certified-starts", "Share of the held-out starts in certified cells.", RATIO),
)


def _certificates(results: Path, arm: str) -> Iterator[Row]:
    seeds, found = read_settings(results).arms[arm].seed_range, read_certificates(results, arm)
    references = read_references(results) if found else None
    for seed, one in zip(seeds, found, strict=False):  # certificates are made for the first seeds only
        assert references is not None
        for name, value in _certificate(one, references).items():
            yield EXPERIMENT, arm, seed, name, value


def _certificate(one: Certificate, references: References) -> dict[str, float]:
    final, box = one.numbers.final, (2.0 * references.numbers.state_bound) ** 2
    return {
        "certified": float(final.certified),
        "covers-starts": float(final.covers_starts),
        "certified-area": final.area,
        "refuted-area": final.refuted_area,
        "undecided-area": box - final.area - final.refuted_area,
        "certified-level": final.level,
        "certified-starts": float(one.holds(references.arrays["heldout_starts"]).mean()),
    }


PROVIDERS = (
    Provider(REFERENCES, _references),
    Provider(COSTS, _costs, by_arm=True),
    Provider(CERTIFICATES, _certificates, by_arm=True),
)
