"""The report's figures and tables: their names, the functions that make them, and the rules that do so.

There is no list of them: every function of the package that is marked with ``@parts.figure(...)`` or
``@parts.table(...)`` makes one (:mod:`replication.typeset.parts`).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Literal

from replication.config import Config
from replication.paths import SOURCES
from replication.results import inventory
from scpo.errors import ConfigurationError

Kind = Literal["figure", "table"]
#: A mark as the sources write it, and the kind of part that its function makes.
KINDS: dict[str, Kind] = {"parts.figure": "figure", "parts.table": "table"}


@dataclass(frozen=True)
class Part:
    """A figure or a table: the function that makes it, its line, its description, and the files that it reads."""

    name: str
    kind: Kind
    module: str
    function: str
    shows: str
    line: int
    reads: tuple[str, ...] = ("*",)

    @property
    def experiment(self) -> str | None:
        """The experiment whose folder holds the function; None for a part that belongs to no experiment."""
        _, room, *rest = self.module.split(".")
        return rest[0].replace("_", "-") if room == "experiments" else None

    @property
    def file(self) -> str:
        """The file of the function, relative to the repository."""
        return f"src/{self.module.replace('.', '/')}.py"

    @property
    def suffix(self) -> str:
        """The suffix of the file that is made."""
        return ".pdf" if self.kind == "figure" else ".tex"

    @property
    def modules(self) -> list[str]:
        """Dotted names of the modules whose code decides what the part looks like."""
        return [self.module, *(["replication.typeset.style"] if self.kind == "figure" else [])]

    def is_read(self, name: str) -> bool:
        """Tell whether the part may read the file ``name``, relative to results/<scale>."""
        return any(fnmatchcase(name, pattern) for pattern in ("config.json", *self.reads))

    @property
    def rule(self) -> str:
        """The name of the workflow's rule that makes the part; the tables of one module share a rule."""
        return "figure" if self.kind == "figure" else "tables_" + "_".join(self.module.split(".")[-2:])


@cache
def all_parts() -> dict[str, Part]:
    """Return every figure and table by its name.

    Raises:
        ConfigurationError: two functions make parts of one name, or a name is not a plain string.
    """
    found: dict[str, Part] = {}
    for path in sorted((SOURCES / "replication").rglob("*.py")):
        for part in _marked(path):
            if part.name in found:
                raise ConfigurationError(f"{part.name!r} is made twice: in {found[part.name].module} and {part.module}")
            found[part.name] = part
    return found


def part(name: str) -> Part:
    """Return the figure or table ``name``.

    Raises:
        ConfigurationError: there is none of that name.
    """
    known = all_parts()
    if name not in known:
        raise ConfigurationError(f"no figure or table {name!r}; there are {', '.join(sorted(known))}")
    return known[name]


def names_for(kind: Kind, config: Config) -> list[str]:
    """Return the sorted names of the figures (or tables) that a scale makes: those whose experiment and runs it has."""
    runs = [name for name in inventory.files_of(config) if "/seed-" in name]
    return sorted(
        one.name
        for one in all_parts().values()
        if one.kind == kind
        and (one.experiment is None or (one.experiment in config.experiments and any(map(one.is_read, runs))))
    )


def tables_by_rule(config: Config) -> dict[str, list[str]]:
    """Return rule -> names of the tables that it makes, for a scale."""
    found: dict[str, list[str]] = {}
    for name in names_for("table", config):
        found.setdefault(part(name).rule, []).append(name)
    return found


def _marked(path: Path) -> Iterator[Part]:
    """Yield the parts that the functions in the file ``path`` make."""
    source = path.read_text(encoding="utf-8")
    if not any(f"@{mark}(" in source for mark in KINDS):
        return
    module = ".".join(path.relative_to(SOURCES).with_suffix("").parts)
    for node in ast.parse(source).body:
        if not isinstance(node, ast.FunctionDef):
            continue
        for mark in node.decorator_list:
            if isinstance(mark, ast.Call) and (kind := KINDS.get(ast.unparse(mark.func))):
                shows = " ".join((ast.get_docstring(node) or "").partition("\n\n")[0].split())
                yield Part(_name(mark, module), kind, module, node.name, shows, node.lineno, *_reads(mark, module))


def _reads(mark: ast.Call, module: str) -> Iterator[tuple[str, ...]]:
    """Yield the patterns after ``reads=``, if the mark has them."""
    for keyword in mark.keywords:
        try:
            yield tuple(map(str, ast.literal_eval(keyword.value)))
        except (ValueError, TypeError) as error:
            raise ConfigurationError(f"{module}:{mark.lineno}: reads= must be a list of plain strings") from error


def _name(mark: ast.Call, module: str) -> str:
    match mark.args:
        case [ast.Constant(value=str(name))]:
            return name
    raise ConfigurationError(f"{module}:{mark.lineno}: the name of a figure or table must be a plain string")
