"""Numbers of the double integrator's text, by macro name; see :mod:`replication.report.macros`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from replication.experiments.double_integrator.read import (
    METHODS,
    SCENARIOS,
    References,
    read_certificates,
    read_references,
    read_scenario,
    read_settings,
)
from replication.results.outcomes import (
    first_unsafe,
    reduction,
    seeds_unsafe,
    total,
    unsafe_share,
    worst_heldout,
    worst_iterate,
    worst_share,
)
from replication.results.read import Run
from replication.results.statistics import proportion_interval, summarise
from replication.tasks.double_integrator.settings import DoubleIntegratorConfig
from replication.tasks.double_integrator.system import lqr
from replication.typeset import numbers

Runs = Sequence[Run]


def collect(results: Path) -> dict[str, str]:
    """Return name (without backslash) -> LaTeX of every macro of the experiment."""
    references = read_references(results)
    macros = _settings(read_settings(results)) | _references(references)
    for scenario in SCENARIOS:
        runs = read_scenario(results, scenario)
        for method in METHODS:
            prefix = "Di" + scenario.title() + method.title().replace("-", "")
            for name in USED.get((scenario, method), ()):
                macros[prefix + name] = QUANTITIES[name](runs[method], references)
    everything = {
        method: [run for scenario in SCENARIOS for run in read_scenario(results, scenario).get(method, ())]
        for method in METHODS
    }
    scpo = everything["scpo"]
    return (
        macros
        | {
            "DiUnsafeIterates": numbers.count(total(scpo, "unsafe_iterates")),
            "DiUpdates": numbers.count(total(scpo, "updates")),
            "DiBoundMisses": numbers.count(total(scpo, "bound_misses")),
            "DiBoundMissShare": numbers.percent(total(scpo, "bound_misses") / total(scpo, "updates")),
            "DiUnsafeProbes": numbers.count(total(scpo, "unsafe_probes")),
            "DiBoundRuns": numbers.count(len(scpo)),
            "DiHeldoutUnsafeRuns": numbers.count(sum(run.final["heldout_unsafe"] > 0 for run in scpo)),
            "DiHeldoutWorstFinal": numbers.safety(max(run.final["heldout_max_g"] for run in scpo), 3),
            "DiVerifiedUnsafeProposals": numbers.count(total(everything["scpo-verified"], "unsafe_proposals")),
        }
        | _certificates(results, references)
    )


def _settings(section: DoubleIntegratorConfig) -> dict[str, str]:
    widths = (2, *section.hidden, 1)
    schedule = section.schedule
    return {
        "DiStarts": numbers.count(section.starts),
        "DiConstraints": numbers.count(3 * section.starts),
        "DiHorizon": numbers.count(section.horizon),
        "DiContraction": numbers.setting(section.contraction),
        "DiRho": numbers.setting(section.rho),
        "DiHeldout": numbers.count(section.heldout),
        "DiLabels": numbers.count(section.datasets["mixed"].size),
        "DiDimension": numbers.count(sum((before + 1) * after for before, after in pairwise(widths))),
        "DiRunUpdates": numbers.count(schedule.epochs * schedule.updates_per_epoch),
        "DiMargin": numbers.setting(section.scpo.tightening),
    }


def _references(references: References) -> dict[str, str]:
    figures = references.figures
    return {
        "DiStateBound": numbers.setting(figures["state_bound"]),
        "DiInputBound": numbers.setting(figures["input_bound"]),
        "DiStageWeight": numbers.setting(figures["stage_input_weight"]),
        "DiBackupWeight": numbers.setting(figures["backup_input_weight"]),
        "DiMaliciousAbove": numbers.setting(figures["malicious_above"]),
        "DiGainPosition": numbers.fixed(figures["gain"][0], 4),
        "DiGainVelocity": numbers.fixed(figures["gain"][1], 4),
        "DiMpcGainPosition": numbers.fixed(lqr(figures["stage_input_weight"])[0][0, 0], 2),
        "DiBackupRadius": numbers.fixed(figures["spectral_radius"]),
        "DiBackupCost": numbers.fixed(references.backup, 1),
        "DiMpcCost": numbers.fixed(references.mpc, 1),
        "DiCostStarts": numbers.count(figures["cost_starts"]),
        "DiCostHorizon": numbers.count(figures["cost_horizon"]),
        "DiArea": numbers.fixed(figures["area"], 1),
        "DiAreaStarts": numbers.fixed(figures["area_of_starts"], 1),
        "DiAreaControl": numbers.fixed(figures["area_control_invariant"], 1),
        "DiGammaLyapunov": numbers.fixed(figures["gamma_lyapunov"], 4),
        "DiSharpness": numbers.setting(figures["sharpness"]),
        "DiGammaTightest": numbers.fixed(figures["gamma_tightest"], 4),
    }


def _certificates(results: Path, references: References) -> dict[str, str]:
    settings = read_settings(results)
    cells = settings.certificate.cells if settings.certificate is not None else 0
    box = (2.0 * references.state_bound) ** 2
    proven = {scenario: read_certificates(results, f"scpo-{scenario}") for scenario in SCENARIOS}
    free = {scenario: read_certificates(results, f"unconstrained-{scenario}") for scenario in SCENARIOS}
    found = [one for of in proven.values() for one in of]
    macros = {
        "DiCells": numbers.count(cells),
        "DiBoxArea": numbers.setting(box),
        "DiAreaOutside": numbers.fixed(box - references.figures["area_control_invariant"], 1),
        "DiCertificates": numbers.count(len(found)),
        "DiCertified": numbers.count(sum(bool(one.figures["final"]["certified"]) for one in found)),
        "DiCertifiedStarts": numbers.count(sum(one.covers_starts for one in found)),
        "DiUndecidedArea": numbers.fixed(max((box - one.area - one.refuted_area for one in found), default=box), 1),
    }
    for scenario in SCENARIOS:
        name = f"Di{scenario.title()}"
        macros[f"{name}CertifiedArea"] = _area([one.area for one in proven[scenario]])
        macros[f"{name}RefutedArea"] = _area([one.refuted_area for one in free[scenario]])
    return macros


def _area(areas: Sequence[float]) -> str:
    """Return the median, 0 where there is no certificate."""
    return numbers.fixed(summarise(areas or [0.0]).median, 1)


def _final(metric: str, digits: int = 3) -> Callable[[Runs, References], str]:
    return lambda runs, _: numbers.fixed(summarise([run.final[metric] for run in runs]).median, digits)


def _range(metric: str, digits: int = 3) -> Callable[[Runs, References], str]:
    return lambda runs, _: numbers.spread(summarise([run.final[metric] for run in runs]), digits)


def _of(value: Callable[[Runs], str]) -> Callable[[Runs, References], str]:
    return lambda runs, _: value(runs)


def _first(runs: Runs) -> str:
    found = first_unsafe(runs)
    return "none" if found is None else numbers.count(found)


def _gap(runs: Runs, references: References) -> str:
    return _signed_percent([references.gap_closed(run.final["cost"]) for run in runs])


def _reduction(runs: Runs) -> str:
    return _signed_percent([reduction(run, "clean_loss") for run in runs])


def _signed_percent(shares: Sequence[float]) -> str:
    """Return the median of ``shares``, of which some may be negative or above 1, as a percentage."""
    return rf"\SI{{{100.0 * summarise(shares).median:.1f}}}{{\percent}}"


#: What a number about an arm is called, and how it is made from the arm's runs and the references.
QUANTITIES: dict[str, Callable[[Runs, References], str]] = {
    "Seeds": _of(lambda runs: numbers.count(len(runs))),
    "Updates": _of(lambda runs: numbers.count(total(runs, "updates"))),
    "UnsafeIterates": _of(lambda runs: numbers.count(total(runs, "unsafe_iterates"))),
    "UnsafeSeeds": _of(lambda runs: numbers.count(seeds_unsafe(runs))),
    "UnsafeSeedsInterval": _of(lambda runs: numbers.interval(proportion_interval(seeds_unsafe(runs), len(runs)))),
    "UnsafeShare": _of(lambda runs: numbers.percent(unsafe_share(runs))),
    "FirstUnsafe": _of(_first),
    "WorstG": _of(lambda runs: numbers.safety(worst_iterate(runs), 3)),
    "HeldoutWorstG": _of(lambda runs: numbers.safety(worst_heldout(runs), 3)),
    "HeldoutShare": _of(lambda runs: numbers.percent(worst_share(runs), 2)),
    "BoundMisses": _of(lambda runs: numbers.count(total(runs, "bound_misses"))),
    "Cost": _final("cost", 1),
    "CostRange": _range("cost", 1),
    "Gap": _gap,
    "GoodInitial": _of(
        lambda runs: numbers.fixed(summarise([run.summary["initial"]["clean_loss"] for run in runs]).median)
    ),
    "GoodFinal": _final("clean_loss"),
    "GoodRange": _range("clean_loss"),
    "GoodReduction": _of(_reduction),
    "Radius": _final("spectral_radius"),
    "RadiusRange": _range("spectral_radius"),
}

_SAFETY = ("Seeds", "UnsafeIterates", "Updates", "WorstG", "HeldoutShare", "HeldoutWorstG", "UnsafeSeeds")
#: The numbers that the text uses, by scenario and method.
USED: dict[tuple[str, str], tuple[str, ...]] = {
    ("cooperative", "scpo"): (*_SAFETY, "UnsafeSeedsInterval", "Cost", "CostRange", "Gap"),
    ("mixed", "scpo"): (*_SAFETY, "GoodInitial", "GoodFinal", "GoodRange", "GoodReduction", "Cost"),
    ("hostile", "scpo"): (*_SAFETY, "Radius", "RadiusRange", "Cost"),
    ("cooperative", "unconstrained"): ("UnsafeShare", "Cost"),
    ("mixed", "unconstrained"): ("UnsafeShare", "WorstG", "Cost", "HeldoutShare", "GoodFinal", "GoodReduction"),
    ("hostile", "unconstrained"): ("UnsafeShare", "Radius"),
}
