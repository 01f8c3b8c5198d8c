"""The source files that a result depends on: the import closure of the module that makes it.

Rules of the workflow list these files as inputs, so that editing a figure redraws it and retrains nothing, while
editing the projection retrains.  grimp reads the imports without running them.  Imports inside functions count;
imports for type checkers alone do not.  A module that is imported by a computed name (importlib) is not seen: it is
listed here (:data:`COMPUTED`), or the rule that needs it names it (:data:`replication.tasks.MODULES`).
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import grimp
from grimp.exceptions import SourceSyntaxError

from replication.paths import SOURCES
from scpo.errors import ConfigurationError

PACKAGES = ("scpo", "replication")
#: Module -> the modules that it imports by a computed name.
COMPUTED = {
    "replication.results.inventory": "replication.tasks.*.columns",
    "replication.experiments.policies": "replication.experiments.*.policies",
    "replication.experiments.quantities": "replication.experiments.*.quantities",
    "scpo.baselines._loading": "scpo.baselines.*",
}


def closure(modules: str | Iterable[str]) -> list[Path]:
    """Return the source files that importing and running ``modules`` can reach, sorted.

    Args:
        modules: dotted name, or names, of modules of this project.

    Raises:
        ConfigurationError: a module does not exist, or a source file cannot be parsed.
    """
    names = {modules} if isinstance(modules, str) else set(modules)
    if unknown := sorted(names - import_graph().modules):
        raise ConfigurationError(f"no module {unknown[0]!r} below {SOURCES}")
    return sorted(_file(name) for name in _reached(names))


def notebook_closure(path: Path | str) -> list[Path]:
    """Return the source files that a notebook's code cells can reach, sorted."""
    cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
    lines = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code").splitlines()
    code = "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in lines)
    names: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update((node.module, *(f"{node.module}.{alias.name}" for alias in node.names)))
    return closure(names & import_graph().modules)


def digest(files: Iterable[Path]) -> str:
    """Return the SHA-256 over the names (relative to the folder of the packages) and the contents of ``files``."""
    total = hashlib.sha256()
    for path in sorted(files):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{path.relative_to(SOURCES).as_posix()} {content}\n".encode())
    return total.hexdigest()


@cache
def import_graph() -> grimp.ImportGraph:
    """Return which module of this project imports which, read once per process."""
    try:
        graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True, cache_dir=None)
    except SourceSyntaxError as error:
        raise ConfigurationError(str(error)) from error
    for importer, names in COMPUTED.items():
        for module in graph.find_matching_modules(names) if importer in graph.modules else ():
            graph.add_import(importer=importer, imported=module)
    return graph


def _reached(names: set[str]) -> set[str]:
    """Return ``names``, the packages that hold them, and all that these import, directly or not."""
    graph, reached, waiting = import_graph(), set[str](), list(names)
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting.extend(graph.find_modules_directly_imported_by(name))
            waiting.extend(name.rsplit(".", 1)[:-1])  # importing a module runs the __init__ of its package
    return reached


def _file(module: str) -> Path:
    path = SOURCES.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
