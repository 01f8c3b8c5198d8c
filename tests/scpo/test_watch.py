"""The watch over the updates: noise that shows late, constraints without a slope, steps of 0."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from replication.planted_faults.smooth import Vector
from scpo.errors import ConfigurationError, NonDeterministicConstraintError, ShapeError
from scpo.optimizer import SafeOptimizer
from scpo.watch import STILL

from .small_networks import STATES, assemble, fingerprint, loss, outputs_within, residual, train, wrap


class Dropped(nn.Module):
    """A network with dropout before a last layer of zeros, which hides it."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(1, 16, dtype=torch.float64)
        self.last = nn.Linear(16, 1, dtype=torch.float64)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(nn.functional.dropout(torch.tanh(self.first(x)), 0.5))


def pushed(safe: SafeOptimizer, updates: int) -> list[Any]:
    infos = []
    for _ in range(updates):
        safe.policy.theta.grad = -torch.ones_like(safe.policy.theta)
        infos.append(safe.step())
    return infos


def of_vector(constraint: Any, theta: Any = (0.0, 0.0), **options: Any) -> SafeOptimizer:
    policy = Vector(np.array(theta))
    return assemble(torch.optim.SGD(policy.parameters(), lr=0.1), policy, constraint, directions="isotropic", **options)


def test_noise_that_the_start_hides_is_seen_at_the_first_step() -> None:
    torch.manual_seed(0)
    policy = Dropped()
    inner = torch.optim.SGD(policy.parameters(), lr=0.1)
    safe = assemble(inner, policy, lambda policy: policy(STATES)[:, 0] - 1.0, directions="isotropic")
    before = fingerprint(safe)
    loss(policy).backward()
    with pytest.raises(NonDeterministicConstraintError):
        safe.step()
    assert fingerprint(safe) == before


@pytest.mark.parametrize(("begins", "seen"), [(2, 10), (10, 10), (11, 100)])
def test_noise_that_begins_later_is_seen_now_and_then(begins: int, seen: int) -> None:
    rng, update = np.random.default_rng(0), [0]

    def constraint(policy: Vector) -> np.ndarray:
        return policy.theta.numpy() - 1e3 + (update[0] >= begins) * 1e-3 * rng.normal()

    safe = of_vector(constraint)
    with pytest.raises(NonDeterministicConstraintError):
        for number in range(1, 200):
            update[0] = number
            pushed(safe, 1)
    assert update[0] == seen


def test_repeated_evaluations_are_counted_across_checkpoints() -> None:
    safe, twin = wrap(residual()), wrap(residual())
    train(safe, 3)
    twin.policy.load_state_dict(safe.policy.state_dict())
    twin.load_state_dict(safe.state_dict())
    counts = []
    for one in (safe, twin):
        calls = [one.evaluate.rollouts]
        for _ in range(9):
            one.zero_grad()
            loss(one.policy).backward()
            info = one.step()
            assert info.rollouts == one.evaluate.rollouts
            calls.append(info.rollouts)
        counts.append(calls)
    assert counts[0] == counts[1]
    extra = np.diff(counts[0])
    assert extra[6] == extra[5] + 1  # update 10


def test_a_constraint_of_another_policy_is_refused() -> None:
    policy = residual()
    stale = copy.deepcopy(policy)
    safe = wrap(policy, constraint=lambda given: outputs_within()(stale))
    before = fingerprint(safe)
    loss(policy).backward()
    with pytest.raises(ConfigurationError, match="may_be_flat"):
        safe.step()
    assert fingerprint(safe) == before


FLAT = {
    "count": lambda policy: [float((policy.theta > 1.0).sum()) - 1.0],
    "clipped": lambda policy: np.maximum(policy.theta.numpy() - 1.0, 0.0),
    "constant": lambda policy: [-1.0],
}


@pytest.mark.parametrize("name", FLAT)
def test_piecewise_constant_constraints_are_refused_unless_meant(name: str) -> None:
    with pytest.raises(ConfigurationError, match="piecewise constant"):
        pushed(of_vector(FLAT[name]), 1)
    pushed(of_vector(FLAT[name], may_be_flat=True), 1)


def test_without_a_gradient_or_a_value_nothing_is_said() -> None:
    safe = of_vector(FLAT["constant"])
    safe.policy.theta.grad = torch.zeros(2, dtype=torch.float64)
    safe.step()
    with pytest.warns(UserWarning, match="no values"):
        pushed(of_vector(lambda policy: []), 1)


def test_a_first_step_without_a_gradient_hides_no_flat_constraint() -> None:
    safe = of_vector(FLAT["constant"])
    for _ in range(3):
        safe.policy.theta.grad = torch.zeros(2, dtype=torch.float64)
        safe.step()
    again = of_vector(FLAT["constant"])
    again.load_state_dict(safe.state_dict())
    for one in (safe, again):
        with pytest.raises(ConfigurationError, match="piecewise constant"):
            pushed(one, 1)


def test_a_first_probe_that_diverges_hides_no_flat_constraint() -> None:
    diverging = [True]

    def constraint(policy: Vector) -> list[float]:
        x, y = policy.theta.tolist()
        return [np.inf if diverging[0] and abs(x - y) > 1e-9 else -1.0]

    safe = of_vector(constraint)
    pushed(safe, 2)
    diverging[0] = False
    with pytest.raises(ConfigurationError, match="piecewise constant"):
        pushed(safe, 1)


def test_a_constraint_that_is_flat_after_refresh_is_refused_unless_meant() -> None:
    for meant in (False, True):
        flat = [False]
        safe = of_vector(
            lambda policy, flat=flat: [-1e3] if flat[0] else policy.theta.numpy()[:1] - 1e3, may_be_flat=meant
        )
        pushed(safe, 2)
        flat[0] = True
        safe.refresh()
        if meant:
            pushed(safe, 1)
            continue
        with pytest.raises(ConfigurationError, match="piecewise constant"):
            pushed(safe, 1)


@pytest.mark.parametrize("state", ["whole", "of an earlier version"])
def test_a_state_knows_that_g_had_slopes(state: str) -> None:
    safe, again = (of_vector(lambda policy: np.minimum(policy.theta.numpy()[:1], 0.15) - 1e3) for _ in range(2))
    pushed(safe, 2)
    saved = safe.state_dict()
    if state != "whole":
        del saved["probed"]
    again.policy.load_state_dict(safe.policy.state_dict())
    again.load_state_dict(saved)
    with pytest.warns(UserWarning, match="no probe changed"):
        pushed(again, 1)


def test_a_constraint_that_becomes_flat_is_reported_once() -> None:
    safe = of_vector(lambda policy: np.minimum(policy.theta.numpy()[:1], 0.15) - 1e3)
    pushed(safe, 2)
    with pytest.warns(UserWarning, match="no probe changed"):
        pushed(safe, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pushed(safe, 5)


@pytest.mark.parametrize("verify", [True, False])
def test_steps_of_0_are_reported_once(verify: bool) -> None:
    safe = of_vector(lambda policy: [policy.theta[0].item() - 9.0, policy.theta.sum().item()], verify=verify)
    with pytest.warns(UserWarning, match="constraint value 1 has slack"):
        infos = pushed(safe, 50)
    assert all(info.step_norm == 0 for info in infos)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pushed(safe, 60)


def test_steps_as_good_as_0_are_reported_once() -> None:
    """So large an L leaves steps that are 3e-12 of the optimiser's own, and move theta."""
    safe = of_vector(lambda policy: policy.theta.numpy(), (-1e-3,), smoothness=1e22)
    with pytest.warns(UserWarning, match="were 0, or less than 1e-09 of .*: constraint value 0 has slack") as said:
        infos = pushed(safe, 60)
    assert all(0.0 < info.step_norm < 1e-12 for info in infos)
    assert len(said) == 1


@pytest.mark.parametrize(("slack", "within"), [(0.5e-3, True), (3e-3, True), (5e-3, False)])
def test_a_slack_within_rounding_is_named(slack: float, within: bool) -> None:
    """With kappa 1/2 a slack below four times the rounding leaves no step towards the limit."""
    safe = of_vector(lambda policy: policy.theta.numpy(), (-slack,), smoothness=1e22, kappa=0.5, rounding=1e-3)
    with pytest.warns(UserWarning, match="constraint value 0 has slack") as said:
        pushed(safe, STILL)
    assert ("a slack within rounding" in str(said[0].message)) == within


def test_short_steps_are_not_taken_for_0() -> None:
    safe = of_vector(lambda policy: policy.theta.numpy(), (-1e-3,), smoothness=1e12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        infos = pushed(safe, 60)
    assert all(info.step_norm < 1e-6 * info.nominal_norm for info in infos)


@pytest.mark.parametrize(
    "value", [[False, True], (np.bool_(False),), np.array([False]), torch.tensor([False, False])], ids=str
)
def test_truth_values_are_refused(value: Any) -> None:
    with pytest.raises(ShapeError, match="signed distances"):
        of_vector(lambda policy: value)
