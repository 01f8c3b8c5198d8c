"""Decides every claim from the results of a scale.

A claim is *reproduced* if it holds in a setting that is the source's (S, F), *supported* if it holds in one that is
our reconstruction (R); it *deviates* if it does not hold, and is *not-run* where there is too little evidence, evidence
that does not match its stamps, or a scale that decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from replication import files
from replication.claims import claims, verdicts
from replication.claims.claims import Claim, Claims
from replication.claims.metrics import METRICS, Evidence, Metric
from replication.claims.verdicts import Status, Verdict
from replication.errors import ResultError
from replication.experiments.double_integrator.read import EXPERIMENT, read_certificates, read_references
from replication.paths import PUBLISHED
from replication.provenance import page
from replication.results.integrity import WITHOUT, Records
from replication.results.outcomes import Runs
from replication.results.read import read_arm, read_config
from replication.results.statistics import median_interval
from replication.results.summaries import BENCHMARKS, read_benchmarks, read_findings, read_referee
from scpo.errors import ScpoError

ALTERED = "altered evidence"
#: Files of evidence beside the runs, relative to the results.
OTHERS = {
    "references": f"{EXPERIMENT}/references.json",
    "referee": "referee.json",
    "falsification": "falsification.json",
    "benchmarks": f"../{BENCHMARKS}",
}


def evaluate(results: Path, stated: Claims) -> list[Verdict]:
    """Return the verdict on every claim, in their order.

    Args:
        results: results/<scale>.
        stated: from :func:`replication.claims.claims.load`.

    Raises:
        ResultError: the scale's configuration is missing or damaged.
    """
    reader = _Reader(results)
    return [_verdict(claim, reader) for claim in stated.claims]


def write(results: Path, out: Path) -> list[Verdict]:
    """Decide the claims of config/claims.yaml and write the verdicts to ``out`` (claims.json) with a stamp.

    Raises:
        ConfigurationError: the claims are missing or invalid.
        ResultError: evidence is not what its stamps describe, or the configuration is missing.
    """
    with page.traced(out, results, ["replication.claims.decide"]):
        found = evaluate(results, claims.load())
        if altered := [one.reason for one in found if one.reason.startswith(ALTERED)]:
            raise ResultError("; ".join(dict.fromkeys(altered)))
        verdicts.write(out, found)
    return found


def judge(results: Path, *, strict: bool) -> tuple[str, int]:
    """Decide the claims, write results/<scale>/claims.json, and return a table and an exit status.

    Nothing is written where evidence has been altered.

    Returns:
        the table, and 0 if every claim could be decided, but for those on speed where ``make bench`` has not been run;
        1 if evidence is missing or altered, or, if ``strict``, a claim deviates.
    """
    stated, out = claims.load(), results / verdicts.NAME
    if not (results / "config.json").is_file():
        return f"{results}: no results; make them (make reproduce), or verify the shipped ones (README.md)\n", 1
    problems = _changed_since(out, results)
    try:
        found = evaluate(results, stated) if problems else write(results, out)
    except ResultError:  # something has been altered: say what, claim by claim
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


def _changed_since(out: Path, results: Path) -> list[str]:
    """Say which evidence without a stamp of its own is not what the claims were decided on when they last were."""
    if not page.stamp(out).is_file():
        return []
    inputs = page.read(out)["inputs"]
    return [
        f"{ALTERED}: {path} is not what the claims were decided on; run the pipeline again"
        for name, found in inputs.items()
        if name.removeprefix("results:") in WITHOUT
        and (path := page.input_path(name, results)).is_file()
        and files.sha256(path) != found
    ]


def _verdict(claim: Claim, reader: _Reader) -> Verdict:
    metric = METRICS[claim.metric]
    try:
        paths = reader.paths(claim)
        if altered := reader.records.altered(paths):
            return Verdict.of(claim, "not-run", reason=f"{ALTERED}: {altered[0]}", evidence=paths)
        evidence = reader.evidence(claim, metric)
        values = _values(metric, evidence)
    except ScpoError as error:
        return Verdict.of(claim, "not-run", reason=str(error).splitlines()[0].replace(f"{reader.results}/", ""))
    found: dict[str, Any] = {"seeds": sorted({run.seed for run in evidence.runs}), "evidence": paths}
    if not values or not all(map(len, values)):
        return Verdict.of(claim, "not-run", reason="no evidence: nothing that could be measured", **found)
    value, low, high = reduce(metric, values)
    if math.isfinite(value):
        found |= {"measured": value, "interval": (low, high) if claim.tier == "statistical" else None}
    if lacking := _lacking(claim, evidence):
        return Verdict.of(claim, "not-run", reason=lacking, **found)
    if not math.isfinite(value):
        return Verdict.of(claim, "deviates", reason="a value is not finite", **found)
    return Verdict.of(claim, _good(claim) if holds(claim, low, high) else "deviates", **found)


def _values(metric: Metric, evidence: Evidence) -> list[list[float]]:
    """Return the values in groups: arm by arm where statistics are taken over seeds."""
    if metric.over not in ("median", "range"):
        return [metric.values(evidence)]
    return [metric.values(replace(evidence, arms={arm: runs})) for arm, runs in evidence.arms.items()]


def reduce(metric: Metric, groups: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """Return the value that is compared and the interval that must hold as a whole, which may be the value alone.

    Args:
        metric: says what is taken over the values.
        groups: values, one per seed in each group; the interval spans those of all groups.

    Returns:
        value and interval, NaN if any value is not finite.
    """
    values = np.array([value for group in groups for value in group], dtype=np.float64)
    if not np.isfinite(values).all():
        return math.nan, math.nan, math.nan
    if metric.over == "range":
        return float(np.median(values)), float(values.min()), float(values.max())
    if metric.over == "median":
        intervals = [median_interval(group) for group in groups]
        low, high = min(one.low for one in intervals), max(one.high for one in intervals)
        return float(np.median(values)), low, high
    value = float({"sum": values.sum(), "max": values.max(), "min": values.min()}[metric.over])
    return value, value, value


def holds(claim: Claim, low: float, high: float) -> bool:
    """Whether all of [low, high] is as expected within the tolerance (covers: whether it holds the expected value)."""
    expected, tolerance = claim.expected, claim.tolerance
    least, most = expected if isinstance(expected, tuple) else (expected, expected)
    return {
        "equals": least - tolerance <= low and high <= most + tolerance,
        "within": least - tolerance <= low and high <= most + tolerance,
        "at_most": high <= most + tolerance,
        "below": high < most + tolerance,
        "at_least": low >= least - tolerance,
        "covers": low - tolerance <= least and most <= high + tolerance,
    }[claim.comparator]


def _good(claim: Claim) -> Status:
    return "supported" if claim.mark == "R" else "reproduced"


def _lacking(claim: Claim, evidence: Evidence) -> str | None:
    """Say what the evidence lacks for a decision, or None."""
    needs = claim.needs
    if evidence.config.scale != needs.scale:
        return f"needs scale {needs.scale!r}; scale {evidence.config.scale!r} decides nothing"
    for arm, runs in [*evidence.arms.items(), *evidence.baselines.items()]:
        if len(runs) < needs.seeds:
            return f"{arm}: needs {needs.seeds} seeds that may be judged, there are {len(runs)}"
        if (updates := min(run.summary["updates"] for run in runs)) < needs.updates:
            return f"{arm}: needs runs of {needs.updates} updates, one has {updates}"
    for arm, certificates in evidence.certificates.items():
        if len(certificates) < needs.seeds:
            return f"{arm}: needs {needs.seeds} certificates, there are {len(certificates)}"
    return None


class _Reader:
    """Reads evidence once for all claims, and knows which file is what its stamp says."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self.config = read_config(results)
        self.records = Records(results)
        self._arms: dict[str, Runs] = {}

    def paths(self, claim: Claim) -> list[str]:
        """Return the files that hold a claim's evidence: relative to the results, or of the repository."""
        needs, others = claim.needs, claim.needs.others
        found = [f"{arm}/seed-{seed}/run.json" for arm in (*needs.arms, *needs.baselines) for seed in self._seeds(arm)]
        if "certificates" in others:
            count = self._certified()
            found += [f"{arm}/seed-{seed}/certificate.json" for arm in needs.arms for seed in self._seeds(arm)[:count]]
        found += [path for name, path in OTHERS.items() if name in others]
        return sorted({*found, *(PUBLISHED if "published" in others else ())})

    def evidence(self, claim: Claim, metric: Metric) -> Evidence:
        """Return what a claim is judged on.

        Raises:
            ResultError: some of it is missing or damaged.
        """
        needs, others, results = claim.needs, claim.needs.others, self.results
        certified = needs.arms if "certificates" in others else ()
        return Evidence(
            self.config,
            arms={arm: self._judged(arm) if metric.safety else self._arm(arm) for arm in needs.arms},
            baselines={arm: self._arm(of) for arm, of in zip(needs.arms, needs.baselines, strict=False)},
            certificates={arm: read_certificates(results, arm.partition("/")[2]) for arm in certified},
            references=read_references(results) if "references" in others else None,
            referee=read_referee(results) if "referee" in others else None,
            findings=read_findings(results) if "falsification" in others else None,
            benchmarks=read_benchmarks(results) if "benchmarks" in others else None,
        )

    def _seeds(self, name: str) -> range:
        experiment, arm = name.split("/")
        settings = self.config.experiments.get(experiment)
        if settings is None or arm not in settings.arms:
            raise ResultError(f"{self.results / 'config.json'}: the scale does not run {name}")
        return settings.arms[arm].seed_range

    def _arm(self, name: str) -> Runs:
        if name not in self._arms:
            self._arms[name] = read_arm(self.results, *name.split("/"))
        return self._arms[name]

    def _judged(self, name: str) -> Runs:
        """The runs that may be judged for safety: of a verified arm only those without a rejected proposal.

        What a verified run threw away would have been an unsafe iterate on the bound alone.
        """
        runs = self._arm(name)
        experiment, arm = name.split("/")
        if not self.config.section(experiment).for_arm(arm).scpo.verify:
            return runs
        return tuple(run for run in runs if run.summary["unsafe_proposals"] == 0)

    def _certified(self) -> int:
        section = self.config.double_integrator
        if section is None or section.certificate is None:
            raise ResultError(f"{self.results / 'config.json'}: the scale makes no certificates")
        return section.certificate.seeds
