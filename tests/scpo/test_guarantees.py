"""The promises of the method on smooth constraints with proven constants: bound-only runs, nothing is rolled back."""

from __future__ import annotations

import itertools
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.planted_faults.smooth import (
    INNER,
    PROBLEMS,
    TANH_CURVATURE,
    Smooth,
    Vector,
    away,
    broken_guarantees,
    run,
    waves,
)
from scpo.optimizer import SafeOptimizer
from scpo.options import Descent
from scpo.projection.region import LocalSafeRegion
from scpo.smoothness import Smoothness

from .small_networks import assemble

pytestmark = pytest.mark.slow


def wrap(problem: Smooth, policy: Vector, inner: str = "momentum", **options: Any) -> SafeOptimizer:
    options = {"smoothness": problem.constants, "directions": "isotropic", "count": 4, "verify": False} | options
    return assemble(INNER[inner](policy), policy, constraint=problem.batched, batched=True, **options)


@pytest.mark.parametrize(("name", "inner", "kappa"), list(itertools.product(PROBLEMS, INNER, (0.5, 1.0))))
def test_every_guarantee_holds_with_proven_constants(name: str, inner: str, kappa: float) -> None:
    projected = 0
    for seed in range(2):
        problem = PROBLEMS[name](seed)
        policy = Vector(np.zeros(problem.dimension))
        safe = wrap(problem, policy, inner, kappa=kappa, seed=seed)
        steps = run(safe, away(seed, policy), 70)
        assert broken_guarantees(steps, kappa, safe.rounding) == set()
        projected += sum(step.info.projected for step in steps)
        assert steps[-1].loss_after < steps[0].loss_before
    assert projected > 20, "no constraint was ever active, so the test shows nothing"


@pytest.mark.parametrize("constants", ["zero", "proven"])
def test_float32_policy_from_zero_keeps_the_guarantees(constants: str) -> None:
    # all parameters start at 0, where perturbations by one unit roundoff show no rounding at all
    rng = np.random.default_rng(3)
    slopes = rng.normal(size=(3, 6))

    def linear(stacked: dict[str, torch.Tensor]) -> torch.Tensor:
        return stacked["theta"] @ torch.as_tensor(slopes, dtype=torch.float32).T - 1.0

    policy = Vector(np.zeros(6), torch.float32)
    constants_of = {"zero": np.zeros(3), "proven": np.full(3, 0.1)}
    safe = assemble(
        INNER["momentum"](policy),
        policy,
        linear,
        batched=True,
        smoothness=constants_of[constants],
        directions="isotropic",
        count=4,
        verify=False,
        kappa=1.0,
    )
    steps = run(safe, away(3, policy), 80)
    # the nominal step of a float32 optimiser is itself rounded
    assert broken_guarantees(steps, 1.0, safe.rounding) - {"descent", "projection"} == set()
    assert sum(step.info.projected for step in steps) > 10


def test_float32_smooth_network() -> None:
    problem = PROBLEMS["network"](4)
    policy = Vector(np.zeros(problem.dimension), torch.float32)
    safe = wrap(problem, policy, kappa=0.9)
    steps = run(safe, away(4, policy), 60)
    assert broken_guarantees(steps, 0.9, safe.rounding) <= {"descent", "projection"}


def test_the_tightening_of_a_smooth_constraint_is_kept() -> None:
    problem = waves(7)
    policy = Vector(np.zeros(problem.dimension))
    safe = wrap(problem, policy, tightening=0.02, kappa=1.0)
    steps = run(safe, away(7, policy), 60)
    assert max(float(step.after.max()) for step in steps) <= -0.02
    assert min(float((-step.after).min()) for step in steps) < 0.2


class LocalNetworkSmoothness(Smoothness):
    """L of v tanh(w x + b) with v trained too, within radius r of the current v: a user's own model.

    A unit's Hessian block over ((w, b), v) is [[v tanh'' h h^T, tanh' h], [., 0]], of norm at most
    |v| max|tanh''| |h|^2 + |h| with h = (x, 1).
    """

    def __init__(self, states: np.ndarray, hidden: int) -> None:
        self.square, self.hidden = 1.0 + states**2, hidden
        self.largest, self.observed = np.inf, 0

    def start(self, length: int) -> None:
        assert length == self.square.size

    def visit(self, theta: torch.Tensor) -> None:
        self.largest = float(theta[2 * self.hidden :].abs().max()) + self.radius()

    def constants(self) -> np.ndarray:
        return self.largest * TANH_CURVATURE * self.square + np.sqrt(self.square)

    def radius(self) -> float:
        return 0.3

    def observe(self, required: np.ndarray, reliable: np.ndarray, length: float) -> None:
        assert (required[reliable] <= self.constants()[reliable] + 1.0).all()
        assert length <= self.radius()
        self.observed += 1

    def state_dict(self) -> dict[str, Any]:
        return {"observed": self.observed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.observed = state["observed"]


def test_a_smoothness_of_the_users_own() -> None:
    rng = np.random.default_rng(2)
    hidden, states = 3, rng.normal(size=4)
    start = rng.normal(size=3 * hidden)

    def outputs(t: np.ndarray) -> np.ndarray:
        w, b, v = np.split(t, 3, axis=1)
        return np.einsum("msh,mh->ms", np.tanh(states[:, None] * w[:, None] + b[:, None]), v)

    limits = outputs(start[None])[0] + 0.2
    policy = Vector(start)
    model = LocalNetworkSmoothness(states, hidden)
    safe = assemble(
        INNER["momentum"](policy),
        policy,
        lambda stacked: outputs(stacked["theta"].numpy()) - limits,
        batched=True,
        smoothness=model,
        directions="isotropic",
        count=9,
        verify=False,
    )
    steps = run(safe, away(2, policy), 80)
    assert broken_guarantees(steps, 0.5, safe.rounding) == set()
    assert model.observed > 40


@pytest.mark.parametrize("inner", ["momentum", "adam"])
def test_beta_smooth_loss_never_rises(inner: str) -> None:
    def rises(descent: Descent | Literal[False]) -> int:
        count = 0
        for seed in range(2):
            problem = waves(seed)
            policy = Vector(np.zeros(problem.dimension))
            safe = wrap(problem, policy, inner, descent=descent, seed=seed)
            safe.optimizer.param_groups[0]["lr"] = 0.5  # fast enough to overshoot a target that is near
            steps = run(safe, away(seed, policy, 0.05), 40)
            count += sum(step.loss_after > step.loss_before + 1e-12 * (1 + step.loss_before) for step in steps)
        return count

    assert rises(Descent(1.0)) == 0
    assert rises(False) > 0, "the loss falls anyway, so the test shows nothing"


@pytest.mark.parametrize("rate", [1.9, 2.1, 40.0])
def test_the_loss_never_rises_under_too_long_steps(rate: float) -> None:
    # p = -eta grad L is parallel to the gradient, but with eta > 2 / beta its projection need not descend
    policy = Vector(np.ones(3))
    inner = torch.optim.SGD(policy.parameters(), lr=rate)
    flat = {"may_be_flat": True, "smoothness": 1.0, "directions": "isotropic"}
    safe = assemble(inner, policy, lambda policy: [-1.0], descent=Descent(1.0), verify=False, **flat)
    steps = run(safe, lambda: 0.5 * (policy.theta**2).sum(), 5)
    assert all(step.loss_after <= step.loss_before * (1 + 1e-12) for step in steps)


def test_momentum_raises_no_loss_at_a_stationary_point() -> None:
    policy = Vector(np.array([1.0, 0.0]))
    inner = torch.optim.SGD(policy.parameters(), lr=0.5, momentum=0.9)
    flat = {"may_be_flat": True, "smoothness": 1.0, "directions": "isotropic"}
    safe = assemble(inner, policy, lambda policy: [-1.0], descent=Descent(1.0), verify=False, **flat)
    run(safe, lambda: 0.5 * (policy.theta**2).sum(), 1)
    with torch.no_grad():
        policy.theta.zero_()  # the minimum; the momentum goes on
    (step,) = run(safe, lambda: 0.5 * (policy.theta**2).sum(), 1)
    assert np.linalg.norm(step.nominal) > 0.1
    assert step.loss_after == 0.0


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    name=st.sampled_from(sorted(PROBLEMS)),
    step=st.floats(1e-6, 1e-2),
    size=st.floats(1e-6, 2.0),
)
def test_probed_bound_lies_above_the_constraint(seed: int, name: str, step: float, size: float) -> None:
    problem = PROBLEMS[name](seed)
    rng = np.random.default_rng(seed)
    d = problem.dimension
    n = int(rng.integers(1, d + 1))
    theta = rng.normal(size=d)
    basis = np.linalg.qr(rng.normal(size=(d, n)))[0]
    base = problem.values(theta[None])[0]
    slopes = ((problem.values(theta + step * basis.T) - base) / step).T
    rounding = 1e-14 * (1 + np.abs(base))
    assert np.all(
        np.abs(slopes - problem.gradients(theta) @ basis)
        <= (0.5 * problem.constants * step + 2 * rounding / step)[:, None]
    )
    error = np.sqrt(n) * (0.5 * problem.constants * step + 2 * rounding / step)
    z = rng.normal(size=n)
    z *= size / np.linalg.norm(z)
    region = LocalSafeRegion(base, slopes, problem.constants, error, np.inf, 1.0)
    assert np.all(problem.values((theta + basis @ z)[None])[0] <= region.bound(z) + 2 * rounding)
