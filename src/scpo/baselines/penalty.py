"""The fixed-penalty baseline: gradient steps on loss + (rho / 2) sum_i max(0, g_i + tightening)^2.

The quadratic penalty (Nocedal and Wright, "Numerical Optimization", 2006, section 17.1) with a constant weight rho, and
with slopes of g from SCPO's directions and probes.  Nothing keeps an iterate safe: at a minimum each active constraint
exceeds its tightened limit by lambda_i / rho, where lambda_i is its multiplier.  A larger rho makes this smaller, and
then needs shorter steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from scpo.arrays import Array
from scpo.baselines._options import Charge
from scpo.baselines._probing import Priced
from scpo.options import Constraint


class Penalty(Priced):
    """The method that lets the wrapped optimiser descend on the loss and a price of violations.

    Args:
        optimizer: any torch.optim optimiser of parameters of ``policy``.
        policy: the policy.
        constraint: the same as for :class:`scpo.SafeOptimizer`.
        charge: the price.
        probing: directions, smoothness and seed, as for :class:`scpo.SafeOptimizer`; smoothness sets the
            length of the probes alone.
    """

    options = "charge"

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        policy: nn.Module,
        constraint: Callable[[Any], Any] | Constraint,
        *,
        charge: Charge | None = None,
        **probing: Any,
    ) -> None:
        super().__init__(optimizer, policy, constraint, **probing)
        self.charge = charge or Charge()

    def _prices(self, tightened: Array) -> Array:
        """Return the factor (k,) on the slope of each constraint, for g + tightening (k,)."""
        return np.asarray(self.charge.weight * np.maximum(tightened, 0.0))
