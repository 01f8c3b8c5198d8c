"""The slack that an update may use: tightening, rounding, and verification where the bound misses the tightening."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from replication.planted_faults.smooth import Smooth
from scpo.records import StepInfo
from scpo.smoothness import FixedSmoothness

from .small_networks import assemble, follow


def along(
    values: Callable[[np.ndarray], np.ndarray], push: list[float], updates: int, **options: Any
) -> list[StepInfo]:
    """Follow ``push`` under one constraint (m, 1) of theta (m, 2), with L = 0 given as its constant."""
    problem = Smooth(2, values, np.zeros(1), lambda theta: np.zeros((1, 2)))
    return follow(problem, FixedSmoothness(0.0), np.tile(push, (updates, 1)), updates, **options)[1]


@pytest.mark.parametrize("verify", [True, False])
def test_the_tightening_is_kept(verify: bool) -> None:
    infos = along(lambda theta: theta[:, :1] - 1.0, [0.3, 0.1], 60, tightening=0.2, verify=verify)
    assert all(info.slack >= 0.2 for info in infos)
    assert infos[-1].slack == pytest.approx(0.2, abs=1e-6)


@pytest.mark.filterwarnings("ignore:the last 50 steps")
@pytest.mark.parametrize("kappa", [0.5, 1.0])
def test_rounding_is_taken_out_of_the_slack(kappa: float) -> None:
    eps = 1e-3
    options = {"verify": False, "rounding": eps, "probe_length": 10.0, "kappa": kappa}
    infos = along(lambda theta: theta[:, :1] - 1.0, [0.3, 0.0], 60, **options)
    error = np.sqrt(2) * 2.0 * eps / 10.0  # of two probed slopes
    assert infos[-1].slack == pytest.approx(2.0 * eps / kappa, rel=0.05)
    assert all(info.slack >= 2.0 * eps / kappa * (1.0 - error) for info in infos)


def test_less_slack_than_rounding_leaves_theta_in_place() -> None:
    eps = 1e-3
    options = {"verify": False, "rounding": eps, "probe_length": 10.0}
    for push, moves in ((-0.1 * eps, False), (-5.0 * eps, True)):  # inwards, and seen to get there only in the second
        (info,) = along(lambda theta: theta[:, :1] - eps, [push, 0.0], 1, **options)
        assert (info.step_norm > 0.0) == moves


def test_verification_keeps_a_tightening_the_bound_misses() -> None:
    def values(theta: np.ndarray) -> np.ndarray:
        return (theta**2).sum(axis=1, keepdims=True) - 1.0  # curved, and L = 0 is said to hold

    infos = along(values, [0.3, 0.1], 40, tightening=0.2, verify=True, kappa=1.0)
    assert all(info.slack >= 0.2 for info in infos)
    assert any(info.proposals > 1 for info in infos)
    assert all(info.unsafe_proposals == 0 for info in infos)  # g <= 0 everywhere: only the tightening was at stake


def test_a_policy_within_rounding_of_its_limits_finds_back() -> None:
    """Violate one constraint by less than rounding; a second is as near to its limit, and a third has slack."""
    policy = nn.Linear(3, 1, bias=False, dtype=torch.float64)
    nn.init.zeros_(policy.weight)
    eps, offsets = 1e-10, np.array([-1.0, -1.0, -1.0])

    def constraint(module: nn.Module) -> np.ndarray:
        x, y, _ = module.weight.detach().numpy()[0]
        return np.array([x, -0.5 * x + y, -x]) + offsets

    optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)
    safe = assemble(
        optimizer, policy, constraint, count=3, directions="isotropic", smoothness=0.0, verify=False, rounding=eps
    )
    offsets[:] = (0.35 * eps, -0.01 * eps, -1e-3)
    safe.refresh()
    infos = []
    for _ in range(3):
        safe.zero_grad()
        policy(torch.ones(1, 3, dtype=torch.float64)).sum().backward()
        infos.append(safe.step())
    assert infos[0].restoring and infos[0].slack > 0.0
    assert not infos[1].restoring
