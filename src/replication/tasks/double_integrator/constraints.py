"""The constraint of the double integrator: limits along a rollout and contraction at its end; g <= 0 is safe.

Suppose that from every start in O_inf the limits hold for t < T and Psi(x_T) <= zeta Psi(x_0) with zeta < 1.  Then
the policy can be applied again from x_T: the limits hold for all time, and Psi is a finite-step Lyapunov function.
Sampled starts only support this; the set-based certificate proves it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor

from replication.tasks.double_integrator.rollout import Rollout
from replication.tasks.double_integrator.settings import Aggregation
from replication.tasks.double_integrator.system import INPUT_LIMIT, STATE_LIMIT
from scpo.errors import ConfigurationError


@dataclass(frozen=True)
class RolloutConstraint:
    """Three constraint values for each start: state limits, input limit and contraction of the gauge Psi.

    Attributes:
        facets: rows h_j (n, 2) of O_inf; Psi(x) = max_j h_j^T x.
        contraction: zeta, 0 < zeta < 1.
        aggregation: over time and axes, "max" or "logsumexp".  The latter is log(sum_j exp(beta_lse v_j)) / beta_lse:
            smooth, at least the maximum, and at most log(count) / beta_lse above it.
        sharpness: beta_lse of "logsumexp".
    """

    facets: Tensor
    contraction: float
    aggregation: Aggregation
    sharpness: float = 200.0

    def __post_init__(self) -> None:
        """Check the options."""
        if self.aggregation not in get_args(Aggregation):
            raise ConfigurationError(f"aggregation: no {self.aggregation!r}; there are {get_args(Aggregation)}")
        if not 0.0 < self.contraction < 1.0:
            raise ConfigurationError(f"contraction: expected 0 < zeta < 1, got {self.contraction}")
        if not self.sharpness > 0.0:
            raise ConfigurationError(f"sharpness: expected a positive number, got {self.sharpness}")

    def gauge(self, states: Tensor) -> Tensor:
        """Return Psi (...) at states (..., 2)."""
        return (states @ self.facets.T).amax(dim=-1)

    def _aggregate(self, values: Tensor) -> Tensor:
        """Return ``values`` (m, M, j) aggregated over j."""
        if self.aggregation == "max":
            return values.amax(dim=-1)
        return torch.logsumexp(self.sharpness * values, dim=-1) / self.sharpness

    def _aggregate_modulus(self, values: Tensor) -> Tensor:
        """Return |values| (m, t, M, i) aggregated over t and i; -values and values both count, which is smooth at 0."""
        modulus = values.permute(1, 3, 0, 2).flatten(0, 1).abs()  # the order in which rollouts lie in memory
        highest = modulus.amax(dim=0)
        if self.aggregation == "max":
            return highest
        near = (modulus - highest).mul_(self.sharpness).exp_()
        far = modulus.add_(highest).mul_(-self.sharpness).exp_()
        smooth = highest + near.add_(far).sum(dim=0).log_().div_(self.sharpness)
        return torch.where(highest.isinf(), highest, smooth)

    @torch.no_grad()
    def __call__(self, trajectories: Rollout) -> Tensor:
        """Return g (m, 3 M) in three blocks of M starts.

        The blocks are: the maximum over t <= T and i of |x_i| / 5 - 1; the maximum over t < T of |u| - 1; and
        (Psi(x_T) - zeta Psi(x_0)) / Psi(x_0).
        """
        states, inputs = trajectories.states, trajectories.inputs
        initial = self.gauge(states[:, 0])
        final = self._aggregate((states[:, -1] @ self.facets.T) / initial.unsqueeze(-1))
        return torch.cat(
            [
                self._aggregate_modulus(states / STATE_LIMIT) - 1.0,
                self._aggregate_modulus(inputs / INPUT_LIMIT) - 1.0,
                final - self.contraction,
            ],
            dim=-1,
        )
