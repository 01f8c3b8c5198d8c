"""Sequential quadratic programming for the projection; DAQP's dual active-set method solves one dense QP a step.

The rows are convex, so their linearisation at any z contains S, and no QP is infeasible.  With the exact Hessian of the
Lagrangian the iteration converges quadratically, mostly within ten QPs.  Whether it did is for the caller to measure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scpo.arrays import Array, length_of
from scpo.projection.region import LocalSafeRegion

#: QPs that are solved at most.
STEPS = 25
#: The iteration ends when the residual of the KKT conditions, in scaled variables, is below this.
CONVERGED = 1e-13
#: Tolerance of each QP.
QP_TOLERANCE = 1e-12


@dataclass(frozen=True)
class Solution:
    """What a solver found: a point (n,) and multipliers (k,) of the rows.  Neither has been checked."""

    point: Array
    duals: Array


@dataclass(frozen=True)
class _Scaled:
    """The problem in units: lengths in ``longest``, forces in |target|, each row in its size.

    It has the rows c(z) = offset + a^T z + e |z| + (L / 2) |z|^2, and |z| <= r as one more where r can matter.
    """

    goal: Array
    weight: float
    offset: Array
    slopes: Array
    bends: Array  # e and L, (k, 2)
    sizes: Array
    longest: float

    @classmethod
    def of(cls, region: LocalSafeRegion, target: Array, offset: Array) -> _Scaled:
        """Return the problem with ``offset`` (k,) in place of kappa g."""
        longest, pull = region.reach(target), length_of(target)
        a, e, curvature = region.slopes, region.probe_error, region.smoothness * longest
        sizes = region.norms + e + 0.5 * curvature
        sizes[sizes == 0] = 1.0
        unit = 1.0 / sizes
        a, e, curvature, offset = unit[:, None] * a, unit * e, unit * curvature, unit * offset / longest
        if pull > region.radius:
            a = np.vstack([a, np.zeros(target.size)])
            e, curvature = np.append(e, 1.0), np.append(curvature, 0.0)
            offset = np.append(offset, -region.radius / longest)
        return cls(target / pull, longest / pull, offset, a, np.column_stack([e, curvature]), sizes, longest)

    def start(self, solution: Solution) -> tuple[Array, Array]:
        """Return another solver's point and multipliers in these units."""
        z = solution.point / self.longest
        multipliers = np.zeros(self.offset.size)
        multipliers[: self.sizes.size] = solution.duals * self.sizes * self.weight / self.longest
        if self.offset.size > self.sizes.size and z.any():  # the multiplier of |z| <= r is what the others leave over
            _, gradients = self.linearised(z)
            left = self.goal - self.weight * z - multipliers @ gradients
            multipliers[-1] = max(0.0, float(left @ z) / length_of(z))
        return z, multipliers

    def solution(self, z: Array, multipliers: Array) -> Solution:
        """Return a point and multipliers in the units of the region; the multiplier of |z| <= r is left out."""
        duals = (self.longest / self.weight) * multipliers[: self.sizes.size] / self.sizes
        return Solution(self.longest * z, duals)

    def linearised(self, z: Array) -> tuple[Array, Array]:
        """Return the rows' values and gradients at z."""
        outward, length = self.outward(z)
        values = self.offset + self.slopes @ z + self.bends @ np.array([length, 0.5 * length**2])
        return values, self.slopes + self.bends @ np.stack([outward, z])

    def outward(self, z: Array) -> tuple[Array, float]:
        """Return z / |z| and |z|; at 0, where |z| has no gradient, the direction of the target is taken."""
        length = length_of(z)
        return (z / length if length > 0.0 else self.goal), max(length, 1e-12)

    def hessian(self, z: Array, multipliers: Array) -> Array:
        """Return the Hessian of the Lagrangian at z, (n, n)."""
        outward, length = self.outward(z)
        error, curvature = multipliers @ self.bends
        bend = float(error) / length
        hessian = -bend * np.outer(outward, outward)
        hessian.flat[:: z.size + 1] += self.weight + float(curvature) + bend
        return hessian


def solve(region: LocalSafeRegion, target: Array, offset: Array, start: Solution | None = None) -> Solution | None:
    """Minimise |z - target|^2 / 2 subject to offset + a^T z + e |z| + (L / 2) |z|^2 <= 0 and |z| <= r.

    Args:
        region: gives a, e, L and r.
        target: (n,), not 0.
        offset: (k,), <= 0 up to rounding; it stands in place of kappa g.
        start: another solver's answer; otherwise the iteration starts from the target, shortened.

    Returns:
        The best iterate, or None when no QP could be solved.
    """
    import daqp

    problem = _Scaled.of(region, target, offset)
    rows = problem.offset.size
    below, kinds = np.full(rows, -1e30), np.zeros(rows, dtype=np.int32)
    z, multipliers = (problem.goal, np.zeros(rows)) if start is None else problem.start(start)
    best, answer = np.inf, (z, multipliers)
    for _ in range(STEPS):
        values, gradients = problem.linearised(z)
        objective = problem.weight * z - problem.goal
        left = length_of(objective + multipliers @ gradients)
        residual = left + float(np.abs(np.minimum(multipliers, -values)).max(initial=0.0))
        if residual < best:
            best, answer = residual, (z, multipliers)
        if residual < CONVERGED:
            break
        step, _, flag, found = daqp.solve(
            problem.hessian(z, multipliers), objective, gradients, -values, below, kinds,
            primal_tol=QP_TOLERANCE, dual_tol=QP_TOLERANCE,
        )  # fmt: skip
        if flag != 1 or not np.isfinite(step).all():
            break
        z, multipliers = z + step, np.maximum(found["lam"][:rows], 0.0)
    return problem.solution(*answer) if answer[1].any() else None
