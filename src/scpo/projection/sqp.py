"""Sequential quadratic programming for the projection: one dense QP an iteration, solved by DAQP's dual active set.

The rows are convex, so their linearisation at any z contains S: no QP is infeasible.  With the Lagrangian's exact
Hessian the iteration converges quadratically, from a start of about the right length in a handful of QPs.  Whether it
did is for the caller to measure.
"""

from __future__ import annotations

import numpy as np

from scpo.arrays import Array, length_of
from scpo.projection.region import LocalSafeRegion

STEPS = 25
CONVERGED = 1e-13  # of the KKT conditions, all lengths relative
TOLERANCE = 1e-12  # of each QP


def solve(region: LocalSafeRegion, target: Array, offset: Array, longest: float) -> tuple[Array, Array] | None:
    """Minimise |z - target|^2 / 2 subject to offset + a^T z + e |z| + (L / 2) |z|^2 <= 0 and |z| <= r.

    Args:
        region: a, e, L and r.
        target: (n,), not 0.
        offset: (k,), <= 0 up to rounding.
        longest: a bound on |z*|, the unit of length.

    Returns:
        (z (n,), multipliers (k,)), the best iterate; None when not one QP was solved.
    """
    import daqp

    k, n = region.slopes.shape
    pull = length_of(target)
    a, e, curvature = region.slopes, region.probe_error, region.smoothness * longest
    size = region.norms + e + 0.5 * curvature
    size[size == 0] = 1.0
    unit = 1.0 / size
    a, e, curvature, c0 = unit[:, None] * a, unit * e, unit * curvature, unit * offset / longest
    if pull > region.radius:  # one more row: |z| - r <= 0
        a = np.vstack([a, np.zeros(n)])
        e, curvature, c0 = np.append(e, 1.0), np.append(curvature, 0.0), np.append(c0, -region.radius / longest)
    rows = c0.size
    weight = longest / pull  # the objective, divided by |target| longest
    goal = target / pull
    z, multipliers = goal, np.zeros(rows)
    below, kinds, identity = np.full(rows, -1e30), np.zeros(rows, dtype=np.int32), np.eye(n)
    bends = np.column_stack([e, curvature])
    best, answer = np.inf, None
    for _ in range(STEPS):
        length = length_of(z)
        outward = z / length if length > 0.0 else goal
        length = max(length, 1e-12)
        values = c0 + a @ z + (e + 0.5 * curvature * length) * length
        gradients = a + bends @ np.stack([outward, z])
        objective = weight * z - goal
        left = length_of(objective + multipliers @ gradients)
        residual = left + float(np.abs(np.minimum(multipliers, -values)).max(initial=0.0))
        if residual < best:
            best, answer = residual, (z, multipliers)
        if residual < CONVERGED:
            break
        bend = float(multipliers @ e) / length
        hessian = (weight + float(multipliers @ curvature) + bend) * identity - bend * np.outer(outward, outward)
        step, _, flag, found = daqp.solve(
            hessian, objective, gradients, -values, below, kinds, primal_tol=TOLERANCE, dual_tol=TOLERANCE
        )
        if flag != 1 or not np.isfinite(step).all():
            break
        z, multipliers = z + step, np.maximum(found["lam"][:rows], 0.0)
    if answer is None or not answer[1].any():
        return None
    return longest * answer[0], pull * unit * answer[1][:k]
