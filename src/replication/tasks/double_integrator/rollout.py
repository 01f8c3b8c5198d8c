"""Closed-loop rollouts of many parameter sets at once; constraints and costs are computed from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from replication.tasks.double_integrator.action_filter import ActionFilter
from replication.tasks.double_integrator.system import STAGE_INPUT_WEIGHT, A, B
from scpo.errors import ConfigurationError, ShapeError
from scpo.policies import ResidualPolicy


@dataclass(frozen=True, eq=False)
class Rollout:
    """Trajectories of m policies from M starts over T steps.

    Attributes:
        states: x_0 ... x_T (m, T + 1, M, 2).
        inputs: u_0 ... u_{T-1} (m, T, M, 1).
    """

    states: Tensor
    inputs: Tensor

    def cost(self) -> Tensor:
        """Return the cost (m, M): the sum of |x_t|^2 + 0.1 u_t^2 over t < T."""
        return self.states[:, :-1].square().sum(dim=(1, 3)) + STAGE_INPUT_WEIGHT * self.inputs.square().sum(dim=(1, 3))


@torch.no_grad()
def rollout(
    policy: ResidualPolicy,
    parameters: Mapping[str, Tensor],
    starts: Tensor,
    horizon: int,
    action_filter: ActionFilter | None = None,
) -> Rollout:
    """Return the closed-loop trajectories of m stacked parameter sets of ``policy``; inputs are not clipped.

    Args:
        policy: the architecture and the backup; its weights are not used.
        parameters: name -> (m, *shape).
        starts: x_0 (M, 2), float64.
        horizon: T.
        action_filter: changes the policy's inputs; None: they are applied as they are.

    Raises:
        ShapeError: the starts are not (M, 2).
        ConfigurationError: the horizon is below 1.
    """
    if starts.ndim != 2 or starts.shape[1] != 2:
        raise ShapeError(f"starts: expected (M, 2), got {tuple(starts.shape)}")
    if horizon < 1:
        raise ConfigurationError(f"horizon: expected at least 1, got {horizon}")
    sets = next(iter(parameters.values())).shape[0]
    drift, push = torch.tensor(A).to(starts).expand(sets, -1, -1), torch.tensor(B).to(starts)
    act = policy.on_columns(parameters)
    state = starts.T.expand(sets, -1, -1).contiguous()  # in columns, as the policy reads them
    states, inputs = [state], []
    for t in range(horizon):
        applied = act(state)
        if action_filter is not None:
            if t % action_filter.horizon == 0:
                level = action_filter.level(state)
            applied = action_filter(t, state, applied, level)
        state = torch.baddbmm(push * applied, drift, state)
        states.append(state)
        inputs.append(applied)
    return Rollout(torch.stack(states).permute(1, 0, 3, 2), torch.stack(inputs).permute(1, 0, 3, 2))


def rollout_policy(
    policy: ResidualPolicy, starts: Tensor, horizon: int, action_filter: ActionFilter | None = None
) -> Rollout:
    """Return the closed-loop trajectories of one policy with its own weights (m = 1); see :func:`rollout`."""
    parameters = {name: value.detach().unsqueeze(0) for name, value in policy.named_parameters()}
    return rollout(policy, parameters, starts, horizon, action_filter)
