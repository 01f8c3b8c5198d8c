"""From a task's section of the configuration to data and task object: one module a task, found by name.

The training loop reaches these by name only, so that editing one task does not rerun another.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

#: task -> module with ``generate_data(settings, dataset, rng)`` and ``build(settings, data)``
MODULES = {
    "regression": "replication.tasks.regression.build",
    "double-integrator": "replication.tasks.double_integrator.build",
}


def module_of(task: str) -> Any:
    """Return the module of ``task``."""
    return import_module(MODULES[task])
