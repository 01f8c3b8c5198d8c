"""The rounding of g: stated by the constraint, or measured at an iterate and again where theta has outgrown it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor
from torch.linalg import vector_norm

from scpo.arrays import Array, per_value
from scpo.state import Method, Start


@dataclass(frozen=True)
class Rounding:
    """What is known of the rounding of g.

    Attributes:
        level: eps_g (k,).
        measured_at: the size of theta where it was measured; infinite if the constraint states it.
        coarse: g is known to be coarser than float64, and its rounding is not stated.
        rough_at: the update that measured the roughness of g (:mod:`scpo.roughness`); -infinity: none.
    """

    level: Array
    measured_at: float = math.inf
    coarse: bool = False
    rough_at: float = -math.inf

    @property
    def stated(self) -> bool:
        """True if the constraint states it."""
        return math.isinf(self.measured_at)

    def outdated(self) -> Rounding:
        """Return the same, as one that the next step measures anew."""
        return replace(self, measured_at=0.0, rough_at=-math.inf)

    def renewed(self, start: Start, method: Method) -> Rounding:
        """Return the same, or eps_g measured at ``start`` if the larger of |theta| and |p| has doubled."""
        if start.scale <= 2.0 * self.measured_at:
            return self
        step = start.nominal_norm if start.nominal_norm > float(vector_norm(start.theta)) else 0.0
        level = method.evaluate.rounding_level(start.theta, method.generator, step)
        return replace(self, level=np.maximum(self.level, level), measured_at=start.scale)

    def after(self, start: Start) -> Rounding:
        """Return the rounding after an update that went on from ``start``."""
        return replace(self, level=start.rounding, coarse=start.coarse, rough_at=start.rough_at)


def known(method: Method, theta: Tensor, length: int, loaded: Rounding | None = None) -> Rounding:
    """Return the rounding of ``length`` constraint values, measured at theta (d,) unless it is stated or was loaded.

    What the constraint states holds only if theta is written without rounding.
    """
    given = method.evaluate.constraint.rounding
    if given is not None and method.context.vector.exact:
        level = per_value("rounding", given, length)
        return Rounding(level) if loaded is None else replace(loaded, level=level, measured_at=math.inf)
    return measured(method, theta) if loaded is None or loaded.stated else loaded


def measured(method: Method, theta: Tensor) -> Rounding:
    """Return the rounding at theta (d,), measured.  The next step measures roughness at the scale of its probes."""
    level = method.evaluate.rounding_level(theta, method.generator)
    coarse = method.evaluate.is_coarse and method.evaluate.constraint.rounding is None
    return Rounding(level, float(vector_norm(theta)), coarse)
