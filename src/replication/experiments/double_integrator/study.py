"""The double integrator's part of the study: SCPO beside other methods at equal rollouts, one setting at a time."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from replication.experiments import comparison
from replication.experiments.double_integrator.read import EXPERIMENT
from replication.typeset import parts

#: method, as arms begin -> what the report calls it
METHODS = (
    {"scpo": "SCPO, bound only"}
    | comparison.BASELINES
    | {"backtracking": "backtracking", "unconstrained": "unconstrained", "filtered": "action filter (knows the plant)"}
)
ABLATIONS = comparison.ABLATIONS | {
    "scpo-directions-32": "32 directions at most",
    "scpo-no-margin": "no tightening",
    "scpo-buffer": "buffer of 0.02",
    "scpo-verified-hostile": "verified",
}


def _in(scenario: str) -> dict[str, str]:
    """Return arm -> its name in the report, for the arms of a scenario."""
    return {f"{method}-{scenario}": name for method, name in METHODS.items()}


@parts.table(
    "double-integrator-methods-mixed",
    reads=["quantities.parquet", "double-integrator/lb-sgd-mixed/*", "double-integrator/*/run.timing.json"],
)
def methods_mixed(results: Path) -> str:
    """Each method in the mixed scenario at equal rollouts: objective, unsafe seeds and rollouts, and the effort."""
    return comparison.methods_table(results, EXPERIMENT, _in("mixed"))


@parts.table(
    "double-integrator-methods-hostile",
    reads=["quantities.parquet", "double-integrator/lb-sgd-hostile/*", "double-integrator/*/run.timing.json"],
)
def methods_hostile(results: Path) -> str:
    """Each method in the hostile scenario at equal rollouts: objective, unsafe seeds and rollouts, and the effort."""
    return comparison.methods_table(results, EXPERIMENT, _in("hostile"))


@parts.table("double-integrator-ablations", reads=["quantities.parquet", "double-integrator/scpo-no-look/*"])
def ablations(results: Path) -> str:
    """One setting of SCPO changed at a time in the hostile scenario, paired by seed with the runs without a change."""
    changes = comparison.Changes("scpo-hostile", "as frozen", ABLATIONS | comparison.STARTS)
    return comparison.ablations_table(results, EXPERIMENT, [changes])


@parts.figure(
    "double-integrator-rollouts",
    reads=[
        "double-integrator/scpo-hostile/*",
        "double-integrator/linearised-hostile/*",
        "double-integrator/linearised-verified-hostile/*",
        "double-integrator/scaling-hostile/*",
        "double-integrator/lb-sgd-hostile/*",
        "double-integrator/lb-sgd-isotropic-hostile/*",
        "double-integrator/penalty-hostile/*",
        "double-integrator/primal-dual-hostile/*",
        "double-integrator/backtracking-hostile/*",
    ],
)
def rollouts(results: Path) -> Figure:
    """Imitation loss in the hostile scenario against the rollouts spent, by method: medians and middle half."""
    shown = {arm: name for arm, name in _in("hostile").items() if not arm.startswith(("unconstrained", "filtered"))}
    return comparison.rollouts_figure(results, EXPERIMENT, shown, "-hostile", "imitation loss")
