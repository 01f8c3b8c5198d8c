"""Sequential quadratic programming for the projection; DAQP's dual active-set method solves one dense QP a step.

The rows are convex, so their linearisation at any z contains Z, and no QP is infeasible.  With the exact Hessian of the
Lagrangian the iteration converges quadratically, mostly within ten QPs.  The caller measures whether it converged.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from scpo.arrays import LARGEST, Array, length_of
from scpo.projection.norm import Norm, Units
from scpo.projection.region import LocalSafeRegion

#: QPs that are solved at most.
STEPS = 25
#: The iteration ends when the residual of the KKT conditions, in scaled variables, is below this.
CONVERGED = 1e-13
#: In another norm it also ends when a step no longer halves a residual below this.
STALLED = 1e-9
#: In scaled variables no answer is as large; the iteration ran away, and squares would overflow soon.
ENDLESS = 1e50
#: Tolerance of each QP.
QP_TOLERANCE = 1e-12


@dataclass(frozen=True)
class Solution:
    """The point (n,) and the multipliers (k,) of the rows that a solver found.  Neither has been checked."""

    point: Array
    duals: Array


@dataclass(frozen=True)
class _Scaled:
    """The problem in units of its own size: lengths in ``longest``, forces in |target|, each row in its size.

    Its rows are chi(z) = offset + a^T z + e |z| + (L / 2) |z|^2, and one more row for |z| <= r if that can be active.
    """

    target: Array
    weight: float
    offset: Array
    slopes: Array
    bends: Array  # e and L, (k, 2)
    sizes: Array
    longest: float

    @classmethod
    def of(cls, region: LocalSafeRegion, target: Array, offset: Array, norm: Norm | None = None) -> _Scaled:
        """Return the problem with ``offset`` (k,) in place of kappa g."""
        units = Units.of(region, target, norm)
        longest = units.longest
        a, e, curvature = region.slopes, region.probe_error, region.smoothness * longest
        sizes = units.slope_sizes(region) + e + 0.5 * curvature
        sizes[sizes == 0] = 1.0
        unit = 1.0 / sizes
        a, e, curvature, offset = unit[:, None] * a, unit * e, unit * curvature, unit * offset / longest
        if units.limited(region, target):
            a = np.vstack([a, np.zeros(target.size)])
            e, curvature = np.append(e, 1.0), np.append(curvature, 0.0)
            offset = np.append(offset, -region.radius / longest)
        arrays = units.target, units.weight, offset, a, np.column_stack([e, curvature]), sizes, longest
        return cls(*arrays) if units.stretch is None else _Stretched(*arrays, units.stretch, units.ratio)

    def start(self, solution: Solution) -> tuple[Array, Array]:
        """Return another solver's point and multipliers in these units."""
        z = solution.point / self.longest
        multipliers = np.zeros(self.offset.size)
        multipliers[: self.sizes.size] = solution.duals * self.sizes * self.weight / self.longest
        if self.offset.size > self.sizes.size and z.any():  # the multiplier of |z| <= r is what the others leave over
            _, gradients = self.linearised(z)
            left = self.target - self.weight * z - multipliers @ gradients
            multipliers[-1] = max(0.0, float(left @ z) / length_of(z))
        return z, multipliers

    def solution(self, z: Array, multipliers: Array) -> Solution:
        """Return a point and multipliers in the units of the region; the multiplier of |z| <= r is left out."""
        duals = (self.longest / self.weight) * multipliers[: self.sizes.size] / self.sizes
        return Solution(self.longest * z, duals)

    def converged(self, residual: float, best: float) -> bool:
        """Return True if the iteration can stop; ``best`` is the least residual before this one."""
        return residual < CONVERGED

    def step(
        self, z: Array, multipliers: Array, objective: Array, values: Array, gradients: Array
    ) -> tuple[Array, Array] | None:
        """Return the step and the new multipliers of one QP; None when it could not be solved."""
        return _solve_qp(self.hessian(z, multipliers), objective, gradients, values)

    def within(self, z: Array) -> Array:
        """Return where the rows are linearised next: at z, or short of it."""
        return z

    def linearised(self, z: Array) -> tuple[Array, Array]:
        """Return the rows' values and gradients at z."""
        outward, length = self.outward(z)
        values = self.offset + self.slopes @ z + self.bends @ np.array([length, 0.5 * length**2])
        return values, self.slopes + self.bends @ np.stack([outward, z])

    def outward(self, z: Array) -> tuple[Array, float]:
        """Return z / |z| and |z|; at 0, where |z| has no gradient, the direction of the target is taken."""
        length = length_of(z)
        return (z / length if length > 0.0 else self.target), max(length, 1e-12)

    def hessian(self, z: Array, multipliers: Array) -> Array:
        """Return the Hessian of the Lagrangian at z, (n, n)."""
        outward, length = self.outward(z)
        error, curvature = multipliers @ self.bends
        bend = float(error) / length
        hessian = -bend * np.outer(outward, outward)
        hessian.flat[:: z.size + 1] += self.weight + float(curvature) + bend
        return hessian


@dataclass(frozen=True)
class _Stretched(_Scaled):
    """The problem in another norm: the objective of :class:`_Scaled` at x, and its rows at stretch * x."""

    stretch: Array  # (n,)
    ratio: float

    def start(self, solution: Solution) -> tuple[Array, Array]:
        """Return another solver's point and multipliers in these units."""
        return super().start(Solution(solution.point / self.stretch, solution.duals / self.ratio**2))

    def solution(self, z: Array, multipliers: Array) -> Solution:
        """Return a point and multipliers in the units of the region."""
        found = super().solution(z, multipliers)
        return Solution(self.stretch * found.point, self.ratio**2 * found.duals)

    def converged(self, residual: float, best: float) -> bool:
        """Return True if the iteration can stop: the residual is small, or rounding keeps it from falling further."""
        return residual < CONVERGED or 0.5 * best < residual < STALLED

    def step(
        self, z: Array, multipliers: Array, objective: Array, values: Array, gradients: Array
    ) -> tuple[Array, Array] | None:
        """Return the step and the new multipliers of one QP, in which the Hessian's diagonal and all rows have size 1.

        Otherwise a large error or curvature in directions in which H is small would make the QP ill-conditioned.
        """
        hessian = self.hessian(z, multipliers)
        columns = 1.0 / np.sqrt(hessian.diagonal())
        gradients = gradients * columns
        sizes = np.linalg.norm(gradients, axis=1)
        sizes[sizes == 0] = 1.0
        found = _solve_qp(
            hessian * np.outer(columns, columns), columns * objective, gradients / sizes[:, None], values / sizes
        )
        if found is None or found[1].max(initial=0.0) > LARGEST:
            return None
        return columns * found[0], found[1] / sizes

    def within(self, z: Array) -> Array:
        """Return z, shortened to the reach: if H is small z can lie far beyond, where linear rows say little."""
        length = length_of(self.stretch * z)
        return z / length if length > 1.0 else z

    def linearised(self, z: Array) -> tuple[Array, Array]:
        """Return the rows' values and gradients at z."""
        values, gradients = super().linearised(self.stretch * z)
        return values, gradients * self.stretch

    def hessian(self, z: Array, multipliers: Array) -> Array:
        """Return the Hessian of the Lagrangian at z, (n, n)."""
        bare = replace(self, weight=0.0)
        hessian = _Scaled.hessian(bare, self.stretch * z, multipliers) * np.outer(self.stretch, self.stretch)
        hessian.flat[:: z.size + 1] += self.weight
        return hessian


def solve(
    region: LocalSafeRegion,
    target: Array,
    offset: Array,
    start: Solution | None = None,
    norm: Norm | None = None,
) -> Solution | None:
    """Minimise |z - target|^2 / 2 subject to offset + a^T z + e |z| + (L / 2) |z|^2 <= 0 and |z| <= r.

    Args:
        region: gives a, e, L and r.
        target: (n,), not 0.
        offset: (k,), <= 0 up to rounding; it stands in place of kappa g.
        start: another solver's answer; otherwise the iteration starts from the target, shortened.
        norm: the norm of the objective, with a diagonal H; None: Euclidean.

    Returns:
        The best iterate, or None if no QP could be solved.
    """
    problem = _Scaled.of(region, target, offset, norm)
    z, multipliers = (
        (problem.within(problem.target), np.zeros(problem.offset.size)) if start is None else problem.start(start)
    )
    best, answer = np.inf, (z, multipliers)
    for _ in range(STEPS):
        if max(np.abs(z).max(), multipliers.max(initial=0.0)) > ENDLESS:
            break
        values, gradients = problem.linearised(z)
        objective = problem.weight * z - problem.target
        left = length_of(objective + multipliers @ gradients)
        residual = left + float(np.abs(np.minimum(multipliers, -values)).max(initial=0.0))
        done = problem.converged(residual, best)
        if residual < best:
            best, answer = residual, (z, multipliers)
        if done:
            break
        found = problem.step(z, multipliers, objective, values, gradients)
        if found is None:
            break
        z, multipliers = problem.within(z + found[0]), found[1]
    return problem.solution(*answer) if answer[1].any() else None


def _solve_qp(hessian: Array, objective: Array, gradients: Array, values: Array) -> tuple[Array, Array] | None:
    """Return x (n,) and multipliers of: minimise x^T hessian x / 2 + objective^T x under values + gradients x <= 0."""
    import daqp

    rows = values.size
    below, kinds = np.full(rows, -1e30), np.zeros(rows, dtype=np.int32)
    step, _, flag, found = daqp.solve(
        hessian, objective, gradients, -values, below, kinds, primal_tol=QP_TOLERANCE, dual_tol=QP_TOLERANCE
    )
    if flag != 1 or not np.isfinite(step).all():
        return None
    return step, np.maximum(found["lam"][:rows], 0.0)
