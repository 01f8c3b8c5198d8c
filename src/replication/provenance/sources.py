"""The modules that a result depends on, computed from the imports of the module that makes it.

Rules of the workflow list these files as inputs: editing a figure redraws it and retrains nothing, editing the
projection retrains.  Function-level imports count.  Not followed: imports for type checkers only, and what a
package's ``__init__`` imports inside functions (lazy exports), so that naming a package does not drag in
everything it offers.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import TypeGuard

from replication.paths import SOURCES
from scpo.errors import ConfigurationError

#: The folder that holds the package.
ROOT = SOURCES


def closure(modules: str | Iterable[str], root: Path | str = ROOT) -> list[Path]:
    """Return the source files that importing and running ``modules`` can reach inside their package.

    Args:
        modules: dotted name, or names, of modules below ``root``.
        root: the folder that holds the package; the paths returned begin with it.

    Raises:
        ConfigurationError: a module does not exist, cannot be parsed, or imports in a way that cannot be followed.
    """
    root = Path(root)
    names = [modules] if isinstance(modules, str) else list(modules)
    for name in names:
        if not _is_module(name, root):
            raise ConfigurationError(f"no module {name!r} below {root}")
    return _reach(names, root)


def notebook_closure(path: Path | str, root: Path | str = ROOT) -> list[Path]:
    """Return the source files that a notebook's code cells can reach below ``root``."""
    root = Path(root)
    cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
    lines = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code").splitlines()
    code = "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in lines)
    return _reach(sorted(_imports(code, str(path), "", root, is_package=False)), root)


def digest(files: Iterable[Path], root: Path | str = ROOT) -> str:
    """Return the SHA-256 over the names (relative to ``root``) and the contents of ``files``."""
    total = hashlib.sha256()
    for path in sorted(files):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{path.relative_to(root).as_posix()} {content}\n".encode())
    return total.hexdigest()


def _reach(names: Iterable[str], root: Path) -> list[Path]:
    found: dict[str, Path | None] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        path = _file(name, root)
        found[name] = path
        waiting.extend(name.rsplit(".", 1)[:-1])  # the package that holds it
        if path is not None:
            code = path.read_text(encoding="utf-8")
            waiting.extend(_imports(code, str(path), name, root, is_package=path.name == "__init__.py"))
    return sorted(path for path in found.values() if path is not None)


@cache
def _parse(code: str, where: str) -> ast.Module:
    try:
        return ast.parse(code)
    except SyntaxError as error:
        raise ConfigurationError(f"{where}: cannot be parsed: line {error.lineno}: {error.msg}") from error


def _file(name: str, root: Path) -> Path | None:
    base = root.joinpath(*name.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None  # a folder without __init__.py


def _is_module(name: str, root: Path) -> bool:
    base = root.joinpath(*name.split("."))
    return base.with_suffix(".py").is_file() or base.is_dir()


def _imports(code: str, where: str, module: str, root: Path, *, is_package: bool) -> set[str]:
    found: set[str] = set()
    for node in _importing(code, where, into_functions=not is_package):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")
                parents = parents[: len(parents) - node.level + is_package]
                base = ".".join([*parents, base] if base else parents)
            found.add(base)
            found.update(_from_package(base, [alias.name for alias in node.names], root, f"{module}:{node.lineno}"))
        else:
            first = node.args[0] if node.args else None
            if not (isinstance(first, ast.Constant) and isinstance(first.value, str)):
                raise ConfigurationError(
                    f"{module}:{node.lineno}: import_module of a computed name cannot be followed; use an import "
                    "statement, or move it into a function of a package's __init__ and name the module in the rule"
                )
            found.add(first.value)
    return {name for name in found if name and _is_module(name, root)}


def _from_package(base: str, names: list[str], root: Path, where: str) -> Iterator[str]:
    """Yield the submodules among ``names``; refuse a name that only a lazy export of ``base`` can provide."""
    path = _file(base, root) if _is_module(base, root) else None
    if path is None or path.name != "__init__.py":
        yield from (f"{base}.{name}" for name in names)
        return
    tree = _parse(path.read_text(encoding="utf-8"), str(path))
    bound = {name for node in tree.body for name in _bound(node)}
    for name in names:
        if _is_module(f"{base}.{name}", root):
            yield f"{base}.{name}"
        elif name not in bound:
            raise ConfigurationError(
                f"{where}: {name!r} is not bound at the top of package {base!r}, so its source cannot be tracked; "
                "import it from the module that defines it"
            )


def _bound(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name.split(".")[0] for alias in node.names)
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from (target.id for target in targets if isinstance(target, ast.Name))


@cache
def _importing(code: str, where: str, *, into_functions: bool) -> list[ast.Import | ast.ImportFrom | ast.Call]:
    """Return what imports something, calls of import_module included; by content, for many results share a module."""
    nodes = _nodes(_parse(code, where), into_functions=into_functions, into_expressions="import_module" in code)
    return [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom) or _is_call_by_name(node)]


def _is_call_by_name(node: ast.AST) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module")


def _nodes(node: ast.AST, *, into_functions: bool, into_expressions: bool) -> Iterator[ast.AST]:
    """Walk the tree, leaving out ``if TYPE_CHECKING`` bodies and, unless wanted, functions and expressions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr) and not into_expressions:
            continue
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and not into_functions:
            continue
        found: list[ast.AST] = [child]
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            found = [*child.orelse]
        for each in found:
            yield each
            yield from _nodes(each, into_functions=into_functions, into_expressions=into_expressions)
