"""Proven constants: the bound holds against numeric Hessians and displacements, and one that is too small is caught."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.tasks.regression.proof import (
    ROUNDING,
    TANH_ROUNDOFFS,
    OneLayerSmoothness,
    curvature_bound,
    rounding_bound,
    split,
)
from replication.tasks.regression.task import RegressionTask
from scpo.directions import Tangent
from scpo.errors import ConfigurationError, ShapeError
from scpo.optimizer import SafeOptimizer
from scpo.options import Constraint
from scpo.parameters import ParameterVector

from .default_tasks import regression, samples

UNIT = 2.0**-53


def output(theta: torch.Tensor, x: float) -> torch.Tensor:
    """The network, written again so that the tests do not lean on the code under test."""
    w, v, b = theta[:-1].view(3, -1)
    return v @ torch.tanh(w * x + b) + theta[-1]


def hessian(theta: np.ndarray, x: float) -> np.ndarray:
    return torch.autograd.functional.hessian(lambda at: output(at, x), torch.from_numpy(theta)).numpy()  # type: ignore[no-any-return]


def displacement_excess(theta: np.ndarray, step: np.ndarray, x: float) -> float:
    """Return |g(theta + D) - g(theta) - grad g^T D|, in extended precision."""
    w, v, b = theta[:-1].astype(np.longdouble).reshape(3, -1)
    dw, dv, db = step[:-1].astype(np.longdouble).reshape(3, -1)
    h = np.tanh(w * x + b)
    slope = v * (1 - h**2)
    linear = (slope * x * dw).sum() + (h * dv).sum() + (slope * db).sum()
    return float(abs(((v + dv) * np.tanh((w + dw) * x + b + db)).sum() - (v * h).sum() - linear))


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, float, int, float, np.random.Generator]:
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    hidden = draw(st.integers(1, 4))
    theta = rng.normal(size=3 * hidden + 1) * draw(st.sampled_from([0.1, 1.0, 4.0]))
    return theta, draw(st.floats(-np.pi, np.pi)), hidden, draw(st.sampled_from([1e-3, 0.05, 0.3, 2.0])), rng


def in_ball(rng: np.random.Generator, dimension: int, radius: float) -> np.ndarray:
    direction = rng.normal(size=dimension)
    return np.asarray(direction / np.linalg.norm(direction) * radius * rng.choice([1.0, rng.random()]))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(cases())
def test_nothing_in_the_ball_exceeds_the_bound(case) -> None:  # type: ignore[no-untyped-def]
    theta, x, hidden, radius, rng = case
    bound = float(curvature_bound(theta, np.array([x]), hidden, radius)[0])
    for _ in range(5):
        step = in_ball(rng, theta.size, radius)
        assert np.linalg.norm(hessian(theta + step, x), 2) <= bound * (1 + 1e-12) + 1e-12  # 1 - tanh^2 cancels
        assert displacement_excess(theta, step, x) <= 0.5 * bound * (step @ step) + 1e-16
    # the worst direction of the centre, as far as it goes
    values, vectors = np.linalg.eigh(hessian(theta, x))
    for sign in (-1.0, 1.0):
        step = sign * radius * vectors[:, np.abs(values).argmax()]
        assert displacement_excess(theta, step, x) <= 0.5 * bound * (step @ step) + 1e-16


@settings(max_examples=60, deadline=None, derandomize=True)
@given(cases())
def test_at_the_centre_the_bound_is_sharp(case) -> None:  # type: ignore[no-untyped-def]
    theta, x, hidden, _, _ = case
    bound = float(curvature_bound(theta, np.array([x]), hidden, 0.0)[0])
    values, vectors = np.linalg.eigh(hessian(theta, x))
    norm = np.abs(values).max()
    assert bound == pytest.approx(norm, rel=1e-9, abs=1e-12)
    step = 1e-4 * vectors[:, np.abs(values).argmax()]
    rounding = 1e-17  # of the excess, in extended precision; it matters where tanh is saturated
    assert displacement_excess(theta, step, x) > 0.5 * 0.98 * bound * (step @ step) - rounding  # planted: 2 % too small


def test_a_bound_that_forgets_the_ball_is_caught() -> None:
    rng = np.random.default_rng(0)
    caught = 0
    for _ in range(50):
        theta, radius = rng.normal(size=4), 1.0
        planted = float(curvature_bound(theta, np.array([2.0]), 1, 0.0)[0])
        step = in_ball(rng, 4, radius)
        caught += bool(np.linalg.norm(hessian(theta + step, 2.0), 2) > planted)
    assert caught > 10


@pytest.mark.parametrize("hidden", [1, 16])
def test_rounding_stays_below_its_bound(hidden: int) -> None:
    rng = np.random.default_rng(5)
    grid = torch.linspace(-torch.pi, torch.pi, 100, dtype=torch.float64)
    task = small_task(hidden)
    policy = task.initial_policy(torch.Generator().manual_seed(1))
    vector = ParameterVector(policy, policy.parameters())
    worst = 0.0
    for scale in (0.5, 3.0, 10.0):
        theta = scale * rng.normal(size=vector.dimension)
        computed = task.constraint(vector.stack(torch.from_numpy(theta)[None]))[0, :100].numpy()
        w, v, b, c = (np.asarray(part, dtype=np.longdouble) for part in split(theta, hidden))
        x = grid.numpy().astype(np.longdouble)[:, None]
        exact = (np.tanh(x * w + b) * v).sum(axis=1) + c - np.longdouble(1.4)
        error = float(np.abs(computed - exact).max())
        bound = rounding_bound(theta, grid.numpy(), 1.4, hidden, 0.2)
        assert error <= bound
        worst = max(worst, error / bound)
    assert worst > 1e-4


def test_computed_tanh_is_as_accurate_as_assumed() -> None:
    x = torch.cat([torch.linspace(-25, 25, 200_001, dtype=torch.float64), torch.logspace(-18, 0, 2001).double()])
    exact = np.tanh(x.numpy().astype(np.longdouble))
    for computed in (torch.tanh(x), 2.0 * torch.sigmoid(2.0 * x) - 1.0):
        error = np.abs(computed.numpy() - exact).max()
        assert float(error) <= 0.5 * TANH_ROUNDOFFS * UNIT


def small_task(hidden: int = 8, **options: object) -> RegressionTask:
    return regression(samples(2, 256, 100), hidden=(hidden,), activation="tanh", **options)


def test_a_run_on_proven_constants_has_no_miss_and_stays_safe() -> None:
    task = small_task()
    policy = task.initial_policy(torch.Generator().manual_seed(0))
    smoothness = task.proven_smoothness(0.2)
    safe = SafeOptimizer(
        torch.optim.SGD(policy.parameters(), lr=0.1, momentum=0.9),
        policy,
        Constraint(task.constraint, batched=True, rounding=smoothness.rounding),
        directions=Tangent(task.states, count=12),
        smoothness=smoothness,
        kappa=1.0,
        verify=False,
    )
    batches, infos, largest = torch.Generator().manual_seed(1), [], []
    for _ in range(150):
        safe.zero_grad()
        task.loss(policy, task.sample_batch(64, batches)).backward()
        infos.append(safe.step())
        largest.append(smoothness.constants().max())
    assert all(info.slack >= 0 and info.bound_misses == 0 for info in infos)
    assert all(info.required_max <= info.smoothness_max for info in infos if info.proposals)
    assert sum(info.projected for info in infos) > 50
    assert max(info.step_norm for info in infos) <= 0.2 * (1 + 1e-12)
    assert len(set(largest)) > 100  # proven anew at each iterate
    assert (safe.rounding == ROUNDING).all()


def test_what_cannot_be_proven_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="one hidden layer of tanh"):
        regression(samples(2, 8, 8)).proven_smoothness(1)
    with pytest.raises(ConfigurationError, match="finite"):
        OneLayerSmoothness(np.zeros(3), 1.4, 2, np.inf)
    model = OneLayerSmoothness(np.linspace(-1, 1, 3), 1.4, 2, 0.1)
    with pytest.raises(ShapeError, match="6 constraints"):
        model.start(5)
    with pytest.raises(ShapeError, match="one hidden layer"):
        model.visit(torch.zeros(6))
    with pytest.raises(ConfigurationError, match="rounding"):
        model.visit(torch.full((7,), 1e4))
    model.start(6)
    model.visit(torch.zeros(7))
    assert model.constants().shape == (6,)
    assert np.array_equal(model.constants()[:3], model.constants()[3:])
