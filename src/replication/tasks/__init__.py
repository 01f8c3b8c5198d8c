"""The learning problems: from an experiment's settings to its data and its task.  One module each, found by name.

The training loop reaches these by name only, so that editing one experiment does not rerun another.
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
    """Return the module of ``experiment``."""
    return import_module(MODULES[experiment])
