"""The tasks of the experiments, found by name.

The training loop imports only the module of its own experiment, so editing one experiment does not rerun another.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

#: experiment -> module with ``generate_data(settings, dataset, rng)`` and ``build(settings, data)``
MODULES = {
    "regression": "replication.tasks.regression.build",
    "double-integrator": "replication.tasks.double_integrator.build",
}


def module_of(experiment: str) -> Any:
    """Return the module that draws the data and builds the task of ``experiment``."""
    return import_module(MODULES[experiment])
