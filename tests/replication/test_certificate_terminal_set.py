"""The terminal ellipsoid: bounds of V, contraction, and what the certificate promises inside."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import solve_discrete_lyapunov

from replication.certificate.cells import ClosedLoop
from replication.certificate.intervals import Interval, point
from replication.certificate.terminal_set import Ellipsoid, contracting, lowest, terminal_set

A = np.array([[1.0, 1.0], [0.0, 1.0]])
B = np.array([[0.0], [1.0]])
K = np.array([[0.07945525, 0.44814154]])


def linear_loop(gain: np.ndarray = K, input_limit: float = 1.0) -> ClosedLoop:
    """Return the loop under u = -gain x with a network that is zero."""
    return ClosedLoop.of(A, B, gain, [np.ones((2, 3)), np.zeros((3, 1))], [np.ones(3), np.zeros(1)], 5.0, input_limit)


def random_shape(seed: int) -> np.ndarray:
    factor = np.random.default_rng(seed).standard_normal((2, 2))
    return factor @ factor.T + 0.05 * np.eye(2)


@pytest.mark.parametrize("seed", range(5))
def test_lowest_value_over_a_box_is_a_sharp_lower_bound(seed: int) -> None:
    shape, rng = random_shape(seed), np.random.default_rng(seed)
    low = rng.uniform(-3, 3, (300, 2))
    box = Interval(low, low + rng.uniform(0, 1, (300, 2)) * rng.integers(0, 2, (300, 2)))
    share = np.stack(np.meshgrid(np.linspace(0, 1, 60), np.linspace(0, 1, 60)), axis=-1).reshape(-1, 2)
    x = box.lo[:, None] + share * (box.hi - box.lo)[:, None]
    sampled = np.einsum("nsi,ij,nsj->ns", x, shape, x).min(axis=1)
    bound = lowest(shape, box)
    assert (bound <= sampled + 1e-12).all()
    assert (bound >= sampled - 0.05 * (1 + sampled)).all()


def test_containment_in_an_ellipsoid_is_decided_by_corners() -> None:
    ellipsoid = Ellipsoid(np.array([[2.0, 0.5], [0.5, 1.0]]), 1.0)
    rng = np.random.default_rng(0)
    low = rng.uniform(-1, 1, (2000, 2))
    box = Interval(low, low + 0.2)
    corners = np.stack([box.lo, box.hi, np.c_[box.lo[:, 0], box.hi[:, 1]], np.c_[box.hi[:, 0], box.lo[:, 1]]])
    inside = (np.einsum("kni,ij,knj->kn", corners, ellipsoid.shape, corners) <= 1.0).all(axis=0)
    np.testing.assert_array_equal(ellipsoid.contains(box), inside)
    assert 0 < inside.sum() < 2000
    assert not ellipsoid.contains(Interval(np.full((1, 2), np.nan), np.zeros((1, 2))))[0]


def test_contraction_agrees_with_singular_values() -> None:
    loop, rng = linear_loop(), np.random.default_rng(1)
    shape = solve_discrete_lyapunov((A - B @ K).T, np.eye(2))
    factor = np.linalg.cholesky(shape).T
    gain = -K[None] + rng.uniform(-1, 1, (500, 1, 2)) * np.array([0.3, 0.6])

    def norm(g: np.ndarray) -> np.ndarray:
        return np.linalg.norm(factor @ (A + B @ g) @ np.linalg.inv(factor), ord=2, axis=(1, 2))

    clear = np.abs(norm(gain) - 1.0) > 1e-9
    np.testing.assert_array_equal(contracting(loop, shape, point(gain))[clear], (norm(gain) < 1.0)[clear])
    assert 50 < (norm(gain) < 1.0).sum() < 450
    half = 0.05
    proven = contracting(loop, shape, Interval(gain - half, gain + half))
    assert proven.any()
    for _ in range(50):
        assert (norm(gain + rng.uniform(-half, half, gain.shape))[proven] < 1.0).all()


@pytest.mark.parametrize("input_limit", [1.0, 0.4])
def test_terminal_set_of_a_linear_loop_nearly_touches_limits(input_limit: float) -> None:
    ellipsoid, reason = terminal_set(linear_loop(input_limit=input_limit))
    assert reason == ""
    assert ellipsoid is not None
    inverse = np.linalg.inv(ellipsoid.shape)
    used_input = np.sqrt(ellipsoid.level * (K @ inverse @ K.T)[0, 0]) / input_limit
    used_state = np.sqrt(ellipsoid.level * np.diag(inverse)).max() / 5.0
    assert 0.8 < max(used_input, used_state) <= 1.0
    assert ellipsoid.area == pytest.approx(np.pi * ellipsoid.level * np.sqrt(np.linalg.det(inverse)))


@pytest.mark.parametrize("gain", [[[-0.01, 0.4]], [[0.0, 0.0]], [[1e-9, 0.4]], [[0.5, 2.6]]])
def test_an_unstable_or_marginal_origin_has_no_terminal_set(gain: list[list[float]]) -> None:
    ellipsoid, reason = terminal_set(linear_loop(np.array(gain)))
    assert ellipsoid is None
    assert "spectral radius" in reason
