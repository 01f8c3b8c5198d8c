"""A constraint that is another than it was: after a state was loaded, between two steps, and in the workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import scpo
from scpo.errors import ConfigurationError, NonDeterministicConstraintError


class Below:
    """The one weight of a policy is to stay below a limit."""

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def __call__(self, policy: Any) -> list[float]:
        return [policy.weight.item() - self.limit]


LIMIT = Below(1.0)


def by_global(policy: Any) -> list[float]:
    return LIMIT(policy)


def stale(function: Callable[[Any], Any], tasks: Iterable[Any]) -> list[Any]:
    """Evaluate as workers do whose globals are those of the pool's start."""
    now, LIMIT.limit = LIMIT.limit, 1.0
    try:
        return [function(task) for task in tasks]
    finally:
        LIMIT.limit = now


def wrap(constraint: Any, **options: Any) -> tuple[nn.Module, scpo.SafeOptimizer]:
    policy = nn.Linear(1, 1, bias=False).double()
    nn.init.zeros_(policy.weight)
    adam = torch.optim.Adam(policy.parameters(), lr=0.05)
    return policy, scpo.SafeOptimizer(adam, policy, constraint, directions=scpo.Isotropic(), **options)


def train(policy: Any, safe: scpo.SafeOptimizer, updates: int = 30) -> scpo.StepInfo:
    for _ in range(updates):
        safe.zero_grad()
        (policy.weight - 3.0).square().sum().backward()
        info = safe.step()
    return info


def resumed(limit: float, with_policy: bool = True) -> tuple[Any, scpo.SafeOptimizer]:
    """Return what goes on from 10 updates under the limit 1."""
    policy, safe = wrap(Below(1.0))
    train(policy, safe, 10)
    other, again = wrap(Below(limit))
    if with_policy:
        other.load_state_dict(policy.state_dict())
    again.load_state_dict(safe.state_dict())
    return other, again


@pytest.mark.filterwarnings("ignore:the last 50 steps")  # at the limit 0.2 they are
@pytest.mark.parametrize("limit", [0.2, 5.0])
def test_a_state_of_another_constraint_is_refused_until_refresh(limit: float) -> None:
    policy, safe = resumed(limit)
    for _ in range(2):
        with pytest.raises(NonDeterministicConstraintError, match=r"when the state was saved.*refresh"):
            train(policy, safe, 1)
    safe.refresh()
    train(policy, safe, 100)
    assert min(limit, 3.0) - 0.1 < policy.weight.item() <= min(limit, 3.0)


def test_a_resumed_run_counts_the_rollouts_of_an_undisturbed_one() -> None:
    policy, safe = resumed(1.0)
    info = train(policy, safe, 10)
    assert info.rollouts == train(*wrap(Below(1.0)), 20).rollouts


def test_a_state_without_the_policys_own_is_noticed() -> None:
    policy, safe = resumed(1.0, with_policy=False)
    with pytest.warns(UserWarning, match="load the policy's own state"):
        train(policy, safe, 1)
    train(policy, safe, 5)


@pytest.mark.parametrize("verify", [True, False])
def test_a_limit_that_falls_between_two_steps_is_noticed(verify: bool) -> None:
    constraint = Below(1.0)
    policy, safe = wrap(constraint, verify=verify)
    train(policy, safe, 40)
    constraint.limit = 0.2
    with pytest.raises(NonDeterministicConstraintError, match="refresh"):
        train(policy, safe, 8)
    safe.refresh()
    assert train(policy, safe, 60).slack >= 0


def test_workers_with_another_constraint_are_noticed() -> None:
    policy, safe = wrap(scpo.Constraint(by_global, map=stale))
    train(policy, safe, 5)
    try:
        LIMIT.limit = 0.5
        with pytest.raises(NonDeterministicConstraintError, match="another constraint than this process"):
            safe.refresh()
    finally:
        LIMIT.limit = 1.0
    safe.refresh()
    assert train(policy, safe, 5).slack >= 0


def test_workers_that_are_off_at_the_start_are_refused() -> None:
    try:
        LIMIT.limit = 1.2
        with pytest.raises(NonDeterministicConstraintError, match="another constraint than this process"):
            wrap(scpo.Constraint(by_global, map=stale))
    finally:
        LIMIT.limit = 1.0


def test_a_constraint_that_works_in_workers_alone_is_left_alone() -> None:
    inside = [False]

    def elsewhere(function: Callable[[Any], Any], tasks: Iterable[Any]) -> list[Any]:
        inside[0] = True
        try:
            return [function(task) for task in tasks]
        finally:
            inside[0] = False

    def constraint(policy: Any) -> list[float]:
        if not inside[0]:
            raise RuntimeError("no simulator here")
        return LIMIT(policy)

    assert train(*wrap(scpo.Constraint(constraint, map=elsewhere)), 5).slack >= 0


def test_workers_that_refresh_has_refused_are_not_trusted_later() -> None:
    """The workers keep the limit 1, and would give a policy at 0.5 the slack 0.5 under the limit 0.2."""
    policy, safe = wrap(scpo.Constraint(by_global, map=stale))
    train(policy, safe, 10)
    try:
        LIMIT.limit = 0.2
        for again in (safe.refresh, lambda: train(policy, safe, 1), lambda: train(policy, safe, 1), safe.refresh):
            with pytest.raises(NonDeterministicConstraintError, match="another constraint than this process"):
                again()
            assert np.isnan(safe.values).all()
    finally:
        LIMIT.limit = 1.0
    info = train(policy, safe, 1)
    assert info.slack == 1.0 - policy.weight.item() >= 0


def test_two_answers_at_refresh_are_not_trusted_later() -> None:
    """Every second answer is good, so that the first of two could pass for the truth."""
    noise, calls = [0.0], [0]

    def constraint(policy: Any) -> list[float]:
        calls[0] += 1
        return [policy.weight.item() - 1.0 + noise[0] * (calls[0] % 2)]

    policy, safe = wrap(constraint)
    train(policy, safe, 10)
    noise[0] = 0.3
    for again in (safe.refresh, lambda: train(policy, safe, 1), lambda: train(policy, safe, 1)):
        with pytest.raises(NonDeterministicConstraintError, match="two evaluations"):
            again()
        assert np.isnan(safe.values).all()
    noise[0] = 0.0
    info = train(policy, safe, 1)
    assert info.slack == 1.0 - policy.weight.item() >= 0


def test_a_step_after_a_refresh_that_failed_measures_the_rounding() -> None:
    unit, broken = [1.0], [False]

    def constraint(policy: Any) -> list[float]:
        if broken[0]:
            raise RuntimeError("no simulator")
        return [unit[0] * (policy.weight.item() - 1.0)]

    policy, safe = wrap(constraint)
    train(policy, safe, 4)
    before = float(safe.rounding[0])
    unit[0], broken[0] = 1e6, True
    with pytest.raises(scpo.errors.ConstraintError, match="no simulator"):
        safe.refresh()
    broken[0] = False
    train(policy, safe, 1)
    assert safe.rounding[0] > 1e5 * before


def test_answers_of_workers_may_come_in_any_order() -> None:
    def backwards(function: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[Any]:
        return reversed([function(task) for task in tasks])

    weights = []
    for by in (map, backwards):
        torch.manual_seed(0)
        policy = nn.Linear(3, 1).double()
        with torch.no_grad():
            policy.weight.mul_(0.1)
        states = torch.eye(3, dtype=torch.float64)
        constraint = scpo.Constraint(lambda policy, states=states: policy(states)[:, 0] - 1.0, map=by)
        sgd = torch.optim.SGD(policy.parameters(), lr=0.1)
        safe = scpo.SafeOptimizer(sgd, policy, constraint, directions=scpo.Tangent(states))
        for _ in range(10):
            safe.zero_grad()
            (policy(states) - 3.0).square().mean().backward()
            safe.step()
        weights.append(policy.weight)
    assert torch.equal(*weights)


def test_a_map_must_return_the_answers() -> None:
    with pytest.raises(ConfigurationError, match="map: returned object"):
        wrap(scpo.Constraint(Below(1.0), map=lambda function, tasks: object()))


@pytest.mark.parametrize(
    ("by", "reason"),
    [
        (lambda function, tasks: [None for _ in tasks], "TypeError"),
        (lambda function, tasks: [(0, function(task)[1]) for task in tasks], "twice"),
        (lambda function, tasks: [function(task) for task in list(tasks)[1:]], "answers for"),
    ],
)
def test_answers_that_are_none_of_the_workers_are_refused(by: Any, reason: str) -> None:
    policy = nn.Linear(2, 1, bias=False).double()
    nn.init.zeros_(policy.weight)
    with pytest.raises(scpo.errors.ConstraintError, match=reason):
        safe = scpo.SafeOptimizer(
            torch.optim.SGD(policy.parameters(), lr=0.1),
            policy,
            scpo.Constraint(lambda policy: [policy.weight.sum().item() - 1.0], map=by),
            directions=scpo.Isotropic(),
        )
        policy.weight.sum().neg().backward()
        safe.step()


def test_a_constraint_without_values_is_noticed() -> None:
    with pytest.warns(UserWarning, match="nothing constrains"):
        wrap(lambda policy: [])


@pytest.mark.parametrize(
    ("returned", "remedy"),
    [(None, "return?"), (-1.0, r"\[value\]"), ([[-1.0, -1.0]], "ravel"), ({"a": -1.0}, "flat list")],
)
def test_values_of_a_wrong_shape_say_what_to_return(returned: Any, remedy: str) -> None:
    with pytest.raises(scpo.errors.ShapeError, match=remedy):
        wrap(lambda policy: returned)


def test_states_given_as_directions_are_named() -> None:
    policy = nn.Linear(1, 1).double()
    sgd = torch.optim.SGD(policy.parameters(), lr=0.1)
    with pytest.raises(ConfigurationError, match=r"scpo\.Tangent\(states\)"):
        scpo.SafeOptimizer(sgd, policy, Below(9.0), directions=torch.zeros(2, 1))  # type: ignore[arg-type]


def test_a_wrong_sign_is_thought_of() -> None:
    with pytest.raises(scpo.errors.UnsafeStartError, match="return the negative"):
        wrap(lambda policy: [1.0 - policy.weight.item()])
