"""The projection, written literally: k constraints with a cone each, stated in cvxpy and solved by SCS.

The problem is formulated anew at each call.  The benchmarks compare its time with the library's, the tests compare the
answers, and :func:`project` can stand in for ``scpo.projection.project.project_onto`` in training.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from scpo.arrays import Array
from scpo.errors import SolverError
from scpo.projection.norm import Norm
from scpo.projection.optimality import distance_gap, kkt_residual
from scpo.projection.project import Projection
from scpo.projection.region import LocalSafeRegion

#: Iterations that SCS may take where an accuracy is asked for.
ITERATIONS = 200_000


def project(
    region: LocalSafeRegion, target: Array, *, metric: ArrayLike | None = None, accuracy: float | None = None
) -> Projection:
    """Return SCS's solution for the projection of ``target`` (n,) onto ``region``.

    The point is not checked or corrected, and may lie slightly outside of the region.

    Args:
        region: the set S of k constraints.
        target: the nominal step, not 0.
        metric: H, as for ``scpo.project``.
        accuracy: tolerance of SCS, absolute and relative, on the problem in units of its own size.  None leaves the
            problem as it is and SCS at its default tolerance, 1e-4.

    Raises:
        SolverError: SCS returned no point.
    """
    norm = None if metric is None else Norm.build(metric, target.size)
    if accuracy is None:
        point, duals = _solved(region, target, norm, {})
    else:
        unit = region.reach(target) if norm is None else norm.reach(region, target)
        scaled, sizes = _in_units(region, unit)
        options = {"eps_abs": accuracy, "eps_rel": accuracy, "max_iters": ITERATIONS, "acceleration_lookback": 0}
        point, duals = _solved(scaled, target / unit, norm, options)
        point, duals = unit * point, duals * unit**2 / sizes
    longest = region.reach(target) if norm is None else norm.reach(region, target)
    sizes = region.sizes(longest)
    return Projection(
        point,
        "projected",
        (region.rows(point) >= -1e-6 * sizes) & (sizes > 0),
        duals if norm is None else norm.scale * duals,
        "cvxpy-scs",
        kkt_residual(region, target, point, duals, norm),
        distance_gap(region, target, point, duals, norm) / (longest if norm is None else norm.span(region, target)),
    )


def _in_units(region: LocalSafeRegion, unit: float) -> tuple[LocalSafeRegion, Array]:
    """Return the region with lengths in ``unit``, its rows divided by their sizes over this length, and the sizes."""
    sizes = region.sizes(unit)
    sizes[sizes == 0] = 1.0
    scaled = replace(
        region,
        values=region.values / sizes,
        slopes=region.slopes * unit / sizes[:, None],
        probe_error=region.probe_error * unit / sizes,
        smoothness=region.smoothness * unit**2 / sizes,
        radius=region.radius / unit,
    )
    return scaled, sizes


def _solved(region: LocalSafeRegion, target: Array, norm: Norm | None, options: dict[str, Any]) -> tuple[Array, Array]:
    """Return SCS's point (n,) and multipliers (k,), in units of the norm's scale."""
    import cvxpy as cp

    z = cp.Variable(target.size)
    rows = [
        region.kappa * region.values[i]
        + region.slopes[i] @ z
        + region.probe_error[i] * cp.norm(z, 2)
        + 0.5 * region.smoothness[i] * cp.sum_squares(z)
        <= 0
        for i in range(region.values.size)
    ]
    within = [cp.norm(z, 2) <= region.radius] if np.isfinite(region.radius) else []
    left = z - target
    if norm is not None:
        left = cp.multiply(norm.roots, left if norm.axes is None else norm.axes.T @ left)
    problem = cp.Problem(cp.Minimize(0.5 * cp.sum_squares(left)), rows + within)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an inaccurate solution is a solution here
        # the automatic choice of a linear solver can load a second MKL beside torch's, which ends the process
        problem.solve(solver=cp.SCS, linear_solver="qdldl", verbose=False, **options)
    if z.value is None:
        raise SolverError(f"SCS found no point of the {region.values.size} rows ({problem.status})")
    duals = np.array([max(0.0, float(np.asarray(row.dual_value).item())) for row in rows])
    return np.asarray(z.value), duals
