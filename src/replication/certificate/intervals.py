"""Interval arithmetic on arrays, rounded outwards.

An :class:`Interval` stands, entry by entry, for all reals between ``lo`` and ``hi``.  Every operation returns an
interval that contains the exact result for all reals in its operands.

The enclosures rest on these assumptions, which can be checked:

1. ``+``, ``-`` and ``*`` of float64 arrays are rounded to nearest (IEEE 754).  The exact result then is within one
   unit in the last place of the computed one, and :func:`up` and :func:`down` move by at least that much.  If a result
   underflows the error is far below TINY, even if subnormal numbers are flushed to zero, while no operand exceeds 2^60.
2. A matrix product sums the k products of each entry in any order, with or without fused multiply-adds (so not
   Strassen's scheme).  Then |fl(x w) - x w| <= gamma_k |x| |w|, gamma_k = k u / (1 - k u), u = 2^-53 (Higham,
   Accuracy and Stability of Numerical Algorithms, 2nd ed., eq. 3.5), plus at most 2 k TINY if a term underflows.
3. ``numpy.tanh`` errs by at most :data:`TANH_ULPS` units in the last place (NumPy documents fewer than 4 for its
   vector kernels; the tests compare with 60 digits).

A computation that overflows ends in NaN or infinity, never in a wrong finite bound.  Comparisons with NaN are false, so
in all tests of this package false means "not proven".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from scpo.arrays import Array
from scpo.errors import ShapeError

EPS = 2.0**-52
"""Spacing of float64 at 1: twice the unit roundoff u."""
TINY = 2.0**-960
"""Bound on every error from underflow: 2^62 times the smallest normal float64."""
TANH_ULPS = 8.0
"""Assumed bound on the error of ``numpy.tanh``, in units in the last place."""


def up(value: Array) -> Array:
    """Return a float64 above every real that rounds to ``value``.

    |value| EPS is at least one unit in the last place of ``value`` (2^e <= |value| < 2^(e+1) has ulp 2^e EPS), the
    product is exact unless it underflows, where TINY takes over; rounding is monotone, so the sum is at least the
    next float64.  ``numpy.nextafter`` would do the same ten times slower.
    """
    return value + (np.abs(value) * EPS + TINY)


def down(value: Array) -> Array:
    """Return a float64 below every real that rounds to ``value`` (see :func:`up`)."""
    return value - (np.abs(value) * EPS + TINY)


@dataclass(frozen=True, slots=True)
class Interval:
    """Entrywise intervals [lo, hi]; both arrays have the same shape."""

    lo: Array
    hi: Array

    def __add__(self, other: Interval) -> Interval:
        """Return the enclosure of the sum."""
        return Interval(down(self.lo + other.lo), up(self.hi + other.hi))

    def __sub__(self, other: Interval) -> Interval:
        """Return the enclosure of the difference."""
        return Interval(down(self.lo - other.hi), up(self.hi - other.lo))

    def __mul__(self, other: Interval) -> Interval:
        """Return the enclosure of the entrywise product; its extremes are among the four products of the ends."""
        ends = (self.lo * other.lo, self.lo * other.hi, self.hi * other.lo, self.hi * other.hi)
        lo = np.minimum(np.minimum(ends[0], ends[1]), np.minimum(ends[2], ends[3]))
        hi = np.maximum(np.maximum(ends[0], ends[1]), np.maximum(ends[2], ends[3]))
        return Interval(down(lo), up(hi))

    def __neg__(self) -> Interval:
        """Return the negative, which is exact."""
        return Interval(-self.hi, -self.lo)

    def __getitem__(self, index: Any) -> Interval:
        """Return the entries at ``index``, as NumPy indexes."""
        return Interval(self.lo[index], self.hi[index])

    def magnitude(self) -> Array:
        """Return the largest absolute value of each entry, which is exact."""
        return np.maximum(np.abs(self.lo), np.abs(self.hi))

    def meet(self, other: Interval) -> Interval:
        """Return the intersection; both operands must enclose the same number, so it is not empty."""
        return Interval(np.maximum(self.lo, other.lo), np.minimum(self.hi, other.hi))


def point(value: Array) -> Interval:
    """Return the interval that contains ``value`` alone."""
    return Interval(value, value)


def ball(radius: Array) -> Interval:
    """Return [-radius, radius]."""
    return Interval(-radius, radius)


def centre(x: Interval) -> tuple[Array, Array]:
    """Return (c, r) with |x - c| <= r for all x in the interval; c is near the middle."""
    middle = 0.5 * (x.lo + x.hi)
    return middle, up(np.maximum(x.hi - middle, middle - x.lo))


def matmul(x: Interval, matrix: Array) -> Interval:
    """Return the enclosure of ``x @ matrix`` for an interval x (..., k) and a point matrix (k, p).

    With |x - c| <= r, x W = c W + d and |d| <= r |W|.  The computed c W errs by gamma_k |c| |W| + 2 k TINY, so
    |x W - fl(c W)| <= s |W| + 2 k TINY with s = r + gamma_k |c|.  The computed s |W| is low by at most the relative
    gamma_k, and again 2 k TINY.  ``slack`` = (k + 2) EPS is more than twice gamma_k and absorbs the rounding of the
    few products below; the absolute term is doubled for the same reason.

    Raises:
        ShapeError: the shapes do not fit.
    """
    if x.lo.shape[-1] != matrix.shape[0]:
        raise ShapeError(f"matmul: interval {x.lo.shape} and matrix {matrix.shape} do not fit")
    size = matrix.shape[0]
    slack = (size + 2) * EPS
    middle, radius = centre(x)
    product = middle @ matrix
    spread = up(radius + slack * np.abs(middle)) @ np.abs(matrix)
    spread = up(spread + (slack * spread + (8 * size + 8) * TINY))
    return Interval(down(product - spread), up(product + spread))


def tanh(x: Interval) -> Interval:
    """Return the enclosure of tanh within [-1, 1]: its values at the ends (it is monotone), widened by 2 TANH_ULPS."""
    lo, hi = np.tanh(x.lo), np.tanh(x.hi)
    widening = 2.0 * TANH_ULPS * EPS
    lo = lo - (np.abs(lo) * widening + TINY)
    hi = hi + (np.abs(hi) * widening + TINY)
    return Interval(np.maximum(lo, -1.0), np.minimum(hi, 1.0))


def tanh_slope(value: Interval) -> Interval:
    """Return the enclosure of tanh' = 1 - t^2 for t = tanh(x) in ``value``, within [0, 1]."""
    low, high = np.abs(value.lo), np.abs(value.hi)
    largest = np.maximum(low, high)
    smallest = np.where((value.lo <= 0.0) & (value.hi >= 0.0), 0.0, np.minimum(low, high))
    lo = down(1.0 - up(largest * largest))
    hi = up(1.0 - down(smallest * smallest))
    return Interval(np.maximum(lo, 0.0), np.minimum(hi, 1.0))


def scale(x: Interval, factor: Interval) -> Interval:
    """Return the enclosure of x * factor for a factor that is not negative; faster than a general product."""
    lo = np.minimum(x.lo * factor.lo, x.lo * factor.hi)
    hi = np.maximum(x.hi * factor.lo, x.hi * factor.hi)
    return Interval(down(lo), up(hi))


def spread(slopes: Interval, radius: Array) -> Interval:
    """Return the enclosure of sum_j slopes[..., j, :] d_j over |d_j| <= radius[..., j].

    Each term lies in +-|slopes|_max radius_j.  The sum is rounded upwards after each term.

    Args:
        slopes: (..., n, p).
        radius: (..., n), not negative.
    """
    magnitude = slopes.magnitude()
    total = up(magnitude[..., 0, :] * radius[..., 0, None])
    for axis in range(1, magnitude.shape[-2]):
        total = up(total + up(magnitude[..., axis, :] * radius[..., axis, None]))
    return ball(total)
