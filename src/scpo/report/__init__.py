"""From result files to print: figures, tables and number macros.  No training, no solver.

The registry below is the one place that knows which figure or table is drawn by which function.  A further
task adds its lines here and its modules beside the others; nothing else changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from scpo.errors import ConfigurationError


@dataclass(frozen=True)
class Item:
    """A figure or a table: the function that makes it, and the task whose results it needs (None: any)."""

    module: str
    function: str
    task: str | None


FIGURES = {
    "regression-replication": Item("scpo.report.regression_figures", "replication", "regression"),
    "regression-safety": Item("scpo.report.regression_figures", "safety", "regression"),
    "regression-smoothness": Item("scpo.report.regression_figures", "smoothness", "regression"),
    "double-integrator-portraits": Item("scpo.report.double_integrator_figures", "portraits", "double-integrator"),
    "double-integrator-gauge": Item("scpo.report.double_integrator_figures", "gauge", "double-integrator"),
    "double-integrator-policy": Item("scpo.report.double_integrator_figures", "policy", "double-integrator"),
    "double-integrator-training": Item("scpo.report.double_integrator_figures", "training", "double-integrator"),
    "double-integrator-certificate": Item("scpo.report.double_integrator_figures", "certificate", "double-integrator"),
}
TABLES = {
    "regression-results": Item("scpo.report.tables", "regression_results", "regression"),
    "settings": Item("scpo.report.tables", "settings", None),
    "referee": Item("scpo.report.tables", "referee", None),
    "double-integrator-objective": Item("scpo.report.double_integrator_tables", "objective", "double-integrator"),
    "double-integrator-safety": Item("scpo.report.double_integrator_tables", "safety", "double-integrator"),
    "double-integrator-settings": Item("scpo.report.double_integrator_tables", "settings", "double-integrator"),
    "double-integrator-certificates": Item("scpo.report.double_integrator_tables", "certificates", "double-integrator"),
}


def figures_for(tasks: Iterable[str]) -> list[str]:
    """Return the names of the figures that a profile running ``tasks`` makes."""
    return _named(FIGURES, tasks)


def tables_for(tasks: Iterable[str]) -> list[str]:
    """Return the names of the tables that a profile running ``tasks`` makes."""
    return _named(TABLES, tasks)


def module_of(name: str) -> str:
    """Return the dotted name of the module that makes a figure or a table."""
    return _item(name).module


def render(name: str, results: Path, out: Path) -> None:
    """Make the figure (PDF) or the table (LaTeX) ``name`` from ``results/<profile>`` and write it to ``out``.

    Raises:
        ConfigurationError: there is no figure or table of that name.
        ResultError: a result file is missing, damaged or has another schema.
    """
    item = _item(name)
    made = getattr(import_module(item.module), item.function)(results)
    if name in FIGURES:
        from scpo.report.style import save

        save(made, out)
    else:
        from scpo.files import write_text

        write_text(out, made)


def _named(items: dict[str, Item], tasks: Iterable[str]) -> list[str]:
    chosen = set(tasks)
    return sorted(name for name, item in items.items() if item.task is None or item.task in chosen)


def _item(name: str) -> Item:
    try:
        return (FIGURES | TABLES)[name]
    except KeyError:
        known = ", ".join(sorted(FIGURES | TABLES))
        raise ConfigurationError(f"no figure or table {name!r}; there are {known}") from None
