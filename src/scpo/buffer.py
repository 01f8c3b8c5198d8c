"""The buffer before the limits: a target that turns away from them, so that the region need not stop it.

At a limit the projection onto S pays for every bit of outward push: the multiplier of a row shortens the whole step,
what goes along the limit too, and the policy crawls.  So the target is first turned in the linear model of the
metrics, where turning costs nothing along the limit:

    t' = argmin |z - t|^2 / 2 + sum_i s_i^2 / (2 SOFTNESS)   s.t.  (a_i^T z + w_i) / |a_i| <= s_i,

with v_i = g_i + margin + buffer, w_i = v_i before the buffer and w_i = RECOVERY v_i inside it, over the metrics within
REACH buffers of their limits: a step that is stopped by one farther away is too long, and turned it would stay so.
Only the target changes.  Whatever it is, the step lies in S (docs/method.md, the buffer).
"""

from __future__ import annotations

import numpy as np

from scpo.arrays import Array

#: share of its way back out of the buffer that the target asks of a metric in one update
RECOVERY = 0.5
#: which metrics have a say: those nearer to their limits than so many buffers
REACH = 60.0
#: how far a row may be missed, against how far the target moves for it: keeps opposed rows solvable
SOFTNESS = 1e-4
#: of DAQP: the rows give way at a quadratic cost
SOFT = 8
TOLERANCE = 1e-10


def turned(target: Array, slopes: Array, values: Array, buffer: float) -> Array:
    """Return t' for a target t; t itself where no metric minds it.

    An accurate solution is not needed: should the solver fail, t is returned.

    Args:
        target: t (n,).
        slopes: a (k, n).
        values: g + margin (k,).
        buffer: its width, > 0.
    """
    import daqp

    norms = np.linalg.norm(slopes, axis=1)
    near = (norms > 0.0) & (values > -REACH * buffer)
    inside = values[near] + buffer
    rows = slopes[near] / norms[near, None]
    room = -np.where(inside > 0.0, RECOVERY * inside, inside) / norms[near]
    if (rows @ target <= room).all():
        return target
    below, kinds = np.full(room.size, -1e30), np.full(room.size, SOFT, dtype=np.int32)
    found, _, flag, _ = daqp.solve(
        np.eye(target.size), -target, rows, room, below, kinds, primal_tol=TOLERANCE, rho_soft=SOFTNESS
    )
    return np.asarray(found) if flag in (1, 2) and np.isfinite(found).all() else target
