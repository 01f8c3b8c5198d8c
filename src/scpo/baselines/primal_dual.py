"""The primal-dual baseline: one step on the augmented Lagrangian, then one step of its multipliers.

The augmented Lagrangian of Hestenes, Powell and Rockafellar for inequalities (Nocedal and Wright, "Numerical
Optimization", 2006, section 17.4), in a single loop.  With g'_i = g_i + tightening an update is

- theta: the wrapped optimiser's step on loss + sum_i (max(0, lambda_i + rho g'_i)^2 - lambda_i^2) / (2 rho);
- lambda_i = max(0, lambda_i + rate g'_i) at the new iterate.

Without the weight rho this is the method of Arrow, Hurwicz and Uzawa on the plain Lagrangian, which is usual in
constrained reinforcement learning.  The slopes of g come from SCPO's directions and probes.  A saddle point is the
constrained optimum.  On the way there the iterates exceed the limit: only violations raise the multipliers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from scpo.arrays import Array
from scpo.baselines._options import Multipliers
from scpo.baselines._probing import Priced
from scpo.options import Constraint
from scpo.records import StepInfo


class PrimalDual(Priced):
    """The method that looks for a saddle point of the augmented Lagrangian.

    Args:
        optimizer: any torch.optim optimiser of parameters of ``policy``.
        policy: the policy.
        constraint: the same as for :class:`scpo.SafeOptimizer`.
        multipliers: their weight and rate.
        probing: directions, smoothness and seed, as for :class:`scpo.SafeOptimizer`; smoothness sets the
            length of the probes alone.
    """

    options = "multipliers"

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        policy: nn.Module,
        constraint: Callable[[Any], Any] | Constraint,
        *,
        multipliers: Multipliers | None = None,
        **probing: Any,
    ) -> None:
        super().__init__(optimizer, policy, constraint, **probing)
        self.multipliers = multipliers or Multipliers()
        #: lambda (k,)
        self.duals: Array = np.zeros_like(self._values)

    def step(self) -> StepInfo:
        """Take one step, change the multipliers, and return the record of the step.

        Raises:
            NonFiniteError: the loss gradient is NaN or infinite.
        """
        info = super().step()
        change = self.multipliers.rate * (self._values + self._method.tightening)
        self.duals = np.maximum(0.0, self.duals + change)
        return info

    def _prices(self, tightened: Array) -> Array:
        """Return the factor (k,) on the slope of each constraint, for g + tightening (k,)."""
        return np.maximum(0.0, self.duals + self.multipliers.weight * tightened)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the optimiser and of the smoothness model, the values of g, multipliers and counts."""
        return super().state_dict() | {"duals": torch.from_numpy(self.duals.copy())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state that :meth:`state_dict` returned."""
        super().load_state_dict(state)
        self.duals = state["duals"].numpy().copy()
