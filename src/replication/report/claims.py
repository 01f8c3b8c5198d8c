"""Tables of the claims: what became of each, and what was changed or calibrated."""

from __future__ import annotations

from pathlib import Path

from replication.claims import claims, verdicts
from replication.claims.verdicts import Verdict
from replication.report.tables import row
from replication.typeset import numbers, parts

_SIGNS = {"equals": "=", "at_most": r"\le", "below": "<", "at_least": r"\ge", "within": r"\in", "covers": r"\ni"}


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
    """Changes of what is judged or expected with their reasons, and what was chosen with an expected value in view."""
    known = {claim.id: claim for claim in claims.load().claims}
    stated = [
        (rf"{number}. \texttt{{{one.id}}}", known[one.id]) for number, one in _read(results).items() if one.id in known
    ]
    history = [(name, f"{one.on}: {one.change}. {one.reason}") for name, claim in stated for one in claim.history]
    calibrated = [(name, ", ".join(claim.calibrated)) for name, claim in stated if claim.calibrated]
    lines = [r"\begin{longtable*}{@{}l>{\raggedright\arraybackslash}p{0.54\textwidth}@{}}", r"\toprule"]
    for heading, rows, none in (
        ("Changed or added since the claims were committed", history, "none"),
        ("Chosen with an expected value in view, on tuning seeds or on the figure", calibrated, "nothing"),
    ):
        lines += [r"\addlinespace"] if len(lines) > 2 else []
        lines.append(rf"\multicolumn{{2}}{{@{{}}l}}{{\emph{{{heading}}}}} \\")
        lines += [row(rf"\quad {name}", [_escaped(what)]) for name, what in rows or [("", none)]]
    return "\n".join([*lines, r"\bottomrule", r"\end{longtable*}"]) + "\n"


def _read(results: Path) -> dict[int, Verdict]:
    """Return the verdicts by the number that a claim has in every table."""
    return dict(enumerate(verdicts.read(results / verdicts.NAME), start=1))


def _table(results: Path, source: str) -> str:
    p = r">{\raggedright\arraybackslash}p"
    lines = [
        rf"\begin{{longtable*}}{{@{{}}{p}{{0.44\textwidth}}c{p}{{0.19\textwidth}}{p}{{0.15\textwidth}}l@{{}}}}",
        r"\toprule",
        row(r"claim \range{[what is measured]}", ["setting", "measured", "expected", "verdict"]),
        r"\midrule",
        r"\endhead",
    ]
    for number, one in _read(results).items():
        if not one.source.startswith(source):
            continue
        mark = rf"\{one.mark}" + (r" \Cal" if one.calibrated else "")
        status = one.status if one.status == "not-run" else rf"\textbf{{{one.status}}}"
        statement = rf"{number}. {_escaped(one.statement)} \range{{[{_escaped(one.quantity)}]}}"
        lines += [row(statement, [mark, _measured(one), _expected(one), status]), r"\addlinespace[2pt]"]
    return "\n".join([*lines, r"\bottomrule", r"\end{longtable*}"]) + "\n"


def _measured(one: Verdict) -> str:
    if one.measured is None:
        return "--"
    if one.interval is None:
        return _number(one.measured)
    return rf"{_number(one.measured)} \range{{[{_number(one.interval[0])}, {_number(one.interval[1])}]}}"


def _expected(one: Verdict) -> str:
    if isinstance(one.expected, tuple):
        text = rf"[{_number(one.expected[0])}, {_number(one.expected[1])}]"
    else:
        text = _number(one.expected)
    within = rf" \range{{\(\pm\)\,{_number(one.tolerance)}}}" if one.tolerance else ""
    return rf"\({_SIGNS[one.comparator]}\) {text}{within}"


def _number(value: float) -> str:
    return numbers.number(verdicts.number(value))


def _escaped(text: str) -> str:
    """Return ``text`` with what LaTeX would take for a command or a comment escaped."""
    return "".join(f"\\{letter}" if letter in "%&#_$" else letter for letter in text)
