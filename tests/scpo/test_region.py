"""The local safe region: its bound, membership, and the pull-back."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scpo.arrays import LARGEST, Array
from scpo.errors import ConfigurationError, NonFiniteError, ScpoError, ShapeError, UnsafeStartError
from scpo.projection.region import LocalSafeRegion

from .instances import KINDS, draw

EXAMPLES = settings(derandomize=True, deadline=None, max_examples=60)
SEEDS = st.integers(0, 10**6)


def exact_row(region: LocalSafeRegion, z: Array, row: int) -> tuple[Fraction, Fraction]:
    """Return row and length^2 in rational arithmetic, |z| rounded up to 1e-40."""
    squared = sum((Fraction(float(x)) ** 2 for x in z), Fraction(0))
    digits = 10**40
    scaled = squared * digits**2
    root = Fraction(_isqrt_up(-(-scaled.numerator // scaled.denominator)), digits)
    dot = sum(
        (Fraction(float(a)) * Fraction(float(x)) for a, x in zip(region.slopes[row], z, strict=True)), Fraction(0)
    )
    value = (
        Fraction(region.kappa) * Fraction(float(region.values[row]))
        + dot
        + Fraction(float(region.probe_error[row])) * root
        + Fraction(float(region.smoothness[row])) * squared / 2
    )
    return value, squared


def _isqrt_up(number: int) -> int:
    from math import isqrt

    return isqrt(number - 1) + 1 if number > 0 else 0


@EXAMPLES
@given(SEEDS)
def test_bound_covers_a_quadratic_with_probed_slopes(seed: int) -> None:
    """g(theta + Q z) <= u(z) for quadratics of known curvature, slopes by finite differences, any |z| <= r."""
    rng = np.random.default_rng(seed)
    d, n = 9, int(rng.integers(1, 6))
    symmetric = rng.normal(size=(4, d, d))
    symmetric = symmetric + symmetric.transpose(0, 2, 1)
    linear, theta = rng.normal(size=(4, d)), rng.normal(size=d)
    basis = np.linalg.qr(rng.normal(size=(d, n)))[0]

    def g(at: Array) -> Array:
        return np.asarray(0.5 * np.einsum("i,kij,j->k", at, symmetric, at) + linear @ at)

    smoothness = np.abs(np.linalg.eigvalsh(symmetric)).max(axis=1)
    nu = 10.0 ** rng.uniform(-4, 0)
    base = g(theta)
    shift = base.max() + 1.0  # makes every value negative
    slopes = np.stack([(g(theta + nu * q) - base) / nu for q in basis.T], axis=1)
    error = np.sqrt(n) * smoothness * nu / 2
    region = LocalSafeRegion.build(base - shift, slopes, smoothness, error, radius=10.0)
    for _ in range(20):
        z = rng.normal(size=n)
        z *= 10.0 ** rng.uniform(-3, 1) / np.linalg.norm(z)
        actual = g(theta + basis @ z) - shift
        assert (actual <= region.bound(z) + 1e-10 * (1 + np.abs(base).max())).all()


def test_bound_fails_with_a_curvature_that_is_too_small() -> None:
    """The test above can fail: half the curvature, or slopes without their error bound, are seen."""
    z = np.array([1.0])
    assert 0.5 * 4.0 * z[0] ** 2 - 5.0 <= LocalSafeRegion.build([-5.0], [[0.0]], 4.0).bound(z)[0]
    assert 0.5 * 4.0 * z[0] ** 2 - 5.0 > LocalSafeRegion.build([-5.0], [[0.0]], 2.0).bound(z)[0]
    biased = 0.5 * 4.0 * 0.1  # slope probed at nu = 0.1 on the other side
    probe_error = 0.5 * 4.0 * 0.1
    assert 2.0 - 5.0 > LocalSafeRegion.build([-5.0], [[-biased]], 4.0).bound(z)[0]
    assert 2.0 - 5.0 <= LocalSafeRegion.build([-5.0], [[-biased]], 4.0, probe_error).bound(z)[0]


@pytest.mark.parametrize("kappa", [1.0, 0.25])
def test_rows_are_the_bound_less_the_share_kept(kappa: float) -> None:
    region = LocalSafeRegion.build([-2.0, -1.0], [[1.0, 2.0], [0.0, -1.0]], [2.0, 0.0], [0.5, 0.0], 3.0, kappa)
    z = np.array([3.0, 4.0]) / 5
    assert region.bound(z) == pytest.approx([-2.0 + 11 / 5 + 0.5 + 1.0, -1.0 - 4 / 5])
    assert region.rows(z) == pytest.approx(region.bound(z) - (1 - kappa) * region.values)


@EXAMPLES
@given(SEEDS, st.sampled_from(sorted(KINDS)))
def test_contains_is_certain(seed: int, kind: str) -> None:
    """A member satisfies every row in exact arithmetic, also where the rows hold with equality to rounding."""
    instance = draw(kind, seed, n=3, k=4)
    region = instance.region
    for factor in (1.0, 1 - 1e-15, 0.5):
        point = region.pull_back(factor * instance.target, instance.target)
        assert region.contains(point)
        for row in range(min(region.values.size, 4)):
            value, squared = exact_row(region, point, row)
            assert value <= Fraction(1, 10**30)  # the length was rounded up at 1e-40
        if np.isfinite(region.radius) and region.values.size:
            assert squared <= Fraction(region.radius) ** 2


def test_contains_refuses_what_rounding_cannot_tell() -> None:
    region = LocalSafeRegion.build([-0.3], [[0.1, 0.1, 0.1]], 0.0)
    assert region.contains(np.full(3, 1 - 1e-14))
    assert not region.contains(np.ones(3))  # on the boundary, as far as floating point can tell
    assert not LocalSafeRegion.build([-1.0], [[0.0]], 0.0, radius=1.0).contains(np.array([1.0]))
    assert LocalSafeRegion.build([-1.0], [[0.0]], 0.0, radius=1.0).contains(np.array([1 - 1e-14]))


@EXAMPLES
@given(SEEDS, st.sampled_from(sorted(KINDS)), st.floats(-3, 8))
def test_pull_back(seed: int, kind: str, magnitude: float) -> None:
    """From any z: the result is a shrunk z, certainly in S, and obeys the descent inequality."""
    instance = draw(kind, seed, n=5, k=6)
    rng = np.random.default_rng(seed)
    z = instance.target + rng.normal(size=instance.target.size) * np.linalg.norm(instance.target)
    z *= 10.0**magnitude
    point = instance.region.pull_back(z, instance.target)
    assert instance.region.contains(point)
    assert point @ point <= point @ instance.target
    factor = float(point @ z) / float(z @ z)
    assert 0 <= factor <= 1
    assert np.allclose(point, factor * z, rtol=1e-12, atol=0)
    if point.any() and factor < 1 - 1e-9:  # no shorter than needed
        longer = point * (1 + 1e-9)
        slack_bound = not instance.region.contains(longer)
        assert slack_bound or longer @ longer > longer @ instance.target


@EXAMPLES
@given(SEEDS)
def test_pull_back_leaves_members_alone(seed: int) -> None:
    instance = draw("target inside", seed)
    same = instance.region.pull_back(instance.target, instance.target)
    assert instance.region.contains(instance.target)
    assert same.tobytes() == instance.target.tobytes()
    assert same is not instance.target


@pytest.mark.parametrize(
    ("z", "target", "region"),
    [
        ([1.0, 0.0], [1.0, 0.0], LocalSafeRegion.build([0.0], [[1.0, 0.0]], 0.0)),  # no slack, uphill
        ([1.0, 0.0], [1.0, 0.0], LocalSafeRegion.build([0.0], [[0.0, 0.0]], 1.0)),  # no slack, curvature only
        ([1.0, 0.0], [1.0, 0.0], LocalSafeRegion.build([0.0], [[-1.0, 0.0]], 0.0, 1.5)),  # no slack, probe error
        ([1.0, 0.0], [-1.0, 0.5], LocalSafeRegion.build([-1.0], [[0.0, 0.0]], 0.0)),  # against the target
        ([0.0, 0.0], [1.0, 0.0], LocalSafeRegion.build([-1.0], [[0.0, 0.0]], 0.0)),  # already 0
    ],
)
def test_pull_back_to_exactly_zero(z: list[float], target: list[float], region: LocalSafeRegion) -> None:
    assert (region.pull_back(np.array(z), np.array(target)) == 0).all()


def test_pull_back_by_hand() -> None:
    """-1 + z + z^2 <= 0 ends at (sqrt(5) - 1) / 2; with no slope, at 1; on a radius, there."""
    target = np.array([9.0])
    golden = (np.sqrt(5) - 1) / 2
    assert LocalSafeRegion.build([-1.0], [[1.0]], 2.0).pull_back(target, target)[0] == pytest.approx(golden, rel=1e-14)
    assert LocalSafeRegion.build([-1.0], [[0.0]], 2.0).pull_back(target, target)[0] == pytest.approx(1.0, rel=1e-14)
    assert LocalSafeRegion.build([-1.0], [[-1.0]], 2.0).pull_back(target, target)[0] == pytest.approx(1 + golden)
    flat = LocalSafeRegion.build([-1.0], [[0.0]], 0.0, radius=0.5)
    assert flat.pull_back(target, target)[0] == pytest.approx(0.5, rel=1e-14)
    assert LocalSafeRegion.build([], np.zeros((0, 1)), 0.0).pull_back(target, target)[0] == 9.0


def arguments(**changes: Any) -> dict[str, Any]:
    usable = {"values": [-1.0, -2.0], "slopes": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], "smoothness": 1.0}
    return usable | changes


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"values": -1.0}, ShapeError, r"values: expected shape \(k,\), got \(\)"),
        ({"values": [[-1.0]]}, ShapeError, r"values: expected shape \(k,\), got \(1, 1\)"),
        ({"values": ["x", "y"]}, ShapeError, "values: expected an array of real numbers"),
        ({"values": [-1j, -2.0]}, ShapeError, "values: expected an array of real numbers"),
        ({"slopes": np.array([[1j]])}, ShapeError, "slopes: expected an array of real numbers"),
        ({"slopes": [[1.0], [1.0, 2.0]]}, ShapeError, "slopes: expected an array of real numbers"),
        ({"slopes": [1.0, 2.0]}, ShapeError, r"slopes: expected shape \(k, n\) with k = 2, got \(2,\)"),
        ({"slopes": [[1.0, 2.0]]}, ShapeError, r"slopes: expected shape \(k, n\) with k = 2, got \(1, 2\)"),
        ({"smoothness": [1.0]}, ShapeError, r"smoothness: expected a scalar or shape \(2,\), got \(1,\)"),
        ({"probe_error": np.ones(3)}, ShapeError, r"probe_error: expected a scalar or shape \(2,\), got \(3,\)"),
        ({"values": [-1.0, np.nan]}, NonFiniteError, "values: 1 entries"),
        ({"values": [-np.inf, np.inf]}, NonFiniteError, "values: 2 entries"),
        ({"slopes": np.full((2, 3), np.nan)}, NonFiniteError, "slopes: 6 entries"),
        ({"slopes": np.full((2, 3), 2 * LARGEST)}, NonFiniteError, "rescale"),
        ({"smoothness": np.inf}, NonFiniteError, "smoothness: 1 entries"),
        ({"probe_error": [0.0, np.nan]}, NonFiniteError, "probe_error: 1 entries"),
        ({"smoothness": -1.0}, ConfigurationError, "smoothness: must not be negative, got -1.0"),
        ({"probe_error": [0.0, -2.0]}, ConfigurationError, "probe_error: must not be negative, got -2.0"),
        ({"radius": 0.0}, ConfigurationError, "radius: must be positive"),
        ({"radius": -1.0}, ConfigurationError, "radius: must be positive"),
        ({"radius": np.nan}, ConfigurationError, "radius: must be positive"),
        ({"kappa": 0.0}, ConfigurationError, r"kappa: must lie in \(0, 1\], got 0.0"),
        ({"kappa": 1.01}, ConfigurationError, "kappa: must lie in"),
        ({"kappa": np.nan}, ConfigurationError, "kappa: must lie in"),
        (
            {"values": [-1.0, 0.25]},
            UnsafeStartError,
            r"values\[1\] = .*0.25.* > 0: .*start from parameters with g <= 0",
        ),
    ],
)
def test_unusable_arguments(changes: dict[str, Any], error: type[ScpoError], message: str) -> None:
    with pytest.raises(error, match=message):
        LocalSafeRegion.build(**arguments(**changes))
    LocalSafeRegion.build(**arguments())


@EXAMPLES
@given(kind=st.sampled_from(["opposite rows", "steep probe error", "plain", "zero slope", "tiny slack"]), seed=SEEDS)
def test_pairs_of_rows_bound_every_step(kind: str, seed: int) -> None:
    region = draw(kind, seed).region
    bound, rng = region.longest_by_pairs(), np.random.default_rng(seed)
    for z in rng.normal(size=(200, region.slopes.shape[1])):
        assert region.largest_factor(z) * np.linalg.norm(z) <= bound


@pytest.mark.parametrize("error", [1e-8, 1e-3, 0.5])
def test_what_a_pair_of_rows_says(error: float) -> None:
    """Of opposite rows also where their error is far below the roundoff of a squared slope; of one row with itself."""
    slope = np.array([[1.0, 0.3, 0.2]])
    opposite = LocalSafeRegion.build([-1.0, -3.0], np.vstack([slope, -slope]), 1.0, error, kappa=0.5)
    assert opposite.longest_by_pairs() == pytest.approx(1.0 / error, rel=1e-5)
    same = LocalSafeRegion.build([-1.0, -3.0], np.vstack([slope, slope]), 1.0, error)
    assert same.longest_by_pairs() == np.inf
    alone = LocalSafeRegion.build([-1.0], error * slope, 1.0, 2.0 * error * np.linalg.norm(slope))
    assert alone.longest_by_pairs() == pytest.approx(1.0 / (error * np.linalg.norm(slope)), rel=1e-5)
