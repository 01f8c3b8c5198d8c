"""Tables of the claims: the verdict on each, and which were changed or calibrated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from replication.claims import claims, verdicts
from replication.claims.verdicts import Verdict
from replication.results.quantities import Kind
from replication.typeset import latex, parts
from replication.typeset.latex import GAP, RULE, Row, Title

_SIGNS = {"equals": "=", "at_most": r"\le", "at_least": r"\ge", "within": r"\in", "covers": r"\ni"}


#: Where claims come from: beginning of their source -> how the table of counts calls it.
SOURCES = {"abstract": "the abstract", "figure": "the published figure", "ours": "this replication"}
LEFT_OPEN = f"of which {verdicts.OPEN}"
COLUMNS = ("reproduced", "supported", "deviates", LEFT_OPEN, "not-run")


@parts.table("claims-counts")
def counts(results: Path) -> str:
    """How many claims of each source have each verdict, and how many of those that deviate are left open."""
    found = verdicts.read(results / verdicts.NAME)

    def row(name: str, chosen: Sequence[Verdict]) -> Row:
        return [
            name,
            *(latex.count(sum(_is(one, column) for one in chosen)) for column in COLUMNS),
            latex.count(len(chosen)),
        ]

    rows: list[Row | str] = [
        row(name, [one for one in found if one.source.startswith(source)]) for source, name in SOURCES.items()
    ]
    return latex.booktabs("lrrrrrr", [["claims of", *COLUMNS, "all"]], [*rows, RULE, row("all", found)])


def _is(one: Verdict, column: str) -> bool:
    return one.left_open if column == LEFT_OPEN else one.status == column


@parts.table("claims-abstract")
def of_abstract(results: Path) -> str:
    """Verdicts on what the paper's abstract claims."""
    return _table(results, "abstract")


@parts.table("claims-figure")
def of_figure(results: Path) -> str:
    """Verdicts on what the published figure shows."""
    return _table(results, "figure")


@parts.table("claims-ours")
def of_ours(results: Path) -> str:
    """Verdicts on the claims that this replication adds."""
    return _table(results, "ours")


@parts.table("claims-changes")
def changes(results: Path) -> str:
    """Changes of claims, with their reasons, and the settings that were chosen with an expected value in view."""
    return latex.booktabs(["l", latex.paragraph(0.54)], [], _changes(results), pages=True)


def _changes(results: Path) -> Iterator[Row | Title | str]:
    known = {claim.id: claim for claim in claims.load().claims}
    stated = [
        (rf"\quad {number}. \texttt{{{one.id}}}", known[one.id])
        for number, one in _read(results).items()
        if one.id in known
    ]
    history = [(name, f"{one.on}: {one.change}. {one.reason}") for name, claim in stated for one in claim.history]
    calibrated = [(name, ", ".join(claim.calibrated)) for name, claim in stated if claim.calibrated]
    yield Title("Changed or added since the claims were committed")
    yield from ([name, latex.escaped(text)] for name, text in history or [("", "none")])
    yield GAP
    yield Title("Chosen with an expected value in view, on tuning seeds or on the figure")
    yield from ([name, latex.escaped(text)] for name, text in calibrated or [("", "nothing")])


def _read(results: Path) -> dict[int, Verdict]:
    """Return number -> verdict; a claim has the same number in every table."""
    return dict(enumerate(verdicts.read(results / verdicts.NAME), start=1))


def _table(results: Path, source: str) -> str:
    columns = [latex.paragraph(0.44), "c", latex.paragraph(0.19), latex.paragraph(0.15), "l"]
    head = [[rf"claim {latex.small('[what is measured]')}", "setting", "measured", "expected", "verdict"]]
    return latex.booktabs(columns, head, _verdicts(results, source), pages=True)


def _verdicts(results: Path, source: str) -> Iterator[Row | str]:
    for number, one in _read(results).items():
        if one.source.startswith(source):
            measured = latex.small(f"[{latex.escaped(one.quantity)}]")
            statement = f"{number}. {latex.escaped(one.statement)} {measured}"
            mark = rf"\{one.mark}" + (r" \Cal" if one.calibrated else "")
            status = one.status if one.status == "not-run" else rf"\textbf{{{one.status}}}"
            yield [statement, mark, _measured(one), _expected(one), status]
            yield r"\addlinespace[2pt]"


def _measured(one: Verdict) -> str:
    if one.measured is None:
        return "--"
    measured, *ends = (_number(value, one.kind) for value in one.cleared)
    return f"{measured} {latex.small(latex.pair(*ends))}" if ends else measured


def _expected(one: Verdict) -> str:
    expected, tolerance = one.expected_within
    ends = [_number(value, one.kind) for value in (expected if isinstance(expected, tuple) else (expected,))]
    text = latex.pair(*ends) if isinstance(expected, tuple) else ends[0]
    within = " " + latex.small(rf"\(\pm\)\,{_number(tolerance, one.kind)}") if tolerance else ""
    return rf"\({_SIGNS[one.comparator]}\) {text}{within}"


def _number(value: float, kind: Kind) -> str:
    """Return a value to three significant digits, or to four if three would make it whole; a share as a percentage."""
    value = round(100.0 * value, 10) if kind == "share" else float(value)
    short = f"{value:.3g}"
    whole = float(short).is_integer() and not value.is_integer()
    printed = verdicts.number(value) if whole or value.is_integer() else short
    return rf"\SI{{{printed}}}{{\percent}}" if kind == "share" else latex.number(printed)
