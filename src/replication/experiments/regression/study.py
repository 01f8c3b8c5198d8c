"""The regression's part of the study: SCPO beside other methods at equal rollouts, and one setting at a time."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from replication.experiments import comparison
from replication.experiments.regression.read import EXPERIMENT
from replication.typeset import parts

#: arm -> what the report calls it
METHODS = (
    {"scpo-short": "SCPO, bound only", "scpo-plain": "plain reading"}
    | comparison.BASELINES
    | {"backtracking": "backtracking"}
)
ABLATIONS = comparison.ABLATIONS | {
    "scpo-directions-80": "80 directions at most",
    "scpo-no-margin": "no tightening",
    "scpo-tightened": "larger tightening",
    "scpo-no-buffer": "no buffer",
}


@parts.table("regression-methods", reads=["quantities.parquet", "regression/lb-sgd/*", "regression/*/run.timing.json"])
def methods(results: Path) -> str:
    """Each method of the regression at equal rollouts: objective, unsafe seeds and rollouts, and the effort."""
    return comparison.methods_table(results, EXPERIMENT, METHODS)


@parts.table("regression-ablations", reads=["quantities.parquet", "regression/scpo-short/*"])
def ablations(results: Path) -> str:
    """One setting of SCPO changed at a time in the regression, paired by seed with the runs without a change."""
    short = comparison.Changes("scpo-short", "as frozen", ABLATIONS)
    whole = comparison.Changes(
        "scpo", "as frozen, full length", comparison.STARTS | {"scpo-ten-updates": "ten updates an epoch"}
    )
    return comparison.ablations_table(results, EXPERIMENT, [short, whole])


@parts.figure(
    "regression-rollouts",
    reads=[
        "regression/scpo-short/*",
        "regression/scpo-plain/*",
        "regression/linearised/*",
        "regression/linearised-verified/*",
        "regression/scaling/*",
        "regression/lb-sgd/*",
        "regression/lb-sgd-isotropic/*",
        "regression/penalty/*",
        "regression/primal-dual/*",
        "regression/backtracking/*",
    ],
)
def rollouts(results: Path) -> Figure:
    """Loss on fresh inputs against the rollouts spent, by method: medians and the middle half of the seeds."""
    return comparison.rollouts_figure(results, EXPERIMENT, METHODS, "", "loss, fresh inputs", logarithmic=True)
