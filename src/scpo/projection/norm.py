"""The norm of a projection that is not Euclidean: |z|_H^2 = z^T H z with H symmetric and positive definite.

The safe region stays as it is: lengths |z| in its rows are Euclidean.  H alone decides which of its points is nearest.
Rotations keep Euclidean lengths, so H counts as diagonal in its own axes (docs/method.md, section 6).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from scpo.arrays import UNIT_ROUNDOFF, Array, length_of, real_array
from scpo.errors import ConfigurationError, ShapeError
from scpo.projection.region import LocalSafeRegion

#: The largest ratio of two entries of a diagonal metric.
LARGEST_RATIO = 1e16


@dataclass(frozen=True)
class Norm:
    """The norm |z|_H, where H / scale = V diag(roots^2) V^T.

    Attributes:
        roots: (n,), positive; the largest is 1.
        axes: V (n, n), orthogonal; None: the identity.
        scale: the largest eigenvalue of H.
    """

    roots: Array
    axes: Array | None
    scale: float

    @classmethod
    def build(cls, metric: ArrayLike, n: int) -> Norm:
        """Return the norm of a positive diagonal (n,) or of a symmetric positive definite matrix (n, n).

        Raises:
            ShapeError: the shape is neither, or the matrix is not symmetric.
            NonFiniteError: an entry is NaN, infinite or too large.
            ConfigurationError: H is not positive definite, or its rounding leaves this open.
        """
        given = real_array("metric", metric)
        if given.shape not in ((n,), (n, n)):
            raise ShapeError(f"metric: expected shape {(n,)} or {(n, n)}, got {given.shape}")
        axes: Array | None = None
        if given.ndim == 1:
            values, least = given, 1.0 / LARGEST_RATIO
        else:
            if not np.allclose(given, given.T, rtol=1e-9, atol=1e-9 * np.abs(given).max()):
                raise ShapeError("metric: expected a symmetric matrix")
            values, axes = np.linalg.eigh(0.5 * (given + given.T))
            least = n * UNIT_ROUNDOFF
        smallest, largest = float(values.min()), float(values.max())
        if not (smallest > 0 and smallest >= 0.99 * least * largest):
            raise ConfigurationError(
                f"metric: must be positive definite, its smallest value at least {least:.0e} of the largest; "
                f"they are {smallest:.3g} and {largest:.3g}"
            )
        return cls(np.sqrt(values / largest), axes, largest)

    @property
    def trivial(self) -> bool:
        """True if H is a multiple of the identity, up to rounding."""
        return bool((self.roots >= 1.0 - 4.0 * UNIT_ROUNDOFF * self.roots.size).all())

    def turned(self, z: Array) -> Array:
        """Return V^T z: a step or a force along the axes."""
        return z if self.axes is None else np.asarray(self.axes.T @ z)

    def image(self, z: Array) -> Array:
        """Return y (n,) with |y| = |z|_H and y^T y' = z^T H z'."""
        return self.roots * self.turned(z)

    def effect(self, force: Array) -> Array:
        """Return y (n,) with |y|^2 = force^T H^-1 force; so ``effect(H z)`` equals ``image(z)``."""
        return np.asarray(self.turned(force) / self.roots)

    def reach(self, region: LocalSafeRegion, target: Array) -> float:
        """Return a bound on |z*|: z* lies in the H-ball with the diameter from 0 to the target, and in Z."""
        pull = length_of(self.image(target))
        return region.longest(0.5 * length_of(target) + 0.5 * pull / float(self.roots.min()))

    def span(self, region: LocalSafeRegion, target: Array) -> float:
        """Return a bound on |z*|_H, by :meth:`reach` and by |z*|_H <= |target|_H."""
        return min(length_of(self.image(target)), self.reach(region, target))

    def furthest(self, region: LocalSafeRegion, target: Array) -> Array:
        """Return an upper bound on a_i^T z* for each row, shape (k,), by the same ball."""
        slopes = region.slopes if self.axes is None else region.slopes @ self.axes
        pulls = np.linalg.norm(slopes / self.roots, axis=1) * length_of(self.image(target))
        return np.asarray(0.5 * (region.slopes @ target + pulls))

    def along_axes(self, region: LocalSafeRegion, target: Array) -> tuple[Norm, LocalSafeRegion, Array]:
        """Return the norm, the region and the target in the coordinates in which H is diagonal."""
        if self.axes is None:
            return self, region, target
        return replace(self, axes=None), replace(region, slopes=region.slopes @ self.axes), self.turned(target)


@dataclass(frozen=True)
class Units:
    """The units in which the solvers work: variables x of size 1 with z = longest * stretch * x.

    The objective is weight |x|^2 / 2 - target^T x.

    Attributes:
        target: the target in these units (n,), of length 1.
        weight: the factor of |x|^2.
        longest: an upper bound on |z*|.
        force: the size of the multipliers of rows of size 1.
        ratio: a bound on |z*|_H over ``longest``; 1 in the Euclidean norm.
        stretch: (n,); None: ones.
    """

    target: Array
    weight: float
    longest: float
    force: float
    ratio: float = 1.0
    stretch: Array | None = None

    @classmethod
    def of(cls, region: LocalSafeRegion, target: Array, norm: Norm | None) -> Units:
        """Return the units of one projection, for a norm with a diagonal H."""
        if norm is None:
            longest, pull = region.reach(target), length_of(target)
            return cls(target / pull, longest / pull, longest, pull)
        image, longest = norm.image(target), norm.reach(region, target)
        pull = length_of(image)
        span = norm.span(region, target)
        ratio = span / longest
        return cls(image / pull, span / pull, longest, ratio * pull, ratio, ratio / norm.roots)

    def slope_sizes(self, region: LocalSafeRegion) -> Array:
        """Return how much a_i^T z can vary over the steps of size 1, in units of ``longest``, shape (k,)."""
        if self.stretch is None:
            return region.norms
        return np.asarray(np.minimum(region.norms, np.linalg.norm(region.slopes * self.stretch, axis=1)))

    def limited(self, region: LocalSafeRegion, target: Array) -> bool:
        """Return True if the limit |z| <= r can be active."""
        if self.stretch is None:
            return length_of(target) > region.radius
        return self.longest >= region.radius
