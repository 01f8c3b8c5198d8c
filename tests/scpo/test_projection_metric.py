"""The projection in a norm of one's own: against an independent solver, its descent, its certificate, its errors."""

from __future__ import annotations

import warnings

import numpy as np

from scpo.arrays import Array
from scpo.projection.region import LocalSafeRegion

#: kind of instance -> the metrics it is tried with, as powers of ten that bound the eigenvalues
ORDINARY = ("plain", "some zero slack", "duplicate rows", "L = 0", "k = 500")


def drawn(rng: np.random.Generator, n: int, width: float, *, diagonal: bool) -> Array:
    """Return a random metric with eigenvalues in 10^-width ... 10^width."""
    values = 10.0 ** rng.uniform(-width, width, n)
    if diagonal:
        return values
    axes = np.linalg.qr(rng.normal(size=(n, n)))[0]
    return np.asarray((axes * values) @ axes.T)


def matrix(metric: Array) -> Array:
    return np.diag(metric) if metric.ndim == 1 else metric


def solved_by_cvxpy(region: LocalSafeRegion, target: Array, metric: Array, unit: float) -> Array | None:
    """Return the projection as cvxpy and Clarabel find it, in units of ``unit``; None where they give up."""
    import cvxpy as cp

    values, axes = np.linalg.eigh(matrix(metric))
    roots = np.sqrt(values)[:, None] * axes.T
    goal = roots @ target / unit
    roots, goal = roots / np.linalg.norm(goal), goal / np.linalg.norm(goal)
    sizes = np.maximum(region.sizes(unit), 1e-300)
    z, s, tau = cp.Variable(target.size), cp.Variable(), cp.Variable()
    rows = (
        region.kappa * region.values / sizes
        + (region.slopes * unit / sizes[:, None]) @ z
        + (region.probe_error * unit / sizes) * s
        + (0.5 * region.smoothness * unit**2 / sizes) * tau
    )
    limits = [rows <= 0, cp.norm(z, 2) <= s, cp.sum_squares(z) <= tau]
    if np.isfinite(region.radius):
        limits.append(s <= region.radius / unit)
    problem = cp.Problem(cp.Minimize(cp.sum_squares(roots @ z - goal)), limits)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            problem.solve(cp.CLARABEL, tol_gap_abs=1e-12, tol_gap_rel=1e-12, tol_feas=1e-12, max_iter=200)
        except cp.SolverError:
            return None
    return None if z.value is None or problem.status != cp.OPTIMAL else unit * np.asarray(z.value)
