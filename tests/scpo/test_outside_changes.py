"""Changes that others make: to the policy, to its buffers, to the constraint, to what is trained."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from replication.planted_faults.smooth import Vector
from scpo.errors import ConfigurationError, ConstraintError
from scpo.optimizer import SafeOptimizer

from .small_networks import (
    assemble,
    fingerprint,
    loss,
    residual,
    wrap,
)


def test_buffers_that_make_the_policy_unsafe_are_noticed() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2, dtype=torch.float64))
            self.register_buffer("scale", torch.ones((), dtype=torch.float64))

    policy = Scaled()
    options: dict[str, Any] = {"smoothness": 0.0, "directions": "isotropic"}
    for verify in (True, False):
        policy.scale.fill_(1.0)
        nn.init.ones_(policy.weight)
        inner = torch.optim.SGD(policy.parameters(), lr=0.1)
        safe = assemble(inner, policy, lambda p: (p.scale * p.weight) - 2.0, verify=verify, **options)
        policy.scale.fill_(3.0)
        for attempt in range(2):
            safe.zero_grad()
            (-policy.weight.sum()).backward()
            info = safe.step()
            assert info.restoring == (attempt == 0)
        assert info.slack == -(policy.scale * policy.weight - 2.0).max().item() >= 0


@pytest.mark.parametrize("verify", [True, False])
def test_parameters_changed_from_outside_are_evaluated_again(verify: bool) -> None:
    policy = Vector([0.0, 0.0])
    safe = assemble(
        torch.optim.SGD(policy.parameters(), lr=0.1),
        policy,
        lambda p: p.theta - 1.0,
        smoothness=0.0,
        directions="isotropic",
        verify=verify,
    )
    for value, good in ((0.5, True), (1.5, False), (1.5, False), (0.5, True)):
        with torch.no_grad():
            policy.theta.fill_(value)
        safe.zero_grad()
        (-policy.theta.sum()).backward()
        info = safe.step()
        assert info.slack == 1.0 - policy.theta.max().item() >= 0
        assert info.restoring != good


@pytest.mark.parametrize("verify", [True, False])
def test_refresh_after_the_constraint_has_changed(verify: bool) -> None:
    limit = [1.0]
    policy = Vector([0.5])
    safe = assemble(
        torch.optim.SGD(policy.parameters(), lr=0.1),
        policy,
        lambda p: p.theta - limit[0],
        smoothness=0.0,
        directions="isotropic",
        verify=verify,
    )
    limit[0] = 2.0
    safe.refresh()
    assert safe.values.tolist() == [-1.5]
    limit[0] = 0.0
    safe.refresh()
    assert safe.values.tolist() == [0.5]
    for attempt in range(3):
        policy.theta.grad = torch.full_like(policy.theta, -1.0)
        info = safe.step()
        assert info.slack == limit[0] - policy.theta.item()  # the truth
        assert info.restoring == (attempt == 0)
        assert info.slack >= 0


def test_values_of_a_refresh_that_failed_are_not_trusted() -> None:
    limit, broken = [1.0], [False]
    policy = Vector([0.5])

    def constraint(policy: Vector) -> np.ndarray:
        if broken[0]:
            raise RuntimeError("no simulator")
        return policy.theta.numpy() - limit[0]

    optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)
    safe = assemble(optimizer, policy, constraint, smoothness=0.0, directions="isotropic")
    limit[0], broken[0] = 0.0, True
    with pytest.raises(ConstraintError, match="no simulator"):
        safe.refresh()
    broken[0] = False
    policy.theta.grad = torch.full_like(policy.theta, -1.0)
    assert safe.step().restoring


def test_a_verified_restoring_step_worsens_no_violation() -> None:
    """g is wavy, and L far too small: most steps down the slope land on another wave."""
    rejected = 0
    for start in np.linspace(0.0, 0.1, 12):
        policy, offset = Vector([start]), [-2.0]

        def constraint(policy: Vector, offset: list[float] = offset) -> np.ndarray:
            return np.sin(40.0 * policy.theta.numpy()) + 0.01 * policy.theta.numpy() + offset[0]

        optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)
        safe = assemble(optimizer, policy, constraint, smoothness=1e-3, directions="isotropic", look=False)
        offset[0] = 0.95
        safe.refresh()
        worst = safe.values.max()
        for _ in range(5):
            policy.theta.grad = torch.ones_like(policy.theta)
            info = safe.step()
            assert -info.slack <= max(worst, 0.0)
            worst, rejected = -info.slack, rejected + info.proposals - 1
    assert rejected > 0


def test_parameters_frozen_thawed_or_added_later_are_refused() -> None:
    def safe_one() -> tuple[nn.Module, SafeOptimizer]:
        policy = residual()
        policy.biases[0].requires_grad_(False)
        return policy, wrap(policy)

    policy, safe = safe_one()
    policy.biases[0].requires_grad_(True)
    before = fingerprint(safe)
    loss(policy).backward()
    with pytest.raises(ConfigurationError, match="build the safe optimiser again"):
        safe.step()
    assert fingerprint(safe) == before

    policy, safe = safe_one()
    policy.weights[0].requires_grad_(False)
    loss(policy).backward()
    with pytest.raises(ConfigurationError, match=r"weights\.0"):
        safe.step()

    policy, safe = safe_one()
    policy.register_parameter("late", nn.Parameter(torch.ones(1, dtype=torch.float64)))
    safe.optimizer.add_param_group({"params": [policy.late]})
    loss(policy).backward()
    with pytest.raises(ConfigurationError, match="new"):
        safe.step()
