r"""LaTeX for numbers and tables: siunitx's \num and \SI, booktabs' tabular.

Losses, ratios and shares are rounded, sizes below 1e-9 to 0.  A constraint's value is not: it is printed with its sign
and significant digits, so that a violation of 1e-12 stays a violation, and 0 means exactly 0.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from replication.results.quantities import Format

#: Printed for a number that an arm has no value for, such as the bound misses of a method without a bound.
DASH = "--"
#: From here on losses are printed with two significant digits: those of closed loops that diverge.
LARGE = 1e4


def formatted(value: float, how: Format, digits: int | None = None) -> str:
    """Return ``value`` in a quantity's format; ``digits`` replaces those of the format."""
    digits, value = how.digits if digits is None else digits, how.cleared(value)
    match how.kind:
        case "count":
            return count(round(value))
        case "share":
            return percent(value, digits)
        case "loss" | "ratio":
            return fixed(value, digits) if abs(value) < LARGE else significant(value, 2)
        case "safety":
            return safety(value, digits)
        case "size":
            return significant(value, digits)
        case "number":
            return setting(value)


def difference(value: float, how: Format, digits: int | None = None) -> str:
    """Return a difference of two values with its sign, with the decimals of the values' format."""
    digits, value = how.digits if digits is None else digits, how.cleared(value)
    if how.kind in ("loss", "ratio"):
        return number(f"{round(value, digits) + 0.0:+.{digits}f}")
    if how.kind == "share":
        return percent(value, digits)
    return safety(value, digits)


def number(text: str) -> str:
    r"""Return the number ``text`` as \num{...}, its exponent without leading zeros and without a plus.

    A plus before the number is kept and printed, as for constraints and differences.
    """
    mantissa, mark, exponent = text.partition("e")
    return rf"\num{{{mantissa}{mark}{int(exponent) if exponent else ''}}}"


def fixed(value: float, digits: int = 3) -> str:
    r"""Return ``value`` with ``digits`` decimals, as \num{...}; a value that rounds to 0 has no sign."""
    return number(f"{round(value, digits) + 0.0:.{digits}f}")


def significant(value: float, digits: int = 3) -> str:
    r"""Return ``value`` with ``digits`` significant digits, as \num{...}."""
    return number(f"{value:.{digits}g}")


def size(value: float) -> str:
    r"""Return the order of magnitude of an error, as \num{...}: one digit, 0 only if it is 0."""
    return setting(0) if value == 0 else number(f"{value:.0e}")


def count(value: int) -> str:
    r"""Return an integer as \num{...}."""
    return rf"\num{{{value:d}}}"


def setting(value: float) -> str:
    r"""Return a setting with the digits with which it was typed, as \num{...}."""
    return number(f"{value:d}" if isinstance(value, int) else f"{value:g}")


def percent(share: float, digits: int = 1) -> str:
    r"""Return a share as a percentage; only a share of exactly 0 or 1 is printed as 0 or 100.

    Another share that would be rounded to 0 or 100 is printed as an inequality, for example \(<0.1\,\%\).
    """
    value, least = 100.0 * share, 10.0**-digits
    if share in (0.0, 1.0):
        return rf"\SI{{{value:.0f}}}{{\percent}}"
    if 0.0 < value < 0.5 * least:
        return rf"\(<\SI{{{least:.{digits}f}}}{{\percent}}\)"
    if 100.0 - 0.5 * least < value < 100.0:
        return rf"\(>\SI{{{100.0 - least:.{digits}f}}}{{\percent}}\)"
    return rf"\SI{{{value:.{digits}f}}}{{\percent}}"


def safety(value: float, digits: int = 4) -> str:
    r"""Return a constraint's value with its sign and ``digits`` significant digits, as \num{...}; 0 only if it is 0.

    From a thousandth on and below a thousand it has no exponent.
    """
    if value == 0.0:
        return r"\num{0}"
    if not math.isfinite(value):
        return {"inf": r"\(+\infty\)", "-inf": r"\(-\infty\)"}.get(str(value), "not a number")
    text = f"{value:+.{digits - 1}e}"
    exponent = int(text.partition("e")[2])
    return number(f"{value:+.{max(digits - 1 - exponent, 0)}f}" if -3 <= exponent < 3 else text)


def pair(low: str, high: str) -> str:
    """Return the ends of a range or an interval in brackets."""
    return f"[{low}, {high}]"


def small(text: str) -> str:
    r"""Return text in the small grey print of ranges, which the report's preamble defines as \range."""
    return rf"\range{{{text}}}"


def escaped(text: str) -> str:
    """Return plain text with the characters escaped that LaTeX takes for commands or comments."""
    return re.sub(r"([&%$#_{}])", r"\\\1", text)


def text_with_numbers(text: str) -> str:
    r"""Return plain text as LaTeX: characters escaped, and numbers as \num{...}."""
    return re.sub(r"(?<![\w.-])\d+(?:\.\d+)?(?:e[-+]?\d+)?(?!\w)", lambda found: number(found[0]), escaped(text))


@dataclass(frozen=True)
class Span:
    """A cell over several columns."""

    columns: int
    text: str
    align: Literal["l", "c", "r"] = "c"


@dataclass(frozen=True)
class Title:
    """A line of a table that says in italics what the rows below it are about."""

    text: str


#: Lines of a table that hold no cells: a rule, and a small gap.
RULE, GAP = r"\midrule", r"\addlinespace"
Row = Sequence["str | Span"]


def booktabs(
    columns: Sequence[str], head: Sequence[Row], rows: Iterable[Row | Title | str], *, pages: bool = False
) -> str:
    r"""Return a table, as LaTeX.

    Args:
        columns: the type of each column: l, r, c or one that takes a width, from :func:`paragraph`.
        head: the lines of the heading, each with a cell for every column.
        rows: the lines below it: cells for every column, a :class:`Title`, :data:`RULE` or :data:`GAP`.
        pages: whether the table may go over several pages, each with the heading (longtable*).

    Raises:
        ValueError: a line has fewer or more cells than there are columns.
    """
    environment = "longtable*" if pages else "tabular"
    lines = [rf"\begin{{{environment}}}{{@{{}}{''.join(columns)}@{{}}}}", r"\toprule"]
    lines += [_line(row, len(columns)) for row in head]
    lines += [RULE] if head else []
    lines += [r"\endhead"] if head and pages else []
    lines += [_line(row, len(columns)) for row in rows]
    return "\n".join([*lines, r"\bottomrule", rf"\end{{{environment}}}"]) + "\n"


def paragraph(share: float) -> str:
    """Return the type of a column of ragged text that takes this share of the width of the page's text."""
    return rf">{{\raggedright\arraybackslash}}p{{{share:g}\textwidth}}"


def _line(row: Row | Title | str, columns: int) -> str:
    if isinstance(row, str):
        return row
    if isinstance(row, Title):
        return rf"\multicolumn{{{columns}}}{{@{{}}l}}{{\emph{{{row.text}}}}} \\*"  # no page ends here
    width = sum(cell.columns if isinstance(cell, Span) else 1 for cell in row)
    if width != columns:
        raise ValueError(f"a line of a table has {width} cells, and the table {columns} columns: {row}")
    return " & ".join(_cell(cell, last=cell is row[-1]) for cell in row) + r" \\"


def _cell(cell: str | Span, *, last: bool) -> str:
    if isinstance(cell, str):
        return cell
    return rf"\multicolumn{{{cell.columns}}}{{{cell.align}{'@{}' if last else ''}}}{{{cell.text}}}"
