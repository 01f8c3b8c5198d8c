"""Decides every claim from the results of a scale.

A claim that holds is *reproduced* in a setting of the source (S, F) and *supported* in one that is our reconstruction
(R).  A claim that does not hold *deviates*; :func:`left_open` tells whether the data leave it open.  It is *not-run*
where evidence is missing, too little or not what its stamps say, and at a scale that decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from replication import files
from replication.claims import claims, verdicts
from replication.claims.claims import Claim, Claims
from replication.claims.evidence import ALTERED, MISSING, Evidence
from replication.claims.verdicts import Status, Verdict
from replication.errors import ResultError
from replication.experiments import quantities
from replication.provenance import stamp
from replication.results import quantities as table_of
from replication.results.integrity import WITHOUT
from replication.results.inventory import BENCHMARKS
from replication.results.quantities import Table
from replication.results.statistics import (
    Interval,
    median_interval,
    nonzero,
    prediction_interval,
    proportion_interval,
    single,
)
from scpo.arrays import Array
from scpo.errors import ScpoError


def evaluate(results: Path, stated: Claims, table: Table | None = None) -> list[Verdict]:
    """Return the verdict on every claim, in their order.

    Args:
        results: results/<scale>.
        stated: from :func:`replication.claims.claims.load`.
        table: the table of quantities of the results; None computes it from the records of the runs.

    Raises:
        ResultError: the scale's configuration is missing or damaged.
    """
    evidence = Evidence(results, table or quantities.collect(results, strict=False))
    return [_verdict(claim, evidence) for claim in stated.claims]


def write(results: Path, out: Path) -> list[Verdict]:
    """Decide the claims of config/claims.yaml by the table of quantities; write ``out`` (claims.json) with a stamp.

    Raises:
        ConfigurationError: the claims are missing or invalid.
        ResultError: the table, the configuration or other evidence is missing, or is not what its stamps say.
    """
    with stamp.stamped(out, results, ["replication.claims.decide"]):
        found = evaluate(results, claims.load(), table_of.read(results))
        if problems := [one.reason for one in found if one.reason.startswith((ALTERED, MISSING))]:
            raise ResultError("; ".join(dict.fromkeys(problems)))
        verdicts.write(out, found)
    return found


def judge(results: Path, *, strict: bool) -> tuple[str, int]:
    """Decide the claims anew from the records of the runs.  Write nothing.

    Returns:
        a table of the verdicts and an exit status.  The status is 0 if every claim could be decided, but for those on
        speed where ``make bench`` was not run.  It is 1 if evidence is missing or altered, and with ``strict`` also if
        a claim deviates.
    """
    stated = claims.load()
    if not (results / "config.json").is_file():
        made = "make reproduce makes them; make figures restores the shipped ones (then SCALE=shipped/study)"
        return f"{results}: no results; {made}\n", 1
    problems = _changed_since(results)
    found = evaluate(results, stated)
    altered = [one.reason for one in found if one.reason.startswith(ALTERED)]
    measured = (results.parent / BENCHMARKS).is_file()
    undecided = [
        one
        for claim, one in zip(stated.claims, found, strict=True)
        if one.status == "not-run" and (measured or "benchmarks" not in claim.needs.others)
    ]
    failed = bool(altered or problems or undecided or (strict and any(one.status == "deviates" for one in found)))
    notes = "".join(f"{note}\n" for note in dict.fromkeys([*altered, *problems]))
    return verdicts.text(found) + notes, int(failed)


def _changed_since(results: Path) -> list[str]:
    """Return which evidence without a stamp of its own has changed since the table of quantities was made of it."""
    table = results / table_of.FILE
    if not stamp.beside(table).is_file():
        return []
    return [
        f"{ALTERED}: {path} is not what {table_of.FILE} was made of; delete it and run the pipeline again"
        for name, found in stamp.read(table)["inputs"].items()
        if Path(name.removeprefix("results:")).name in WITHOUT
        and (path := stamp.input_path(name, results)).is_file()
        and files.sha256(path) != found
    ]


def _verdict(claim: Claim, evidence: Evidence) -> Verdict:
    try:
        paths = evidence.files(claim)
        if problem := evidence.problem(paths):
            return Verdict.of(claim, "not-run", reason=problem, evidence=paths)
        values = evidence.values(claim)
        lacking = _lacking(claim, evidence, values)
    except ScpoError as error:
        reason = str(error).splitlines()[0].replace(f"{evidence.results}/", "")
        return Verdict.of(claim, "not-run", reason=reason)
    found: dict[str, Any] = {"seeds": _seeds(values), "evidence": paths}
    if not all(map(len, values.values())):
        return Verdict.of(claim, "not-run", reason="no evidence: nothing that could be measured", **found)
    groups = _groups(claim, values)
    measured = reduce(claim, groups)
    if measured is not None:
        found |= {"measured": measured.value, "interval": measured.shown}
    if lacking:
        return Verdict.of(claim, "not-run", reason=lacking, **found)
    if measured is None:
        return Verdict.of(claim, "deviates", reason="a value is not finite", **found)
    if holds(claim, measured):
        return Verdict.of(claim, _good(claim), **found)
    return Verdict.of(claim, "deviates", left_open=left_open(claim, groups), **found)


def _seeds(values: Mapping[str, pd.Series[float]]) -> list[int]:
    """Return the seeds that a verdict rests on; none for values that belong to no seed."""
    return sorted({int(seed) for one in values.values() for seed in one.index} - {table_of.NO_SEED})


def _groups(claim: Claim, values: Mapping[str, pd.Series[float]]) -> list[Array]:
    """Return the values of each arm.  Where runs are counted a seed of an experiment counts once, by its worst run.

    The arms of a seed share first weights and batches, so their runs are not independent.
    """
    if claim.statistic != "runs":
        return [np.asarray(one, dtype=np.float64) for one in values.values()]
    of_experiment: dict[str, list[pd.Series[float]]] = {}
    for arm, one in values.items():
        of_experiment.setdefault(arm.partition("/")[0], []).append(one)
    worst = (pd.concat(arms).groupby(level=0).agg(lambda one: one.max(skipna=False)) for arms in of_experiment.values())
    return [np.asarray(one, dtype=np.float64) for one in worst]


@dataclass(frozen=True)
class Measured:
    """The statistic that a claim is judged by, with its interval.

    Attributes:
        value: the statistic; of a median over several arms that of the arm which is furthest from what is expected.
        low: lower end of the interval that must hold as a whole; ``value`` where the statistic has no interval.
        high: its upper end.
        shown: the interval that is printed beside the value: (low, high), exact bounds of a share of seeds, or None.
    """

    value: float
    low: float
    high: float
    shown: tuple[float, float] | None


def reduce(claim: Claim, groups: Sequence[ArrayLike]) -> Measured | None:
    """Return the claim's statistic of the values, with its interval; None if a value is not finite.

    Args:
        claim: names the statistic.
        groups: the values of each arm, one per seed.  Each arm's median has to be as expected.
    """
    return max(_each(claim, groups), key=lambda one: _beyond(claim, one), default=None)


def _each(claim: Claim, groups: Sequence[ArrayLike]) -> list[Measured]:
    """Return the median of each arm, or any other statistic of all arms together; [] if a value is not finite."""
    values = np.concatenate([np.asarray(group, dtype=np.float64) for group in groups])
    if not np.isfinite(values).all():
        return []
    if claim.statistic == "runs":
        count = nonzero(values)
        bounds = proportion_interval(count, values.size, 0.9)
        return [_exactly(count / values.size, (bounds.low, bounds.high))]
    if claim.statistic in ("sum", "max", "min"):
        return [_exactly(single(claim.statistic, values))]
    if claim.statistic == "prediction":
        return [_between(values, prediction_interval(values))]
    return [_between(group, median_interval(group)) for group in groups]


def _between(values: ArrayLike, interval: Interval) -> Measured:
    ends = interval.low, interval.high
    return Measured(single("median", values), *ends, shown=ends)


def _beyond(claim: Claim, measured: Measured) -> float:
    """Return how far the interval goes beyond what is expected; negative if all of it is as expected."""
    least, most = _expected(claim)
    below, above = least - measured.low, measured.high - most
    return {"at_most": above, "at_least": below}.get(claim.comparator, max(below, above))


def _exactly(value: float, shown: tuple[float, float] | None = None) -> Measured:
    return Measured(value, value, value, shown)


def holds(claim: Claim, measured: Measured) -> bool:
    """Tell whether all of [low, high] is as expected within the tolerance.

    With "covers": whether [low, high] holds the expected value.
    """
    (least, most), tolerance = _expected(claim), claim.tolerance
    low, high = measured.low, measured.high
    return {
        "equals": least - tolerance <= low and high <= most + tolerance,
        "within": least - tolerance <= low and high <= most + tolerance,
        "at_most": high <= most + tolerance,
        "at_least": low >= least - tolerance,
        "covers": low - tolerance <= least and most <= high + tolerance,
    }[claim.comparator]


def left_open(claim: Claim, groups: Sequence[ArrayLike]) -> bool:
    """Tell whether a claim does not hold and is not refuted either.

    It is refuted if the printed interval of one of its arms has no value in common with what is expected within the
    tolerance: with "at_most" if all of it lies above, with "at_least" if all of it lies below, with "equals", "within"
    and "covers" if it lies on either side.  Of a share of seeds the exact bounds are that interval.  A value without an
    interval (a sum or an extreme) that is not as expected refutes, and so does one that is not finite.

    Args:
        claim: says what is expected.
        groups: as for :func:`reduce`.
    """
    found = _each(claim, groups)
    if not found or all(holds(claim, one) for one in found):
        return False
    return all(one.shown is not None and _meets(claim, *one.shown) for one in found)


def _meets(claim: Claim, low: float, high: float) -> bool:
    """Tell whether [low, high] has a value in common with what is expected within the tolerance."""
    (least, most), tolerance = _expected(claim), claim.tolerance
    not_above, not_below = low <= most + tolerance, high >= least - tolerance
    return {"at_most": not_above, "at_least": not_below}.get(claim.comparator, not_above and not_below)


def _expected(claim: Claim) -> tuple[float, float]:
    return claim.expected if isinstance(claim.expected, tuple) else (claim.expected, claim.expected)


def _good(claim: Claim) -> Status:
    return "supported" if claim.mark == "R" else "reproduced"


def _lacking(claim: Claim, evidence: Evidence, values: Mapping[str, pd.Series[float]]) -> str | None:
    """Return what the evidence lacks for a decision, or None."""
    needs, scale = claim.needs, evidence.config.scale
    if scale not in claims.DECIDING:
        return f"needs scale {' or '.join(claims.DECIDING)}; scale {scale!r} decides nothing"
    for arm in (*needs.arms, *needs.baselines):
        updates = evidence.updates(arm)
        if (count := len(values.get(arm, updates))) < needs.seeds:
            return f"{arm}: needs {needs.seeds} seeds, there are {count}"
        if (least := int(updates.min())) < needs.updates:
            return f"{arm}: needs runs of {needs.updates} updates, one has {least}"
    return None
