"""Enclosures of the policy, of its derivative and of the closed loop, against 50 digits and dense samples."""

from __future__ import annotations

from itertools import pairwise

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.certificate.cells import CHUNK, ClosedLoop, enclose
from replication.certificate.intervals import Interval, point
from scpo.errors import ConfigurationError, NonFiniteError, ShapeError

A = np.array([[1.0, 1.0], [0.0, 1.0]])
B = np.array([[0.0], [1.0]])
K = np.array([[0.07945525, 0.44814154]])


def random_loop(seed: int, sizes: tuple[int, ...] = (2, 32, 32, 1), gain: float = 1.0) -> ClosedLoop:
    rng = np.random.default_rng(seed)
    pairs = list(pairwise(sizes))
    weights = [gain * rng.standard_normal(pair) / np.sqrt(pair[0]) for pair in pairs]
    biases = [rng.standard_normal(pair[1]) / np.sqrt(pair[0]) for pair in pairs]
    return ClosedLoop.of(A, B, K, weights, biases, 5.0, 1.0)


def exact_policy(loop: ClosedLoop, x: list[mpmath.mpf]) -> tuple[mpmath.mpf, mpmath.matrix]:
    """Return pi(x) and its gradient in mpmath's working precision, by the chain rule."""

    def network(state: list[mpmath.mpf]) -> tuple[mpmath.mpf, mpmath.matrix]:
        value, slope = mpmath.matrix(1, 2), mpmath.eye(2)
        value[0], value[1] = state
        for layer, (weight, bias) in enumerate(zip(loop.weights, loop.biases, strict=True)):
            matrix = mpmath.matrix(weight.tolist())
            value, slope = value * matrix + mpmath.matrix([bias.tolist()]), slope * matrix
            if layer < len(loop.weights) - 1:
                value = value.apply(mpmath.tanh)
                for unit in range(value.cols):
                    for row in range(2):
                        slope[row, unit] *= 1 - value[unit] ** 2
        return value[0], slope

    phi, slope = network(x)
    origin, _ = network([mpmath.mpf(0), mpmath.mpf(0)])
    gain = [mpmath.mpf(float(k)) for k in loop.k[0]]
    gradient = mpmath.matrix([slope[0] - gain[0], slope[1] - gain[1]])
    return phi - origin - gain[0] * x[0] - gain[1] * x[1], gradient


def inside(x: Interval, index: tuple[int, ...], value: mpmath.mpf) -> bool:
    return bool(mpmath.mpf(float(x.lo[index])) <= value <= mpmath.mpf(float(x.hi[index])))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    gain=st.sampled_from([0.2, 1.0, 3.0]),
    width=st.sampled_from([0.0, 1e-12, 0.05, 1.0]),
)
def test_enclosures_contain_exact_values(seed: int, gain: float, width: float) -> None:
    loop = random_loop(seed, (2, 6, 5, 1), gain)
    rng = np.random.default_rng(seed)
    low = rng.uniform(-5, 5, (1, 2))
    box = Interval(low, low + width)
    known = enclose(loop, box)
    with mpmath.workdps(50):
        for share in ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), tuple(rng.uniform(0, 1, 2))):
            picked = np.clip(box.lo + np.array(share) * (box.hi - box.lo), box.lo, box.hi)
            x = [mpmath.mpf(float(value)) for value in picked[0]]
            control, gradient = exact_policy(loop, x)
            assert inside(known.inputs, (0, 0), control)
            assert inside(known.gain, (0, 0, 0), gradient[0])
            assert inside(known.gain, (0, 0, 1), gradient[1])
            assert inside(known.successor, (0, 0), x[0] + x[1])
            assert inside(known.successor, (0, 1), x[1] + control)


def policy(loop: ClosedLoop, x: np.ndarray) -> np.ndarray:
    """Return pi(x) in ordinary arithmetic."""
    value = np.concatenate([x, np.zeros((1, 2))])
    for layer, (weight, bias) in enumerate(zip(loop.weights, loop.biases, strict=True)):
        value = value @ weight + bias
        value = np.tanh(value) if layer < len(loop.weights) - 1 else value
    return value[:-1] - value[-1] - x @ loop.k.T


@pytest.mark.parametrize("seed", range(4))
def test_full_size_enclosures_are_sound_and_quadratic(seed: int) -> None:
    loop, rng = random_loop(seed), np.random.default_rng(seed)
    middle = rng.uniform(-4, 4, (50, 2))
    widths = []
    for half in (0.1, 0.05, 0.025):
        box = Interval(middle - half, middle + half)
        known = enclose(loop, box)
        x = box.lo[:, None] + (box.hi - box.lo)[:, None] * rng.uniform(0, 1, (1, 400, 2))
        x = np.concatenate([x, box.lo[:, None], box.hi[:, None]], axis=1)
        control = policy(loop, x.reshape(-1, 2)).reshape(50, -1)
        successor = x @ A.T + control[..., None] @ B.T
        assert (control >= known.inputs.lo).all()
        assert (control <= known.inputs.hi).all()
        assert (successor >= known.successor.lo[:, None]).all()
        assert (successor <= known.successor.hi[:, None]).all()
        linear = np.abs(known.gain.magnitude()[:, 0]).sum(axis=1) * 2 * half
        assert (known.inputs.hi - known.inputs.lo)[:, 0].max() <= linear.max() + 1e-9
        widths.append(np.median(known.gain.hi - known.gain.lo))
    # the gain's width is linear in the box's, so what the input's enclosure exceeds its range by is quadratic
    assert 1.6 < widths[0] / widths[1] < 2.6
    assert 1.6 < widths[1] / widths[2] < 2.6


def test_a_linear_closed_loop_is_enclosed_without_excess() -> None:
    loop = ClosedLoop.of(A, B, K, [np.ones((2, 3)), np.zeros((3, 1))], [np.ones(3), np.zeros(1)], 5.0, 1.0)
    known = enclose(loop, Interval(np.array([[1.0, -2.0]]), np.array([[1.5, -1.0]])))
    closed = A - B @ K
    radius = np.abs(closed) @ np.array([0.25, 0.5])
    middle = closed @ np.array([1.25, -1.5])
    np.testing.assert_allclose(known.successor.lo[0], middle - radius, atol=1e-13)
    np.testing.assert_allclose(known.successor.hi[0], middle + radius, atol=1e-13)
    np.testing.assert_allclose(known.gain.lo[0], -K, atol=1e-14)


def test_the_origin_is_an_equilibrium_to_rounding() -> None:
    known = enclose(random_loop(7), point(np.zeros((1, 2))))
    assert known.successor.magnitude().max() < 1e-12
    assert (known.successor.lo <= 0.0).all()
    assert (known.successor.hi >= 0.0).all()


def test_many_boxes_are_enclosed_in_chunks() -> None:
    loop, rng = random_loop(5, (2, 4, 1)), np.random.default_rng(5)
    low = rng.uniform(-4, 4, (CHUNK + 3, 2))
    box = Interval(low, low + 0.1)
    whole, tail = enclose(loop, box), enclose(loop, box[CHUNK:])
    np.testing.assert_allclose(whole.inputs.hi[CHUNK:], tail.inputs.hi, rtol=0, atol=1e-12)
    assert whole.successor.lo.shape == (CHUNK + 3, 2)


def test_two_inputs_are_supported() -> None:
    rng = np.random.default_rng(0)
    loop = ClosedLoop.of(
        A,
        np.eye(2),
        np.eye(2),
        [rng.standard_normal((2, 4)), rng.standard_normal((4, 2))],
        [np.ones(4), np.ones(2)],
        5,
        1,
    )
    box = Interval(np.array([[0.1, 0.2]]), np.array([[0.2, 0.4]]))
    known = enclose(loop, box)
    x = rng.uniform(box.lo, box.hi, (100, 2))
    successor = x @ A.T + policy(loop, x)
    assert ((successor >= known.successor.lo) & (successor <= known.successor.hi)).all()
    assert known.gain.lo.shape == (1, 2, 2)


def test_unusable_loops_are_refused() -> None:
    weights, biases = [np.ones((2, 3)), np.ones((3, 1))], [np.ones(3), np.ones(1)]
    with pytest.raises(ShapeError, match="layer 1"):
        ClosedLoop.of(A, B, K, [weights[0], np.ones((4, 1))], biases, 5.0, 1.0)
    with pytest.raises(ShapeError, match="outputs"):
        ClosedLoop.of(A, B, K, [weights[0], np.ones((3, 2))], [biases[0], np.ones(2)], 5.0, 1.0)
    with pytest.raises(ShapeError, match="weights"):
        ClosedLoop.of(A, B, K, weights, biases[:1], 5.0, 1.0)
    with pytest.raises(ShapeError, match="do not fit"):
        ClosedLoop.of(np.eye(3), B[[0, 1, 1]], K, weights, biases, 5.0, 1.0)
    with pytest.raises(NonFiniteError):
        ClosedLoop.of(A, B, K, [weights[0] * np.nan, weights[1]], biases, 5.0, 1.0)
    with pytest.raises(ConfigurationError, match="positive"):
        ClosedLoop.of(A, B, K, weights, biases, 5.0, 0.0)
