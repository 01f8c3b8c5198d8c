"""The baselines that price, linearise or scale, on problems whose answers are known."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import scpo
from scpo.baselines._options import Charge, Multipliers
from scpo.baselines.linearised import Linearised
from scpo.baselines.penalty import Penalty
from scpo.baselines.primal_dual import PrimalDual
from scpo.baselines.scaling import Scaling
from scpo.options import Constraint

#: the minimum of the loss 0.5 |x - GOAL|^2; x_0 <= 1 moves it to (1, 2), where the multiplier of the limit is 2
GOAL = torch.tensor([3.0, 2.0], dtype=torch.float64)


class Point(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.zeros(2, dtype=torch.float64))


def line(sets: dict[str, torch.Tensor]) -> torch.Tensor:
    return sets["x"][:, :1] - 1.0


def disc(sets: dict[str, torch.Tensor]) -> torch.Tensor:
    return sets["x"].square().sum(dim=1, keepdim=True) - 1.0


def begin(
    kind: Any, limit: Any = line, rate: float = 0.05, tightening: float = 0.0, **options: Any
) -> tuple[Point, Any]:
    policy = Point()
    constraint = Constraint(limit, batched=True, tightening=tightening, rounding=1e-14)
    options = {"directions": scpo.Isotropic(count=2, recycled=1), "seed": 0} | options
    return policy, kind(torch.optim.SGD(policy.parameters(), lr=rate), policy, constraint, **options)


def train(policy: Point, method: Any, updates: int) -> list[Any]:
    infos = []
    for _ in range(updates):
        method.zero_grad()
        (0.5 * (policy.x - GOAL).square().sum()).backward()
        infos.append(method.step())
    return infos


@pytest.mark.parametrize(("weight", "tightening"), [(3.0, 0.0), (9.0, 0.0), (9.0, 0.25)])
def test_a_fixed_penalty_ends_beyond_the_limit(weight: float, tightening: float) -> None:
    policy, method = begin(Penalty, tightening=tightening, charge=Charge(weight=weight))
    infos = train(policy, method, 400)
    limit = 1.0 - tightening
    assert policy.x.tolist() == pytest.approx([limit + (GOAL[0].item() - limit) / (1.0 + weight), 2.0], abs=1e-6)
    assert infos[-1].unsafe_proposals == (policy.x[0].item() > 1.0)


def test_without_violations_a_penalty_is_the_plain_step() -> None:
    policy, method = begin(Penalty)
    info = train(policy, method, 1)[0]
    assert policy.x.tolist() == pytest.approx((0.05 * GOAL).tolist(), abs=1e-15)
    assert (info.unsafe_proposals, info.unsafe_probes) == (0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("weight", [0.0, 5.0])
def test_primal_dual_finds_the_optimum_and_its_multiplier(weight: float) -> None:
    policy, method = begin(PrimalDual, multipliers=Multipliers(weight=weight, rate=0.1))
    infos = train(policy, method, 1000)
    assert policy.x.tolist() == pytest.approx([1.0, 2.0], abs=1e-4)
    assert method.duals == pytest.approx([2.0], abs=1e-3)
    assert any(info.unsafe_proposals for info in infos)  # which is what has raised the multiplier


@pytest.mark.parametrize("kind", [Penalty, PrimalDual])
def test_a_resumed_run_gives_the_same_iterates(kind: Any) -> None:
    (policy, method), (other, resumed) = (begin(kind, disc, rate=0.3) for _ in range(2))
    train(policy, method, 7)
    other.load_state_dict(policy.state_dict())
    torch.save(method.state_dict(), disk := io.BytesIO())
    disk.seek(0)
    resumed.load_state_dict(torch.load(disk, weights_only=True))  # as a checkpoint is read
    train(policy, method, 7)
    train(other, resumed, 7)
    assert torch.equal(policy.x, other.x)


@pytest.mark.parametrize("kind", [Penalty, PrimalDual])
def test_the_rollouts_are_those_of_probes_and_iterates(kind: Any) -> None:
    policy, method = begin(kind)
    first = train(policy, method, 1)[0]  # two more, along the first step, show the first curvature
    last = train(policy, method, 5)[-1]
    assert last.rollouts - first.rollouts == 5 * (2 + 1)
    assert last.proposals == 1


def test_on_a_straight_limit_the_linear_model_is_the_constraint() -> None:
    policy, method = begin(Linearised, rate=0.3, kappa=1.0)
    infos = train(policy, method, 45)
    assert policy.x.tolist() == pytest.approx([1.0, 2.0], abs=1e-6)
    assert not any(info.unsafe_proposals or info.looks for info in infos)


@pytest.mark.slow
def test_only_the_verified_linear_model_is_safe_on_a_curve() -> None:
    policy, method = begin(Linearised, disc, verify=False, kappa=1.0)
    assert any(info.unsafe_proposals for info in train(policy, method, 100))
    policy, method = begin(Linearised, disc, verify=True, kappa=1.0)
    infos = train(policy, method, 100)
    assert any(info.unsafe_proposals for info in infos)  # rejected
    assert all(info.slack >= 0.0 for info in infos)
    policy, method = begin(scpo.SafeOptimizer, disc, verify=False, smoothness=2.0, look=False)
    assert not any(info.unsafe_proposals for info in train(policy, method, 40))


def test_scaling_shortens_a_step_and_does_not_turn_it() -> None:
    policy, method = begin(Scaling, rate=0.5, kappa=1.0, verify=False, look=False, smoothness=0.0)
    info = train(policy, method, 1)[0]
    assert policy.x.tolist() == pytest.approx([1.0, 2.0 / 3.0], abs=1e-7)
    assert info.step_norm == pytest.approx(info.nominal_norm / 1.5)
    stuck = train(policy, method, 20)[-1]
    assert policy.x[1].item() == pytest.approx(2.0 / 3.0, abs=1e-6)  # no way along the limit
    assert stuck.rollouts - info.rollouts <= 20 * 2 + 3  # one probe and the step, and checks of the determinism
    sliding, projection = begin(scpo.SafeOptimizer, rate=0.5, kappa=1.0, verify=False, look=False, smoothness=0.0)
    train(sliding, projection, 20)
    assert sliding.x.tolist() == pytest.approx([1.0, 2.0], abs=1e-5)


@pytest.mark.parametrize("curvature", [2.0, 8.0])
def test_scaling_uses_the_curvature_of_the_bound(curvature: float) -> None:
    policy, method = begin(Scaling, disc, rate=1.0, kappa=1.0, verify=False, look=False, smoothness=curvature)
    train(policy, method, 1)
    assert policy.x.norm().item() == pytest.approx(np.sqrt(2.0 / curvature), rel=1e-4)  # -1 + (L / 2) |z|^2 = 0
