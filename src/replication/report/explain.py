"""Explains a figure, a table, a number or a claim: where it comes from, and whether anything has changed since."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from replication import report
from replication.claims import claims, decide, evidence, verdicts
from replication.documents import PartStamp, Stamp
from replication.errors import ResultError
from replication.experiments import quantities as computed
from replication.experiments.quantities import QUANTITIES
from replication.provenance import stamp
from replication.provenance.stamp import SUFFIX
from replication.report import meaning, numbers, parts, text
from replication.results import quantities
from replication.results.read import read_config
from scpo.errors import ConfigurationError

SHORT = 12  # digits of a checksum in print
LEAST = 4  # digits of a hash that are enough to look for it
#: Name of a file that is explained as a whole -> what it holds.
WHOLE = {
    "numbers": "all numbers of the report's text",
    "quantities": "the table of quantities, with one row for each arm, seed and quantity",
    "claims": "the verdicts on all claims",
}


@dataclass(frozen=True)
class Found:
    """The thing that a name stands for.

    Attributes:
        lines: the lines of text that say what it is.
        listed: what --inputs lists of it: the value of each seed, each file of the evidence.
        path: the file that has a stamp.
        code: file and line of the code that makes it, if that is in one place.
        arms: "experiment/arm" of the arms that it is about; empty: all arms that the file was made from.
    """

    lines: list[str]
    path: Path
    listed: tuple[str, ...] = ()
    code: str = ""
    arms: tuple[str, ...] = ()


def explain(
    name: str, results: Path, folder: Path = text.FOLDER, *, list_inputs: bool = False, make: bool = False
) -> tuple[str, bool]:
    """Return an explanation of ``name`` as text, and whether everything still matches.

    Args:
        name: fig-3 or tab-2 as numbered in the report, the name of a figure or a table, a number as the text names it
            (experiment/arm/quantity), the name of a quantity, a setting (experiment/arm/path), a claim's id, one of
            :data:`WHOLE`, or the hash that the report prints beside one of these (or its first digits).
        results: results/<scale>.
        folder: the folder of the report's text.
        list_inputs: whether the inputs are listed with their checksums, and the seeds one by one; if not, they are
            counted.
        make: whether files that the results lack are made first: the table of quantities, the verdicts, the part of the
            report.  Only for a copy that the workflow does not own.

    Raises:
        ConfigurationError: there is nothing of that name.
        ResultError: a file or its stamp is missing or damaged.
    """
    if not (results / "config.json").is_file():
        raise ResultError(f"{results}: no results of a scale")
    for needed in (results / quantities.FILE, results / verdicts.NAME):
        _require(needed, results, folder, make)
    found = _find(name, results, folder)
    _require(found.path, results, folder, make)
    content = _only(stamp.read(found.path), found.arms)
    behind = _behind(content, results)
    problems = [problem for path in (found.path, *behind) for problem in stamp.changed(path, results)]
    lines = [
        *found.lines,
        *(found.listed if list_inputs else ()),
        *([f"code      {found.code}"] if found.code else []),
        f"file      {found.path}",
    ]
    lines += [
        f"{key:<10}{value}"
        for key, value in (_facts(content, found.path) | _runs([content, *map(stamp.read, behind)], results)).items()
    ]
    lines += [f"state     {'CHANGED' if problems else 'as made'}", *(f"          {problem}" for problem in problems)]
    if list_inputs:
        lines += [f"inputs    {len(content['inputs'])}, named from {results} unless they belong to the repository"]
        lines += [f"          {sha[:SHORT]}  {key.removeprefix('results:')}" for key, sha in content["inputs"].items()]
    else:
        lines += [f"inputs    {len(content['inputs'])} files; --inputs lists them"]
    return "\n".join(lines) + "\n", not problems


def _only(content: PartStamp, arms: tuple[str, ...]) -> PartStamp:
    """Return the content of a stamp, with only the inputs and the seeds of the given arms."""
    if not arms:
        return content
    starts = tuple(f"results:{arm}/" for arm in arms)
    inputs = {name: sha for name, sha in content["inputs"].items() if name.startswith(starts)}
    seeds = {arm: content.seeds[arm] for arm in arms if arm in content.seeds}
    return content.model_copy(update={"inputs": inputs, "seeds": seeds})


def listing(results: Path, folder: Path = text.FOLDER) -> str:
    """Return the list of all that can be explained: figures and tables, quantities, claims."""
    labels = text.labels(read_config(results), folder)
    lines = ["Figures and tables:"]
    for part in sorted(parts.all_parts().values(), key=lambda one: (one.kind, one.name)):
        label = labels.get(f"{part.kind}s/{part.name}", "")
        lines.append(f"  {label:<7} {part.name:<32} {part.shows} ({part.module}.{part.function})")
    lines += ["", "Quantities; as a number of an arm: experiment/arm/quantity:"]
    lines += [f"  {name:<40} {quantity.sentence}" for name, quantity in QUANTITIES.items()]
    lines += ["", "Claims:", *(f"  {claim.id:<40} {claim.statement}" for claim in claims.load().claims)]
    return "\n".join(lines) + "\n"


def _require(path: Path, results: Path, folder: Path, make: bool) -> None:
    """Make a file that can be explained if it is missing, or say what makes it."""
    if path.is_file():
        return
    if not make:
        raise ResultError(f"{path}: no such file; the workflow makes it (make figures, make reproduce)")
    match path.name:
        case quantities.FILE:
            computed.main(results, path)
        case verdicts.NAME:
            decide.write(results, path)
        case text.NUMBERS:
            numbers.main(results, path, folder)
        case _:
            report.render(path.stem, results, path)


def _find(name: str, results: Path, folder: Path) -> Found:
    """Return what ``name`` stands for."""
    found = _part(name, results, folder) or _whole(name, results)
    found = found or _number(name, results, folder) or _claim(name, results) or _hashed(name, results, folder)
    if found is None:
        raise ConfigurationError(f"nothing is called {name!r}; `replicate explain` without a name lists what there is")
    return found


def _part(name: str, results: Path, folder: Path) -> Found | None:
    shown = text.labels(read_config(results), folder)
    numbered = {label: shows for shows, label in reversed(shown.items())}
    wanted = numbered.get(re.sub(r"^(fig|tab)[a-z]*[. -]*(?=\d)", r"\1-", name), name)
    part = parts.all_parts().get(wanted.removeprefix("figures/").removeprefix("tables/"))
    if part is None:
        return None
    path = f"{part.kind}s/{part.name}"
    lines = [f"{path}, {shown.get(path, 'not shown')} of the report", f"shows     {part.shows}"]
    file = results / "report" / f"{path}{part.suffix}"
    return Found(lines, file, code=f"{part.file}:{part.line}, {part.function}")


def _whole(name: str, results: Path) -> Found | None:
    """Return one of the files that the report is made from."""
    return Found([f"{name}, {WHOLE[name]}"], text.stamped(results)[name]) if name in WHOLE else None


def _hashed(digits: str, results: Path, folder: Path) -> Found | None:
    """Return what has a stamp whose hash begins with ``digits``."""
    if not re.fullmatch(rf"[0-9a-f]{{{LEAST},{stamp.LENGTH}}}", digits):
        return None
    made = {name: path for name, path in text.stamped(results).items() if stamp.beside(path).is_file()}
    names = [name for name, path in made.items() if stamp.read(path)["hash"].startswith(digits)]
    if len(names) > 1:
        raise ConfigurationError(f"the hashes of {', '.join(names)} begin with {digits}; give more digits")
    if not names:
        raise ConfigurationError(f"nothing in {results} has the hash {digits}; what is made anew may have another one")
    return _part(names[0], results, folder) or _whole(names[0], results)


def _number(name: str, results: Path, folder: Path) -> Found | None:
    r"""Return what a number is: a quantity, as experiment/arm/quantity or alone, or a setting.

    ``name`` may also be as in the text, with \q{...}{...} or \setting{...} around it.
    """
    source = re.fullmatch(r"\\(?:q(?:\[\d+\])?|setting)\{([^{}]*)\}(?:\{[^{}]*\})?", name)
    name = source[1] if source else name
    used = [one for one in text.numbers(read_config(results), folder) if one.name == name and one.kind != "agree"]
    last = name.rpartition("/")[2]
    if last not in QUANTITIES:
        return _setting(name, used, results)
    quantity = QUANTITIES[last]
    lines = [f"quantity  {last}: {quantity.sentence}", f"unit      {quantity.unit or 'none'}"]
    experiment, arm, _ = numbers.split(name)
    arms = tuple(f"{experiment}/{single}" for single in numbers.arms_of(arm)) if arm else ()
    values, listed = _values(name, results)
    return Found([*lines, *values, *_used(used, results)], results / quantities.FILE, listed, quantity.declared, arms)


def _setting(name: str, used: list[text.Number], results: Path) -> Found | None:
    """Return what a setting is; a file that was made with it has the stamp."""
    known = meaning.of_setting(name, read_config(results))
    if not known and not used:
        return None
    lines, code = known or ([], "")
    made = results / "report" / text.NUMBERS if used else results / quantities.FILE
    return Found([*lines, *_used(used, results)], made, code=code)


def _values(name: str, results: Path) -> tuple[list[str], tuple[str, ...]]:
    """Return the values of a quantity as a line for each arm, and as one for each seed with the folder of its run."""
    table = quantities.read(results)
    experiment, arm, quantity = numbers.split(name)
    lines: list[str] = []
    listed: list[str] = []
    for single in numbers.arms_of(arm):
        if not table.has(experiment, single, quantity):
            continue
        values = table.values(experiment, single, quantity)
        if quantities.NO_SEED in values.index:
            lines.append(f"value     {values.iloc[0]:.17g}")
            continue
        folder = results / experiment / single
        low, middle, high = values.min(), values.median(), values.max()
        span = f"{low:.17g}" if low == high else f"{low:.17g} to {high:.17g}, median {middle:.17g},"
        seeds = evidence.ranges(sorted(values.index.tolist()))
        lines.append(f"value     {span} from {folder}/seed-<n>, n = {seeds}")
        listed += [f"value     {value:.17g} from {folder}/seed-{seed}" for seed, value in values.items()]
    return lines, tuple(listed)


def _used(used: list[text.Number], results: Path) -> list[str]:
    """Return how the text prints a number, and where."""
    table, config = quantities.read(results), read_config(results)
    return [f"printed   {numbers.lookup(one, table, config)} for {one.source} in {one.where}" for one in used]


def _claim(name: str, results: Path) -> Found | None:
    decided = results / verdicts.NAME
    for one in verdicts.read(decided):
        if one.id == name:
            listed = tuple(f"judged on {path}" for path in one.evidence)
            return Found(_verdict(one), decided, listed, meaning.of_claim(name))
    return None


def _verdict(one: verdicts.Verdict) -> list[str]:
    lines = [f"claim {one.id} ({one.source}; setting {one.mark}): {one.statement}"]
    lines += [f"verdict   {one.said}{f': {one.reason}' if one.reason else ''}"]
    lines += [f"measured  {one.found}, expected {one.wanted} ({one.tier})"]
    stated = claims.load()
    if claim := next((claim for claim in stated.claims if claim.id == one.id), None):
        effort = stated.efforts[claim.effort]
        lines += [f"quantity  {claim.quantity}: {one.quantity}", f"because   {claim.reason}"]
        lines += [f"changed   {change.on}: {change.change} ({change.reason})" for change in claim.history]
        lines += [f"chosen    with this in view: {', '.join(claim.calibrated)}"] if claim.calibrated else []
        lines += [f"effort    {effort.command}: {effort.human} of yours, {effort.compute} of the machine"]
    return [*lines, *(f"judged on {paths}" for paths in evidence.grouped(one.evidence))]


def _facts(content: PartStamp, path: Path) -> dict[str, str]:
    seeds = "; ".join(f"{arm} {evidence.ranges(of)}" for arm, of in content["seeds"].items())
    return {
        "hash": content["hash"],
        "commit": _commit(content),
        "module": ", ".join(content["module"]),
        "sources": content["code_sha256"][:SHORT],
        "config": f"{content['config_sha256'][:SHORT]}  {content['results']}/config.json",
        **({"seeds": seeds} if seeds else {}),
        "versions": ", ".join(f"{name} {version}" for name, version in content["versions"].items()),
        "host": f"{content['host']}, {content['processor']}, {content['platform']}",
        "again": f"snakemake --profile profiles/default --config {_settings(content)} -- {path}",
    }


def _behind(content: PartStamp, results: Path) -> list[Path]:
    """Return the table of quantities if it is an input of a stamp: the file is then made from the runs through it."""
    return [results / quantities.FILE] if f"results:{quantities.FILE}" in content["inputs"] else []


def _runs(stamps: list[PartStamp], results: Path) -> dict[str, str]:
    """Return the commits at which the runs were made that are inputs of one of ``stamps``."""
    names = [name for content in stamps for name in content["inputs"] if "/seed-" in name]
    folders = {stamp.input_path(name, results).parent for name in names}
    made = [folder / f"run{SUFFIX}" for folder in folders]
    commits = Counter(_commit(stamp.load(path)) for path in made if path.is_file())
    found = "; ".join(f"{count} made at {commit}" for commit, count in sorted(commits.items()))
    return {"runs": found} if found else {}


def _commit(content: Stamp) -> str:
    if not content.commit:
        return "no known commit"
    return f"{content['commit']}{', with changes that were not committed' if content['dirty'] else ''}"


def _settings(content: PartStamp) -> str:
    """Return the workflow's settings with which a file was made."""
    origin = " from=shipped" if Path(content["results"]).parent.name == "shipped" else ""
    return f"scale={content['scale']}{origin}"
