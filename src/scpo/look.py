"""A look along the step: one more probe on the way to a proposal.  It shortens the step if g curves too much.

The step bound knows the curvature that earlier steps have shown.  A step may meet a curvature along its own direction
that none of them has shown.  So g is evaluated at theta + beta Q z, and the residual there,

    R_i = g_i(theta + beta Q z) - g_i - beta a_i^T z,

says how g_i curves along this step.  On the ray alpha z the rows of the region become

    kappa g_i + alpha a_i^T z + max( e_i alpha |z| + (L_i / 2) alpha^2 |z|^2,  f max(R_i, 0) alpha^2 / beta^2 ) <= 0,

and the step is shortened to the largest alpha <= 1 that satisfies them.  A step that was shortened much gets another
look.  A step along which a rollout diverged (NaN or infinity) is halved and gets another look.  The result is a
shortened step of the same region, so every proof stands (docs/method.md, section 5).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from scpo.arrays import Array, length_of
from scpo.basis import Basis
from scpo.constraint import ConstraintEvaluator
from scpo.options import MOST_LOOKS, Look
from scpo.probing import Probes
from scpo.projection.region import LocalSafeRegion
from scpo.state import Start

#: a step is looked at again if a look left less than this share of it
AGAIN = 0.8


@dataclass(frozen=True)
class Looks:
    """The result of looking along a step.

    Attributes:
        step: the step (n,) that is left.
        bound: the step bound (k,) there, with the curvature that the last look showed.
        count: the number of looks.
        unsafe: the number of looks with max g > 0.
    """

    step: Array
    bound: Array
    count: int
    unsafe: int


def look_along(
    step: Array,
    start: Start,
    basis: Basis,
    probes: Probes,
    region: LocalSafeRegion,
    beside: Array,
    evaluate: ConstraintEvaluator,
    options: Look,
) -> Looks:
    """Return the part of ``step`` (n,) that is left after looking along it.

    The curvature that the look shows replaces the errors of the slopes.  Only the errors ``beside`` (k,) stay: they
    make up for a slack that is less than the rounding.
    """
    count = unsafe = 0
    while True:
        ahead = options.share * step
        values = evaluate.attempt((start.theta + basis.combine(ahead))[None])[0]
        count, unsafe = count + 1, unsafe + bool((values > 0).any())
        if not np.isfinite(values).all():  # this shows no curvature
            if count >= MOST_LOOKS:
                return Looks(np.zeros_like(step), start.values, count, unsafe)
            step = 0.5 * step
            continue
        curvature = _curvature_along(step, values - start.values - probes.slopes @ ahead, options)
        seen = replace(region, probe_error=beside, smoothness=curvature)
        before, step = step, seen.pull_back(step, step)  # to where the rows hold in floating point, too
        if length_of(step) >= AGAIN * length_of(before) or count >= MOST_LOOKS or not step.any():
            length = length_of(step)
            expected = region.probe_error * length + 0.5 * region.smoothness * length**2
            bound = start.values + probes.slopes @ step + np.maximum(expected, 0.5 * curvature * length**2)
            return Looks(step, bound, count, unsafe)


def _curvature_along(step: Array, residual: Array, options: Look) -> Array:
    """Return L (k,) for which (L / 2) |z|^2 is the factor times the rise of g over the step that the residual shows."""
    rise = options.factor * np.maximum(residual, 0.0) / options.share**2
    return np.asarray(2.0 * rise / length_of(step) ** 2)
