"""The look along a step, and the way back after an unsafe iterate."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from replication.planted_faults.smooth import PROBLEMS, Smooth, broken_guarantees
from scpo import Look
from scpo.errors import ConfigurationError
from scpo.optimizer import SafeOptimizer
from scpo.smoothness import FixedSmoothness

from .small_networks import follow, residual, wrap
from .test_update import pushed, vector


def curved(curvature: float) -> Smooth:
    """g = curvature theta_1^2 / 2 + theta_0 - 1, safe at the origin, where it is flat along theta_1."""
    return Smooth(
        2,
        lambda t: 0.5 * curvature * t[:, 1:] ** 2 + t[:, :1] - 1.0,
        np.array([curvature]),
        lambda t: np.array([[1.0, curvature * t[1]]]),
    )


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_a_quadratic_is_seen_exactly_whatever_is_assumed(share: float) -> None:
    # L = 0 is assumed; with f = 1 the step ends where the true curvature uses up kappa of the slack
    look = Look(share=share, factor=1.0)
    _, (info,) = follow(curved(8.0), FixedSmoothness(0.0), np.array([[0.0, 3.0]]), 1, kappa=0.5, look=look)
    assert info.step_norm == pytest.approx(np.sqrt(2.0 * 0.5 / 8.0), rel=1e-5)
    assert info.slack == pytest.approx(0.5, rel=1e-5)
    assert info.step_bound == pytest.approx(-0.5, rel=1e-5)


def test_a_factor_of_two_covers_twice_the_curvature() -> None:
    _, (info,) = follow(curved(8.0), FixedSmoothness(0.0), np.array([[0.0, 3.0]]), 1, kappa=0.5, look=Look())
    assert info.step_norm == pytest.approx(np.sqrt(2.0 * 0.5 / 16.0), rel=1e-5)


def test_without_a_look_the_same_step_is_unsafe() -> None:
    _, (info,) = follow(curved(8.0), FixedSmoothness(0.0), np.array([[0.0, 3.0]]), 1, kappa=0.5, look=False)
    assert info.slack < 0
    assert info.looks == 0


def test_true_constants_lose_nothing() -> None:
    push = np.array([[0.4, 0.3]])
    steps = [
        follow(curved(8.0), FixedSmoothness(8.0), push, 1, look=look)[0].vector.read()
        for look in (False, Look(factor=1.0))
    ]
    assert torch.equal(steps[0], steps[1])


@pytest.mark.parametrize("share", [0.75, 0.5])
def test_a_kink_is_covered_as_far_as_derived(share: float) -> None:
    factor, left = 2.0, 0.9
    limit = (factor * share - share**2) / (factor - share**2)
    for place, covered in ((limit - 0.01, True), (limit + 0.05, False)):
        jump = left**-2 * share**2 / (factor * (share - place))  # so that a look leaves this part of the step
        kinked = Smooth(
            2,
            lambda t, jump=jump, place=place: jump * np.maximum(t[:, :1] - place, 0.0) - 1.0,
            np.zeros(1),
            lambda t: np.zeros((1, 2)),
        )
        options = {"look": Look(share=share, factor=factor), "may_be_flat": True}
        _, (info,) = follow(kinked, FixedSmoothness(0.0), np.array([[1.0, 0.0]]), 1, kappa=1.0, **options)
        assert info.step_norm == pytest.approx(left, rel=1e-4)
        assert (info.bound_misses == 0) == covered
        assert (info.slack >= 0) == covered


def test_a_step_that_lost_much_is_looked_at_again_half_way() -> None:
    # a wall far beyond what is left of the step: the second look sees that it does not matter
    def wall(theta: np.ndarray) -> np.ndarray:
        return np.expm1(np.maximum(theta[:, :1], 0.0) * 6.0) / 6.0 - 1.0

    problem = Smooth(2, wall, np.zeros(1), lambda t: np.zeros((1, 2)))
    _, (info,) = follow(problem, FixedSmoothness(0.0), np.array([[4.0, 0.0]]), 1, kappa=1.0, look=Look())
    assert info.looks > 1
    assert info.unsafe_looks >= 1
    assert info.slack > 0
    assert info.step_norm > 0.1


@pytest.mark.parametrize("name", PROBLEMS)
def test_guarantees_stand_under_a_look(name: str) -> None:
    for seed in range(3):
        problem = PROBLEMS[name](seed)
        safe = vector(problem, verify=False, kappa=1.0, look=Look(factor=5.0))
        assert broken_guarantees(pushed(safe, seed, 20), 1.0, safe.rounding) - {"projection"} == set()


def misled(seed: int, **options: Any) -> SafeOptimizer:
    """A run whose constants are a hundredth of the true ones, on the bound alone."""
    problem = PROBLEMS["waves"](seed)
    options = {"smoothness": 1e-2 * problem.constants, "verify": False, "kappa": 1.0, "count": 6} | options
    return vector(problem, **options)


def until_unsafe(safe: SafeOptimizer) -> SafeOptimizer:
    """Take steps until an iterate is unsafe."""
    for _ in range(40):
        pushed(safe, 2, 1)
        if safe.values.max() > 0:
            return safe
    raise AssertionError("no iterate was unsafe, so the test shows nothing")


@pytest.mark.slow
def test_looks_remove_most_unsafe_iterates_of_wrong_constants() -> None:
    unsafe = {True: 0, False: 0}
    for look in unsafe:
        for seed in range(6):
            steps = pushed(misled(seed, look=look), seed, 40)
            unsafe[look] += sum(bool((step.after > 0).any()) for step in steps)
    assert unsafe[False] > 20
    assert unsafe[True] <= unsafe[False] // 10


def test_a_shortened_step_is_not_taken_for_rounding() -> None:
    steps = [step for seed in range(6) for step in pushed(misled(seed, look=True, kappa=1.0), seed, 40)]
    shortened = [step for step in steps if step.info.looks > 1]
    assert len(shortened) > 20
    assert all(step.info.step_norm > 0 for step in shortened)


def test_after_an_unsafe_iterate_the_last_safe_one_returns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # the look is made blind, so that wrong constants show
    monkeypatch.setattr("scpo.look._curvature_along", lambda step, residual, options: np.zeros_like(residual))
    came_back = 0
    for seed in range(4):
        steps = pushed(misled(seed, look=True), seed, 40)
        for before, unsafe, after in zip(steps, steps[1:], steps[2:], strict=False):
            if (unsafe.after <= 0).all():
                assert not after.info.returned
                continue
            came_back += 1
            assert unsafe.info.slack < 0  # it counts
            assert after.info.returned
            assert after.info.proposals == 0
            assert np.array_equal(after.after, before.after)
            assert after.info.rollouts == unsafe.info.rollouts
            assert not after.info.restoring
        in_a_row = max(len(run) for run in "".join("u" if (s.after > 0).any() else " " for s in steps).split(" "))
        assert in_a_row <= 1
    assert came_back > 3


def test_no_way_back_where_the_constraint_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scpo.look._curvature_along", lambda step, residual, options: np.zeros_like(residual))
    for change in ("refresh", "move"):
        safe = until_unsafe(misled(2, look=True))
        if change == "refresh":
            safe.refresh()
        else:
            with torch.no_grad():
                safe.policy.theta.add_(1e-9)
        (step,) = pushed(safe, 2, 1)
        assert step.info.restoring
        assert not step.info.returned


def test_without_the_option_a_restoring_step_follows() -> None:
    steps = pushed(misled(0, look=False), 0, 40)
    unsafe = [index for index, step in enumerate(steps[:-1]) if (step.after > 0).any()]
    assert unsafe
    assert all(steps[index + 1].info.restoring for index in unsafe)


def test_the_way_back_survives_a_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scpo.look._curvature_along", lambda step, residual, options: np.zeros_like(residual))
    safe, twin = until_unsafe(misled(2, look=True)), misled(2, look=True)
    state, policy = safe.state_dict(), copy.deepcopy(safe.policy.state_dict())
    expected = [step.after for step in pushed(safe, 2, 10)]
    twin.policy.load_state_dict(policy)
    twin.load_state_dict(state)
    assert np.array_equal([step.after for step in pushed(twin, 2, 10)], expected)


@pytest.mark.parametrize("given", [{"share": 1.0}, {"share": 0.0}, {"factor": 0.5}])
def test_unusable_options_of_a_look_are_refused(given: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        Look(**given)


def test_a_look_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="look"):
        wrap(residual(), look="half")
