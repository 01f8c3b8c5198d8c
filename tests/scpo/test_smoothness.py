"""Models of L and r: known constants, estimates from what steps show, a user's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.planted_faults.smooth import Smooth, Vector, away, quadratics, run
from scpo.errors import ConfigurationError, ShapeError
from scpo.smoothness import Estimate, EstimatedSmoothness, FixedSmoothness

from .small_networks import assemble, follow, residual, train, wrap

ALL = np.array([True, True, True])
NONE = ~ALL


def started(k: int = 3, first: float = 1.0, length: float = 0.1, **options: Any) -> Estimate:
    """An estimate whose first curvature is ``first`` for all, on a first nominal step of this length."""
    model = Estimate(EstimatedSmoothness(**options))
    model.start(k)
    model.measure(np.full(k, first), length)
    return model


def test_fixed_constants_are_spread_and_never_learn() -> None:
    scalar, each = FixedSmoothness(2.0, radius=0.5), FixedSmoothness([1.0, 2.0, 3.0])
    for model, expected in ((scalar, [2.0, 2.0, 2.0]), (each, [1.0, 2.0, 3.0])):
        model.start(3)
        model.observe(np.full(3, 1e9), ALL, 1.0)
        assert model.constants().tolist() == expected
        assert model.state_dict() == {}
    assert (scalar.radius(), each.radius()) == (0.5, np.inf)
    with pytest.raises(ShapeError, match="3 constants for 2 constraint values"):
        each.start(2)
    given_array = np.ones(2)
    model = FixedSmoothness(given_array)
    given_array[:] = 7.0
    model.start(2)
    assert model.constants().tolist() == [1.0, 1.0]


def test_first_constants_are_the_factor_times_what_was_measured() -> None:
    model = Estimate(EstimatedSmoothness(factor=4.0))
    model.start(3)
    assert not model.measured
    model.measure(np.array([3.0, 0.0, 1.0]), 0.1)
    assert model.measured
    assert model.constants().tolist() == [12.0, 0.0, 4.0]
    assert started(0).constants().size == 0


def test_unsafe_probes_along_the_first_nominal_step_are_counted() -> None:
    problem = Smooth(1, lambda t: t - 1.0, np.zeros(1), lambda t: np.ones((1, 1)))
    for push, unsafe in ((0.9, 0), (3.0, 1), (6.0, 2)):
        _, (info,) = follow(problem, EstimatedSmoothness(), np.array([[push]]), 1)
        assert info.unsafe_probes == unsafe


def test_each_maximum_rises_at_once_and_decays_slowly() -> None:
    model = started(factor=2.0, decay=0.9)
    model.observe(np.array([5.0, 0.5, 0.0]), ALL, 0.1)
    assert model.constants() == pytest.approx([10.0, 1.8, 1.8])
    model.observe(np.array([1.0, 3.0, 0.0]), ALL, 0.1)
    assert model.constants() == pytest.approx([9.0, 6.0, 1.62])
    for _ in range(200):
        model.observe(np.zeros(3), ALL, 0.1)
    assert (model.constants() < 1e-6).all()


def test_what_is_rounding_is_ignored() -> None:
    model = started(factor=2.0, decay=1.0)
    radius = model.radius()
    model.observe(np.full(3, 1e12), NONE, 50.0)
    assert model.constants().tolist() == [2.0, 2.0, 2.0]
    assert model.radius() == radius
    model.observe(np.array([1e12, 4.0, 1e12]), np.array([False, True, False]), 0.01)
    assert model.constants().tolist() == [2.0, 8.0, 2.0]


def test_radius_follows_the_longest_step_that_showed_something() -> None:
    model = started(growth=2.0, max_radius=0.7, length=0.1)
    assert model.radius() == pytest.approx(0.2)
    for length, expected in ((0.01, 0.2), (0.1, 0.2), (0.2, 0.4), (0.15, 0.4), (0.4, 0.7), (5.0, 0.7)):
        model.observe(np.zeros(3), ALL, length)
        assert model.radius() == pytest.approx(expected)
    assert started(length=3.0, max_radius=1.0).radius() == 1.0
    assert started(length=3.0).radius() == 6.0


def test_curvature_is_forgotten_without_a_step_too() -> None:
    model = started(decay=0.5, factor=2.0)
    radius = model.radius()
    model.blocked()
    assert model.constants().tolist() == [1.0, 1.0, 1.0]
    assert model.radius() == radius


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.lists(st.floats(0, 1e6), min_size=3, max_size=3), max_size=8), st.floats(0.5, 1.0))
def test_estimate_covers_what_the_last_step_needed(needed: list[list[float]], decay: float) -> None:
    model = started(decay=decay, factor=1.0)
    for row in needed:
        model.observe(np.array(row), ALL, 0.1)
        assert (model.constants() >= row).all()
    copy = started(decay=decay, factor=1.0)
    copy.load_state_dict(model.state_dict())
    assert np.array_equal(copy.constants(), model.constants())
    assert copy.radius() == model.radius()
    model.state_dict()["observed"][:] = -1.0
    assert np.array_equal(copy.constants(), model.constants())


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"factor": 0.5}, "factor"),
        ({"decay": 0.0}, "decay"),
        ({"decay": 1.5}, "decay"),
        ({"growth": 0.9}, "growth"),
        ({"max_radius": np.nan}, "max_radius"),
    ],
)
def test_nonsense_options(options: dict[str, float], name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        EstimatedSmoothness(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("constants", [-1.0, np.nan, [[1.0]], "two"])
def test_nonsense_constants(constants: object) -> None:
    with pytest.raises(ConfigurationError, match="smoothness"):
        FixedSmoothness(constants)  # type: ignore[arg-type]


def test_measured_constants_of_quadratics_are_at_most_the_true() -> None:
    for seed in range(3):
        problem = quadratics(seed)
        policy = Vector(np.zeros(problem.dimension))
        safe = wrap(
            policy,
            constraint=problem.batched,
            batched=True,
            smoothness=EstimatedSmoothness(decay=1.0),
            directions="isotropic",
            verify=False,
        )
        steps = run(safe, away(seed, policy), 30)
        # what the slopes' error allowance explains is not curvature, so needs lie below |A_i|, but for rounding
        assert max(step.info.required_max for step in steps) <= problem.constants.max() * (1 + 1e-6) + 1e-9
        assert safe.smoothness.constants().max() <= 2.0 * problem.constants.max() * (1 + 1e-6)


@pytest.mark.parametrize("factor", [1.0, 2.0, 8.0])
def test_safety_factor_trades_misses_for_length(factor: float) -> None:
    safe = wrap(residual(), smoothness=EstimatedSmoothness(factor=factor), verify=False, count=13)
    train(safe, 10)
    expected = started(12, factor=factor)
    expected.load_state_dict(safe.smoothness.state_dict())
    assert np.array_equal(safe.smoothness.constants(), expected.constants())
    assert (safe.smoothness.constants() >= factor * safe.smoothness.state_dict()["observed"]).all()


def test_starting_again_forgets_everything() -> None:
    model = started(1)
    model.observe(np.ones(1), np.ones(1, dtype=bool), 5.0)
    assert model.radius() == 10.0
    model.start(1)
    assert not model.measured
    assert model.constants().tolist() == [0.0]


def test_without_constraints_the_radius_grows_with_steps() -> None:
    model = started(0)
    model.observe(np.zeros(0), np.zeros(0, dtype=bool), 0.1)
    assert model.radius() == 0.2


@pytest.mark.parametrize("rate", [0.015, 0.02, 0.03])
def test_misses_are_learned_from_whatever_was_believed_before(rate: float) -> None:
    """A float32 policy with L = 2000: what a step shows is judged by what it shows, not by the L in use."""

    class Circle(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = torch.nn.Parameter(torch.tensor([-0.9, 0.05]))

    policy = Circle()
    safe = assemble(
        torch.optim.SGD(policy.parameters(), lr=rate),
        policy,
        lambda given: [1000.0 * (float(given.w.detach().double().square().sum()) - 1.0)],
        directions="isotropic",
        verify=False,
    )
    misses = unsafe = 0
    for _ in range(120):
        safe.zero_grad()
        w = policy.w.detach()
        (-(policy.w * (torch.stack([w[1], -w[0]]) + 0.3 * w)).sum()).backward()
        info = safe.step()
        misses += info.bound_misses
        unsafe += info.slack < 0
    assert unsafe == 0
    assert misses <= 2
    assert info.smoothness_max > 500.0
