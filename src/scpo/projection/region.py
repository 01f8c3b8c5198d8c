"""The local safe region S: what one set of probes proves about nearby parameters.

Around a safe theta, in coordinates z of an orthonormal basis Q (theta + Q z), each metric obeys, for |z| <= r,

    g_i(theta + Q z) <= u_i(z) := g_i + a_i^T z + e_i |z| + (L_i / 2) |z|^2,

with probed slopes a_i whose error is at most e_i (docs/method.md, bound).  The region keeps a share of the slack:

    S = { z : |z| <= r,  u_i(z) <= (1 - kappa) g_i  for all i }.

S is convex and holds 0 whenever g <= 0.  This module knows nothing of solvers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike

from scpo.arrays import LARGEST, UNIT_ROUNDOFF, Array, length_of, real_array
from scpo.errors import ConfigurationError, ShapeError, UnsafeStartError


@dataclass(frozen=True)
class LocalSafeRegion:
    """The set S in z, for k metrics and n directions.  Build it with :meth:`build`, which checks its input.

    Attributes:
        values: g_i(theta) <= 0, shape (k,).
        slopes: a_i, shape (k, n).
        smoothness: L_i >= 0, shape (k,).
        probe_error: e_i >= 0, shape (k,); 0 where slopes are exact.
        radius: r > 0, may be infinite.
        kappa: share of the slack that may be used, in (0, 1].
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
        """Check and convert the arguments (scalars are spread over the k metrics).

        Raises:
            ShapeError: shapes do not fit together, or not real numbers.
            NonFiniteError: an entry is NaN, infinite or beyond LARGEST.
            UnsafeStartError: a value is positive, so that S need not hold 0.
            ConfigurationError: a negative constant, a radius <= 0, or kappa outside (0, 1].
        """
        g, a = real_array("values", values), real_array("slopes", slopes)
        if g.ndim != 1:
            raise ShapeError(f"values: expected shape (k,), got {g.shape}")
        if a.ndim != 2 or a.shape[0] != g.size:
            raise ShapeError(f"slopes: expected shape (k, n) with k = {g.size}, got {a.shape}")
        spread = []
        for name, argument in (("smoothness", smoothness), ("probe_error", probe_error)):
            array = real_array(name, argument)
            if array.shape not in ((), g.shape):
                raise ShapeError(f"{name}: expected a scalar or shape {g.shape}, got {array.shape}")
            spread.append(np.broadcast_to(array, g.shape))
        for name, array in (("smoothness", spread[0]), ("probe_error", spread[1])):
            if (array < 0).any():
                raise ConfigurationError(f"{name}: must not be negative, got {array.min()}")
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
        return cls(g, a, spread[0], spread[1], float(radius), float(kappa))

    def bound(self, z: Array) -> Array:
        """Return u(z), shape (k,)."""
        length = length_of(z)
        return self.values + self.slopes @ z + self.probe_error * length + 0.5 * self.smoothness * length**2

    def rows(self, z: Array) -> Array:
        """Return u(z) - (1 - kappa) g, shape (k,); z lies in S when all are <= 0 and |z| <= r."""
        length = length_of(z)
        return (
            self.kappa * self.values + self.slopes @ z + self.probe_error * length + 0.5 * self.smoothness * length**2
        )

    def contains(self, z: Array) -> bool:
        """Tell whether z lies in S for certain, the rounding of this very evaluation included."""
        length = length_of(z) * (1 + self.roundoff)
        magnitude = (
            -self.kappa * self.values
            + np.abs(self.slopes) @ np.abs(z)
            + self.probe_error * length
            + 0.5 * self.smoothness * length**2
        )
        return length <= self.radius and bool((self.rows(z) + self.roundoff * magnitude <= 0).all())

    def pull_back(self, z: Array, target: Array) -> Array:
        """Shrink z towards 0 until it certainly lies in S and |z|^2 <= z^T target (the descent inequality).

        Each row is a quadratic in the factor, so the largest factor has a closed form.  S is convex and holds 0,
        hence a shrunk point stays inside.
        """
        if self.contains(z) and z @ z <= z @ target:
            return z.copy()
        length = length_of(z)
        if length == 0.0:
            return np.zeros_like(z)
        slack = -self.kappa * self.values
        linear = self.slopes @ z + self.probe_error * length
        quadratic = 0.5 * self.smoothness * length**2
        # largest alpha with quadratic alpha^2 + linear alpha <= slack, each branch in its form without cancellation
        root = np.sqrt(linear**2 + 4 * quadratic * slack)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            limits = np.where(linear > 0, 2 * slack / (linear + root), (root - linear) / (2 * quadratic))
        limits[(linear <= 0) & (quadratic == 0)] = np.inf
        factor = min(1.0, self.radius / length, float(limits.min(initial=np.inf)))
        descent = float(z @ target) / length**2
        factor = min(factor, max(descent, 0.0))
        for halvings in range(60):
            candidate = factor * z
            if self.contains(candidate) and candidate @ candidate <= candidate @ target:
                return np.asarray(candidate)
            factor *= 1.0 - UNIT_ROUNDOFF * 2.0 ** min(halvings, 51)
        return np.zeros_like(z)

    @cached_property
    def norms(self) -> Array:
        """Lengths |a_i| of the slopes, shape (k,)."""
        return np.asarray(np.linalg.norm(self.slopes, axis=1))

    @property
    def roundoff(self) -> float:
        """Relative error bound of the sums in :meth:`rows` (n products and a handful of further operations)."""
        return float(self.slopes.shape[1] + 8) * UNIT_ROUNDOFF
