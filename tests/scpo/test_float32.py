"""A float32 network with kinks and momentum, in the first example of docs/library.md: no error, no unsafe policy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import scpo

STATES = torch.linspace(-1.0, 1.0, 9)[:, None]


def constraint(policy: nn.Module) -> np.ndarray:
    """Stay within 1 m of the middle, as in docs/library.md."""
    position, speed, furthest = 0.5, 0.0, 0.0
    for _ in range(20):
        with torch.no_grad():
            force = policy(torch.tensor([[position]])).item()
        speed = 0.9 * speed + 0.1 * force
        position = position + 0.1 * speed
        furthest = max(furthest, abs(position))
    return np.array([furthest - 1.0])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the last 50 steps were 0")
@pytest.mark.parametrize("seed", range(3))
def test_relu_in_float32_with_momentum(seed: int) -> None:
    """At its limit the policy comes to rest, because float32 does not resolve shorter steps."""
    torch.manual_seed(seed)
    policy: Any = nn.Sequential(nn.Linear(1, 8), nn.ReLU(), nn.Linear(8, 1))
    torch.nn.init.zeros_(policy[2].weight)
    torch.nn.init.zeros_(policy[2].bias)
    sgd = torch.optim.SGD(policy.parameters(), lr=0.2, momentum=0.9)
    safe = scpo.SafeOptimizer(sgd, policy, constraint, directions=scpo.Tangent(STATES, count=8))
    for _ in range(300):
        safe.zero_grad()
        (policy(STATES) - 2.0).square().mean().backward()
        info = safe.step()  # a SolverError would end the test
        assert info.slack == -constraint(policy).max() >= 0
    assert info.slack < 1e-3
