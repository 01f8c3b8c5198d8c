"""The buffer: what it does to a target, and that it takes none of the guarantees away."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import nnls

from replication.planted_faults.smooth import INNER, PROBLEMS, Vector, away, broken_guarantees, run
from scpo.buffer import REACH, RECOVERY, SOFTNESS, turned
from scpo.errors import ConfigurationError

from .small_networks import assemble, residual, train, wrap

pytestmark = pytest.mark.slow

LIMIT = np.array([[2.0, 0.0]])  # one constraint, slope 2 along the first axis
WIDTH = 0.1


def by_its_dual(target: np.ndarray, slopes: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The same program by another way: its dual is a non-negative least squares problem."""
    norms, inside = np.linalg.norm(slopes, axis=1), values + WIDTH
    rows, wanted = slopes / norms[:, None], np.where(inside > 0, RECOVERY * inside, inside) / norms
    root = np.linalg.cholesky(rows @ rows.T + SOFTNESS * np.eye(len(rows)))
    multipliers, _ = nnls(root.T, np.linalg.solve(root, rows @ target + wanted))
    return np.asarray(target - multipliers @ rows)


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 6), k=st.integers(1, 12), inside=st.booleans())
def test_the_target_is_the_nearest_in_the_linear_model(seed: int, n: int, k: int, inside: bool) -> None:
    rng = np.random.default_rng(seed)
    slopes, target = rng.normal(size=(k, n)), rng.normal(size=n)
    values = rng.normal(size=k) * 0.3 if inside else -0.5 * rng.random(k)
    found = turned(target, slopes, values, WIDTH)
    np.testing.assert_allclose(found, by_its_dual(target, slopes, values), atol=1e-5)


def test_a_target_that_no_row_minds_is_left_alone() -> None:
    target = np.array([0.2, 1.0])
    assert turned(target, LIMIT, np.array([-0.5]), WIDTH) is target
    assert turned(target, np.zeros((1, 2)), np.array([0.5]), WIDTH) is target
    assert turned(target, np.zeros((0, 2)), np.zeros(0), WIDTH) is target


def test_a_constraint_far_from_its_limit_has_no_say() -> None:
    target, far = np.array([100.0, 1.0]), -REACH * WIDTH
    assert turned(target, LIMIT, np.array([far]), WIDTH) is target
    assert turned(target, LIMIT, np.array([np.nextafter(far, 0.0)]), WIDTH) is not target


@pytest.mark.parametrize(("value", "expected"), [(-0.5, 0.25), (0.0, 0.0), (0.4, -RECOVERY * 0.4 / 2.0)])
def test_what_goes_along_the_limit_is_kept_whole(value: float, expected: float) -> None:
    found = turned(np.array([1.0, 1.0]), LIMIT, np.array([value - WIDTH]), WIDTH)
    assert found[1] == 1.0
    assert found[0] == pytest.approx(expected, abs=2 * SOFTNESS)


def test_opposed_rows_inside_the_buffer_share_what_neither_gets() -> None:
    opposed = np.array([[1.0, 0.0], [-1.0, 0.0]])
    found = turned(np.array([0.0, 1.0]), opposed, np.array([0.3, 0.3]), WIDTH)
    np.testing.assert_allclose(found, [0.0, 1.0], atol=1e-6)


@pytest.mark.parametrize("inner", list(INNER))
@pytest.mark.parametrize("name", list(PROBLEMS))
def test_with_proven_constants_all_that_speaks_of_safety_holds(name: str, inner: str) -> None:
    bent = 0
    for seed in range(4):
        problem = PROBLEMS[name](seed)
        policy = Vector(np.zeros(problem.dimension))
        options = {
            "constraint": problem.batched,
            "batched": True,
            "smoothness": problem.constants,
            "directions": "isotropic",
        }
        safe = assemble(
            INNER[inner](policy), policy, count=4, kappa=0.5, verify=False, buffer=0.2, seed=seed, **options
        )
        steps = run(safe, away(seed, policy), 60)
        assert not broken_guarantees(steps, 0.5, safe.rounding) - {"projection", "descent"}
        bent += sum(step.info.projected for step in steps)
    assert bent > 40


def test_a_buffer_helps_along_a_curved_limit() -> None:
    """On a disc, where the loss pulls outwards far more than along the rim; the true L is 2."""

    def last(smoothness: float, buffer: float) -> float:
        policy = Vector(np.array([0.0, 0.99]))
        inner = torch.optim.SGD(policy.parameters(), lr=0.05)
        safe = assemble(
            inner,
            policy,
            lambda policy: [float(policy.theta @ policy.theta) - 1.0],
            smoothness=smoothness,
            directions="isotropic",
            count=2,
            kappa=0.9,
            verify=False,
            look=False,
            buffer=buffer,
        )
        goal = torch.tensor([0.5, 3.0], dtype=torch.float64)
        for _ in range(20):
            safe.zero_grad()
            (0.5 * (policy.theta - goal).square().sum()).backward()
            assert safe.step().slack >= 0
        return float(policy.theta[0].detach())

    assert last(40.0, 0.02) > 1.3 * last(40.0, 0.0)
    assert last(2.0, 0.02) == pytest.approx(last(2.0, 0.0), rel=0.05)


def test_a_buffer_does_not_move_a_policy_whose_gradient_is_zero() -> None:
    policy = residual()
    safe = wrap(policy, "sgd", buffer=0.3, verify=False)
    train(safe, 5)
    before = safe.vector.read()
    safe.zero_grad()
    for parameter in policy.parameters():
        parameter.grad = torch.zeros_like(parameter)
    safe.step()
    assert torch.equal(before, safe.vector.read())


@pytest.mark.parametrize("buffer", [-0.1, np.nan, np.inf, "wide"])
def test_nonsense_is_refused(buffer: object) -> None:
    with pytest.raises(ConfigurationError, match="buffer"):
        wrap(residual(), buffer=buffer)
