"""The local safe region Z: the steps that one set of probes proves to be safe.

Let theta be safe and let Q be an orthonormal basis, so that z stands for the parameters theta + Q z.  For |z| <= r each
constraint obeys the step bound

    g_i(theta + Q z) <= U_i(z) := g_i + a_i^T z + e_i |z| + (L_i / 2) |z|^2,

where the probed slope a_i has an error of at most e_i (docs/method.md, bound).  The region uses a share kappa of the
slack:

    Z = { z : |z| <= r,  U_i(z) <= (1 - kappa) g_i  for all i }.

Z is convex, and it contains 0 because g <= 0.  The inequalities are called the rows of Z.  No solver is used here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike

from scpo.arrays import LARGEST, UNIT_ROUNDOFF, Array, length_of, real_array
from scpo.errors import ConfigurationError, ShapeError, UnsafeStartError

#: How often the pull-back shortens a point that rounding keeps outside of Z, before it takes 0.
SHORTENINGS = 60
#: Two rows bound |z| if their errors exceed |a_i + a_j| by this share of |a_i| + |a_j|.  The bound is raised by
#: LOOSENED, so that no point of Z reaches it.
OPPOSED, LOOSENED = 1e-9, 1e-6


@dataclass(frozen=True)
class LocalSafeRegion:
    """The set Z of k constraints in n directions.  Use :meth:`build` to make one: it checks its arguments.

    Attributes:
        values: g_i(theta) <= 0, shape (k,).
        slopes: a_i, shape (k, n).
        smoothness: L_i >= 0, shape (k,).
        probe_error: e_i >= 0, shape (k,); 0 where the slopes are exact.
        radius: r > 0; it may be infinite.
        kappa: the share of the slack that a step may use, in (0, 1].
    """

    values: Array
    slopes: Array
    smoothness: Array
    probe_error: Array
    radius: float
    kappa: float

    @classmethod
    def build(
        cls,
        values: ArrayLike,
        slopes: ArrayLike,
        smoothness: ArrayLike,
        probe_error: ArrayLike = 0.0,
        radius: float = np.inf,
        kappa: float = 1.0,
    ) -> LocalSafeRegion:
        """Return the region of these arguments.  A scalar ``smoothness`` or ``probe_error`` applies to all constraints.

        Raises:
            ShapeError: the shapes do not fit together, or an argument is not an array of real numbers.
            NonFiniteError: an entry is NaN, infinite or larger than LARGEST.
            UnsafeStartError: a value is positive, so Z might not contain 0.
            ConfigurationError: a constant is negative, the radius is not positive, or kappa is outside (0, 1].
        """
        g, a = real_array("values", values), real_array("slopes", slopes)
        if g.ndim != 1:
            raise ShapeError(f"values: expected shape (k,), got {g.shape}")
        if a.ndim != 2 or a.shape[0] != g.size:
            raise ShapeError(f"slopes: expected shape (k, n) with k = {g.size}, got {a.shape}")
        curvature = _one_per_constraint("smoothness", smoothness, g.size)
        error = _one_per_constraint("probe_error", probe_error, g.size)
        for name, number in (("radius", radius), ("kappa", kappa)):
            if not isinstance(number, Real):
                raise ConfigurationError(f"{name}: expected a number, got {type(number).__name__}")
        if not radius >= 1 / LARGEST:
            raise ConfigurationError(f"radius: must be positive (at least {1 / LARGEST}), got {radius}")
        if not 0 < kappa <= 1:
            raise ConfigurationError(f"kappa: must lie in (0, 1], got {kappa}")
        if (g > 0).any():
            worst = int(g.argmax())
            raise UnsafeStartError(
                f"values[{worst}] = {g[worst]!r} > 0: the region is built around a safe point only; "
                "start from parameters with g <= 0"
            )
        return cls(g, a, curvature, error, float(radius), float(kappa))

    def bound(self, z: Array, values: Array | None = None) -> Array:
        """Return the step bound U(z), shape (k,); ``values`` (k,), if given, replace the region's g."""
        length = length_of(z)
        base = self.values if values is None else values
        return base + self.slopes @ z + self.probe_error * length + 0.5 * self.smoothness * length**2

    def rows(self, z: Array) -> Array:
        """Return U(z) - (1 - kappa) g, shape (k,).  The step z lies in Z if all of them are <= 0 and |z| <= r."""
        length = length_of(z)
        return (
            self.kappa * self.values + self.slopes @ z + self.probe_error * length + 0.5 * self.smoothness * length**2
        )

    def contains(self, z: Array) -> bool:
        """Return True if z certainly lies in Z: the rounding errors of this evaluation are added to each row."""
        length = length_of(z) * (1 + self.roundoff)
        magnitude = (
            -self.kappa * self.values
            + np.abs(self.slopes) @ np.abs(z)
            + self.probe_error * length
            + 0.5 * self.smoothness * length**2
        )
        return length <= self.radius and bool((self.rows(z) + self.roundoff * magnitude <= 0).all())

    def pull_back(self, z: Array, target: Array, image: Callable[[Array], Array] = np.asarray) -> Array:
        """Return z shrunk towards 0 until it certainly lies in Z and |z|^2 <= z^T target (the descent inequality).

        Each row is a quadratic in the shrinking factor, so the largest allowed factor has a closed form.  Z is convex
        and contains 0, so a point of Z stays in Z when it is shrunk.  With a linear ``image`` the descent inequality
        is that of the images: |image(z)|^2 <= image(z)^T image(target).
        """
        imaged = image(target)

        def descends(candidate: Array) -> bool:
            seen = image(candidate)
            return bool(seen @ seen <= seen @ imaged)

        if self.contains(z) and descends(z):
            return z.copy()
        length = length_of(z)
        if length == 0.0:
            return np.zeros_like(z)
        seen = image(z)
        descent = float(seen @ imaged) / length_of(seen) ** 2
        factor = min(1.0, self.radius / length, self.largest_factor(z), max(descent, 0.0))
        for attempt in range(SHORTENINGS):
            candidate = factor * z
            if self.contains(candidate) and descends(candidate):
                return np.asarray(candidate)
            factor *= 1.0 - UNIT_ROUNDOFF * 2.0 ** min(attempt, 51)
        return np.zeros_like(z)

    def largest_factor(self, z: Array) -> float:
        """Return the largest alpha >= 0 for which all rows hold at alpha z, up to rounding; inf if there is none.

        Row i is a quadratic in alpha, at most 0 at alpha = 0.  Of the two formulas for its root the one without
        cancellation is used.
        """
        length = length_of(z)
        slack = -self.kappa * self.values
        linear = self.slopes @ z + self.probe_error * length
        quadratic = 0.5 * self.smoothness * length**2
        root = np.sqrt(linear**2 + 4 * quadratic * slack)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            limits = np.where(linear > 0, 2 * slack / (linear + root), (root - linear) / (2 * quadratic))
        limits[(linear <= 0) & (quadratic == 0)] = np.inf
        return float(limits.min(initial=np.inf))

    def reach(self, target: Array) -> float:
        """Return an upper bound on |z*| for the projection z* of ``target`` onto Z; it is at most |target|."""
        return self.longest(length_of(target))

    def longest(self, limit: float) -> float:
        """Return a bound on |z| for the points of Z with |z| <= ``limit``."""
        return min(limit, self.radius, self._longest_in_rows)

    @cached_property
    def _longest_in_rows(self) -> float:
        """The longest step that the rows leave.

        Row i requires kappa g_i - (|a_i| - e_i) |z| + (L_i / 2) |z|^2 <= 0, which bounds |z| by the larger root.
        """
        fall = np.maximum(self.norms - self.probe_error, 0.0)
        root = np.sqrt(fall**2 - 2.0 * self.smoothness * self.kappa * self.values)
        curved = self.smoothness > 0
        with np.errstate(over="ignore"):  # a curvature of almost 0 gives no limit
            limits = (fall + root)[curved] / self.smoothness[curved]
        return float(limits.min(initial=np.inf))

    def longest_by_pairs(self) -> float:
        """Return a bound on |z| for the points of Z, from the sum of each two rows; inf if no sum gives one.

        It requires (e_i + e_j - |a_i + a_j|) |z| <= -kappa (g_i + g_j), for any L >= 0.  Opposite rows may leave far
        less than each of them does alone.  It takes O(k^2 n).
        """
        least, slack, squares = np.inf, -self.kappa * self.values, self.norms**2
        for i in np.flatnonzero(self.probe_error):
            sizes, errors = squares + squares[i], self.probe_error + self.probe_error[i]
            sums = sizes + 2.0 * (self.slopes @ self.slopes[i])  # |a_i + a_j|^2, which rounding hides at opposite rows
            near = np.flatnonzero(sums < errors**2 + 4.0 * self.roundoff * sizes)
            together = np.linalg.norm(self.slopes[near] + self.slopes[i], axis=1)
            left = errors[near] - together - self.roundoff * (errors[near] + together)
            seen = left > OPPOSED * (self.norms[near] + self.norms[i])
            with np.errstate(over="ignore"):  # an error of almost 0 gives no limit
                least = min(least, float(((slack[near] + slack[i])[seen] / left[seen]).min(initial=np.inf)))
        return (1.0 + LOOSENED) * least

    def sizes(self, length: float) -> Array:
        """Return how much each row can vary over steps of this length, shape (k,): the unit of its tolerances."""
        return np.asarray((self.norms + self.probe_error + 0.5 * self.smoothness * length) * length)

    def of_rows(self, chosen: np.ndarray) -> LocalSafeRegion:
        """Return the region that has the chosen rows only; ``chosen`` holds their numbers."""
        return replace(
            self,
            values=self.values[chosen],
            slopes=self.slopes[chosen],
            smoothness=self.smoothness[chosen],
            probe_error=self.probe_error[chosen],
        )

    @cached_property
    def norms(self) -> Array:
        """Lengths |a_i| of the slopes, shape (k,)."""
        return np.asarray(np.linalg.norm(self.slopes, axis=1))

    @property
    def roundoff(self) -> float:
        """Bound on the relative rounding error of the sums in :meth:`rows`."""
        return float(self.slopes.shape[1] + 8) * UNIT_ROUNDOFF


def _one_per_constraint(name: str, argument: ArrayLike, count: int) -> Array:
    """Return a scalar or (count,) argument as an array (count,); negative numbers are refused."""
    array = real_array(name, argument)
    if array.shape not in ((), (count,)):
        raise ShapeError(f"{name}: expected a scalar or shape {(count,)}, got {array.shape}")
    if (array < 0).any():
        raise ConfigurationError(f"{name}: must not be negative, got {array.min()}")
    return np.broadcast_to(array, (count,))
