"""Reads the regression's settings, and finds the arms that are compared on harder data sets.  Writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from replication.results.read import Run, read_section
from replication.tasks.regression.settings import RegressionConfig

EXPERIMENT = "regression"
#: The methods that are compared on every data set, and their names in print.
METHODS = {"scpo": "SCPO", "unconstrained": "unconstrained"}


def read_settings(results: Path) -> RegressionConfig:
    """Return the settings of the experiment that the scale was run with.

    Raises:
        NotRunError: the scale does not run the experiment.
    """
    return cast(RegressionConfig, read_section(results, EXPERIMENT))


def supervision_arms(section: RegressionConfig) -> dict[float, dict[str, str]]:
    """Return share of adversarial labels -> method -> arm, for the plain data set and those with adversarial labels."""
    found: dict[float, dict[str, str]] = {}
    for dataset, data in sorted(section.datasets.items(), key=lambda item: item[1].adversarial_share):
        suffix = "" if dataset == "normal" else f"-{dataset}"
        arms = {method: method + suffix for method in METHODS if method + suffix in section.arms}
        if arms and data.inputs == section.datasets["normal"].inputs:
            found[data.adversarial_share] = arms
    return found


def until(runs: Mapping[str, Sequence[Run]]) -> float:
    """Return the last epoch that the runs of all these arms have reached."""
    return min(run.epochs for of in runs.values() for run in of)
