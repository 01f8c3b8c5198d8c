"""The buffer before the limits: it turns a target away from them before the projection.

At a limit the projection onto the safe region shortens the whole step, also its part along the limit.  Then a policy
crawls.  So the target is turned first.  This is done in the linear model of the constraints, where turning costs
nothing along the limit:

    turned = argmin |z - target|^2 / 2 + sum_i xi_i^2 / (2 SOFTNESS)   s.t.  (a_i^T z + w_i) / |a_i| <= xi_i,

Here v_i = g_i + tightening + buffer.  Before the buffer w_i = v_i; inside it w_i = RECOVERY v_i.  Only constraints
within REACH buffer widths of their limits take part: a step that meets a limit farther away is too long, and should be
shortened.  For any target the step lies in the safe region (docs/method.md, section 5).
"""

from __future__ import annotations

import numpy as np

from scpo.arrays import Array

#: the share of the way back out of the buffer that a target asks of a constraint in one update
RECOVERY = 0.5
#: only constraints nearer to their limits than this many buffer widths turn a target
REACH = 60.0
#: how far a row may be missed, against how far the target moves for it; so opposed rows have a solution too
SOFTNESS = 1e-4
#: DAQP's code for a row that may be missed at a quadratic cost, and the tolerance for the rows
SOFT, TOLERANCE = 8, 1e-10


def turned(target: Array, slopes: Array, tightened: Array, buffer: float) -> Array:
    """Return the turned target (n,), or ``target`` itself if it satisfies all rows.

    An approximate solution is enough.  If the solver fails, ``target`` is returned.

    Args:
        target: the target t (n,).
        slopes: the slopes a (k, n).
        tightened: g + tightening (k,).
        buffer: the width of the buffer, above 0.
    """
    import daqp

    norms = np.linalg.norm(slopes, axis=1)
    near = (norms > 0.0) & (tightened > -REACH * buffer)
    inside = tightened[near] + buffer
    rows = slopes[near] / norms[near, None]
    allowed = -np.where(inside > 0.0, RECOVERY * inside, inside) / norms[near]
    if (rows @ target <= allowed).all():
        return target
    below, kinds = np.full(allowed.size, -1e30), np.full(allowed.size, SOFT, dtype=np.int32)
    solution, _, flag, _ = daqp.solve(
        np.eye(target.size), -target, rows, allowed, below, kinds, primal_tol=TOLERANCE, rho_soft=SOFTNESS
    )
    return np.asarray(solution) if flag in (1, 2) and np.isfinite(solution).all() else target
