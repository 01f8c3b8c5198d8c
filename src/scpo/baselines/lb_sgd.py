"""The log-barrier baseline: gradient steps on loss - eta sum_i log(-g_i), short enough to stay safe.

LB-SGD of Usmanova, As, Kamgarpour and Krause ("Log barriers for safe black-box optimization with application to safe
reinforcement learning", JMLR 2024), in the subspace of SCPO's directions and with its probes.  The step is -s u along
the barrier's gradient, |u| = 1.  With slack alpha_i, slope theta_i of g_i along u, its error e_i, and the constants L_i
of g_i and M_0 of the loss:

- s <= alpha_i / (2 (|theta_i| + e_i) + sqrt(alpha_i L_i)) leaves at least alpha_i / 2 of each slack;
- there the barrier is M-smooth along u, M = M_0 + eta sum_i (10 L_i / alpha_i + 8 (|theta_i| + e_i)^2 / alpha_i^2), and
  s <= |gradient| / M descends on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn

from scpo.arrays import Array, length_of
from scpo.baselines.unconstrained import Unconstrained
from scpo.basis import draw_basis
from scpo.directions import as_directions
from scpo.errors import UnsafeStartError
from scpo.options import Constraint, Options, StepOptions, option
from scpo.probing import Probes, learn, probe
from scpo.records import StepInfo
from scpo.sampling import Context, Directions
from scpo.smoothness import EstimatedSmoothness, Smoothness, as_smoothness
from scpo.state import Method, Start


@dataclass(frozen=True, kw_only=True)
class Barrier(Options):
    """The weight eta of the barrier: it decays from update to update, down to a least value."""

    first: float = option(0.1, "eta at the first update", gt=0)
    decay: float = option(0.99, "factor on eta at each update", gt=0, le=1)
    least: float = option(1e-5, "eta falls no lower", gt=0)

    def at(self, update: int) -> float:
        """Return eta at an update, from 1."""
        return max(self.least, self.first * self.decay ** (update - 1))


class LbSgd(Unconstrained):
    """The method that descends on the log barrier of g + tightening.

    Args:
        optimizer: a torch.optim optimiser.  Only its learning rate counts, as 1 / M_0.
        policy: the policy.
        constraint: the same as for :class:`scpo.SafeOptimizer`.
        directions: where g is probed, as for :class:`scpo.SafeOptimizer`.
        smoothness: the constants L, as for :class:`scpo.SafeOptimizer`.
        barrier: the weight of the barrier.
        seed: of the sampled directions.

    Raises:
        UnsafeStartError: g + tightening >= 0 at the start, where the barrier is infinite.
    """

    probes = True

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        policy: nn.Module,
        constraint: Callable[[Any], Any] | Constraint,
        *,
        directions: Directions | None = None,
        smoothness: EstimatedSmoothness | Smoothness | ArrayLike | None = None,
        barrier: Barrier | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(optimizer, policy, constraint)
        self.policy, self.barrier = policy, barrier or Barrier()
        self._method = Method(
            evaluate=self.evaluate,
            context=Context(policy, self.vector),
            directions=as_directions(directions),
            smoothness=as_smoothness(smoothness),
            step=StepOptions(),
            look=None,
            descent=None,
            generator=torch.Generator().manual_seed(seed),
        )
        self._method.smoothness.start(self._values.size)
        if (self._values + self._method.tightening >= 0).any():
            raise UnsafeStartError("at the start g + tightening >= 0; start where every constraint has slack")
        self._rounding = self.evaluate.rounding_level(self.vector.read(), self._method.generator)

    def step(self) -> StepInfo:
        """Take one step and return its record.  An iterate without slack stays, as the barrier is infinite there.

        Raises:
            NonFiniteError: the loss gradient is NaN or infinite.
        """
        gradient = self.vector.gradient()
        theta, _ = self._propose()
        self.vector.write(theta)
        free = -self._rate * gradient  # the step without a barrier
        start = Start(self.updates, theta, self._values, free, gradient, self._rounding, None)
        basis = draw_basis(start, self._method)
        basis, probes = probe(start, basis, self._method)
        z = self._barrier_step(basis.coordinates(gradient), probes)
        after = theta + basis.combine(z)
        values = self.evaluate(after[None])[0]
        bound = self._observe(values, z, probes)
        self.vector.write(after)
        self._values = values
        return StepInfo(
            update=self.updates,
            slack=-float(values.max(initial=-np.inf)),
            proposals=1,
            unsafe_proposals=int((values > 0).any()),
            unsafe_probes=probes.unsafe,
            bound_misses=int((values > bound + 2.0 * self._rounding).sum()),
            nominal_norm=float(self.nominal.norm()) if self.nominal is not None else 0.0,
            step_norm=length_of(z),
            rollouts=self.evaluate.rollouts,
        )

    @property
    def _rate(self) -> float:
        """The learning rate: the length of a step without a barrier over that of the gradient."""
        return float(self.optimizer.param_groups[0]["lr"])

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

    def _observe(self, values: Array, z: Array, probes: Probes) -> Array:
        """Tell the smoothness model the L that the step needed, and return the step bound (k,)."""
        length, smoothness = length_of(z), probes.constants.smoothness
        if length > 0.0:
            learn(probes.required(z, values - self._values), length, smoothness, probes, self._method)
        bound = self._values + probes.slopes @ z + probes.error(smoothness) * length + 0.5 * smoothness * length**2
        return np.asarray(bound)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the optimiser and of the smoothness model, the values of g, counts and the generator."""
        learned = {"smoothness": self._method.smoothness.state_dict(), "rounding": self._rounding.copy()}
        return super().state_dict() | learned | {"generator": self._method.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state that :meth:`state_dict` returned."""
        super().load_state_dict(state)
        self._method.smoothness.load_state_dict(state["smoothness"])
        self._rounding = state["rounding"].copy()
        self._method.generator.set_state(state["generator"])
