"""What the packages import is what pyproject.toml says that they need."""

from __future__ import annotations

import ast
import json
import re
import sys
from functools import cache
from importlib import metadata

import grimp
import pytest

from .environments import PROJECT, canonical, core, extra, project_table

#: Packages of the extra that nothing imports: they are commands, kernels, or behind an interface of another package.
TOOLS = {
    "ipykernel": "the kernel of the notebooks",
    "jupyterlab": "opens the notebooks",
    "scs": "cvxpy's solver in the literal formulation",
}


@cache
def distributions() -> dict[str, str]:
    """Return top-level module -> the package that brings it."""
    return {module: canonical(names[0]) for module, names in metadata.packages_distributions().items()}


def outside(modules: set[str]) -> set[str]:
    """Return the packages that bring these modules, without the standard library and this project."""
    names = {module.split(".")[0] for module in modules} - sys.stdlib_module_names
    return {distributions().get(name, name) for name in names - {"scpo", "replication"}}


def imported_by(package: str) -> set[str]:
    """Return the packages that the modules of ``package`` import."""
    graph = grimp.build_graph("scpo", "replication", include_external_packages=True, cache_dir=None)
    importers = {name for name in graph.modules if name.split(".")[0] == package}
    return outside({name for one in importers for name in graph.find_modules_directly_imported_by(one)})


def imported_in(source: str) -> set[str]:
    """Return the packages that a piece of Python imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return outside(found)


def around() -> set[str]:
    """Return the packages that rules, scripts and notebooks import."""
    rules = [PROJECT / "Snakefile", *(PROJECT / "workflow").rglob("*.smk")]
    lines = [line for path in rules for line in path.read_text().splitlines() if re.match(r"(from|import) \S", line)]
    sources = ["\n".join(lines), *(path.read_text() for path in (PROJECT / "workflow").rglob("*.py"))]
    for path in (PROJECT / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text())["cells"]
        sources += ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return set().union(*map(imported_in, sources))


def test_the_library_needs_its_core_and_all_of_it() -> None:
    assert imported_by("scpo") == {canonical(wanted.name) for wanted in core()}


def test_the_extra_has_all_that_is_imported() -> None:
    listed = {canonical(wanted.name) for wanted in (*core(), *extra())}
    brought = {"traitlets": "nbconvert", "ipython": "ipykernel"}
    needed = {brought.get(name, name) for name in imported_by("replication") | around()}
    assert needed <= listed, needed - listed


def test_the_extra_has_nothing_else() -> None:
    listed = {canonical(wanted.name) for wanted in extra()}
    assert listed - TOOLS.keys() <= imported_by("replication") | around(), "a package that nothing imports"


def test_the_examples_need_their_extra_and_all_of_it() -> None:
    sources = [path.read_text() for path in (PROJECT / "examples").glob("*.py")]
    listed = {canonical(wanted.name) for wanted in (*core(), *extra("examples"))}
    imported = set().union(*map(imported_in, sources)) - {"examples"}
    assert imported <= listed, imported - listed
    assert listed - {canonical(wanted.name) for wanted in core()} <= imported, "a package that no example imports"


@pytest.mark.parametrize("name", project_table()["optional-dependencies"])
def test_an_extra_has_lower_bounds_alone(name: str) -> None:
    assert all([one.operator for one in wanted.specifier] == [">="] for wanted in (*core(), *extra(name)))
