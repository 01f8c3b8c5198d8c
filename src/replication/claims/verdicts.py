"""Verdicts on claims: written once as claims.json, which the terminal, docs/claims.md and the report print."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from replication import files
from replication.claims.claims import Claim
from replication.errors import ResultError
from replication.results.quantities import Format, Kind

Status = Literal["reproduced", "supported", "deviates", "not-run"]
STATUSES: tuple[Status, ...] = get_args(Status)
NAME = "claims.json"
#: What is said of a claim that deviates and is not refuted.
OPEN = "left open"
#: How wide the statements of the claims are on a terminal, and how far they are indented.
WIDTH, INDENT = 110, " " * 4

#: Where the table in docs/claims.md begins and ends.
BEGIN, END = "<!-- claims -->", "<!-- end of claims -->"
#: comparators with a tolerance to one side, and to which
_ONE_SIDED = {"at_most": 1.0, "at_least": -1.0}
_SIGNS = {"equals": "=", "at_most": "<=", "at_least": ">=", "within": "in", "covers": "interval holds"}


@dataclass(frozen=True)
class Verdict:
    """The verdict on a claim, with what is needed to print it.

    Attributes:
        id: of the claim, as are statement, source, mark, comparator, expected, tolerance, tier.
        quantity: what was measured, in words.
        kind: the kind of format in which it is printed.
        calibrated: whether settings were chosen with the expected value in view.
        status: the verdict.
        left_open: whether it deviates and the data do not refute it: its interval overlaps what is expected.
        measured: its value; None if there is none.
        interval: over the seeds, for statistical claims.
        seeds: those that were judged.
        evidence: the files that decided, relative to the results.
        reason: why there is no verdict; empty where there is one.
    """

    id: str
    statement: str
    source: str
    mark: str
    comparator: str
    expected: float | tuple[float, float]
    tolerance: float
    tier: str
    quantity: str
    kind: Kind
    calibrated: bool
    status: Status
    left_open: bool = False
    measured: float | None = None
    interval: tuple[float, float] | None = None
    seeds: tuple[int, ...] = ()
    evidence: tuple[str, ...] = ()
    reason: str = ""

    @classmethod
    def of(cls, claim: Claim, status: Status, **found: Any) -> Verdict:
        """Return the verdict ``status`` on ``claim``; ``found``: the attributes that follow the status."""
        same = ("id", "statement", "source", "mark", "comparator", "expected", "tolerance", "tier")
        return cls(
            **{name: getattr(claim, name) for name in same},
            quantity=claim.measures,
            kind=claim.kind,
            calibrated=bool(claim.calibrated),
            status=status,
            **_tuples(found),
        )

    @property
    def setting(self) -> str:
        """The mark of its setting, and "cal" if settings were chosen with the expected value in view."""
        return f"{self.mark} cal" if self.calibrated else self.mark

    @property
    def said(self) -> str:
        """The verdict in words: its status, and whether it is left open."""
        return f"{self.status}, {OPEN}" if self.left_open else self.status

    @property
    def found(self) -> str:
        """The measured value with its interval, in plain text."""
        if self.measured is None:
            return "--"
        measured, *ends = (self._printed(value) for value in self.cleared)
        return f"{measured} [{', '.join(ends)}]" if ends else measured

    @property
    def cleared(self) -> tuple[float, ...]:
        """The measured value and the ends of its interval, as far as there are any, with 0 for mere rounding."""
        values = (() if self.measured is None else (self.measured,)) + (self.interval or ())
        return tuple(map(Format(self.kind).cleared, values))

    @property
    def wanted(self) -> str:
        """The expected value with its tolerance, in plain text."""
        expected, tolerance = self.expected_within
        ends = map(self._printed, expected if isinstance(expected, tuple) else (expected,))
        text = f"[{', '.join(ends)}]" if isinstance(expected, tuple) else next(ends)
        return f"{_SIGNS[self.comparator]} {text}" + (f" +- {self._printed(tolerance)}" if tolerance else "")

    def _printed(self, value: float) -> str:
        """Return a number, a share as a percentage."""
        return f"{number(round(100.0 * value, 10))} %" if self.kind == "share" else number(value)

    @property
    def expected_within(self) -> tuple[float | tuple[float, float], float]:
        """The expected value and the tolerance around it; a tolerance to one side counts in the value."""
        if self.comparator in _ONE_SIDED and not isinstance(self.expected, tuple):
            return self.expected + _ONE_SIDED[self.comparator] * self.tolerance, 0.0
        return self.expected, self.tolerance


def number(value: float) -> str:
    """Return an integer as it is, and any other value to four significant digits."""
    return f"{value:.0f}" if value == int(value) and abs(value) < 1e9 else f"{value:.4g}"


def write(path: Path, verdicts: Sequence[Verdict]) -> None:
    """Write the verdicts to ``path`` (claims.json)."""
    files.write_json(path, [asdict(verdict) for verdict in verdicts])


def read(path: Path) -> list[Verdict]:
    """Return the verdicts in ``path`` (claims.json).

    Raises:
        ResultError: the file is missing or damaged.
    """
    rows, names = files.read_json(path), {field.name for field in fields(Verdict)}
    if not isinstance(rows, list) or any(not isinstance(row, dict) or row.keys() != names for row in rows):
        raise ResultError(f"{path}: not a list of verdicts; evaluate the claims again (replicate claims)")
    return [Verdict(**_tuples(row)) for row in rows]


def _tuples(row: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}


def text(verdicts: Sequence[Verdict]) -> str:
    """Return an aligned table for a terminal, with the statement of each claim and what is measured below its row.

    Below the table stands why claims were not decided.
    """
    heading = ("status", "claim", "measured", "expected", "source", "setting", "seeds")
    rows = [
        heading,
        *((one.said, one.id, one.found, one.wanted, one.source, one.setting, _seeds(one)) for one in verdicts),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heading))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    head = [lines[0], "  ".join("-" * width for width in widths)]
    lines = [*head, *(line for row, one in zip(lines[1:], verdicts, strict=True) for line in (row, *_said(one)))]
    undecided = [f"{one.status}  {one.id}: {one.reason}" for one in verdicts if one.reason]
    return "\n".join([*lines, "", *undecided, *([""] if undecided else []), summary(verdicts)]) + "\n"


def _said(one: Verdict) -> list[str]:
    """Return what a claim states and what is measured for it, wrapped and indented."""
    return textwrap.wrap(f"{one.statement} [{one.quantity}]", WIDTH, initial_indent=INDENT, subsequent_indent=INDENT)


def summary(verdicts: Sequence[Verdict]) -> str:
    """Return the number of claims of each status, and of those left open, as a line of text."""
    counts = {status: sum(one.status == status for one in verdicts) for status in STATUSES}
    left = sum(one.left_open for one in verdicts)
    notes = {"deviates": f" ({left} {OPEN})"} if left else {}
    said = (f"{count} {status}{notes.get(status, '')}" for status, count in counts.items())
    return f"{len(verdicts)} claims: {', '.join(said)}"


def markdown(verdicts: Sequence[Verdict]) -> str:
    """Return the table that docs/claims.md shows, with its markers."""
    lines = [
        "| claim | stands in | setting | what is measured | measured | expected | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.statement} | {one.source} | {one.setting} | {one.quantity} | {one.found} | {one.wanted} "
        f"| **{one.said}** |"
        for one in verdicts
    ]
    return "\n".join([BEGIN, *lines, END]) + "\n"


def updated(page: str, verdicts: Sequence[Verdict]) -> str:
    """Return ``page`` with its table replaced by that of ``verdicts``.

    Raises:
        ResultError: it does not hold the markers once each, in their order.
    """
    if not (page.count(BEGIN) == page.count(END) == 1 and page.index(BEGIN) < page.index(END)):
        raise ResultError(f"the page must hold the lines {BEGIN} and {END} once each, in this order")
    before, rest = page.split(BEGIN)
    return before + markdown(verdicts).rstrip("\n") + rest.split(END)[1]


def _seeds(verdict: Verdict) -> str:
    return str(len(verdict.seeds)) if verdict.seeds else "--"
