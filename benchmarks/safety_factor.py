"""What the safety factor on estimated smoothness buys and costs: misses, unsafe iterates and loss against the factor.

A small bound-only regression (16 x 16 ReLU, no tightening) on tuning seeds, which are never reported elsewhere.
``python benchmarks/safety_factor.py [updates] [seeds]``; it prints a Markdown table (docs/library.md shows one).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import torch

from replication.seeds import FIRST_TUNING_SEED
from replication.tasks.regression.build import build
from replication.tasks.regression.data import generate_dataset
from replication.tasks.regression.settings import RegressionConfig, RegressionData
from replication.training.process import prepare
from scpo import Constraint, EstimatedSmoothness, SafeOptimizer, Tangent

FACTORS = (1.0, 1.5, 2.0, 3.0, 5.0, 10.0)


def run(factor: float, seed: int, updates: int) -> tuple[int, int, float, float]:
    """Train once; return updates with a bound miss, unsafe iterates, the worst raw g and the loss on fresh inputs."""
    rng = np.random.default_rng(seed)
    data = generate_dataset(rng, heldout=2000, **RegressionData(size=2048).model_dump())
    task = build(RegressionConfig(hidden=(16, 16)), data)
    policy = task.initial_policy(torch.Generator().manual_seed(seed))
    batches = torch.Generator().manual_seed(seed + 1)
    optimizer = SafeOptimizer(
        torch.optim.SGD(policy.parameters(), lr=0.1),
        policy,
        Constraint(task.constraint, batched=True),
        directions=Tangent(task.states, count=16),
        kappa=0.9,
        smoothness=EstimatedSmoothness(factor=factor, decay=0.995),
        verify=False,
        seed=seed,
    )
    misses = unsafe = 0
    worst = -np.inf
    for _ in range(updates):
        optimizer.zero_grad()
        task.loss(policy, task.sample_batch(256, batches)).backward()
        info = optimizer.step()
        misses += info.bound_misses > 0
        unsafe += info.slack < 0
        worst = max(worst, -info.slack)
    return misses, unsafe, worst, task.evaluate(policy)["fresh_loss"]


def rows(updates: int, seeds: int) -> Iterator[str]:
    """Yield the table, line by line; counts are medians over seeds with [smallest, largest]."""
    yield "| factor | updates with a bound miss | unsafe iterates | worst raw g | loss, fresh inputs |"
    yield "|---|---|---|---|---|"
    for factor in FACTORS:
        found = np.array([run(factor, FIRST_TUNING_SEED + seed, updates) for seed in range(seeds)])
        cells = [f"{np.median(column):g} [{column.min():g}, {column.max():g}]" for column in (found[:, 0], found[:, 1])]
        cells += [f"{found[:, 2].max():+.2e}", f"{np.median(found[:, 3]):.3f}"]
        yield f"| {factor:g} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    prepare()
    budget = [int(argument) for argument in sys.argv[1:3]]
    for line in rows(*(budget + [1000, 5][len(budget) :])):
        print(line, flush=True)
