"""Bounds on noisy simulators over 1,000 seeds: they hold as often as they say, before and after training on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import scpo
from tests.scpo.noisy import BOUNDS, KNOWN, held, promised, suits

from .common import Options, Row

SEEDS = 1_000
#: rollouts and level
ASKED = ((30, 0.9), (200, 0.9), (100, 0.99))
#: standard deviations of a share that chance may bring
CHANCE = 4.0
#: training: seeds, parameters, level, updates, and rollouts
TRAINED, DIMENSION, LEVEL, UPDATES = 200, 10, 0.9, 6
ROLLOUTS = (20, 500)


def main(folder: Path, options: Options) -> list[Row]:
    """Count how often each bound holds."""
    rows = []
    for name, make in BOUNDS.items():
        for m, level in ASKED:
            for known in (one for one in KNOWN if suits(name, KNOWN[one])):
                bound = make(KNOWN[known], m, level)
                (least, most), share = promised(bound, KNOWN[known]), held(bound, KNOWN[known], SEEDS)
                passed = least - _chance(least, SEEDS) <= share <= most + _chance(most, SEEDS)
                expected = f"{least:.4f}" if least == most else f"at least {least:.4f}"
                rows.append(Row(f"{name}, {known}, {m} rollouts, level {level:g}", expected, f"{share:.3f}", passed))
    return rows + [row for rollouts in ROLLOUTS for row in _training(rollouts)]


def _chance(share: float, count: int) -> float:
    return CHANCE * float(np.sqrt(share * (1.0 - share) / count))


class Gambler(nn.Module):
    """Weights, which a rollout multiplies with random gains; what it loses is normal with a known mean."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(DIMENSION, dtype=torch.float64))


def losses(policy: Any, seeds: tuple[int, ...]) -> np.ndarray:
    """Return (m, 1): the sum of the weights, each times 1 + a standard normal number, minus 1; its mean is sum - 1."""
    gains = 1.0 + np.random.default_rng(seeds).normal(size=(len(seeds), DIMENSION))
    return np.asarray(gains @ policy.theta.detach().numpy() - 1.0)[:, None]


def _training(rollouts: int) -> list[Row]:
    """Train on the numbers of one phase and look at the last policy by its true mean, before and after a refresh."""
    unsafe, let_through, passed = 0, 0, 0
    for seed in range(TRAINED):
        policy = Gambler()
        limit = scpo.chance.UpperMean(losses, rollouts=rollouts, level=LEVEL, seed=seed, method="student")
        inner = torch.optim.SGD(policy.parameters(), lr=0.1)
        safe = scpo.SafeOptimizer(inner, policy, limit, directions=scpo.Isotropic(count=4), look=False, seed=seed)
        for _ in range(UPDATES):
            policy.theta.grad = -torch.ones_like(policy.theta)
            safe.step()
        wrong = float(policy.theta.detach().sum()) > 1.0
        unsafe += wrong
        safe.refresh()
        through = bool((safe.values <= 0).all())
        passed += through
        let_through += wrong and through
    most = (1.0 - LEVEL) + _chance(LEVEL, TRAINED)
    name = f"{DIMENSION} weights trained {UPDATES} updates on {rollouts} rollouts"
    return [
        Row(
            f"{name}: mean unsafe while the phase lasts", "counted, no promise", f"{unsafe / TRAINED:.3f}", passed=True
        ),
        Row(f"{name}: pass the refresh", "counted", f"{passed / TRAINED:.3f}", passed=True),
        Row(
            f"{name}: mean unsafe and pass the refresh",
            f"at most {1.0 - LEVEL:.3f}",
            f"{let_through / TRAINED:.3f}",
            let_through / TRAINED <= most,
        ),
    ]
