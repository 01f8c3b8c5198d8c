"""The target of an update: the nominal step, which the buffer may turn, or a step that restores safety."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scpo.arrays import LARGEST, Array, length_of
from scpo.basis import Basis, foreseen_step
from scpo.buffer import turned
from scpo.pieces import Rows
from scpo.probing import Probes
from scpo.state import Method, Start

#: a restoring step aims this many times the rounding of g below the limit, at least
RESTORING_ROUNDING = 64.0


@dataclass(frozen=True)
class Aim:
    """The target of an update.

    Attributes:
        target: t (n,).
        turned: the target is not the nominal step: planes of kinks or the buffer turned it.
        restoring: the target leads back to the safe set instead of along the loss.
        descent_row: Q^T grad loss (n,) if the loss needs a row of its own, else None.
        metric: Q^T M^-1 Q (n, n), in whose norm the target is projected; None: Euclidean.
        pieces: the rows of planes that the step must satisfy, too, or None.
    """

    target: Array
    turned: bool = False
    restoring: bool = False
    descent_row: Array | None = None
    metric: Array | None = None
    pieces: Rows | None = None


def aim(start: Start, basis: Basis, probes: Probes, method: Method) -> Aim:
    """Return the target of an update and the row that keeps the loss from rising, if it needs one."""
    tightened = start.values + method.tightening_at(start)
    if start.unsafe:
        return Aim(_restoring(start, probes, tightened), restoring=True)
    target, row = basis.coordinates(start.nominal), None
    if method.descent is not None and not start.gradient.any():
        if method.descent.loss_smoothness > 0:  # no direction descends, and a rise may be of second order
            target = np.zeros_like(target)
    elif method.may_rise(start):
        row = basis.coordinates(start.gradient)
    width = method.step.buffer
    planes = None if start.memory is None else start.memory.planes
    foreseen = foreseen_step(start, method) if planes is not None and target.any() else None
    if foreseen is not None:  # what is nearest to it need not descend
        target = basis.coordinates(foreseen)
        row = None if method.descent is None else basis.coordinates(start.gradient)
    elif start.metric is not None and not basis.holds_nominal:  # then Q^T p is not what is nearest to p in this norm
        force = basis.coordinates(start.metric * start.nominal)
        target = np.asarray(np.linalg.solve(basis.in_coordinates(start.metric), force))
    aimed = turned(target, probes.slopes, tightened, width) if width > 0.0 and target.any() else target
    metric = basis.in_coordinates(start.metric) if start.metric is not None and aimed.any() else None
    rows = None if planes is None else planes.rows(start.theta, basis.vectors, start.values, probes.slopes)
    return Aim(aimed, turned=aimed is not target or foreseen is not None, descent_row=row, metric=metric, pieces=rows)


def _restoring(start: Start, probes: Probes, tightened: Array) -> Array:
    """Return a step (n,) that lowers the constraints above their limits, or within rounding of them.

    The step is twice as long as the linear model asks for, and well above rounding: the projection and the look may
    shorten it.  It is no longer than r, and no longer than |theta| or |p|, whichever is larger.  Along the step the
    bound of each of these constraints falls at first and then rises; the step ends before the first of them rises.
    """
    norms = np.linalg.norm(probes.slopes, axis=1)
    short = (tightened + 2.0 * probes.rounding > 0) & (norms > 0.0)
    downhill: Array = -(probes.slopes[short] / norms[short, None]).sum(axis=0)
    size = length_of(downhill)
    if size == 0.0:
        return downhill
    wanted = 2.0 * tightened[short] + RESTORING_ROUNDING * probes.rounding[short]
    smoothness, longest = probes.constants.smoothness, min(probes.constants.radius, start.scale or np.inf)
    fall = -probes.slopes[short] @ downhill / size - probes.error(smoothness)[short]
    curved = (smoothness[short] > 0.0) & (fall > 0.0)
    lowest = float((fall[curved] / smoothness[short][curved]).min(initial=longest))
    length = min(float((wanted / norms[short]).max()), lowest, LARGEST)
    return np.asarray(length / size * downhill)
