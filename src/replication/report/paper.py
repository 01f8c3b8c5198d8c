r"""The report's text as LaTeX reads it: what it shows, under which number, and whether all of it is what it should be.

Every float says with \provenance{figures/NAME} or \provenance{tables/NAME} where what it shows comes from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from replication.claims import verdicts
from replication.errors import ResultError
from replication.files import write_text
from replication.paths import REPOSITORY
from replication.provenance import stamp
from replication.report import parts
from replication.results.read import read_config

FOLDER = REPOSITORY / "paper"
_FLOAT = re.compile(r"\\begin\{(figure|table)(?:pages)?\*?\}(.*?)\\end\{\1(?:pages)?\*?\}", re.DOTALL)
_SHOWN = re.compile(r"\\(?:includegraphics|input)\s*(?:\[[^\]]*\])?\{((?:figures|tables)/[a-z0-9-]+)\}")
_SAYS = re.compile(r"\\provenance\{((?:figures|tables)/[a-z0-9-]+)\}")
_MACRO = re.compile(r"^\\newcommand\{\\([A-Za-z]+)\}", re.MULTILINE)


@dataclass(frozen=True)
class Float:
    """A numbered figure or table of the report: label as in fig-3, what it shows, and what its caption vouches for."""

    label: str
    shows: tuple[str, ...]
    says: tuple[str, ...]


def text(folder: Path, macros: str) -> str:
    r"""Return the text that is typeset: without comments, files read in where they are input, \if resolved.

    Args:
        folder: of main.tex.
        macros: content of macros.tex, which sets the switches.
    """

    def whole(path: Path) -> str:
        content = re.sub(r"(?<!\\)%.*", "", path.read_text(encoding="utf-8"))
        content = re.sub(r"\\if([A-Z][A-Za-z]*)(.*?)\\fi\b", chosen, content, flags=re.DOTALL)
        return re.sub(r"\\input\{(sections/[^}]*)\}", lambda found: whole(folder / f"{found[1]}.tex"), content)

    def chosen(found: re.Match[str]) -> str:
        return found[2] if rf"\{found[1]}true" in macros else ""

    return whole(folder / "main.tex")


def floats(typeset: str) -> list[Float]:
    """Return the numbered floats of ``typeset`` (from :func:`text`) in their order."""
    counts, found = {"figure": 0, "table": 0}, []
    for kind, body in _FLOAT.findall(typeset):
        counts[kind] += 1
        label = f"{kind[:3]}-{counts[kind]}"
        found.append(Float(label, tuple(_SHOWN.findall(body)), tuple(_SAYS.findall(body))))
    return found


def problems(results: Path, folder: Path = FOLDER) -> list[str]:
    """Return what is stale, missing or unreferenced: figures, tables, numbers, and hashes in captions.

    Raises:
        ResultError: a stamp is missing or damaged.
    """
    made = results / "report"
    macros = (made / "macros.tex").read_text(encoding="utf-8")
    typeset = text(folder, macros)
    known = set(_parts(results))
    shown = set(_SHOWN.findall(typeset))
    found = [f"{name}: made and not shown in the report" for name in sorted(known - shown)]
    found += [f"{name}: shown in the report and not made" for name in sorted(shown - known)]
    for one in floats(typeset):
        found += [rf"{name}: {one.label} lacks \provenance{{{name}}}" for name in one.shows if name not in one.says]
        found += [
            rf"{one.label}: \provenance{{{name}}} of what it does not show"
            for name in one.says
            if name not in one.shows
        ]
    used = set(re.findall(r"\\([A-Za-z]+)", typeset))
    found += [rf"macros.tex: \{name} is written and not used" for name in _MACRO.findall(macros) if name not in used]
    for path in files_of(results, known & shown):
        found += stamp.changed(path, results)
    return found


def files_of(results: Path, names: Iterable[str]) -> list[Path]:
    """Return the files of the report's parts that have stamps: figures and tables ``names``, numbers, claims."""
    made = results / "report"
    suffix = {"figures": ".pdf", "tables": ".tex"}
    parts = [made / f"{name}{suffix[name.partition('/')[0]]}" for name in sorted(names)]
    return [*parts, made / "macros.tex", results / verdicts.NAME]


def write(results: Path, out: Path, folder: Path = FOLDER) -> None:
    """Write the hashes that the captions print; refuse to if anything on the page is stale or unreferenced.

    Raises:
        ResultError: something is; the message names it all.
    """
    if found := problems(results, folder):
        raise ResultError("the report cannot be typeset:\n" + "\n".join(f"  {problem}" for problem in found))
    names = _parts(results)
    hashes = {
        name: stamp.read(path)["hash"]
        for name, path in zip([*names, "macros", "claims"], files_of(results, names), strict=True)
    }
    lines = [rf"\expandafter\def\csname provenance@{name}\endcsname{{{found}}}" for name, found in hashes.items()]
    write_text(out, "\n".join(["% Written from stamps; not to be edited.", *lines]) + "\n")


def _parts(results: Path) -> list[str]:
    """Return the figures and tables that the scale makes, sorted."""
    experiments = list(read_config(results).experiments)
    figures, tables = parts.names_for("figure", experiments), parts.names_for("table", experiments)
    return sorted([*(f"figures/{name}" for name in figures), *(f"tables/{name}" for name in tables)])
