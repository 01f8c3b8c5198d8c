"""The projection of a step onto the local safe region: a solver proposes the answer, and this module checks it.

    z* = argmin { |z - target|^2 : z in Z }          (docs/method.md, section 6)

in the Euclidean norm, or in another one that a metric H gives: |z|_H^2 = z^T H z.

No solver is trusted.  Its point is pulled back into Z exactly, and it is accepted if one of two checks passes: the
relative residual of the KKT conditions is small, or the point is hardly farther from the target than a proven lower
bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from scpo.arrays import LARGEST, Array, length_of, real_array
from scpo.errors import ConfigurationError, ShapeError, SolverError
from scpo.projection.norm import Norm
from scpo.projection.optimality import distance_gap, dual_distance, kkt_residual
from scpo.projection.region import LocalSafeRegion
from scpo.projection.solvers import BACKENDS, duals_at_origin
from scpo.projection.sqp import Solution

KKT_TOLERANCE = 1e-7
#: a target that exceeds r by so small a share is shortened to r in every norm: the answer is within the tolerances
HARDLY = 1e-9
GAP_TOLERANCE = 1e-6
#: The rows are tightened by these shares of their size, one after the other, so that a solver's inexact point lies
#: in Z.  Shrinking it towards 0 costs much where the slack is small, and everything where it is 0 (the descent row).
TIGHTENINGS = (1e-9, 0.0)
#: Where the answer is short against the size of its rows 1e-9 is too much, and 0 is too little if a row has no slack.
FINER = (1e-12, 1e-14)
#: In a norm with very unlike directions that is the rule.
IN_A_NORM = (1e-9, *FINER, 0.0)


@dataclass(frozen=True)
class Projection:
    """The projected point and what is known about it.

    Attributes:
        point: z*, shape (n,); it certainly lies in Z.
        status: "inside" (the target lies in Z), "projected", or "pinned" (0 is the only point that certainly lies
            in Z).
        active: True for the constraints whose rows hold with equality, up to 1e-6 of their size; shape (k,).
        duals: multipliers of the rows for the objective |z - target|^2 / 2 in the norm of the projection, shape (k,).
        backend: the solver: "none" (none was necessary), "sqp" or "clarabel".
        kkt_residual: relative residual of the KKT conditions at the point.
        gap: |z* - target| minus its proven lower bound, relative to the longest step that Z may hold, in the norm of
            the projection.
        retries: the backends that missed the tolerances before this one.
    """

    point: Array
    status: str
    active: np.ndarray
    duals: Array
    backend: str
    kkt_residual: float = 0.0
    gap: float = 0.0
    retries: tuple[str, ...] = ()


def project(
    target: ArrayLike,
    values: ArrayLike,
    slopes: ArrayLike,
    smoothness: ArrayLike,
    *,
    probe_error: ArrayLike = 0.0,
    radius: float = np.inf,
    kappa: float = 1.0,
    metric: ArrayLike | None = None,
    backend: str = "auto",
) -> Projection:
    """Project ``target`` onto Z = { z : |z| <= radius, U_i(z) <= (1 - kappa) values_i }.

    Here U_i(z) = values_i + slopes_i^T z + probe_error_i |z| + (smoothness_i / 2) |z|^2.

    Args:
        target: the nominal step in the coordinates z, shape (n,).
        values: g_i(theta) <= 0, shape (k,).
        slopes: a_i, shape (k, n).
        smoothness: L_i >= 0, a scalar or shape (k,).
        probe_error: e_i >= 0, a scalar or shape (k,); 0.0 for exact slopes.
        radius: r > 0.
        kappa: the share of the slack that the step may use, in (0, 1].
        metric: H in the objective (z - target)^T H (z - target), as a positive diagonal (n,) or a symmetric positive
            definite matrix (n, n); None: the identity.  Z does not depend on it.
        backend: the solver that is tried first: "sqp" (dense QPs in sequence, by DAQP) or "clarabel" (an interior-point
            method whose answer the SQP refines).  If it misses the tolerances the other one is tried.  "auto" is "sqp".

    Returns:
        A :class:`Projection`.

    Raises:
        ShapeError, NonFiniteError, ConfigurationError, UnsafeStartError: an argument cannot be used.
        SolverError: no backend reached the tolerances; its ``best`` is the nearest point that was found.

    Example:
        >>> import numpy as np
        >>> # one constraint with slack 1 and slope (1, 0): the step may go to 1 along the first axis
        >>> project([2.0, 1.0], [-1.0], [[1.0, 0.0]], 0.0).point.round(6).tolist()
        [1.0, 1.0]
    """
    region = LocalSafeRegion.build(values, slopes, smoothness, probe_error, radius, kappa)
    t = real_array("target", target)
    if t.shape != (region.slopes.shape[1],):
        raise ShapeError(f"target: expected shape ({region.slopes.shape[1]},), got {t.shape}")
    return project_onto(region, t, metric=metric, backend=backend)


def project_onto(
    region: LocalSafeRegion, target: Array, *, metric: ArrayLike | None = None, backend: str = "auto"
) -> Projection:
    """Project ``target`` (n,) onto a region that has been built; see :func:`project`."""
    if backend not in ("auto", *BACKENDS):
        raise ConfigurationError(f"backend: no {backend!r}; there are auto, {', '.join(BACKENDS)}")
    names = list(BACKENDS) if backend == "auto" else sorted(BACKENDS, key=lambda name: name != backend)
    if metric is None:
        return _without_a_solver(region, target, None) or _Search(region, target).run(names)
    norm = Norm.build(metric, target.size)
    used = None if norm.trivial else norm
    try:
        found = _without_a_solver(region, target, used) or _Search(region, target, used).run(names)
    except SolverError as error:
        if error.best is not None:
            error.best = replace(error.best, duals=norm.scale * error.best.duals)
        raise
    return replace(found, duals=norm.scale * found.duals)


def _without_a_solver(region: LocalSafeRegion, target: Array, norm: Norm | None) -> Projection | None:
    """Return the projection if it is known without a solver, otherwise None."""
    k = region.values.size
    if region.contains(target):
        return Projection(target.copy(), "inside", np.zeros(k, bool), np.zeros(k), "none")
    if region.reach(target) == 0.0 or _only_origin(region):
        return Projection(np.zeros_like(target), "pinned", region.values == 0, np.zeros(k), "none")
    overshoot = length_of(target) / region.radius
    if overshoot > 1.0 and (norm is None or overshoot <= 1.0 + HARDLY):
        capped = region.radius * (1 - 4 * region.roundoff) / length_of(target) * target
        if region.contains(capped):
            return Projection(capped, "projected", np.zeros(k, bool), np.zeros(k), "none")
    return None


def _only_origin(region: LocalSafeRegion) -> bool:
    """Return True if a row has no slack and, up to rounding, a slope that does not exceed its error.

    Such a row is positive at every step except 0, or rounding leaves this open.
    """
    sized = region.norms + region.probe_error > 0
    flat = region.probe_error >= region.norms * (1 - region.roundoff)
    return bool((sized & (region.values == 0) & flat).any())


def _may_be_active(region: LocalSafeRegion, target: Array, norm: Norm | None = None) -> np.ndarray:
    """Return True for each row that may be active, shape (k,).  The others provably change nothing.

    |z*|^2 <= z*^T target, so z* lies in the ball with the diameter from 0 to the target; and |z*| <= reach.  A row that
    is negative on all of this is negative around z*.  Without it z* remains a local solution, hence the global one.
    """
    scale, norms = length_of(target), region.norms
    if norm is None:
        reach, ball = region.reach(target), 0.5 * (region.slopes @ target + norms * scale)
    else:
        reach, ball = norm.reach(region, target), norm.furthest(region, target)
    highest = (
        region.kappa * region.values
        + np.minimum(ball, norms * reach)
        + region.probe_error * reach
        + 0.5 * region.smoothness * reach**2
    )
    return np.asarray(highest >= -1e-9 * (norms * scale + np.abs(region.kappa * region.values)))


class _Search:
    """One projection that needs a solver, with the best answer so far.

    Its point and its multipliers need not come from the same try: ``nearest`` is the feasible point that is nearest to
    the target, and ``proof`` holds the multipliers that prove the largest lower bound on the distance.  ``answered`` is
    True if a backend has proposed any point.
    """

    def __init__(self, region: LocalSafeRegion, target: Array, norm: Norm | None = None) -> None:
        self.region, self.target, self.norm = region, target, norm
        self.longest = region.reach(target) if norm is None else norm.reach(region, target)
        self.span = self.longest if norm is None else norm.span(region, target)
        self.sizes = region.sizes(self.longest)
        self.kept = np.flatnonzero(_may_be_active(region, target, norm))
        kept, self.diagonal = region.of_rows(self.kept), norm
        if norm is None:
            self.reduced, self.reduced_target, self.basis = _in_span(kept, target)
        else:
            self.diagonal, self.reduced, self.reduced_target = norm.along_axes(kept, target)
            self.basis = norm.axes
        self.nearest = np.zeros_like(target)
        self.proof = np.zeros(region.values.size)
        self.answered = False

    def run(self, names: list[str]) -> Projection:
        """Return the first answer of the backends, tried in turn, that is accepted."""
        failures = []
        for number, name in enumerate(names):
            answer = self._tried(name, tuple(names[:number]), TIGHTENINGS if self.norm is None else IN_A_NORM)
            if answer.kkt_residual <= KKT_TOLERANCE:
                return answer
            failures.append(f"{name}: KKT residual {answer.kkt_residual:.1e}, gap {answer.gap:.1e}")
        if answer.gap > GAP_TOLERANCE and self.norm is None:
            answer = self._tried(names[0], tuple(names), FINER)
        if answer.gap <= GAP_TOLERANCE or answer.kkt_residual <= KKT_TOLERANCE:
            return answer
        if (found := self._in_smaller_radius(names)) is not None:
            return found
        k, n = self.region.slopes.shape
        error = SolverError(
            f"projection onto {self.kept.size} of {k} rows in {n} dimensions missed its tolerances "
            f"({'; '.join(failures)}); check the scaling of the constraints, or try another backend"
        )
        error.best = answer if self.answered else None
        raise error

    def _in_smaller_radius(self, names: list[str]) -> Projection | None:
        """Return the answer in a radius that pairs of rows imply; None if that is not clearly below the reach.

        Opposite rows may leave a region that is orders smaller than the reach, in whose units it would be lost.
        """
        radius = self.region.of_rows(self.kept).longest_by_pairs()
        if radius > 0.5 * self.longest:
            return None
        if radius > 0.0:
            radius = max(radius, 1.0 / LARGEST)
        region = replace(self.region, radius=radius)
        if (found := _without_a_solver(region, self.target, self.norm)) is None:
            again = _Search(region, self.target, self.norm)
            again.nearest, again.proof, again.answered = self.nearest, self.proof, self.answered
            found = again.run(names)
        return replace(found, retries=(*names, *found.retries))

    def _tried(self, name: str, missed: tuple[str, ...], tightenings: Sequence[float]) -> Projection:
        """Return a backend's first answer whose KKT residual is small, otherwise the best that is known by now."""
        for share in tightenings:
            for solution in self._solutions(name, share):
                point, duals = self._in_full(solution)
                answer = self._measured(point, duals, name, missed)
                if answer.kkt_residual > KKT_TOLERANCE:
                    self._remember(point, duals)
                    answer = self._measured(self.nearest, self.proof, name, missed)
                if answer.kkt_residual <= KKT_TOLERANCE:
                    return answer
        return self._measured(self.nearest, self.proof, name, missed)

    def _solutions(self, name: str, share: float) -> list[Solution]:
        """Return a backend's solutions, in the reduced directions; rows are tightened by ``share`` of their size."""
        return BACKENDS[name](self.reduced, self.reduced_target, share * self.sizes[self.kept], self.diagonal)

    def _in_full(self, solution: Solution) -> tuple[Array, Array]:
        """Return the point in all directions, pulled back into Z, and the multipliers of all rows."""
        point = solution.point if self.basis is None else self.basis @ solution.point
        duals = np.zeros(self.region.values.size)
        duals[self.kept] = solution.duals
        if self.norm is None:
            return self.region.pull_back(point, self.target), duals
        return self.region.pull_back(point, self.target, self.norm.image), duals

    def _measured(self, point: Array, duals: Array, name: str, missed: tuple[str, ...]) -> Projection:
        """Return a point of Z and multipliers with their KKT residual and gap."""
        kkt = kkt_residual(self.region, self.target, point, duals, self.norm)
        gap = distance_gap(self.region, self.target, point, duals, self.norm) / self.span
        active = (self.region.rows(point) >= -1e-6 * self.sizes) & (self.sizes > 0)
        return Projection(point, "projected", active, duals, name, kkt, gap, missed)

    def _remember(self, point: Array, duals: Array) -> None:
        """Keep the point if it is nearer than the kept one, and the multipliers if they prove a larger lower bound."""
        self.answered = True
        self.nearest = min(self.nearest, point, key=self._distance)
        proofs = [self.proof, duals]
        if not self.nearest.any():
            proofs.append(self._origin_duals)
        self.proof = max(proofs, key=lambda given: dual_distance(self.region, self.target, given, self.norm))

    def _distance(self, z: Array) -> float:
        """Return the distance of a point from the target."""
        left = z - self.target
        return length_of(left if self.norm is None else self.norm.image(left))

    @cached_property
    def _origin_duals(self) -> Array:
        """Multipliers that may prove that 0 is the projection, shape (k,)."""
        return duals_at_origin(self.region, self.target, self.norm)


def _in_span(region: LocalSafeRegion, target: Array) -> tuple[LocalSafeRegion, Array, Array | None]:
    """Return the region and the target in a basis of the span of the target and the slopes, and that basis (n, m).

    The projection lies in that span (docs/method.md, section 6).  If the span is not smaller than R^n, all directions
    stay, and the basis is None.
    """
    k, n = region.slopes.shape
    if k + 1 >= n:
        return region, target, None
    basis = np.linalg.qr(np.vstack([target, region.slopes]).T)[0]
    return replace(region, slopes=region.slopes @ basis), basis.T @ target, basis
