"""The log-barrier baseline: gradient steps on loss - eta sum_i log(-g_i), short enough to stay safe.

LB-SGD of Usmanova, As, Kamgarpour and Krause ("Log barriers for safe black-box optimization with application to safe
reinforcement learning", JMLR 2024), in the subspace of SCPO's directions and with its probes.  The step has
the length y, against the barrier's gradient.  With slack alpha_i, slope theta_i of g_i along the step, its error e_i,
and the constants L_i of g_i and M_0 of the loss:

- y <= alpha_i / (2 (|theta_i| + e_i) + sqrt(alpha_i L_i)) leaves at least alpha_i / 2 of each slack;
- there the barrier is M-smooth along it: M = M_0 + eta sum_i (10 L_i / alpha_i + 8 (|theta_i| + e_i)^2 / alpha_i^2),
  and y <= |gradient| / M descends on it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from scpo.arrays import Array, length_of
from scpo.baselines._options import Barrier
from scpo.baselines._probing import Probing
from scpo.errors import UnsafeStartError
from scpo.options import Constraint
from scpo.probing import Probes
from scpo.records import StepInfo


class LbSgd(Probing):
    """The method that descends on the log barrier of g + tightening.

    Args:
        optimizer: a torch.optim optimiser.  Only its learning rate counts, as 1 / M_0.
        policy: the policy.
        constraint: the same as for :class:`scpo.SafeOptimizer`.
        barrier: the weight of the barrier.
        probing: directions, smoothness and seed, as for :class:`scpo.SafeOptimizer`.

    Raises:
        UnsafeStartError: g + tightening >= 0 at the start, where the barrier is infinite.
    """

    options = "barrier"

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        policy: nn.Module,
        constraint: Callable[[Any], Any] | Constraint,
        *,
        barrier: Barrier | None = None,
        **probing: Any,
    ) -> None:
        super().__init__(optimizer, policy, constraint, **probing)
        self.barrier = barrier or Barrier()
        if (self._values + self._method.tightening >= 0).any():
            raise UnsafeStartError("at the start g + tightening >= 0; start where every constraint has slack")

    def step(self) -> StepInfo:
        """Take one step and return its record.  Without slack the barrier is infinite, and the policy stays.

        Raises:
            NonFiniteError: the loss gradient is NaN or infinite.
        """
        gradient = self.vector.gradient()
        theta, _ = self._propose()
        self.vector.write(theta)
        basis, probes = self._probe(theta, gradient)
        z = self._barrier_step(basis.coordinates(gradient), probes)
        return self._take(theta, theta + basis.combine(z), basis, probes)

    def _barrier_step(self, gradient: Array, probes: Probes) -> Array:
        """Return the step z (n,) for the ``gradient`` (n,) of the loss."""
        slack, constants = -self._values - self._method.tightening, probes.constants
        if (slack <= 0).any():
            return np.zeros_like(gradient)
        weight, curved = self.barrier.at(self.updates), constants.smoothness
        downhill = -(gradient + weight * (probes.slopes / slack[:, None]).sum(axis=0))
        size = length_of(downhill)
        if size == 0.0:
            return np.zeros_like(gradient)
        along = np.abs(probes.slopes @ downhill) / size + probes.error(curved)
        reach = slack / np.maximum(2.0 * along + np.sqrt(slack * curved), 1e-300)
        flattest = 1.0 / self._rate
        barrier = weight * float((10.0 * curved / slack + 8.0 * along**2 / slack**2).sum())
        longest = min(float(reach.min(initial=np.inf)), constants.radius, size / (flattest + barrier))
        return np.asarray(longest / size * downhill)
