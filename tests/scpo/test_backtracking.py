"""The line-search baseline: the longest halving that a rollout finds safe, or none."""

import numpy as np
import pytest
import torch
from torch import nn

from scpo.baselines.backtracking import MOST_HALVINGS, Backtracking
from scpo.errors import NonFiniteError
from scpo.options import Constraint


class Point(nn.Module):
    def __init__(self, start):
        super().__init__()
        self.x = nn.Parameter(torch.tensor(start, dtype=torch.float64))


def method(start, rate=1.0, tightening=0.0, limit=lambda x: x[:, :1] - 1.0):
    policy = Point(start)
    optimizer = torch.optim.SGD(policy.parameters(), lr=rate)
    return policy, Backtracking(
        optimizer, policy, Constraint(lambda sets: limit(sets["x"]), batched=True, tightening=tightening)
    )


def push(policy, direction):
    policy.x.grad = -torch.tensor(direction, dtype=torch.float64)


@pytest.mark.parametrize(
    ("asked", "tightening", "share"),
    [(1.0, 0.0, 1.0), (1.5, 0.0, 0.5), (4.0, 0.0, 0.25), (4.1, 0.0, 0.125), (1.0, 0.1, 0.5)],
)
def test_the_step_is_the_longest_safe_halving(asked, tightening, share):
    policy, search = method([0.0, 0.0], tightening=tightening)
    push(policy, [asked, 1.0])
    info = search.step()
    assert policy.x.tolist() == [share * asked, share]
    assert search.values.tolist() == [share * asked - 1.0]
    assert info.slack == 1.0 - share * asked
    assert info.proposals == round(np.log2(1 / share)) + 1
    assert info.projected == (share < 1)
    assert info.nominal_norm == pytest.approx(np.hypot(asked, 1.0))
    assert info.step_norm == pytest.approx(share * info.nominal_norm)
    unsafe = [asked * 0.5**halving for halving in range(info.proposals) if asked * 0.5**halving > 1.0]
    assert [float(theta[0]) for theta in search.unsafe_proposals] == unsafe
    assert info.unsafe_proposals == len(unsafe)


def test_a_policy_at_its_limit_stays():
    policy, search = method([1.0, 0.0])
    push(policy, [1.0, 1.0])
    info = search.step()
    assert policy.x.tolist() == [1.0, 0.0]
    assert (info.step_norm, info.proposals, info.unsafe_proposals) == (0.0, MOST_HALVINGS + 1, MOST_HALVINGS + 1)
    push(policy, [0.0, 1.0])
    assert search.step().step_norm == 1.0


def test_the_rollouts_are_counted():
    policy, search = method([0.0, 0.0])
    before = search.evaluate.rollouts
    push(policy, [4.0, 0.0])
    info = search.step()
    assert info.rollouts - before == info.proposals == 3


def test_a_gradient_that_is_not_finite_is_refused():
    policy, search = method([0.0, 0.0])
    push(policy, [float("nan"), 0.0])
    with pytest.raises(NonFiniteError):
        search.step()
    assert policy.x.tolist() == [0.0, 0.0]
