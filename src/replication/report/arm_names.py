"""What the report calls the arms of the experiments, where a table lists all of them."""

from __future__ import annotations

from collections.abc import Mapping

from replication.experiments import comparison
from replication.experiments.double_integrator import study as of_double_integrator
from replication.experiments.double_integrator.read import EXPERIMENT as DOUBLE_INTEGRATOR
from replication.experiments.regression import study as of_regression
from replication.experiments.regression.read import EXPERIMENT as REGRESSION

#: The arms of the headline results, and the beginnings of their names.
USUAL = {"scpo": "SCPO, bound only", "scpo-verified": "SCPO, verified", "unconstrained": "unconstrained"}


def _changed(changes: Mapping[str, str]) -> dict[str, str]:
    """Return names for SCPO with one setting changed: arm -> name."""
    return {arm: f"SCPO, {change}" for arm, change in changes.items()}


#: Experiment -> arm, or the beginning of an arm -> its name.
ARMS: Mapping[str, Mapping[str, str]] = {
    REGRESSION: of_regression.METHODS
    | _changed(of_regression.ABLATIONS | comparison.STARTS)
    | _changed(
        {
            "scpo-short": "bound only, short",
            "scpo-ten-updates": "ten updates an epoch",
            "scpo-covered": "tightening that covers the grid",
            "scpo-tanh": "tanh",
            "scpo-softplus": "softplus",
            "scpo-proven": r"proven \(L\)",
            "scpo-small": r"estimated \(L\)",
        }
    )
    | {"unconstrained-small": "unconstrained, small network"}
    | USUAL,
    DOUBLE_INTEGRATOR: of_double_integrator.METHODS
    | _changed(of_double_integrator.ABLATIONS | comparison.STARTS)
    | {"filtered": "action filter"}
    | USUAL,
}
#: Experiment -> end of an arm, which names its data -> what the report calls the data.
DATA: Mapping[str, Mapping[str, str]] = {
    REGRESSION: {
        "-uniform": "uniform inputs",
        "-adversarial-10": r"\SI{10}{\percent} adversarial",
        "-adversarial-30": r"\SI{30}{\percent} adversarial",
        "-adversarial-50": r"\SI{50}{\percent} adversarial",
    },
    DOUBLE_INTEGRATOR: {f"-{name}": name for name in ("cooperative", "mixed", "hostile")},
}


def arm_name(experiment: str, arm: str) -> str:
    """Return what the report calls an arm, as LaTeX; the arm's own name if the report has no other for it."""
    known = ARMS.get(experiment, {})
    for end, data in DATA.get(experiment, {}).items():
        if arm.endswith(end) and (beginning := arm.removesuffix(end)) in known:
            return f"{known[beginning].removesuffix(', bound only')}, {data}"
    return known.get(arm, arm)
