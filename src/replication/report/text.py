r"""The report's text: which figures, tables and numbers it uses, and whether all of them are up to date.

Every float says with \stamp{figures/NAME} or \stamp{tables/NAME} where its content comes from.  A section that
main.tex inputs with \sectionwhererun{experiment/arm}{sections/NAME} belongs to the text only where the scale runs the
arm.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from replication.claims import verdicts
from replication.config import Config
from replication.errors import ResultError
from replication.files import write_text
from replication.paths import REPOSITORY
from replication.provenance import stamp
from replication.report import parts
from replication.results import quantities
from replication.results.read import read_config

FOLDER = REPOSITORY / "paper"
NUMBERS = "numbers.tex"
_FLOAT = re.compile(r"\\begin\{(figure|table)(?:pages)?\*?\}(.*?)\\end\{\1(?:pages)?\*?\}", re.DOTALL)
_SHOWN = re.compile(r"\\(?:includegraphics|input)\s*(?:\[[^\]]*\])?\{((?:figures|tables)/[a-z0-9-]+)\}")
_STAMP = re.compile(r"\\stamp\{((?:figures|tables)/[a-z0-9-]+)\}")
_NUMBER = re.compile(
    r"\\(?P<kind>q|agree)(?:\[(?P<digits>\d+)\])?\{(?P<name>[^{}]*)\}\{(?P<statistic>[^{}]*)\}"
    r"|\\setting\{(?P<path>[^{}]*)\}"
)
_SECTION = re.compile(r"\\(?:sectionwhererun\{(?P<arm>[^}]*)\}|input)\{(?P<name>sections/[^}]*)\}")


@dataclass(frozen=True)
class Float:
    """A numbered figure or table: its label as in fig-3, what it shows, and what its caption prints the stamps of."""

    label: str
    shows: tuple[str, ...]
    stamps: tuple[str, ...]


@dataclass(frozen=True)
class Number:
    r"""A number that the text uses.

    Attributes:
        kind: "q" for \q[digits]{name}{statistic}; "setting" for \setting{name}; "agree" for
            \agree{name}{statistic}{singular}{plural}, which prints the word that agrees with the number.
        name: a quantity, as in experiment/arm/quantity, or a setting, as in experiment/arm/path.to.setting.
        statistic: the statistic over the seeds; "" for a setting.
        digits: replace those of the quantity's format; None: keep those.
        where: file and line of the text.
    """

    kind: Literal["q", "setting", "agree"]
    name: str
    statistic: str
    digits: int | None
    where: str

    @property
    def key(self) -> str:
        """The name under which the LaTeX of the number is defined in numbers.tex; the preamble makes the same one."""
        if self.kind == "setting":
            return self.name
        key = f"{self.name}:{self.statistic}" + ("" if self.digits is None else f":{self.digits}")
        return f"agree:{key}" if self.kind == "agree" else key

    @property
    def source(self) -> str:
        """The number as the text writes it."""
        if self.kind == "setting":
            return rf"\setting{{{self.name}}}"
        return rf"\{self.kind}{'' if self.digits is None else f'[{self.digits}]'}{{{self.name}}}{{{self.statistic}}}"


def typeset(config: Config, folder: Path = FOLDER) -> str:
    """Return the whole text of main.tex in ``folder``, without comments, with its sections in their place.

    Args:
        config: the scale that the text is typeset for; a section that depends on an arm is there if the scale runs it.
        folder: where main.tex is.
    """
    return "\n".join(content for _, content in _files(config, folder))


def conditions(folder: Path = FOLDER) -> list[str]:
    """Return the arms that sections of the text depend on, as experiment/arm."""
    return [found["arm"] for found in _SECTION.finditer(_read(folder / "main.tex")) if found["arm"]]


def runs(arm: str, config: Config) -> bool:
    """Tell whether a scale runs ``arm``, given as experiment/arm."""
    experiment, _, name = arm.partition("/")
    return experiment in config.experiments and name in config.experiments[experiment].arms


def floats(text: str) -> list[Float]:
    """Return the numbered floats of ``text`` (from :func:`typeset`) in their order."""
    counts, found = {"figure": 0, "table": 0}, []
    for kind, body in _FLOAT.findall(text):
        counts[kind] += 1
        label = f"{kind[:3]}-{counts[kind]}"
        found.append(Float(label, tuple(_SHOWN.findall(body)), tuple(_STAMP.findall(body))))
    return found


def labels(config: Config, folder: Path = FOLDER) -> dict[str, str]:
    """Return figures/NAME or tables/NAME -> the label under which the report of a scale shows it, as in fig-3."""
    return {shown: one.label for one in floats(typeset(config, folder)) for shown in one.shows}


def title(shown: str, config: Config, folder: Path = FOLDER) -> str:
    """Return what the report calls ``shown`` (figures/NAME or tables/NAME): Figure 1, or "" if it does not show it."""
    label = labels(config, folder).get(shown, "")
    kinds = {"fig": "Figure", "tab": "Table"}
    return f"{kinds[label[:3]]} {label[4:]}" if label else ""


def numbers(config: Config, folder: Path = FOLDER) -> list[Number]:
    """Return every use of a number in the text, in the order of the text; arguments as for :func:`typeset`."""
    found = []
    for path, content in _files(config, folder):
        for use in _NUMBER.finditer(content):
            where = f"{path}:{content.count(chr(10), 0, use.start()) + 1}"
            if use["path"] is not None:
                found.append(Number("setting", _plain(use["path"]), "", None, where))
            else:
                digits = None if use["digits"] is None else int(use["digits"])
                kind: Literal["q", "agree"] = "q" if use["kind"] == "q" else "agree"
                found.append(Number(kind, _plain(use["name"]), _plain(use["statistic"]), digits, where))
    return found


def problems(results: Path, folder: Path = FOLDER) -> list[str]:
    """Return what is stale, missing or unreferenced, in words: figures, tables, numbers, and stamps in captions.

    Raises:
        ResultError: a stamp is missing or damaged.
    """
    config = read_config(results)
    text = typeset(config, folder)
    known, shown = set(_parts(results)), set(_SHOWN.findall(text))
    found = [f"{name}: made and not shown in the report" for name in sorted(known - shown)]
    found += [f"{name}: shown in the report and not made" for name in sorted(shown - known)]
    for one in floats(text):
        found += [rf"{name}: {one.label} lacks \stamp{{{name}}}" for name in one.shows if name not in one.stamps]
        found += [
            rf"{one.label}: \stamp{{{name}}} of what it does not show" for name in one.stamps if name not in one.shows
        ]
    defined = (results / "report" / NUMBERS).read_text(encoding="utf-8")
    found += [
        f"{one.where}: {one.source} is not in {NUMBERS}; write it again"
        for one in numbers(config, folder)
        if rf"\definenumber{{{one.key}}}" not in defined
    ]
    for path in files_of(results, known & shown):
        found += stamp.changed(path, results)
    return found


def files_of(results: Path, names: Iterable[str]) -> list[Path]:
    """Return the files with stamps: the figures and tables ``names``, the numbers, the quantities, the claims."""
    made = results / "report"
    suffix = {"figures": ".pdf", "tables": ".tex"}
    paths = [made / f"{name}{suffix[name.partition('/')[0]]}" for name in sorted(names)]
    return [*paths, made / NUMBERS, results / quantities.FILE, results / verdicts.NAME]


def stamped(results: Path) -> dict[str, Path]:
    """Return name in a stamp of the text -> file, for everything that :func:`write_stamps` writes the hash of."""
    names = _parts(results)
    return dict(zip([*names, "numbers", "quantities", "claims"], files_of(results, names), strict=True))


def write_stamps(results: Path, out: Path, folder: Path = FOLDER) -> None:
    """Write the hashes that the captions print, unless anything in the report is stale or unreferenced.

    Raises:
        ResultError: something is stale or unreferenced; the message names all of it.
    """
    if found := problems(results, folder):
        raise ResultError("the report cannot be typeset:\n" + "\n".join(f"  {problem}" for problem in found))
    lines = [rf"\definestamp{{{name}}}{{{stamp.read(path)['hash']}}}" for name, path in stamped(results).items()]
    write_text(out, "\n".join(["% Written from stamps; not to be edited.", *lines]) + "\n")


def _files(config: Config, folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files of the text with their content, in order: main.tex and the sections that it inputs."""
    main = _read(folder / "main.tex")
    yield folder / "main.tex", main
    for section in _SECTION.finditer(main):
        if section["arm"] is None or runs(section["arm"], config):
            path = folder / f"{section['name']}.tex"
            yield path, _read(path)


def _read(path: Path) -> str:
    return re.sub(r"(?<!\\)%.*", "", path.read_text(encoding="utf-8"))


def _plain(text: str) -> str:
    """Return ``text`` with a line break as TeX reads it, as one space."""
    return " ".join(text.split())


def _parts(results: Path) -> list[str]:
    """Return the figures and tables that the scale makes, sorted."""
    figures, tables = (parts.names_for(kind, read_config(results)) for kind in parts.KINDS.values())
    return sorted([*(f"figures/{name}" for name in figures), *(f"tables/{name}" for name in tables)])
