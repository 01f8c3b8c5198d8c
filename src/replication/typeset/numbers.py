r"""How numbers are printed in LaTeX.

Figures of merit are rounded.  Safety maxima are not rounded to a fixed number of decimals: they are printed with
a sign and significant digits, so that a violation of 1e-12 stays a violation and 0 means exactly 0.
"""

from __future__ import annotations

import math

from replication.results.statistics import Interval, Summary


def number(text: str) -> str:
    r"""Return the number ``text`` as \num{...}, its exponent without leading zeros and without a plus.

    A plus that is typed is printed, which is meant for the signs of safety metrics and differences.
    """
    mantissa, mark, exponent = text.partition("e")
    return rf"\num{{{mantissa}{mark}{int(exponent) if exponent else ''}}}"


def fixed(value: float, digits: int = 3) -> str:
    r"""Return ``value`` with ``digits`` decimals, as \num{...}."""
    return number(f"{value:.{digits}f}")


def figures(value: float, digits: int = 3) -> str:
    r"""Return ``value`` to ``digits`` significant digits, as \num{...}."""
    return number(f"{value:.{digits}g}")


def count(value: int) -> str:
    r"""Return an integer as \num{...}."""
    return rf"\num{{{value:d}}}"


def percent(share: float, digits: int = 1) -> str:
    r"""Return a share as a percentage; only shares of exactly 0 or 1 print as 0 or 100.

    A share that would be rounded to 0 or 100 is printed as a bound, for example \(<0.1\,\%\).
    """
    value, least = 100.0 * share, 10.0**-digits
    if share in (0.0, 1.0):
        return rf"\SI{{{value:.0f}}}{{\percent}}"
    if value < 0.5 * least:
        return rf"\(<\SI{{{least:.{digits}f}}}{{\percent}}\)"
    if value > 100.0 - 0.5 * least:
        return rf"\(>\SI{{{100.0 - least:.{digits}f}}}{{\percent}}\)"
    return rf"\SI{{{value:.{digits}f}}}{{\percent}}"


def safety(value: float, digits: int = 4) -> str:
    r"""Return a safety metric with its sign and ``digits`` significant digits, as \num{...}; 0 only if it is 0."""
    if value == 0.0:
        return r"\num{0}"
    if not math.isfinite(value):
        return {"inf": r"\(+\infty\)", "-inf": r"\(-\infty\)"}.get(str(value), "not a number")
    return number(f"{value:+.{digits - 1}e}")


def setting(value: float) -> str:
    r"""Return a setting as it was typed, as \num{...}."""
    return number(f"{value:g}")


def spread(summary: Summary, digits: int = 3) -> str:
    """Return the range over seeds in brackets."""
    return rf"[{fixed(summary.low, digits)}, {fixed(summary.high, digits)}]"


def interval(value: Interval, digits: int = 2) -> str:
    """Return a confidence interval in brackets."""
    return rf"[{fixed(value.low, digits)}, {fixed(value.high, digits)}]"
