"""The solvers of the projection.  Each returns a point and multipliers that the caller measures.

For rows chi_i(z) = kappa g_i + delta_i + a_i^T z + e_i |z| + (L_i / 2) |z|^2, where delta >= 0 tightens them, all solve

    minimise |z - target|^2 / 2   subject to   chi(z) <= 0,  |z| <= r,

in the Euclidean norm of z - target, or in a norm with a diagonal H.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scpo.arrays import LARGEST, Array, length_of
from scpo.projection import sqp
from scpo.projection.norm import Norm, Units
from scpo.projection.optimality import distance_gap
from scpo.projection.region import LocalSafeRegion
from scpo.projection.sqp import Solution

#: Bounds on the multipliers at the origin, in units where rows have size 1.  The least that proves enough is used.
BOXES = (1e1, 1e3, 1e5, 1e7)
#: A relative gap that leaves nothing to prove.
PROVEN = 1e-8


def solve_by_sqp(region: LocalSafeRegion, target: Array, tightening: Array, norm: Norm | None = None) -> list[Solution]:
    """Return the answer of the SQP as a list with one entry, or with none if the SQP failed."""
    found = sqp.solve(region, target, region.kappa * region.values + tightening, None, norm)
    return [] if found is None else [found]


def solve_by_clarabel(
    region: LocalSafeRegion, target: Array, tightening: Array, norm: Norm | None = None
) -> list[Solution]:
    """Return up to two answers: the SQP's, started from the interior-point solution, and this solution itself.

    The multipliers of an interior-point method have errors of about the square root of its gap.  The SQP reduces these
    errors to rounding in a few steps.
    """
    offset = region.kappa * region.values + tightening
    rough = interior_point(region, target, offset, norm)
    if rough is None:
        return []
    refined = sqp.solve(region, target, offset, rough, norm)
    return [rough] if refined is None else [refined, rough]


#: The backends by name, in the order in which they are tried.
BACKENDS: dict[str, Callable[[LocalSafeRegion, Array, Array, Norm | None], list[Solution]]] = {
    "sqp": solve_by_sqp,
    "clarabel": solve_by_clarabel,
}


def interior_point(region: LocalSafeRegion, target: Array, offset: Array, norm: Norm | None = None) -> Solution | None:
    """Return Clarabel's solution of the problem with k linear rows and two cones, y_1 >= |z| and y_2 >= y_1^2, or None.

    Lengths are in units of the reach, and each row is divided by its size.  The solver is built anew at each call,
    because threads cannot share a solver that is kept and updated.
    """
    import clarabel
    from scipy import sparse

    k, n = region.slopes.shape
    units = Units.of(region, target, norm)
    longest = units.longest
    stretch = np.ones(n) if units.stretch is None else units.stretch
    curvature = 0.5 * region.smoothness * longest
    sizes = units.slope_sizes(region) + region.probe_error + curvature
    sizes[sizes == 0] = 1.0
    matrix, right = np.zeros((k + n + 5, n + 2)), np.zeros(k + n + 5)  # the variables are x (n), y_1 and y_2
    matrix[:k] = np.column_stack([region.slopes * stretch, region.probe_error, curvature]) / sizes[:, None]
    right[:k] = -offset / (longest * sizes)
    matrix[k, n], right[k] = 1.0, min(region.radius / longest, 2.0)  # y_1 <= r
    cone = k + 1  # (y_1, stretch * x) lies in the second-order cone
    matrix[cone, n] = -1.0
    matrix[cone + 1 : cone + 1 + n, :n] = -np.diag(stretch)
    last = cone + 1 + n  # (y_2 + 1, y_2 - 1, 2 y_1) lies in the second-order cone, which says y_1^2 <= y_2
    matrix[last, n + 1], right[last] = -1.0, 1.0
    matrix[last + 1, n + 1], right[last + 1] = -1.0, -1.0
    matrix[last + 2, n] = -2.0
    quadratic = sparse.diags([units.weight] * n + [0.0, 0.0], format="csc")
    linear = np.append(-units.target, [0.0, 0.0])
    cones = [clarabel.NonnegativeConeT(k + 1), clarabel.SecondOrderConeT(n + 1), clarabel.SecondOrderConeT(3)]
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-11
    settings.tol_ktratio = 1e-8
    settings.max_iter = 100
    settings.max_threads = 1
    found = clarabel.DefaultSolver(quadratic, linear, sparse.csc_matrix(matrix), right, cones, settings).solve()
    point, duals = np.asarray(found.x[:n]), np.asarray(found.z[:k])
    if not (np.abs(np.concatenate([point, duals])) <= LARGEST).all():  # it ran away, or found NaN
        return None
    return Solution(longest * stretch * point, np.maximum(duals, 0.0) * units.force / sizes)


def duals_at_origin(region: LocalSafeRegion, target: Array, norm: Norm | None = None) -> Array:
    """Return multipliers (k,) of the rows without slack that may prove that 0 is the projection.

    They maximise the dual function.  Where there is no slack this means to minimise
    max(0, |target - A^T lambda| - lambda^T e)^2 / (1 + lambda^T L), a second-order cone program in lambda.  Its optimum
    may lie at infinity (where only the curvature leaves no space), so lambda is bounded by a box.

    With H = diag(w) it is sum_i (f_i - E v_i)^2 / (w_i + lambda^T L) with f = H target - A^T lambda, E = lambda^T e and
    |v| <= 1.
    """
    duals = np.zeros(region.values.size)
    if norm is None:
        longest = span = region.reach(target)
    else:
        longest, span = norm.reach(region, target), norm.span(region, target)
    sizes = region.norms + region.probe_error + region.smoothness * longest
    tight = np.flatnonzero((region.values == 0) & (sizes > 0))
    if tight.size == 0:
        return duals
    held, best = region.of_rows(tight), np.inf
    for box in BOXES:
        candidate = np.zeros(region.values.size)
        if norm is None:
            candidate[tight] = _duals_in_box(held, target, sizes[tight], box)
        else:
            along = norm.along_axes(held, target)
            candidate[tight] = _duals_in_box_of(*along, sizes[tight], box)
        gap = distance_gap(region, target, np.zeros_like(target), candidate, norm)
        if gap < best:
            best, duals = gap, candidate
        if best <= PROVEN * span:
            break
    return duals


def _duals_in_box_of(norm: Norm, region: LocalSafeRegion, target: Array, sizes: Array, box: float) -> Array:
    """Return what :func:`_duals_in_box` returns, for a norm without axes.

    The variables are lambda (m), E v (n) and y (n), in units where H is the identity and the target has length 1.
    """
    import clarabel
    from scipy import sparse

    m, n = region.slopes.shape
    image = norm.image(target)
    pull, soft = length_of(image), 1.0 / norm.roots
    slopes, error = region.slopes * soft / sizes[:, None], region.probe_error / sizes
    bends = np.outer(soft**2, region.smoothness * pull / sizes)  # lambda^T L / w
    lower = [np.hstack([sign * np.eye(m), np.zeros((m, 2 * n))]) for sign in (1.0, -1.0)]
    cone = np.zeros((n + 1, m + 2 * n))  # |roots E v| <= lambda^T e
    cone[0, :m], cone[1:, m : m + n] = -error, -np.diag(norm.roots)
    small, right = np.zeros((3 * n, m + 2 * n)), np.zeros(3 * n)
    for i in range(n):  # (image - slopes^T lambda - E v)_i^2 <= y_i (1 + bends_i lambda)
        rows = small[3 * i : 3 * i + 3]
        rows[:2, :m], rows[0, m + n + i], rows[1, m + n + i] = -bends[i], -1.0, 1.0
        rows[2, :m], rows[2, m + i] = 2.0 * slopes[:, i], 2.0
        right[3 * i : 3 * i + 3] = 1.0, 1.0, 2.0 * image[i] / pull
    matrix = sparse.csc_matrix(np.vstack([*lower, cone, small]))
    right = np.concatenate([np.full(m, box), np.zeros(m + n + 1), right])
    cones = [clarabel.NonnegativeConeT(2 * m), clarabel.SecondOrderConeT(n + 1)]
    cones += [clarabel.SecondOrderConeT(3) for _ in range(n)]
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    nothing, linear = sparse.csc_matrix((m + 2 * n, m + 2 * n)), np.append(np.zeros(m + n), np.ones(n))
    found = clarabel.DefaultSolver(nothing, linear, matrix, right, cones, settings).solve()
    return np.asarray(np.maximum(found.x[:m], 0.0) * pull / sizes)


def _duals_in_box(region: LocalSafeRegion, target: Array, sizes: Array, box: float) -> Array:
    """Return Clarabel's solution of the program of :func:`duals_at_origin` with 0 <= lambda <= box, in scaled units."""
    import clarabel
    from scipy import sparse

    m, n = region.slopes.shape
    pull = length_of(target)
    slopes, error = region.slopes / sizes[:, None], region.probe_error / sizes
    curvature = region.smoothness * pull / sizes
    matrix, right = np.zeros((2 * m + n + 5, m + 2)), np.zeros(2 * m + n + 5)  # variables: lambda (m), y_1, y_2
    matrix[:m, :m], right[:m] = np.eye(m), box
    matrix[m : 2 * m, :m] = -np.eye(m)
    matrix[2 * m, m] = -1.0  # y_1 >= 0
    cone = 2 * m + 1  # |target - A^T lambda| <= y_1 + e^T lambda
    matrix[cone, :m], matrix[cone, m] = -error, -1.0
    matrix[cone + 1 : cone + 1 + n, :m], right[cone + 1 : cone + 1 + n] = slopes.T, target / pull
    last = cone + 1 + n  # y_1^2 <= y_2 (1 + L^T lambda)
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
