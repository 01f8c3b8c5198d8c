"""Backends of the projection: each returns an approximate minimiser and multipliers, judged by the caller.

All solve, for rows c_i(z) = kappa g_i + delta_i + a_i^T z + e_i |z| + (L_i / 2) |z|^2,

    minimise |z - target|^2 / 2   subject to   c(z) <= 0,  |z| <= r.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from scpo.arrays import UNIT_ROUNDOFF, Array, length_of
from scpo.projection import sqp
from scpo.projection.polish import polish
from scpo.projection.region import LocalSafeRegion

#: Row counts of the persistent solvers: a problem is filled up to the next, so that few solvers serve all.
ROW_COUNTS = (4, 8, 16, 24, 32, 48, 64, 96, 128, 160, 200, 256, 384, 512)


@dataclass(frozen=True)
class Solution:
    """A solver's word: ``point`` (n,) and ``duals`` (k,), neither of them checked."""

    point: Array
    duals: Array


def solve(name: str, region: LocalSafeRegion, target: Array, tightening: Array) -> list[Solution]:
    """Run one backend on the region with each row tightened by ``tightening`` (k,): its answer polished, and raw.

    Polishing can make a good answer worse where multipliers are not unique, and "sqp" has converged as far without it.
    The list is empty when nothing was found.
    """
    offset = region.kappa * region.values + tightening
    solution = BACKENDS[name](region, target, offset)
    if solution is None:
        return []
    if name == "sqp":
        return [solution]
    return [Solution(*polish(region, target, offset, solution.point, solution.duals)), solution]


def reach(region: LocalSafeRegion, target: Array) -> float:
    """Return a bound on |z*|: the radius, |target|, and what each row's curvature leaves at kappa g.

    A row needs kappa g - (|a| - e) |z| + (L / 2) |z|^2 <= 0 at best, which bounds |z| by its larger root.
    """
    fall = np.maximum(region.norms - region.probe_error, 0.0)
    root = np.sqrt(fall**2 - 2.0 * region.smoothness * region.kappa * region.values)
    curved = region.smoothness > 0
    with np.errstate(over="ignore"):  # hardly any curvature: no limit
        limits = (fall + root)[curved] / region.smoothness[curved]
    return min(length_of(target), region.radius, float(limits.min(initial=np.inf)))


def lagrangian_minimiser(region: LocalSafeRegion, target: Array, duals: Array) -> Array:
    """Return argmin over |z| <= r of |z - target|^2 / 2 + duals^T c(z), in closed form."""
    pull = target - duals @ region.slopes
    size = length_of(pull)
    if size == 0.0:
        return np.zeros_like(target)
    length = max(0.0, size - float(duals @ region.probe_error)) / (1.0 + float(duals @ region.smoothness))
    return np.asarray(min(length, region.radius) / size * pull)


def pull_noise(region: LocalSafeRegion, target: Array, duals: Array) -> float:
    """Return a bound on the rounding error of |target - A^T lambda| - lambda^T e, which huge multipliers drown in."""
    sizes = region.norms + region.probe_error
    return 2.0 * (region.roundoff + duals.size * UNIT_ROUNDOFF) * float(length_of(target) + duals @ sizes)


def dual_value(region: LocalSafeRegion, target: Array, duals: Array) -> float:
    """Return a lower bound on (|z - target|^2 - |target|^2) / 2 over S, for any duals >= 0: the dual function.

    It is lambda^T kappa g plus the minimum over 0 <= s <= r of (1 + lambda^T L) s^2 / 2 - h s, with
    h = |target - A^T lambda| - lambda^T e taken at the upper end of its rounding error.
    """
    pull = length_of(target - duals @ region.slopes) - float(duals @ region.probe_error)
    pull = max(0.0, pull + pull_noise(region, target, duals))
    curvature = 1.0 + float(duals @ region.smoothness)
    length = min(pull / curvature, region.radius)
    return region.kappa * float(duals @ region.values) + (0.5 * curvature * length - pull) * length


def dual_distance(region: LocalSafeRegion, target: Array, duals: Array) -> float:
    """Return a lower bound on the distance from ``target`` to S, for any duals >= 0."""
    return float(np.sqrt(max(0.0, float(target @ target) + 2.0 * dual_value(region, target, duals))))


def distance_gap(region: LocalSafeRegion, target: Array, point: Array, duals: Array) -> float:
    """Return |point - target| minus :func:`dual_distance`, without the cancellation of two nearly equal lengths."""
    distance = length_of(point - target)
    if distance == 0.0:
        return 0.0
    difference = float(point @ point - 2.0 * (point @ target)) - 2.0 * dual_value(region, target, duals)
    return min(difference, distance**2) / (distance + dual_distance(region, target, duals))


def duals_at_origin(region: LocalSafeRegion, target: Array) -> Array:
    """Return multipliers (k,) over rows without slack that may prove 0 optimal: they maximise the dual function.

    At 0 slack that is to minimise max(0, |target - A^T lambda| - lambda^T e)^2 / (1 + lambda^T L), a second-order cone
    program in lambda, bounded by a box because the optimum may lie at infinity (where only curvature leaves no room).
    Large boxes are solved less well, so the least that proves it is taken.
    """
    import clarabel
    from scipy import sparse

    duals = np.zeros(region.values.size)
    tight = np.flatnonzero(region.values == 0)
    longest = reach(region, target)
    norms = region.norms[tight] + region.probe_error[tight]
    norms += region.smoothness[tight] * longest
    tight, norms = tight[norms > 0], norms[norms > 0]
    if tight.size == 0:
        return duals
    pull = length_of(target)
    a, e = region.slopes[tight] / norms[:, None], region.probe_error[tight] / norms
    curvature = region.smoothness[tight] * pull / norms
    m, n = a.shape
    # variables lambda (m), s, tau: |target - A^T lambda| <= s + e^T lambda, s^2 <= tau (1 + L^T lambda), 0 <= lambda
    zero = sparse.csc_matrix
    rows = [
        [sparse.identity(m), zero((m, 2))],
        [-sparse.identity(m), zero((m, 2))],
        [zero((1, m)), zero([[-1.0, 0.0]])],
        [zero(-e[None]), zero([[-1.0, 0.0]])],
        [zero(a.T), zero((n, 2))],
        [zero(-curvature[None]), zero([[0.0, -1.0]])],
        [zero(-curvature[None]), zero([[0.0, 1.0]])],
        [zero((1, m)), zero([[-2.0, 0.0]])],
    ]
    right = np.concatenate([np.zeros(2 * m + 2), target / pull, [1.0, 1.0, 0.0]])
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    cones = [clarabel.NonnegativeConeT(2 * m + 1), clarabel.SecondOrderConeT(n + 1), clarabel.SecondOrderConeT(3)]
    linear = np.concatenate([np.zeros(m + 1), [1.0]])
    matrix = sparse.bmat(rows).tocsc()
    best = np.inf
    for size in (1e1, 1e3, 1e5, 1e7):
        right[:m] = size
        solver = clarabel.DefaultSolver(zero((m + 2, m + 2)), linear, matrix, right, cones, settings)
        found = np.asarray(solver.solve().x[:m])
        candidate = np.zeros(region.values.size)
        candidate[tight] = np.maximum(found, 0.0) * pull / norms
        gap = distance_gap(region, target, np.zeros_like(target), candidate)
        if gap < best:
            best, duals = gap, candidate
        if best <= 1e-8 * longest:
            break
    return duals


def _root(region: LocalSafeRegion, target: Array, offset: Array) -> Solution | None:
    """At most one row: its multiplier is the root of a monotone function of one variable."""
    if region.values.size == 0:
        return Solution(lagrangian_minimiser(region, target, np.zeros(0)), np.zeros(0))
    from scipy.optimize import brentq  # takes as long to import as pandas

    correction = float((offset - region.kappa * region.values)[0])
    size = float(length_of(region.slopes[0]) + region.probe_error[0])
    unit = length_of(target) / size if size > 0 else 1.0

    def row(multiplier: float) -> float:
        z = lagrangian_minimiser(region, target, np.array([unit * multiplier]))
        return float(region.rows(z)[0]) + correction

    if row(0.0) <= 0:
        multiplier = 0.0
    else:
        high = 1.0
        while row(high) > 0:
            high *= 4.0
            if high > 1e60:
                return None
        low = 0.0 if high == 1.0 else high / 4.0
        multiplier = float(brentq(row, low, high, xtol=1e-300, rtol=4 * np.finfo(float).eps, maxiter=500, disp=False))
    duals = np.array([unit * multiplier])
    return Solution(lagrangian_minimiser(region, target, duals), duals)


def _sqp(region: LocalSafeRegion, target: Array, offset: Array) -> Solution | None:
    found = sqp.solve(region, target, offset, reach(region, target))
    return None if found is None else Solution(*found)


def _clarabel(region: LocalSafeRegion, target: Array, offset: Array) -> Solution | None:
    """Clarabel on k linear rows and two small cones (s >= |z|, tau >= s^2), in scaled variables.

    The solution lies in the span of the target and the slopes, so with fewer rows than dimensions the problem is
    first reduced to that span by QR.  Solvers are kept per shape and updated in place.
    """
    scale = reach(region, target)
    pull = length_of(target)
    k, n = region.slopes.shape
    basis = None
    slopes, goal = region.slopes, target
    if k + 1 < n:
        basis = np.linalg.qr(np.vstack([target, slopes]).T)[0]
        slopes, goal = slopes @ basis, basis.T @ target
    a = slopes
    curvature = 0.5 * region.smoothness * scale
    norm = np.linalg.norm(a, axis=1) + region.probe_error + curvature
    norm[norm == 0] = 1.0
    rows = np.column_stack([a, region.probe_error, curvature]) / norm[:, None]
    slack = -offset / (scale * norm)
    spare = next(shape for shape in ROW_COUNTS if shape >= k) - k if k <= ROW_COUNTS[-1] else 0
    rows = np.vstack([rows, np.zeros((spare, rows.shape[1]))])  # rows that say 0 <= 1
    solution = _clarabel_solver(k + spare, a.shape[1])(
        goal / pull, scale / pull, rows, np.append(slack, np.ones(spare)), min(region.radius / scale, 2.0)
    )
    if solution is None:
        return None
    point, duals = solution[0], solution[1][:k]
    point = scale * point
    return Solution(point if basis is None else basis @ point, np.maximum(duals, 0.0) * pull / norm)


@lru_cache(maxsize=128)
def _clarabel_solver(k: int, n: int) -> Callable[[Array, float, Array, Array, float], tuple[Array, Array] | None]:
    """Return a function that solves problems of one shape with a persistent Clarabel solver."""
    import clarabel
    from scipy import sparse

    columns = n + 2  # zeta, s, tau
    total = (k + 1) + (n + 1) + 3
    pattern = np.zeros((total, columns))
    pattern[:k] = 1.0
    pattern[k, n] = 1.0  # s <= reach
    cone = k + 1
    pattern[cone, n] = -1.0  # (s, zeta) in the second-order cone
    pattern[cone + 1 : cone + 1 + n, :n] = -np.eye(n)
    last = cone + n + 1  # (tau + 1, tau - 1, 2 s) in the second-order cone: tau >= s^2
    pattern[last, n + 1] = pattern[last + 1, n + 1] = -1.0
    pattern[last + 2, n] = -2.0
    matrix = sparse.csc_matrix(pattern)
    row_of = matrix.indices
    column_of = np.repeat(np.arange(columns), np.diff(matrix.indptr))
    in_rows = row_of < k
    quadratic = sparse.csc_matrix((np.ones(n), (np.arange(n), np.arange(n))), shape=(columns, columns))
    cones = [clarabel.NonnegativeConeT(k + 1), clarabel.SecondOrderConeT(n + 1), clarabel.SecondOrderConeT(3)]
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.presolve_enable = False
    settings.equilibrate_enable = False  # it would keep the scaling of the first problem: results by call history
    settings.input_sparse_dropzeros = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-11
    settings.tol_ktratio = 1e-8
    settings.max_iter = 100
    settings.max_threads = 1
    offset = np.zeros(total)
    offset[last], offset[last + 1] = 1.0, -1.0
    solver: Any = None

    def run(goal: Array, weight: float, rows: Array, slack: Array, reach: float) -> tuple[Array, Array] | None:
        nonlocal solver
        data = matrix.data.copy()
        data[in_rows] = rows[row_of[in_rows], column_of[in_rows]]
        right = offset.copy()
        right[:k] = slack
        right[k] = reach
        linear = np.concatenate([-goal, [0.0, 0.0]])
        if solver is None:
            fresh = sparse.csc_matrix((data, matrix.indices, matrix.indptr), shape=matrix.shape)
            solver = clarabel.DefaultSolver(weight * quadratic, linear, fresh, right, cones, settings)
        else:
            solver.update(P=np.full(n, weight), q=linear, A=data, b=right)
        result = solver.solve()
        point, duals = np.asarray(result.x[:n]), np.asarray(result.z[:k])
        # its status is not trusted either way: the caller measures what came out
        return (point, duals) if np.isfinite(point).all() and np.isfinite(duals).all() else None

    return run


def _cvxpy_scs(region: LocalSafeRegion, target: Array, offset: Array) -> Solution | None:
    """Solve the problem in its literal reading: k constraints with their own cones, rebuilt, by cvxpy and SCS."""
    import cvxpy as cp

    scale = reach(region, target)
    z = cp.Variable(target.size)
    curvature = 0.5 * region.smoothness * scale
    norm = region.norms + region.probe_error + curvature
    norm[norm == 0] = 1.0
    rows = [
        offset[i] / (scale * norm[i])
        + (region.slopes[i] / norm[i]) @ z
        + float(region.probe_error[i] / norm[i]) * cp.norm(z, 2)
        + float(curvature[i] / norm[i]) * cp.sum_squares(z)
        <= 0
        for i in range(region.values.size)
    ]
    within = [cp.norm(z, 2) <= region.radius / scale] if np.isfinite(region.radius) else []
    problem = cp.Problem(cp.Minimize(0.5 * cp.sum_squares(z - target / scale)), rows + within)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an inaccurate solve is measured by the caller
            problem.solve(
                solver=cp.SCS,
                eps_abs=1e-10,
                eps_rel=1e-10,
                max_iters=200_000,
                acceleration_lookback=0,
                linear_solver="qdldl",
                verbose=False,
            )
    except cp.error.SolverError:
        return None
    if z.value is None:
        return None
    duals = np.array([max(0.0, float(np.asarray(row.dual_value).item())) for row in rows]) if rows else np.zeros(0)
    return Solution(scale * z.value, duals * scale / norm)


BACKENDS: dict[str, Callable[[LocalSafeRegion, Array, Array], Solution | None]] = {
    "root": _root,
    "sqp": _sqp,
    "clarabel": _clarabel,
    "cvxpy-scs": _cvxpy_scs,
}
