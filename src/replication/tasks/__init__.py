"""The tasks of the experiments, one folder each, found by the folder's name: nothing lists them.

A folder ``tasks/<experiment>`` holds ``settings.py``, ``build.py`` (``generate_data(settings, dataset, rng)`` and
``build(settings, data)``) and ``columns.py`` (what the tables of its runs hold).  The training loop imports only the
module of its own experiment, so editing one experiment does not rerun another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

#: The kinds of a table's columns.
FLOAT, INT, BOOL = "f", "i", "b"
Columns = Mapping[str, str]


@dataclass(frozen=True)
class Tables:
    """The tables of a run that depend on the experiment: names of columns and their kinds.

    Attributes:
        evaluations: what the task's ``evaluate`` returns.
        exhibits: those of the task's ``exhibits`` that report, claims and notebooks read, by name.
        merit: the figure of merit that stands for a run where one number has to do.
        for_referee: names of the other exhibits.
    """

    evaluations: Columns
    exhibits: Mapping[str, Columns]
    merit: str
    for_referee: tuple[str, ...] = field(default=())


#: experiment -> module with ``generate_data`` and ``build``
MODULES = {
    path.parent.name.replace("_", "-"): f"replication.tasks.{path.parent.name}.build"
    for path in sorted(Path(__file__).parent.glob("*/build.py"), reverse=True)
}


def module_of(experiment: str) -> Any:
    """Return the module that draws the data and builds the task of ``experiment``."""
    return import_module(MODULES[experiment])
