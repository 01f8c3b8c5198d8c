"""The share of a step that the projection removes along what harmful samples ask for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from replication.tasks.regression.task import RegressionTask
from replication.training import harmful_share
from scpo.baselines.unconstrained import Unconstrained
from scpo.directions import Tangent
from scpo.optimizer import SafeOptimizer
from scpo.options import Constraint

from .default_tasks import regression, samples

ACROSS = torch.tensor([1.0, 0.0], dtype=torch.float64)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ([2.0, 0.0], 0.0),
        ([0.5, 3.0], 0.75),
        ([0.0, 7.0], 1.0),
        ([0.0, 0.0], 1.0),
        ([-1.0, 0.0], 1.5),
        ([3.0, 0.0], -0.5),
    ],
)
def test_the_share_is_what_is_missing_along_h(step: list[float], expected: float) -> None:
    nominal = torch.tensor([2.0, 5.0], dtype=torch.float64)
    assert harmful_share.share(torch.tensor(step, dtype=torch.float64), nominal, ACROSS) == expected


def test_where_nothing_harmful_was_asked_for_there_is_no_share() -> None:
    step = torch.zeros(2, dtype=torch.float64)
    for nominal, h in ((-ACROSS, ACROSS), (step, ACROSS), (ACROSS, None), (None, ACROSS)):
        assert math.isnan(harmful_share.share(step, nominal, h))
    assert all(math.isnan(share) for share in harmful_share.unknown().values())
    assert tuple(harmful_share.unknown()) == harmful_share.NAMES


@pytest.fixture
def task() -> RegressionTask:
    data = samples(1, 256, 100, adversarial_share=0.3)
    return regression(data, hidden=(8,), activation="tanh", grid_size=20)


def test_the_gradients_of_the_parts_add_up(task: RegressionTask) -> None:
    policy = task.initial_policy(torch.Generator().manual_seed(0))
    batch = task.sample_batch(64, torch.Generator().manual_seed(2))
    harmful, clean = harmful_share.asked(task, policy, batch)
    assert harmful is not None and clean is not None
    assert all(parameter.grad is None for parameter in policy.parameters())
    task.loss(policy, batch).backward()
    whole = torch.cat([parameter.grad.reshape(-1) for parameter in policy.parameters()])  # type: ignore[union-attr]
    share = float(batch[2].double().mean())
    torch.testing.assert_close(share * harmful + (1 - share) * clean, -whole, rtol=0, atol=1e-12)
    assert float(harmful @ clean) < 0  # adversarial labels have the opposite sign
    nothing, everything = harmful_share.asked(task, policy, (*batch[:2], torch.zeros(64, dtype=torch.bool)))
    assert nothing is None
    torch.testing.assert_close(everything, -whole, rtol=0, atol=1e-12)


@pytest.mark.slow
def test_proposals_are_rejected_at_the_boundary_alone(task: RegressionTask) -> None:
    found = {}
    for name in ("unconstrained", "scpo"):
        policy = task.initial_policy(torch.Generator().manual_seed(0))
        optimizer = torch.optim.SGD(policy.parameters(), lr=0.3)
        method: Unconstrained | SafeOptimizer = Unconstrained(
            optimizer, policy, Constraint(task.constraint, batched=True)
        )
        assert method.nominal is None
        if name == "scpo":
            method = SafeOptimizer(
                optimizer, policy, Constraint(task.constraint, batched=True), directions=Tangent(task.states, count=8)
            )
        batches, shares = torch.Generator().manual_seed(3), []
        for _ in range(200):
            batch = task.sample_batch(64, batches)
            method.zero_grad()
            task.loss(policy, batch).backward()
            directions, before = harmful_share.asked(task, policy, batch), method.vector.read()
            method.step()
            shares.append(harmful_share.shares(method.vector.read() - before, method.nominal, directions))
        found[name] = [part["rejected_share"] for part in shares]
    defined = np.array([share for share in found["unconstrained"] if not math.isnan(share)])
    assert defined.size > 50
    assert (defined == 0.0).all()
    assert np.nanmax(found["scpo"]) > 0.3
