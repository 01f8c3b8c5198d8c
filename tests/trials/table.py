"""What the trials found: a JSON file each in results/trials/, and one page of tables made of them.

The page keeps the files that it was made of beside it, in a folder of its name.  So it does not lose what another
machine has found.
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from .common import PROJECT, Options, Row

FOLDER = PROJECT / "results/trials"
BEGIN, END = "<!-- trials -->\n", "<!-- /trials -->\n"


@dataclass(frozen=True)
class Outcome:
    """What one trial found.

    Attributes:
        name, tried: of the trial.
        rows: one for each thing that was tried.
        reason: why it was not run, or "".
        date, commit: when, and of which commit; "+" after it: of a checkout with changes.
        machine: processors and system.
        minutes: wall-clock time.
        options: those that are not the defaults.
    """

    name: str
    tried: str
    rows: list[Row]
    reason: str
    date: str
    commit: str
    machine: str
    minutes: float
    options: dict[str, object]

    @classmethod
    def of(cls, name: str, tried: str, rows: Sequence[Row], reason: str, seconds: float, options: Options) -> Outcome:
        """Return what a trial found, with date, commit and machine of now."""
        plain = asdict(Options())
        changed = {key: value for key, value in asdict(options).items() if value != plain[key] and key != "jobs"}
        commit = _git("rev-parse", "--short=12", "HEAD") + ("+" if _git("status", "--porcelain") else "")
        machine = f"{options.jobs} processes, {platform.system()}, Python {platform.python_version()}"
        date = datetime.now(UTC).date().isoformat()
        return cls(name, tried, list(rows), reason, date, commit, machine, round(seconds / 60, 1), changed)

    @property
    def result(self) -> str:
        """How many things went as expected, or why nothing was tried."""
        if self.reason:
            return f"not run: {self.reason}"
        failed = sum(not row.passed for row in self.rows)
        return f"{len(self.rows) - failed} of {len(self.rows)} as expected" + (f", **{failed} not**" if failed else "")


def keep(outcome: Outcome) -> None:
    """Write what a trial found to results/trials/, and the tables of all trials that are kept there."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    text = json.dumps(asdict(outcome), indent=2, sort_keys=True)
    (FOLDER / f"{outcome.name}.json").write_text(text + "\n", encoding="utf-8")
    (FOLDER / "trials.md").write_text(markdown(kept()), encoding="utf-8")


def kept(folder: Path | None = None) -> list[Outcome]:
    """Return what is kept in ``folder``, by default results/trials/, by name."""
    found = []
    for path in sorted((folder or FOLDER).glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        found.append(Outcome(**(content | {"rows": [Row(**row) for row in content["rows"]]})))
    return found


def markdown(outcomes: Sequence[Outcome], missing: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return one table of all trials, and a table of what each of them tried.

    Args:
        outcomes: what is kept.
        missing: trials that were never run -> what they try.
    """
    lines = ["| trial | what is tried | result | date | commit | minutes |", "|---|---|---|---|---|---|"]
    for one in outcomes:
        options = "".join(f"; `--{key} {value}`" for key, value in one.options.items())
        cells = (one.name, one.tried + options, one.result, one.date, f"`{one.commit}`", f"{one.minutes:g}")
        lines.append(_row(cells))
    lines += [_row((name, missing[name], "never run", "", "", "")) for name in missing]
    for one in outcomes:
        if one.rows:
            lines += [
                "",
                f"## {one.name}",
                "",
                f"{one.machine}.",
                "",
                "| tried | expected | observed | |",
                "|---|---|---|---|",
            ]
            lines += [
                _row((row.trial, row.expected, row.observed, "" if row.passed else "**not**")) for row in one.rows
            ]
    return "\n".join(lines) + "\n"


def update(page: Path, tried: Mapping[str, str]) -> None:
    """Put the tables between the markers of ``page``; trials that were never run are named.

    What results/trials/ has replaces what the page has of the same trial.

    Args:
        page: a Markdown page.
        tried: every trial -> what it tries.
    """
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    own = page.with_suffix("")
    own.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.json"):
        (own / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    outcomes = [one for one in kept(own) if one.name in tried]
    missing = {name: tried[name] for name in sorted(tried.keys() - {one.name for one in outcomes})}
    page.write_text(before + BEGIN + markdown(outcomes, missing) + END + rest.split(END)[1], encoding="utf-8")


def _row(cells: Sequence[str]) -> str:
    short = (re.sub(r"\s+", " ", cell).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(cell if len(cell) <= 400 else cell[:399] + '…' for cell in short)} |"


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=PROJECT, capture_output=True, text=True, check=True).stdout.strip()
