"""From result files to print: figures, tables and number macros.  No training, no solver.

The registry below is the one place that knows which figure or table is drawn by which function.  A further
experiment adds its lines here and its modules beside the others; nothing else changes.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from replication.paths import SOURCES
from scpo.errors import ConfigurationError


@dataclass(frozen=True)
class Item:
    """A figure or a table: the function that makes it, and the experiment whose results it needs (None: any)."""

    module: str
    function: str
    experiment: str | None


FIGURES = {
    "falsification-smoothness": Item("replication.planted_faults.report", "smoothness", None),
    "regression-replication": Item("replication.experiments.regression.figures", "replication", "regression"),
    "regression-safety": Item("replication.experiments.regression.figures", "safety", "regression"),
    "regression-smoothness": Item("replication.experiments.regression.figures", "smoothness", "regression"),
    "regression-supervision": Item("replication.experiments.regression.supervision", "supervision", "regression"),
    "double-integrator-portraits": Item(
        "replication.experiments.double_integrator.figures", "portraits", "double-integrator"
    ),
    "double-integrator-gauge": Item("replication.experiments.double_integrator.figures", "gauge", "double-integrator"),
    "double-integrator-policy": Item(
        "replication.experiments.double_integrator.figures", "policy", "double-integrator"
    ),
    "double-integrator-training": Item(
        "replication.experiments.double_integrator.figures", "training", "double-integrator"
    ),
    "double-integrator-certificate": Item(
        "replication.experiments.double_integrator.figures", "certificate", "double-integrator"
    ),
}
TABLES = {
    "regression-results": Item("replication.report.tables", "regression_results", "regression"),
    "regression-supervision-results": Item(
        "replication.experiments.regression.side_experiments", "supervision", "regression"
    ),
    "regression-alternatives": Item(
        "replication.experiments.regression.side_experiments", "alternatives", "regression"
    ),
    "regression-activations": Item("replication.experiments.regression.side_experiments", "activations", "regression"),
    "regression-coverage": Item("replication.experiments.regression.side_experiments", "coverage", "regression"),
    "regression-proven": Item("replication.experiments.regression.side_experiments", "proven", "regression"),
    "settings": Item("replication.report.tables", "settings", None),
    "falsification": Item("replication.planted_faults.report", "table", None),
    "referee": Item("replication.report.tables", "referee", None),
    "claims-abstract": Item("replication.report.claims", "abstract", None),
    "claims-figure": Item("replication.report.claims", "figure", None),
    "claims-ours": Item("replication.report.claims", "ours", None),
    "claims-changes": Item("replication.report.claims", "changes", None),
    "double-integrator-objective": Item(
        "replication.experiments.double_integrator.tables", "objective", "double-integrator"
    ),
    "double-integrator-safety": Item("replication.experiments.double_integrator.tables", "safety", "double-integrator"),
    "double-integrator-settings": Item(
        "replication.experiments.double_integrator.tables", "settings", "double-integrator"
    ),
    "double-integrator-certificates": Item(
        "replication.experiments.double_integrator.tables", "certificates", "double-integrator"
    ),
}


def figures_for(experiments: Iterable[str]) -> list[str]:
    """Return the names of the figures that a scale running ``experiments`` makes."""
    return _named(FIGURES, experiments)


def tables_for(experiments: Iterable[str]) -> list[str]:
    """Return the names of the tables that a scale running ``experiments`` makes."""
    return _named(TABLES, experiments)


def tables_by_rule(experiments: Iterable[str]) -> dict[str, list[str]]:
    """Return the names of the tables that a scale running ``experiments`` makes, those of one module under one rule."""
    found: dict[str, list[str]] = {}
    for name in tables_for(experiments):
        found.setdefault(rule_of(name), []).append(name)
    return found


def rule_of(name: str) -> str:
    """Return the name of the workflow's rule that makes a figure or a table."""
    return "figure" if name in FIGURES else "tables_" + "_".join(module_of(name).split(".")[-2:])


def module_of(name: str) -> str:
    """Return the dotted name of the module that makes a figure or a table."""
    return _item(name).module


def modules_of(name: str) -> list[str]:
    """Return the dotted names of the modules whose code decides what a figure or a table looks like."""
    return [module_of(name), *(["replication.typeset.style"] if name in FIGURES else [])]


def about(name: str) -> str:
    """Return the experiment that a figure or a table is about, or "method"."""
    return _item(name).experiment or "method"


def caption(name: str) -> str:
    """Return what a figure or a table shows: the first paragraph of its function's docstring, without importing it."""
    item = _item(name)
    text = (SOURCES / item.module.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8")
    made = next(one for one in ast.parse(text).body if isinstance(one, ast.FunctionDef) and one.name == item.function)
    return " ".join((ast.get_docstring(made) or "").partition("\n\n")[0].split())


def render(name: str, results: Path, out: Path) -> None:
    """Make the figure (PDF) or the table (LaTeX) ``name`` from ``results/<scale>`` and write it to ``out``.

    A stamp beside it says where it comes from.

    Raises:
        ConfigurationError: there is no figure or table of that name.
        ResultError: a result file is missing, damaged or has another schema.
    """
    from replication.provenance.page import traced

    item = _item(name)
    with traced(out, results, modules_of(name)):
        made = getattr(import_module(item.module), item.function)(results)
        if name in FIGURES:
            from replication.typeset.style import save

            save(made, out)
        else:
            from replication.files import write_text

            write_text(out, made)


def _named(items: dict[str, Item], experiments: Iterable[str]) -> list[str]:
    chosen = set(experiments)
    return sorted(name for name, item in items.items() if item.experiment is None or item.experiment in chosen)


def _item(name: str) -> Item:
    try:
        return (FIGURES | TABLES)[name]
    except KeyError:
        known = ", ".join(sorted(FIGURES | TABLES))
        raise ConfigurationError(f"no figure or table {name!r}; there are {known}") from None
