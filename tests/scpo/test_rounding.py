"""Rounding: one rule for the rows of a step and for its acceptance, and constraints that have no slack above it."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import scpo
from replication.planted_faults.smooth import Vector
from scpo.arrays import Array
from scpo.optimizer import SafeOptimizer
from tests.scpo.small_networks import assemble

DTYPES = [torch.float64, torch.float32]


def policy_at(theta: list[float], dtype: torch.dtype) -> nn.Module:
    return Vector(theta).to(dtype)


def train(safe: SafeOptimizer, loss: Callable[[Tensor], Tensor], updates: int = 30) -> list[float]:
    """Take updates on a loss of theta and return the lengths of the steps."""
    lengths = []
    for _ in range(updates):
        safe.zero_grad()
        loss(safe.policy.theta).backward()  # type: ignore[arg-type]
        lengths.append(safe.step().step_norm)
    return lengths


def safe_at(theta: list[float], g: Callable[[nn.Module], list[float]], dtype: torch.dtype, **options: Any) -> Any:
    policy = policy_at(theta, dtype)
    inner = torch.optim.SGD(policy.parameters(), lr=0.1)
    return assemble(inner, policy, g, directions="isotropic", **options)


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("rounding", [None, 1e-6, 1e-3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_constraint_at_its_limit_lets_theta_move_inwards(
    dtype: torch.dtype, rounding: float | None, verify: bool
) -> None:
    safe = safe_at([1.0], lambda p: [p.theta.item() - 1.0], dtype, smoothness=0.0, rounding=rounding, verify=verify)
    train(safe, lambda theta: theta.square().sum())
    assert abs(safe.policy.theta.item()) < 0.01


@pytest.mark.parametrize("rounding", [None, 1e-6, 1e-3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_corner_without_slack_lets_theta_move_inwards(dtype: torch.dtype, rounding: float | None) -> None:
    """The nominal step leaves the corner along one side, and nearly so along the other."""

    def corner(policy: nn.Module) -> list[float]:
        x, y = policy.theta.double().tolist()
        return [x + 0.3 * y, -x + 0.3 * y]

    safe = safe_at([0.0, 0.0], corner, dtype, smoothness=0.0, rounding=rounding, verify=False)
    train(safe, lambda theta: theta.square().sum() + theta.sum())
    assert safe.policy.theta[1].item() < -0.5


@pytest.mark.parametrize("rounding", [None, 1e-4, 1e-3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_theta_slides_along_a_limit_that_it_starts_at(dtype: torch.dtype, rounding: float | None) -> None:
    safe = safe_at(
        [1.0, 0.0],
        lambda p: [p.theta.double().square().sum().item() - 1.0],
        dtype,
        smoothness=2.0,
        rounding=rounding,
        verify=False,
    )
    train(safe, lambda theta: (theta[1] - 3.0) ** 2)
    assert safe.policy.theta[1].item() > 0.98


@pytest.mark.parametrize("rounding", [None, 1e-3, 3e-3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_restoring_ends(dtype: torch.dtype, rounding: float | None) -> None:
    options = {"smoothness": 1000.0, "rounding": rounding}
    safe = safe_at([0.0], lambda p: [10.0 * p.theta.double().item() - 1.0], dtype, **options)
    with torch.no_grad():
        safe.policy.theta.fill_(0.2)
    train(safe, lambda theta: (theta - 3.0).square().sum())
    assert -0.1 < safe.values[0] <= 0.0


@pytest.mark.parametrize("rounding", [None, 1e-6, 1e-3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_theta_slides_inside_the_tightening(dtype: torch.dtype, rounding: float | None) -> None:
    """The nominal step goes along a constraint that is beyond its tightened limit, and must not get worse."""
    safe = safe_at(
        [0.5, 0.0],
        lambda p: [p.theta.double().square().sum().item() - 1.0],
        dtype,
        smoothness=2.0,
        rounding=rounding,
        tightening=0.2,
        verify=False,
    )
    with torch.no_grad():
        safe.policy.theta.copy_(torch.tensor([0.95, 0.0]))
    train(safe, lambda theta: (theta[1] - 3.0) ** 2)
    assert safe.policy.theta[1].item() > 0.85
    assert safe.values[0] <= 0.95**2 - 1.0 + 1e-6


def noisy(problem: Callable[[np.ndarray], np.ndarray], size: float) -> Callable[[nn.Module], np.ndarray]:
    """Return the problem's values with an error of up to ``size`` that any change of theta draws anew."""

    def computed(policy: nn.Module) -> np.ndarray:
        theta = policy.theta.detach().numpy()
        rng = np.random.default_rng(zlib.crc32(theta.tobytes()))
        exact = problem(theta)
        return exact + size * rng.uniform(-1.0, 1.0, exact.size)

    return computed


@pytest.mark.parametrize("kappa", [0.5, 1.0])
@pytest.mark.parametrize("size", [1e-6, 1e-3])
def test_what_a_step_may_do_under_rounding(size: float, kappa: float) -> None:
    """The proposition of docs/method.md, section 4, where slack is above, below and beyond rounding."""
    moves = [moved_under_rounding(seed, size, kappa) for seed in range(6)]
    assert sum(moved > 0 for moved in moves) >= 4  # in a corner no push may leave a way


def moved_under_rounding(seed: int, size: float, kappa: float) -> int:
    """Check each of 15 steps of a problem, and return how many moved."""
    rng = np.random.default_rng(seed)
    curved = rng.standard_normal((4, 5, 5))
    curved = 0.5 * (curved + np.swapaxes(curved, -1, -2))
    constants, slopes = np.abs(np.linalg.eigvalsh(curved)).max(axis=1), rng.standard_normal((4, 5))
    offsets = np.array([1.5, 3.0, 1e3, 1e5])[rng.permutation(4)] * size

    def problem(theta: np.ndarray) -> np.ndarray:
        return np.asarray(-offsets + slopes @ theta + 0.5 * np.einsum("i,kij,j->k", theta, curved, theta))

    options = {"smoothness": constants, "rounding": size, "kappa": kappa, "verify": False, "count": 5}
    safe = safe_at([0.0] * 5, noisy(problem, size), torch.float64, look=False, descent=False, **options)
    moved = 0
    for _ in range(15):
        before = safe.values
        push = torch.from_numpy(rng.standard_normal(5))
        moved += train(safe, lambda theta, push=push: push @ theta, 1)[0] > 0  # type: ignore[misc]
        ample = before <= -2.0 * size / kappa
        assert (safe.values <= np.where(ample, (1.0 - kappa) * before, 0.0)).all()
    return moved


class _Weights(nn.Module):
    def __init__(self, w: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(w)


def test_a_stated_rounding_need_not_cover_that_of_float32_parameters() -> None:
    """Values of six decimals are stated, and the parameters' own rounding moves g by a thousand times as much."""
    slopes, start = np.array([10.0, 3.0]), np.array([1000.0, -500.0])
    for seed in range(5):
        policy = _Weights(torch.tensor(start, dtype=torch.float32))

        def g(p: _Weights) -> Array:
            return np.round(np.array([slopes @ (p.w.detach().double().numpy() - start) - 1.0]), 6)

        safe = scpo.SafeOptimizer(
            torch.optim.SGD(policy.parameters(), lr=0.02),
            policy,
            scpo.Constraint(g, rounding=5e-7),
            directions=scpo.Isotropic(),
            smoothness=0.0,
            verify=False,
            look=False,
            seed=seed,
        )
        wish, slack = torch.tensor([1001.0 + seed / 10, -499.0]), []
        for _ in range(40):
            safe.zero_grad()
            (0.5 * (policy.w.double() - wish).square().sum()).backward()
            slack.append(safe.step().slack)
        assert min(slack) >= 0.0
        assert min(slack) < 0.1  # it moved


def test_a_stated_rounding_stays_when_a_state_is_loaded() -> None:
    def optimiser(rounding: float | None) -> scpo.SafeOptimizer:
        policy = _Weights(torch.ones(2, dtype=torch.float64))
        constraint = scpo.Constraint(lambda p: np.array([float(p.w[0]) - 2.0]), rounding=rounding)
        sgd = torch.optim.SGD(policy.parameters(), lr=0.1)
        return scpo.SafeOptimizer(sgd, policy, constraint, directions=scpo.Isotropic())

    stated, measured = optimiser(1e-3), optimiser(None)
    known = measured.rounding.copy()
    stated.load_state_dict(measured.state_dict())
    assert stated.rounding.tolist() == [1e-3]
    measured.load_state_dict(optimiser(0.0).state_dict())
    assert 0.0 < measured.rounding[0] <= 2.0 * known[0]


@pytest.mark.parametrize(("dtype", "start", "slack"), [(torch.float32, 100.0, 1e-5), (torch.bfloat16, 1.0, 0.2)])
def test_no_step_rolls_out_an_unsafe_policy_where_probes_are_safe(
    dtype: torch.dtype, start: float, slack: float
) -> None:
    policy, seen = _Weights(torch.full((2,), start).to(dtype)), []

    def g(p: _Weights) -> list[float]:
        seen.append(float(p.w[0]) - start - slack)
        return seen[-1:]

    safe = scpo.SafeOptimizer(
        torch.optim.SGD(policy.parameters(), lr=0.5),
        policy,
        scpo.Constraint(g, may_be_flat=True),
        directions=scpo.Isotropic(safe_probes=True, count=4),
        smoothness=scpo.FixedSmoothness(0.0, gradient_bound=1.0),
        look=False,
        verify=False,
    )
    seen.clear()
    for _ in range(10):
        safe.zero_grad()
        (-policy.w[0].double()).backward()
        assert safe.step().unsafe_probes == 0
    assert max(seen) <= 0.0


def test_a_step_that_is_long_against_theta_measures_the_rounding_anew() -> None:
    policy = _Weights(torch.full((2,), 1e-6, dtype=torch.float64))
    safe = scpo.SafeOptimizer(
        torch.optim.SGD(policy.parameters(), lr=1.0),
        policy,
        lambda p: np.array([float(p.w[0]) - 1e6]),
        directions=scpo.Isotropic(),
        smoothness=0.0,
    )
    before = safe.rounding[0]
    (-1e5 * policy.w[0]).backward()
    safe.step()
    assert safe.rounding[0] >= before
    assert safe.state_dict()["measured_at"] == pytest.approx(1e5)
