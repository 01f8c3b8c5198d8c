"""The quantities, figures, tables and jobs beside the runs, with one folder for each experiment of the paper.

An experiment's folder is found by its name: there is no list of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

#: The file of an experiment's saved policies (:mod:`replication.experiments.policies`).
POLICIES = "policies.npz"


def modules(name: str) -> dict[str, str]:
    """Return experiment -> dotted name of its module ``name``, for every experiment that has one."""
    found = sorted(Path(__file__).parent.glob(f"*/{name}.py"), reverse=True)
    return {path.parent.name.replace("_", "-"): f"{__name__}.{path.parent.name}.{name}" for path in found}


def policies_of(experiments: Iterable[str]) -> list[str]:
    """Return the files of saved policies that a scale running ``experiments`` makes, relative to results/<scale>."""
    return [f"{experiment}/{POLICIES}" for experiment in sorted(experiments) if experiment in modules("policies")]
