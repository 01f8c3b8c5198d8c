"""The solvers of the projection.  Each returns a point and multipliers that the caller measures.

For rows c_i(z) = kappa g_i + delta_i + a_i^T z + e_i |z| + (L_i / 2) |z|^2, where delta >= 0 tightens them, all solve

    minimise |z - target|^2 / 2   subject to   c(z) <= 0,  |z| <= r.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scpo.arrays import Array, length_of
from scpo.projection import sqp
from scpo.projection.optimality import distance_gap
from scpo.projection.region import LocalSafeRegion
from scpo.projection.sqp import Solution

#: Bounds on the multipliers at the origin, in units where rows have size 1.  The least that proves enough is used.
BOXES = (1e1, 1e3, 1e5, 1e7)
#: A relative gap that leaves nothing to prove.
PROVEN = 1e-8


def solve_by_sqp(region: LocalSafeRegion, target: Array, tightening: Array) -> list[Solution]:
    """Return the answer of the SQP as a list, which is empty if it has none."""
    found = sqp.solve(region, target, region.kappa * region.values + tightening)
    return [] if found is None else [found]


def solve_by_clarabel(region: LocalSafeRegion, target: Array, tightening: Array) -> list[Solution]:
    """Return up to two answers: that of the SQP, started from the interior-point solution, and that solution itself.

    An interior-point method leaves multipliers that are right to about the square root of its gap; the SQP brings them
    to rounding in a few steps.
    """
    offset = region.kappa * region.values + tightening
    rough = interior_point(region, target, offset)
    if rough is None:
        return []
    refined = sqp.solve(region, target, offset, rough)
    return [rough] if refined is None else [refined, rough]


#: The backends by name, in the order in which they are tried.
BACKENDS: dict[str, Callable[[LocalSafeRegion, Array, Array], list[Solution]]] = {
    "sqp": solve_by_sqp,
    "clarabel": solve_by_clarabel,
}


def interior_point(region: LocalSafeRegion, target: Array, offset: Array) -> Solution | None:
    """Return Clarabel's solution on k linear rows and two small cones, s >= |z| and tau >= s^2; None if not finite.

    Lengths are in units of the reach, and each row is divided by its size.  The solver is built anew at each call,
    because one that is kept and updated cannot be shared by threads.
    """
    import clarabel
    from scipy import sparse

    k, n = region.slopes.shape
    longest, pull = region.reach(target), length_of(target)
    curvature = 0.5 * region.smoothness * longest
    sizes = region.norms + region.probe_error + curvature
    sizes[sizes == 0] = 1.0
    matrix, right = np.zeros((k + n + 5, n + 2)), np.zeros(k + n + 5)  # the variables are z (n), s and tau
    matrix[:k] = np.column_stack([region.slopes, region.probe_error, curvature]) / sizes[:, None]
    right[:k] = -offset / (longest * sizes)
    matrix[k, n], right[k] = 1.0, min(region.radius / longest, 2.0)  # s <= r
    cone = k + 1  # (s, z) lies in the second-order cone
    matrix[cone, n] = -1.0
    matrix[cone + 1 : cone + 1 + n, :n] = -np.eye(n)
    last = cone + 1 + n  # (tau + 1, tau - 1, 2 s) lies in the second-order cone, which says s^2 <= tau
    matrix[last, n + 1], right[last] = -1.0, 1.0
    matrix[last + 1, n + 1], right[last + 1] = -1.0, -1.0
    matrix[last + 2, n] = -2.0
    weight = longest / pull
    quadratic = sparse.diags([weight] * n + [0.0, 0.0], format="csc")
    linear = np.append(-target / pull, [0.0, 0.0])
    cones = [clarabel.NonnegativeConeT(k + 1), clarabel.SecondOrderConeT(n + 1), clarabel.SecondOrderConeT(3)]
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-11
    settings.tol_ktratio = 1e-8
    settings.max_iter = 100
    settings.max_threads = 1
    found = clarabel.DefaultSolver(quadratic, linear, sparse.csc_matrix(matrix), right, cones, settings).solve()
    point, duals = np.asarray(found.x[:n]), np.asarray(found.z[:k])
    if not (np.isfinite(point).all() and np.isfinite(duals).all()):
        return None
    return Solution(longest * point, np.maximum(duals, 0.0) * pull / sizes)


def duals_at_origin(region: LocalSafeRegion, target: Array) -> Array:
    """Return multipliers (k,) of the rows without slack that may prove that 0 is the projection.

    They maximise the dual function.  Where there is no slack this means to minimise
    max(0, |target - A^T lambda| - lambda^T e)^2 / (1 + lambda^T L), a second-order cone program in lambda.  Its optimum
    may lie at infinity (where only the curvature leaves no space), so lambda is bounded by a box.
    """
    duals = np.zeros(region.values.size)
    longest = region.reach(target)
    sizes = region.norms + region.probe_error + region.smoothness * longest
    tight = np.flatnonzero((region.values == 0) & (sizes > 0))
    if tight.size == 0:
        return duals
    best = np.inf
    for box in BOXES:
        candidate = np.zeros(region.values.size)
        candidate[tight] = _duals_in_box(region.of_rows(tight), target, sizes[tight], box)
        gap = distance_gap(region, target, np.zeros_like(target), candidate)
        if gap < best:
            best, duals = gap, candidate
        if best <= PROVEN * longest:
            break
    return duals


def _duals_in_box(region: LocalSafeRegion, target: Array, sizes: Array, box: float) -> Array:
    """Return Clarabel's solution of the program of :func:`duals_at_origin` with 0 <= lambda <= box, in scaled units."""
    import clarabel
    from scipy import sparse

    m, n = region.slopes.shape
    pull = length_of(target)
    slopes, error = region.slopes / sizes[:, None], region.probe_error / sizes
    curvature = region.smoothness * pull / sizes
    matrix, right = np.zeros((2 * m + n + 5, m + 2)), np.zeros(2 * m + n + 5)  # the variables are lambda (m), s and tau
    matrix[:m, :m], right[:m] = np.eye(m), box
    matrix[m : 2 * m, :m] = -np.eye(m)
    matrix[2 * m, m] = -1.0  # s >= 0
    cone = 2 * m + 1  # |target - A^T lambda| <= s + e^T lambda
    matrix[cone, :m], matrix[cone, m] = -error, -1.0
    matrix[cone + 1 : cone + 1 + n, :m], right[cone + 1 : cone + 1 + n] = slopes.T, target / pull
    last = cone + 1 + n  # s^2 <= tau (1 + L^T lambda)
    matrix[last, :m], matrix[last, m + 1], right[last] = -curvature, -1.0, 1.0
    matrix[last + 1, :m], matrix[last + 1, m + 1], right[last + 1] = -curvature, 1.0, 1.0
    matrix[last + 2, m] = -2.0
    cones = [clarabel.NonnegativeConeT(2 * m + 1), clarabel.SecondOrderConeT(n + 1), clarabel.SecondOrderConeT(3)]
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    nothing, linear = sparse.csc_matrix((m + 2, m + 2)), np.append(np.zeros(m + 1), 1.0)
    found = clarabel.DefaultSolver(nothing, linear, sparse.csc_matrix(matrix), right, cones, settings).solve()
    return np.asarray(np.maximum(found.x[:m], 0.0) * pull / sizes)
