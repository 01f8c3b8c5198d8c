"""What claims measure: pure functions from the evidence of a claim to numbers, by name.

Each gives one number per run (or certificate, or arm) and names what is taken over them: the sum, the largest, the
smallest, the median with its interval over seeds, or the range.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np

from replication.config import Config
from replication.errors import ResultError
from replication.experiments.double_integrator.read import Certificate, References
from replication.experiments.regression import published
from replication.results.outcomes import Runs, merit, merit_at, reduction, unsafe_share
from replication.results.read import Run
from replication.results.statistics import paired_differences

T = TypeVar("T")
Over = Literal["sum", "max", "min", "median", "range"]


@dataclass(frozen=True)
class Evidence:
    """What a claim is judged on: runs by experiment and arm, baselines by the arm that they are compared with."""

    config: Config
    arms: Mapping[str, Runs] = field(default_factory=dict)
    baselines: Mapping[str, Runs] = field(default_factory=dict)
    certificates: Mapping[str, Sequence[Certificate]] = field(default_factory=dict)
    references: References | None = None
    referee: Mapping[str, Any] | None = None
    findings: Sequence[Mapping[str, Any]] | None = None
    benchmarks: Mapping[str, Any] | None = None

    @property
    def runs(self) -> list[Run]:
        """Runs of all arms."""
        return [run for runs in self.arms.values() for run in runs]


@dataclass(frozen=True)
class Metric:
    """A function of the evidence, what is taken over its values, what that is in words, and whether it is of safety."""

    values: Callable[[Evidence], list[float]]
    over: Over
    means: str
    safety: bool = False


def _each(value: Callable[[Run], float]) -> Callable[[Evidence], list[float]]:
    return lambda evidence: [float(value(run)) for run in evidence.runs]


def _count(key: str) -> Callable[[Evidence], list[float]]:
    return _each(lambda run: run.summary[key])


def _final(key: str) -> Callable[[Evidence], list[float]]:
    return _each(lambda run: merit(run, key))


def _unexplained(run: Run) -> bool:
    """Whether the run was unsafe before any bound had been missed, which the induction excludes."""
    unsafe, missed = run.summary["first_unsafe_update"], run.summary["first_missed_update"]
    return unsafe is not None and (missed is None or missed > unsafe)


def _rejected(evidence: Evidence) -> list[float]:
    """Share of the baseline's unsafe iterates that the run of the same seed did without; 0 if there was none."""
    shares = []
    for arm, runs in evidence.arms.items():
        harmful = {run.seed: unsafe_share([run]) for run in evidence.baselines[arm]}
        shares += [1.0 - unsafe_share([run]) / harmful[run.seed] if harmful[run.seed] else 0.0 for run in runs]
    return shares


def _harmful_removed(run: Run) -> float:
    """Median over the evaluations of what the projection removes along harmful samples, less that along the others."""
    difference = (run.evaluations["rejected_share"] - run.evaluations["clean_rejected_share"]).dropna()
    if difference.empty:
        raise ResultError(f"{run.experiment}/{run.arm}, seed {run.seed}: no evaluation saw harmful samples")
    return float(difference.median())


def _paired(loss: str) -> Callable[[Evidence], list[float]]:
    """Loss of each run less that of the baseline's run of the same seed, at the last epoch that both have reached."""

    def values(evidence: Evidence) -> list[float]:
        found: list[float] = []
        for arm, runs in evidence.arms.items():
            both = (runs, evidence.baselines[arm])
            epoch = min(run.epochs for of in both for run in of)
            first, second = ({run.seed: merit_at(run, loss, epoch) for run in of} for of in both)
            found += paired_differences(first, second).tolist()
        return found

    return values


def _removable_loss_removed(evidence: Evidence) -> list[float]:
    """Share of the initial loss above the floor, the least that any policy within the bounds has, that is gone."""
    section = evidence.config.regression
    assert section is not None  # its runs have been read
    shares = []
    for run in evidence.runs:
        floor = published.floor(section.bound, section.datasets[run.summary["dataset"]].inputs)
        before, after = merit(run, "fresh_loss", "initial"), merit(run, "fresh_loss")
        shares.append((before - after) / (before - floor))
    return shares


def _loss_at(epoch: float) -> Callable[[Evidence], list[float]]:
    """Loss on fresh inputs at the evaluation nearest to ``epoch``."""

    def value(run: Run) -> float:
        nearest = int(np.abs(run.evaluations["epoch"].to_numpy() - epoch).argmin())
        return float(run.evaluations["fresh_loss"].iloc[nearest])

    return _each(value)


def _late_loss(run: Run) -> float:
    late = run.evaluations.loc[run.evaluations["epoch"] >= published.LATE, "fresh_loss"]
    if late.empty:
        raise ResultError(
            f"{run.experiment}/{run.arm}, seed {run.seed}: no evaluation from epoch {published.LATE:g} on"
        )
    return float(late.median())


def _level(sign: float) -> Callable[[Evidence], list[float]]:
    """Highest (+1) or lowest (-1) value of the final policy on the points at which the published one is drawn."""

    def value(run: Run) -> float:
        curve = run.exhibits["curve"]
        drawn = np.interp(np.linspace(-np.pi, np.pi, published.DRAWN), curve["x"], curve["pi"])
        return sign * float((sign * drawn).max())

    return _each(value)


def _gap_closed(evidence: Evidence) -> list[float]:
    references = _required(evidence.references, "references")
    return [references.gap_closed(merit(run, "cost")) for run in evidence.runs]


def _certificates(value: Callable[[Certificate], float]) -> Callable[[Evidence], list[float]]:
    return lambda evidence: [float(value(one)) for of in evidence.certificates.values() for one in of]


def _certified_starts(evidence: Evidence) -> list[float]:
    """Share of the held-out starts that lie in certified cells, for each certificate."""
    starts = _required(evidence.references, "references").arrays.get("heldout_starts")
    if starts is None:
        raise ResultError("references.npz: lacks heldout_starts; compute the references again")
    return _certificates(lambda one: float(one.holds(starts).mean()))(evidence)


def _referee(evidence: Evidence) -> list[dict[str, Any]]:
    rows = _required(evidence.referee, "the referee's summary")["arms"]
    return [row for row in rows if f"{row['experiment']}/{row['arm']}" in evidence.arms]


def _missed(evidence: Evidence) -> list[float]:
    """Whether each planted fault went by without being caught."""
    return [float(not finding["caught"]) for finding in _required(evidence.findings, "the planted faults")]


def _benchmark(name: str) -> Callable[[Evidence], list[float]]:
    def value(evidence: Evidence) -> list[float]:
        found = _required(evidence.benchmarks, "benchmarks")
        if name not in found:
            raise ResultError(f"benchmarks: no {name!r}; there are {', '.join(sorted(found))}")
        return [float(found[name])]

    return value


def _required(value: T | None, name: str) -> T:
    if value is None:
        raise ResultError(f"the claim does not name {name} among its evidence")
    return value


METRICS: dict[str, Metric] = {
    # safety, judged on the bound alone
    "unsafe-iterates": Metric(_count("unsafe_iterates"), "sum", "unsafe iterates of all runs", safety=True),
    "unsafe-before-a-miss": Metric(_each(_unexplained), "sum", "runs unsafe before any bound miss", safety=True),
    "worst-g": Metric(_count("max_g"), "max", "worst raw g of any iterate", safety=True),
    "unsafe-share-avoided": Metric(
        _rejected, "min", "1 - unsafe iterates over those of unconstrained training, worst seed", safety=True
    ),
    "recomputed-unsafe": Metric(
        lambda of: [float(row["recomputed"]) for row in _referee(of)],
        "sum",
        "unsafe saved iterates, recomputed",
        safety=True,
    ),
    "heldout-unsafe": Metric(
        _final("heldout_unsafe"),
        "max",
        "largest unsafe share of these starts",
        safety=True,
    ),
    "heldout-worst-g": Metric(
        _each(lambda run: float(run.evaluations["heldout_max_g"].max())),
        "max",
        "worst raw g on held-out points",
        safety=True,
    ),
    # the bound and the projection
    "bound-misses": Metric(_count("bound_misses"), "sum", "updates with a bound miss", safety=True),
    "bound-miss-share": Metric(
        _each(lambda run: run.summary["bound_misses"] / run.summary["updates"]),
        "median",
        "share of updates with a bound miss, median over runs",
    ),
    "solver-failures": Metric(_count("solver_failures"), "sum", "projections that no solver solved"),
    "harmful-part-removed": Metric(
        _each(_harmful_removed), "median", "rejected share, harmful less other samples, median"
    ),
    "referee-difference": Metric(
        lambda of: [max(row["worst_g"], row["worst_other"]) for row in _referee(of)],
        "max",
        "largest difference to the records",
    ),
    "planted-faults-missed": Metric(_missed, "sum", "faults that were missed"),
    # objectives
    "removable-loss-removed": Metric(
        _removable_loss_removed,
        "median",
        "share of the initial loss above the floor that is gone, fresh inputs, median",
    ),
    "fresh-loss": Metric(_final("fresh_loss"), "median", "final loss on fresh inputs, median"),
    "fresh-loss-reduction": Metric(
        _each(lambda run: reduction(run, "fresh_loss")),
        "median",
        "share by which the loss on fresh inputs fell, median",
    ),
    "clean-loss-reduction": Metric(
        _each(lambda run: reduction(run, "clean_loss")), "median", "share by which the loss on good labels fell, median"
    ),
    "clipped-loss-difference": Metric(
        _paired("clipped_loss"),
        "median",
        "difference of the final losses, clipped target, median",
    ),
    "fresh-loss-difference": Metric(
        _paired("fresh_loss"), "median", "difference of the final losses, fresh inputs, median"
    ),
    "gap-closed": Metric(
        _gap_closed, "median", "share of the backup's excess cost over the MPC that is removed, median"
    ),
    # the published figure
    "initial-loss": Metric(
        _each(lambda run: merit(run, "uniform_loss", "initial")),
        "median",
        "loss on a uniform grid before training, median",
    ),
    "loss-at-200": Metric(_loss_at(200.0), "median", "loss on fresh inputs at epoch 200, median"),
    "late-loss": Metric(_each(_late_loss), "median", "median loss on fresh inputs from epoch 1,000 on, median"),
    "grid-loss": Metric(_final("uniform_loss"), "range", "final loss on a uniform grid, median and range"),
    "upper-level": Metric(_level(1.0), "range", "highest value of the final policy, median and range"),
    "lower-level": Metric(_level(-1.0), "range", "lowest value of the final policy, median and range"),
    # stability
    "spectral-radius": Metric(_final("spectral_radius"), "max", "largest spectral radius of a final policy's Jacobian"),
    "uncertified": Metric(
        _certificates(lambda one: not one.figures["final"]["certified"]),
        "sum",
        "final policies without a certified set",
    ),
    "certified-starts": Metric(_certified_starts, "min", "least share, all certificates"),
    # speed and cost, as ratios of times of one run of the benchmarks
    "update-over-yardstick-regression": Metric(_benchmark("update_over_yardstick_regression"), "max", "ratio of times"),
    "update-over-yardstick-double-integrator": Metric(
        _benchmark("update_over_yardstick_double_integrator"), "max", "ratio of times"
    ),
    "literal-over-update": Metric(_benchmark("literal_over_update"), "min", "ratio of times"),
    "exponent-in-dimension": Metric(_benchmark("exponent_in_dimension"), "max", "slope of log time over log d"),
}
