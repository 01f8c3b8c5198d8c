"""Explains a figure, a table, a number or a claim: where it comes from, and whether it still is what was made."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

from replication.claims import claims, verdicts
from replication.errors import ResultError
from replication.files import read_json
from replication.provenance import stamp
from replication.provenance.stamp import SUFFIX
from replication.report import paper
from scpo.errors import ConfigurationError

SHORT = 12  # digits of a checksum in print


def explain(name: str, results: Path, folder: Path = paper.FOLDER) -> tuple[str, bool]:
    """Return an explanation of ``name`` as text, and whether everything still matches.

    Args:
        name: fig-3 or tab-2 as numbered in the report, the name of a figure or a table, of a macro, or a claim's id.
        results: results/<scale>.
        folder: of the report's text.

    Raises:
        ConfigurationError: there is nothing of that name.
        ResultError: a file or its stamp is missing or damaged.
    """
    headings, path = _found(name, results, folder)
    content = stamp.read(path)
    problems = stamp.changed(path, results)
    lines = [*headings, f"file      {path}"]
    lines += [f"{key:<10}{value}" for key, value in (_facts(content, path) | _runs(content, results)).items()]
    lines += [
        "state     as made" if not problems else "state     CHANGED",
        *(f"          {problem}" for problem in problems),
    ]
    lines += [f"inputs    {len(content['inputs'])}, named from {results} unless they belong to the repository"]
    lines += [f"          {found[:SHORT]}  {key.removeprefix('results:')}" for key, found in content["inputs"].items()]
    return "\n".join(lines) + "\n", not problems


def _found(name: str, results: Path, folder: Path) -> tuple[list[str], Path]:
    """Return what is said first about ``name``, and the file that has a stamp."""
    made = results / "report"
    if not (made / "macros.tex").is_file():
        raise ResultError(f"{made / 'macros.tex'}: no such file; make the report of this scale first")
    macros = (made / "macros.tex").read_text(encoding="utf-8")
    floats = paper.floats(paper.text(folder, macros))
    numbered = {one.label: one.shows[0] for one in floats if one.shows}
    labels = {shown: one.label for one in floats for shown in one.shows}
    wanted = numbered.get(re.sub(r"^(fig|tab)[a-z]*[. -]*(?=\d)", r"\1-", name), name)
    for kind, suffix in (("figures", ".pdf"), ("tables", ".tex")):
        part = wanted if wanted.startswith(f"{kind}/") else f"{kind}/{wanted}"
        if (made / f"{part}{suffix}").is_file():
            return [f"{part}, {labels.get(part, 'not shown')} of the report"], made / f"{part}{suffix}"
    macro = re.search(rf"^\\newcommand{{\\{re.escape(name.lstrip(chr(92)))}}}{{(.*)}}$", macros, re.MULTILINE)
    if macro:
        return [rf"\{name.lstrip(chr(92))}, a number of the report's text: {macro[1]}"], made / "macros.tex"
    decided = results / verdicts.NAME
    if decided.is_file():
        for one in verdicts.read(decided):
            if one.id == name:
                return _claim(one), decided
    raise ConfigurationError(
        f"nothing is called {name!r}: give a number ({', '.join(numbered)}), a figure, a table, a macro, or a claim"
    )


def _claim(one: verdicts.Verdict) -> list[str]:
    lines = [f"claim {one.id} ({one.source}; setting {one.mark}): {one.statement}"]
    lines += [f"verdict   {one.status}{f': {one.reason}' if one.reason else ''}"]
    lines += [f"measured  {one.found}, expected {one.wanted} ({one.tier})"]
    stated = claims.load()
    for claim in (claim for claim in stated.claims if claim.id == one.id):
        effort = stated.efforts[claim.effort]
        lines += [f"quantity  {claim.quantity}: {one.quantity}", f"because   {claim.reason}"]
        lines += [f"changed   {change.on}: {change.change} ({change.reason})" for change in claim.history]
        lines += [f"chosen    with this in view: {', '.join(claim.calibrated)}"] if claim.calibrated else []
        lines += [f"effort    {effort.command}: {effort.human} of yours, {effort.compute} of the machine"]
    return [*lines, *(f"judged on {path}" for path in one.evidence)]


def _facts(content: dict[str, Any], path: Path) -> dict[str, str]:
    seeds = "; ".join(f"{arm} {_ranges(of)}" for arm, of in content["seeds"].items())
    return {
        "hash": content["hash"],
        "commit": _commit(content),
        "module": ", ".join(content["module"]),
        "code": content["code_sha256"][:SHORT],
        "config": f"{content['config_sha256'][:SHORT]}  {content['results']}/config.json",
        "seeds": seeds or "none",
        "versions": ", ".join(f"{name} {version}" for name, version in content["versions"].items()),
        "host": f"{content['host']}, {content['processor']}, {content['platform']}",
        "again": f"snakemake --profile profiles/default --config {_settings(content)} -- {path}",
    }


def _runs(content: dict[str, Any], results: Path) -> dict[str, str]:
    """Return at which commits the runs among the inputs were made."""
    folders = {stamp.input_path(name, results).parent for name in content["inputs"] if "/seed-" in name}
    stamps = [folder / f"run{SUFFIX}" for folder in folders]
    commits = Counter(_commit(read_json(path)) for path in stamps if path.is_file())
    made = "; ".join(f"{count} made at {commit}" for commit, count in sorted(commits.items()))
    return {"runs": made} if made else {}


def _commit(content: dict[str, Any]) -> str:
    if not content.get("commit"):
        return "no known commit"
    return f"{content['commit']}{', with changes that were not committed' if content['dirty'] else ''}"


def _settings(content: dict[str, Any]) -> str:
    """Return the workflow's settings with which a file was made."""
    reference = " from=shipped" if Path(content["results"]).parent.name == "shipped" else ""
    return f"scale={content['scale']}{reference}"


def _ranges(seeds: list[int]) -> str:
    """Return 0-9 for consecutive seeds, else a list."""
    if len(seeds) > 1 and seeds == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]}-{seeds[-1]}"
    return ",".join(map(str, seeds))
