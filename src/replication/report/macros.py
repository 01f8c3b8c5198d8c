r"""Every number of the report's text as a LaTeX macro, written to macros.tex.

The text types no result.  Which macros exist is listed here once: a test finds those that the text uses without
their being defined, and those that are defined without being used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from replication.config import Config
from replication.experiments.double_integrator import macros as double_integrator_macros
from replication.experiments.regression import published
from replication.experiments.regression import side_experiments as regression_extras
from replication.files import write_text
from replication.planted_faults import report as falsification
from replication.results.outcomes import (
    heldout_excess,
    seeds_unsafe,
    total,
    unsafe_evaluations,
    unsafe_share,
    worst_heldout,
    worst_iterate,
)
from replication.results.read import Run, read_arm, read_config
from replication.results.statistics import median_interval, paired_differences, proportion_interval, summarise
from replication.results.summaries import read_referee, read_stationarity
from replication.seeds import FIRST_TUNING_SEED
from replication.tasks.regression.settings import RegressionConfig
from replication.typeset import numbers
from scpo import buffer

Runs = Sequence[Run]


def write(results: Path, out: Path) -> None:
    """Write the macros of every experiment that the scale ran to ``out``.

    Raises:
        ResultError: a result file is missing, damaged or has another schema.
    """
    lines = [rf"\newcommand{{\{name}}}{{{text}}}" for name, text in sorted(collect(results).items())]
    write_text(out, "\n".join(["% Written from result files; not to be edited.", *lines]) + "\n")


def collect(results: Path) -> dict[str, str]:
    """Return name (without backslash) -> LaTeX of every macro."""
    config = read_config(results)
    macros = {"ScaleNotice": _notice(config)}
    if config.regression is not None:
        macros |= (
            _source(config.regression)
            | _regression_settings(config.regression)
            | _regression_results(results, config.regression)
        )
        macros |= _stationarity(results)
        macros |= regression_extras.collect(results)
    if config.double_integrator is not None:
        macros |= double_integrator_macros.collect(results)
    return macros | _referee(read_referee(results)) | falsification.collect(results)


def _referee(found: Mapping[str, Any]) -> dict[str, str]:
    arms = found["arms"]
    return {
        "RefereeRuns": numbers.count(sum(arm["runs"] for arm in arms)),
        "RefereeIterates": numbers.count(sum(arm["iterates"] for arm in arms)),
        "RefereeValues": numbers.count(sum(arm["values"] for arm in arms)),
        "RefereeTolerance": numbers.setting(found["tolerance"]),
        "RefereeEvery": numbers.count(found["every"]),
    }


def _notice(config: Config) -> str:
    if config.scale == "paper":
        return ""
    return (
        rf"\notice{{This copy was made with the scale ``{config.scale}''. Its numbers show that the pipeline "
        "works and support no statement of the text.}"
    )


def _source(section: RegressionConfig) -> dict[str, str]:
    band = published.late_band()
    return {
        "SourceLateLow": numbers.fixed(band.low, 2),
        "SourceLateHigh": numbers.fixed(band.high, 2),
        "SourceLatePeak": numbers.fixed(band.peak, 2),
        "SourceReadingEpochs": numbers.count(published.READING_EPOCHS),
        "SourceReadingLoss": numbers.setting(published.READING_LOSS),
        "SourcePolicyError": numbers.fixed(published.policy_error()),
        "FloorNormal": numbers.fixed(published.floor(section.bound, "normal")),
        "FloorUniform": numbers.fixed(published.floor(section.bound, "uniform")),
    }


def _regression_settings(section: RegressionConfig) -> dict[str, str]:
    scpo, smoothness, schedule = section.scpo, section.scpo.smoothness, section.schedule
    widths = (1, *section.hidden, 1)
    dimension = sum((before + 1) * after for before, after in pairwise(widths))
    return {
        "RegBound": numbers.setting(section.bound),
        "RegGrid": numbers.count(section.grid_size),
        "RegConstraints": numbers.count(2 * section.grid_size),
        "RegDimension": numbers.count(dimension),
        "RegSamples": numbers.count(scpo.directions.count),
        "RegKappa": numbers.setting(scpo.kappa),
        "RegMargin": numbers.setting(scpo.tightening),
        "RegTuningSeeds": numbers.count(FIRST_TUNING_SEED),
        "RegFactor": numbers.setting(smoothness.factor),
        "RegDecay": numbers.setting(smoothness.decay),
        "RegKinkRatio": "no limit" if smoothness.kink_ratio is None else numbers.setting(smoothness.kink_ratio),
        "RegKinkFactor": "the same factor"
        if smoothness.kink_factor is None
        else f"a factor of {numbers.setting(smoothness.kink_factor)}",
        "RegBuffer": numbers.setting(scpo.buffer),
        "RegBufferRecovery": numbers.setting(buffer.RECOVERY),
        "RegBufferReach": numbers.setting(buffer.REACH),
        "RegBufferSoftness": numbers.setting(buffer.SOFTNESS),
        "RegGrowth": numbers.setting(smoothness.growth),
        "RegFirstRadius": numbers.setting(smoothness.initial_radius),
        "RegMaxRadius": numbers.setting(smoothness.max_radius),
        "RegHeldout": numbers.count(section.heldout),
        "RegEvaluateEvery": numbers.count(schedule.evaluate_every),
        "RegEpochs": numbers.count(schedule.epochs),
        "RegUpdatesPerEpoch": numbers.count(schedule.updates_per_epoch),
        "RegOuterPeak": numbers.setting(published.OUTER_PEAK),
        "RegFlank": numbers.setting(published.FLANK),
        "RegTails": numbers.setting(published.TAILS),
        "RegBeyond": numbers.percent(published.share_beyond()),
        "RegTrainingSize": numbers.count(section.datasets["normal"].size),
    }


def _median(metric: str) -> Callable[[Runs], str]:
    return lambda runs: numbers.fixed(summarise([run.final[metric] for run in runs]).median)


def _range(metric: str) -> Callable[[Runs], str]:
    return lambda runs: numbers.spread(summarise([run.final[metric] for run in runs]))


def _loss_interval(runs: Runs) -> str:
    found = median_interval([run.final["fresh_loss"] for run in runs])
    values = f"[{numbers.fixed(found.low)}, {numbers.fixed(found.high)}]"
    return f"{values} (coverage {numbers.percent(found.coverage)})"


def _heldout_shares(runs: Runs) -> str:
    shares = [run.final["heldout_unsafe"] for run in runs]
    return f"{numbers.percent(min(shares))} to {numbers.percent(max(shares))}"


def _heldout_excess(over_runs: Callable[[Sequence[float]], float]) -> Callable[[Runs], str]:
    """Return how far above zero g of the final policies was on held-out points; 0 where it never was."""
    return lambda runs: numbers.fixed(over_runs(heldout_excess(runs) or [0.0]))


#: What a number about an arm is called, and how it is made from the arm's runs.
QUANTITIES: dict[str, Callable[[Runs], str]] = {
    "Seeds": lambda runs: numbers.count(len(runs)),
    "Updates": lambda runs: numbers.count(total(runs, "updates")),
    "LossMedian": _median("fresh_loss"),
    "LossRange": _range("fresh_loss"),
    "LossInterval": _loss_interval,
    "InitialLoss": lambda runs: numbers.fixed(summarise([run.summary["initial"]["fresh_loss"] for run in runs]).median),
    "Step": lambda runs: numbers.figures(summarise([run.summary["median_step"] for run in runs]).median, 2),
    "Smoothness": lambda runs: numbers.figures(summarise([run.summary["median_smoothness"] for run in runs]).median, 2),
    "GridLossMedian": _median("uniform_loss"),
    "ClippedMedian": _median("clipped_loss"),
    "UnsafeIterates": lambda runs: numbers.count(total(runs, "unsafe_iterates")),
    "UnsafeShare": lambda runs: numbers.percent(unsafe_share(runs)),
    "UnsafeSeeds": lambda runs: numbers.count(seeds_unsafe(runs)),
    "UnsafeSeedsInterval": lambda runs: numbers.interval(proportion_interval(seeds_unsafe(runs), len(runs))),
    "WorstG": lambda runs: numbers.safety(worst_iterate(runs)),
    "HeldoutWorstG": lambda runs: numbers.safety(worst_heldout(runs)),
    "HeldoutUnsafeRuns": lambda runs: numbers.count(len(heldout_excess(runs))),
    "HeldoutShares": _heldout_shares,
    "HeldoutExcess": _heldout_excess(lambda excess: summarise(excess).median),
    "HeldoutExcessMost": _heldout_excess(max),
    "HeldoutUnsafeEvaluations": lambda runs: numbers.count(unsafe_evaluations(runs)),
    "Evaluations": lambda runs: numbers.count(sum(len(run.evaluations) for run in runs)),
    "BoundMisses": lambda runs: numbers.count(total(runs, "bound_misses")),
    "BoundMissShare": lambda runs: numbers.percent(total(runs, "bound_misses") / total(runs, "updates")),
    "UnsafeProposals": lambda runs: numbers.count(total(runs, "unsafe_proposals")),
    "UnsafeProbes": lambda runs: numbers.count(total(runs, "unsafe_probes")),
    "Rollouts": lambda runs: numbers.count(total(runs, "rollouts")),
    "ProjectedShare": lambda runs: numbers.percent(summarise([run.summary["projected_share"] for run in runs]).median),
    "InsideBand": lambda runs: numbers.percent(summarise([published.share_inside(run) for run in runs]).median),
}

#: The numbers that the text uses, by arm of the regression experiment.
USED = {
    "scpo": tuple(QUANTITIES),
    "scpo-verified": ("Seeds", "LossMedian", "UnsafeIterates", "UnsafeProposals", "WorstG"),
    "scpo-no-margin": ("Seeds", "Updates", "LossMedian", "UnsafeIterates", "UnsafeSeeds", "BoundMissShare", "WorstG"),
    "scpo-no-buffer": (
        "Seeds",
        "Updates",
        "LossMedian",
        "LossRange",
        "UnsafeIterates",
        "BoundMissShare",
        "WorstG",
    ),
    "scpo-curvature": (
        "Seeds",
        "LossMedian",
        "LossRange",
        "UnsafeIterates",
        "BoundMisses",
        "BoundMissShare",
        "Updates",
        "Step",
        "Smoothness",
    ),
    "scpo-uniform": ("Seeds", "LossMedian", "GridLossMedian", "UnsafeIterates", "BoundMissShare", "WorstG"),
    "unconstrained": (
        "Seeds",
        "LossMedian",
        "ClippedMedian",
        "UnsafeIterates",
        "UnsafeShare",
        "Updates",
        "WorstG",
    ),
    "unconstrained-uniform": ("UnsafeShare",),
}


def _stationarity(results: Path) -> dict[str, str]:
    near, found = read_stationarity(results)
    macros = {
        name: numbers.percent(summarise(found[arm]).median) if arm in found else regression_extras.NOT_RUN
        for name, arm in (
            ("RegScpoResidual", "scpo"),
            ("RegScpoUniformResidual", "scpo-uniform"),
            ("RegScpoCurvatureResidual", "scpo-curvature"),
        )
    }
    most = numbers.percent(summarise(found["scpo"]).high)
    return macros | {"RegNear": numbers.setting(near), "RegScpoResidualMost": most}


def _regression_results(results: Path, section: RegressionConfig) -> dict[str, str]:
    arms = {name: read_arm(results, "regression", name) for name in USED if name in section.arms}
    macros = {
        "Reg" + name.title().replace("-", "") + quantity: QUANTITIES[quantity](arms[name])
        if name in arms
        else regression_extras.NOT_RUN
        for name, quantities in USED.items()
        for quantity in quantities
    }
    clipped = [{run.seed: run.final["clipped_loss"] for run in arms[name]} for name in ("scpo", "unconstrained")]
    difference = summarise(paired_differences(*clipped))
    places = [
        published.loss_by_place(run.final["fresh_loss"], run.exhibits["curve"], section.bound) for run in arms["scpo"]
    ]
    for place in places[0]:
        macros["RegScpoLoss" + place.title()] = numbers.fixed(summarise([loss[place] for loss in places]).median)
    macros["RegClippedDifference"] = numbers.safety(difference.median, 2)
    macros["RegClippedDifferenceRange"] = f"[{numbers.safety(difference.low, 2)}, {numbers.safety(difference.high, 2)}]"
    return macros
