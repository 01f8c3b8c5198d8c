"""The tasks of the experiments.  Each has a folder, and is found by the name of the folder: nothing lists them.

A folder ``tasks/<experiment>`` holds three modules.  ``settings.py`` declares the settings.  ``build.py`` defines
``generate_data(settings, dataset, rng)`` and ``build(settings, data)``.  ``columns.py`` names the columns of the tables
of its runs.  The training loop imports only the modules of its own experiment, so an edit of one experiment does not
rerun another.
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
        evaluations: the columns that the ``evaluate`` of the task returns.
        exhibits: the columns of each exhibit that the report, the claims and the notebooks read, by its name.
        main_quantity: the quantity that is shown where there is space for only one number of a run.
        objective: the held-out value of what training minimises.
        for_referee: the names of the other exhibits.
    """

    evaluations: Columns
    exhibits: Mapping[str, Columns]
    main_quantity: str
    objective: str
    for_referee: tuple[str, ...] = field(default=())


#: experiment -> module with ``generate_data`` and ``build``
MODULES = {
    path.parent.name.replace("_", "-"): f"replication.tasks.{path.parent.name}.build"
    for path in sorted(Path(__file__).parent.glob("*/build.py"), reverse=True)
}


def module_of(experiment: str) -> Any:
    """Return the module that draws the data and builds the task of ``experiment``."""
    return import_module(MODULES[experiment])


def tables_of(experiment: str) -> Tables:
    """Return the columns of the tables that the runs of ``experiment`` write."""
    folder = MODULES[experiment].rpartition(".")[0]
    tables: Tables = import_module(f"{folder}.columns").TABLES
    return tables
