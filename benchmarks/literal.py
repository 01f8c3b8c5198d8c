"""An update taken literally: rollouts in Python loops, and the projection of :mod:`replication.literal`."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch

from benchmarks.runs import Measured
from replication import literal
from scpo.arrays import Array
from scpo.projection.region import LocalSafeRegion


def constraint_values(measured: Measured, policy: Any) -> Array:
    """Return g (k,) of one policy by a loop: over time for the rollouts, one policy after the other."""
    problem = measured.problem
    with torch.no_grad():
        if measured.task == "regression":
            outputs = policy(problem.grid)[:, 0]
            return torch.cat([outputs - problem.bound, -outputs - problem.bound]).numpy()
        from replication.tasks.double_integrator.rollout import Rollout
        from replication.tasks.double_integrator.system import A, B

        drift, push = torch.tensor(A.T.copy()), torch.tensor(B.T.copy())
        states, inputs = [problem.starts], []
        for _ in range(problem.horizon):
            inputs.append(policy(states[-1]))
            states.append(states[-1] @ drift + inputs[-1] @ push)
        return problem.rollout_constraint(Rollout(torch.stack(states)[None], torch.stack(inputs)[None]))[0].numpy()


def update(measured: Measured) -> None:
    """Take one update literally, on a copy of the policy, with the constants that the run has learned."""
    method, settings = measured.run.method, measured.settings.scpo
    policy = copy.deepcopy(measured.run.policy)
    measured.gradient()
    parameters = [parameter for parameter in policy.parameters() if parameter.requires_grad]
    trained = [parameter for parameter in measured.run.policy.parameters() if parameter.requires_grad]
    theta = torch.cat([parameter.detach().reshape(-1) for parameter in parameters])
    nominal = -measured.settings.optimizer.learning_rate * torch.cat([p.grad.reshape(-1) for p in trained])

    def write(vector: torch.Tensor) -> None:
        with torch.no_grad():
            for parameter, part in zip(parameters, vector.split([p.numel() for p in parameters]), strict=True):
                parameter.copy_(part.view_as(parameter))

    states = measured.problem.states()
    chosen = torch.linspace(0, len(states) - 1, settings.directions.count - 1).long()
    rows = [torch.autograd.grad(policy(states[i : i + 1]).sum(), parameters) for i in chosen.tolist()]
    directions = torch.stack([nominal, *(torch.cat([part.reshape(-1) for part in row]) for row in rows)])
    basis = torch.linalg.qr(directions.T)[0]
    values, step = constraint_values(measured, policy), 1e-3
    slopes = np.empty((values.size, basis.shape[1]))
    for j in range(basis.shape[1]):
        write(theta + step * basis[:, j])
        slopes[:, j] = (constraint_values(measured, policy) - values) / step
    constants = method.smoothness.constants()
    error = np.sqrt(basis.shape[1]) * 0.5 * constants * step
    region = LocalSafeRegion.build(
        np.minimum(values + settings.tightening, 0.0),
        slopes,
        constants,
        error,
        method.smoothness.radius(),
        settings.kappa,
    )
    z = literal.project(region, (basis.T @ nominal).numpy()).point
    write(theta + basis @ torch.from_numpy(z))
    constraint_values(measured, policy)
