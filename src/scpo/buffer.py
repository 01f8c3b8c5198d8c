"""The buffer before the limits: it turns a target away from them, so that the safe region need not stop the step.

At a limit the projection onto the safe region shortens the whole step, its part along the limit too, and a policy
crawls.  So the target is turned first, in the linear model of the constraint, where turning costs nothing along the
limit:

    t' = argmin |z - t|^2 / 2 + sum_i s_i^2 / (2 SOFTNESS)   s.t.  (a_i^T z + w_i) / |a_i| <= s_i,

with v_i = g_i + tightening + buffer, and w_i = v_i before the buffer, w_i = RECOVERY v_i inside it.  Only constraints
within REACH buffers of their limits count: a step that hits one farther away is too long and is better shortened.
Whatever the target is, the step lies in the safe region (docs/method.md, section 5).
"""

from __future__ import annotations

import numpy as np

from scpo.arrays import Array

#: share of the way back out of the buffer that a target asks of a constraint in one update
RECOVERY = 0.5
#: constraints nearer to their limits than so many buffers turn a target
REACH = 60.0
#: how far a row may be missed, against how far the target moves for it: keeps opposed rows solvable
SOFTNESS = 1e-4
#: DAQP's code for a row that gives way at a quadratic cost, and its tolerance
SOFT, TOLERANCE = 8, 1e-10


def turned(target: Array, slopes: Array, tightened: Array, buffer: float) -> Array:
    """Return the target t' (n,) that turns away from the limits; ``target`` itself if it passes them all.

    An approximate solution is enough.  If the solver fails, ``target`` is returned.

    Args:
        target: t (n,).
        slopes: a (k, n).
        tightened: g + tightening (k,).
        buffer: its width, above 0.
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
