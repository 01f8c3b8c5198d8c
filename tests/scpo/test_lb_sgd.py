"""The log-barrier baseline: what each step promises with true constants, and its way back from a checkpoint."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.optima import begin_barrier, black_box, follow
from benchmarks.problems import PROBLEMS
from replication.planted_faults.smooth import Smooth, Vector, quadratics, waves
from scpo.baselines._options import Barrier
from scpo.baselines.lb_sgd import LbSgd
from scpo.directions import Isotropic
from scpo.errors import UnsafeStartError
from scpo.options import Constraint


def barrier_method(problem: Smooth, seed: int, **options: Any) -> tuple[Vector, LbSgd]:
    policy = Vector(np.zeros(problem.dimension))
    method = LbSgd(
        torch.optim.SGD(policy.parameters(), lr=0.5),
        policy,
        Constraint(problem.batched, batched=True, rounding=1e-14),
        directions=Isotropic(count=4),
        seed=seed,
        **({"smoothness": problem.constants} | options),
    )
    return policy, method


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("made", [quadratics, waves])
def test_a_step_leaves_half_of_each_slack(made: Any, seed: int) -> None:
    problem = made(seed)
    policy, method = barrier_method(problem, seed)
    target = 3.0 * torch.from_numpy(np.random.default_rng(seed).normal(size=problem.dimension))
    for _ in range(40):
        method.zero_grad()
        loss = 0.5 * (policy.theta - target).square().sum()
        loss.backward()
        before, weight = method.values, method.barrier.at(method.updates + 1)
        info = method.step()
        after = 0.5 * float((policy.theta.detach() - target).square().sum())
        assert (method.values <= 0.5 * before).all()
        fall = np.log(-method.values).sum() - np.log(-before).sum()
        assert after - weight * fall <= float(loss.detach()) + 1e-9
        assert info.bound_misses == 0 and info.step_norm > 0.0


def test_a_resumed_run_gives_the_same_iterates() -> None:
    (policy, method), (other, resumed) = (barrier_method(waves(0), 0, smoothness=None) for _ in range(2))

    def train(policy: Vector, method: LbSgd) -> None:
        for _ in range(5):
            method.zero_grad()
            (policy.theta - 1.0).square().sum().backward()
            method.step()

    train(policy, method)
    other.load_state_dict(policy.state_dict())
    torch.save(method.state_dict(), disk := io.BytesIO())
    disk.seek(0)
    resumed.load_state_dict(torch.load(disk, weights_only=True))  # as a checkpoint is read
    train(policy, method)
    train(other, resumed)
    assert torch.equal(policy.theta, other.theta)


def test_the_weight_of_the_barrier_falls_to_its_least_value() -> None:
    assert [Barrier(first=1.0, decay=0.1, least=0.05).at(update) for update in (1, 2, 3)] == [1.0, 0.1, 0.05]


def test_a_start_without_slack_is_refused() -> None:
    with pytest.raises(UnsafeStartError, match="slack"):
        LbSgd(
            torch.optim.SGD((policy := Vector(np.ones(1))).parameters(), lr=0.1),
            policy,
            lambda given: [float(given.theta[0]) - 1.0],
            directions=Isotropic(),
        )


def test_rollouts_are_those_of_probes_and_steps() -> None:
    pytest.importorskip("cvxpy", reason="which finds the optimum of the problem")
    problem = PROBLEMS[1]
    method = begin_barrier(problem, (0.1, 1e-5), 10, directions=Isotropic(count=problem.dimension, recycled=0))
    before = method.evaluate.rollouts
    assert follow(problem, method, 10)["rollouts"] - before == 10 * (problem.dimension + 1)
    assert black_box(problem).batched
