"""The quantities of the results as a whole: the runs', the referee's, the planted faults', the benchmarks'."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from replication.errors import ResultError
from replication.results.inventory import BENCHMARKS
from replication.results.quantities import COUNT, NO_SEED, NUMBER, RATIO, SHARE, Format, Provider, Quantity, Row, single
from replication.results.read import read_benchmarks, read_config, read_findings, read_planned, read_referee

RUNS = (
    Quantity("finished-runs", "Runs that the results hold.", COUNT, unit="runs"),
    Quantity("planned-runs", "Runs that were planned, the finished ones among them.", COUNT, unit="runs"),
)


def _runs(results: Path) -> Iterator[Row]:
    """Return the number of runs; results that are part of a study say in a file how many were planned."""
    experiments = read_config(results).experiments.values()
    finished = sum(arm.seeds for section in experiments for arm in section.arms.values())
    planned = read_planned(results)
    return single({"finished-runs": finished, "planned-runs": finished if planned is None else sum(planned.values())})


ERROR = Format("size", 1)
REFEREE = (
    Quantity("referee-runs", "Runs that the referee recomputed.", COUNT, unit="runs"),
    Quantity("referee-iterates", "Saved iterates that the referee recomputed.", COUNT, unit="iterates"),
    Quantity("referee-values", "Values that the referee recomputed.", COUNT, unit="values"),
    Quantity("recorded-unsafe", "Saved iterates that are unsafe by the records.", COUNT, unit="iterates"),
    Quantity(
        "recomputed-unsafe", "Saved iterates that are unsafe when the referee recomputes them.", COUNT, unit="iterates"
    ),
    Quantity("referee-difference-g", "Largest difference between recorded and recomputed constraint values.", ERROR),
    Quantity("referee-difference-others", "Largest difference between other recorded and recomputed values.", ERROR),
    Quantity("referee-difference", "Largest difference between any recorded and recomputed values.", ERROR),
    Quantity("referee-tolerance", "Difference from which the referee disagrees.", NUMBER),
    Quantity("referee-every", "One saved iterate in so many is recomputed in full.", COUNT, unit="iterates"),
)
#: Key in an arm's entry of referee.json -> the quantity.
_OF_ARM = {
    "runs": "referee-runs",
    "iterates": "referee-iterates",
    "values": "referee-values",
    "recorded": "recorded-unsafe",
    "recomputed": "recomputed-unsafe",
    "worst_g": "referee-difference-g",
    "worst_other": "referee-difference-others",
}
#: What is summed over the arms.
_TOTALS = ("runs", "iterates", "values", "recorded", "recomputed")


def _referee(results: Path) -> Iterator[Row]:
    found = read_referee(results)
    _require_all_runs(results, {f"{arm.experiment}/{arm.arm}": arm.runs for arm in found.arms})
    for arm in found.arms:
        of = (arm.experiment, arm.arm, NO_SEED)
        for key, name in _OF_ARM.items():
            yield (*of, name, float(arm[key]))
        yield (*of, "referee-difference", max(arm.worst_g, arm.worst_other))
    yield from single({_OF_ARM[key]: sum(arm[key] for arm in found.arms) for key in _TOTALS})
    worst = max(max(arm.worst_g, arm.worst_other) for arm in found.arms)
    yield from single({"referee-difference": worst, "referee-tolerance": found.tolerance, "referee-every": found.every})


def _require_all_runs(results: Path, judged: Mapping[str, int]) -> None:
    """Refuse a referee that left out runs of the results; ``judged``: experiment/arm -> number of runs."""
    for experiment, section in read_config(results).experiments.items():
        for name, arm in section.arms.items():
            if (count := judged.get(f"{experiment}/{name}", 0)) < arm.seeds:
                path = results / "referee.json"
                raise ResultError(f"{path}: judges {count} of {arm.seeds} runs of {experiment}/{name}; judge again")


FAULTS = (
    Quantity("planted-faults", "Faults that were planted on purpose.", COUNT, unit="faults"),
    Quantity("planted-faults-missed", "Planted faults that went by without being caught.", COUNT, unit="faults"),
    Quantity("sweep-runs", "Runs with each L below, at and above the proven one.", COUNT, unit="runs"),
    Quantity("sweep-updates", "Updates with each L below, at and above the proven one.", COUNT, unit="updates"),
    Quantity("sweep-sound-updates", "Updates with an L that is at least the proven one.", COUNT, unit="updates"),
    Quantity("sweep-sound-misses", "Of those, updates that missed their bound.", COUNT, unit="updates"),
    Quantity("sweep-sound-unsafe", "Of those, updates to an unsafe policy.", COUNT, unit="updates"),
    Quantity("sweep-least-factor", "Smallest L that was tried, over the proven one.", NUMBER),
    Quantity("sweep-least-miss-share", "Share of the updates with the smallest L that missed their bound.", SHARE),
    Quantity("sweep-least-unsafe-share", "Share of the updates with the smallest L to an unsafe policy.", SHARE),
    Quantity("sweep-least-unsafe-runs", "Runs with the smallest L that had an unsafe policy.", COUNT, unit="runs"),
)
#: The planted fault of several sizes: smoothness constants that are too small.
SWEEP = "constants-too-small"


def _faults(results: Path) -> Iterator[Row]:
    findings = read_findings(results)
    values: dict[str, float] = {
        "planted-faults": len(findings),
        "planted-faults-missed": sum(not finding.caught for finding in findings),
    }
    for finding in findings:
        if finding.name == SWEEP:
            values |= _sweep(finding.numbers)
    return single(values)


def _sweep(sweep: Mapping[str, Any]) -> dict[str, float]:
    sound = [index for index, factor in enumerate(sweep["factors"]) if factor >= 1.0]
    misses, unsafe, updates = sweep["bound_misses"], sweep["unsafe_iterates"], sweep["updates"]
    return {
        "sweep-runs": sweep["runs"],
        "sweep-updates": updates,
        "sweep-sound-updates": updates * len(sound),
        "sweep-sound-misses": sum(misses[index] for index in sound),
        "sweep-sound-unsafe": sum(unsafe[index] for index in sound),
        "sweep-least-factor": sweep["factors"][-1],
        "sweep-least-miss-share": misses[-1] / updates,
        "sweep-least-unsafe-share": unsafe[-1] / updates,
        "sweep-least-unsafe-runs": sweep["unsafe_runs"][-1],
    }


SPEED = (
    Quantity("update-over-yardstick-regression", "Time of an update of the regression over its arithmetic.", RATIO),
    Quantity(
        "update-over-yardstick-double-integrator",
        "Time of an update of the double integrator over its arithmetic.",
        RATIO,
    ),
    Quantity(
        "update-over-gram-regression",
        "Time of an update of the regression over its arithmetic, with the faster orthogonalisation (Gram).",
        RATIO,
    ),
    Quantity(
        "update-over-gram-double-integrator",
        "Time of an update of the double integrator over its arithmetic, with the faster orthogonalisation (Gram).",
        RATIO,
    ),
    Quantity("literal-over-update", "Time of an update taken literally over that of ours.", RATIO),
    Quantity("exponent-in-dimension", "Slope of log time of an update over log d.", RATIO),
)


def _benchmarks(results: Path) -> Iterator[Row]:
    """Return the benchmarks' ratios; none where ``make bench`` was not run."""
    ratios = read_benchmarks(results) if (results.parent / BENCHMARKS).is_file() else {}
    names = {quantity.name.replace("-", "_"): quantity.name for quantity in SPEED}
    return single({names[key]: value for key, value in ratios.items() if key in names})


PROVIDERS = (
    Provider(RUNS, _runs),
    Provider(REFEREE, _referee),
    Provider(FAULTS, _faults),
    Provider(SPEED, _benchmarks),
)
