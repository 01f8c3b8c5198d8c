"""Every interval operation must contain the exact result: checked with rationals and with 60 digits."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.certificate import intervals as iv
from replication.certificate.intervals import Interval
from scpo.errors import ShapeError

FLOATS = st.one_of(
    st.floats(-1e100, 1e100),
    st.floats(-10.0, 10.0),
    st.floats(-1e-300, 1e-300),
    st.sampled_from([0.0, -0.0, 1.0, 5e-324, 2.0**-1022, 1.0 + 2.0**-52, 1.0 - 2.0**-53]),
)


@st.composite
def intervals(draw: st.DrawFn, elements: st.SearchStrategy[float] = FLOATS) -> tuple[Interval, list[Fraction]]:
    """Draw an interval and exact points of it: both ends and one between."""
    low, high = sorted((draw(elements), draw(elements)))
    share = Fraction(draw(st.integers(0, 8)), 8)
    between = Fraction(low) + share * (Fraction(high) - Fraction(low))
    return Interval(np.array([low]), np.array([high])), [Fraction(low), Fraction(high), between]


def holds(x: Interval, value: Fraction) -> bool:
    """Return whether the only entry of x contains the exact value."""
    return Fraction(float(x.lo[0])) <= value <= Fraction(float(x.hi[0]))


@pytest.mark.parametrize(
    "operation",
    [lambda x, y: x + y, lambda x, y: x - y, lambda x, y: x * y],
    ids=["sum", "difference", "product"],
)
@settings(max_examples=300, deadline=None)
@given(first=intervals(), second=intervals())
def test_elementary_operations_contain_the_exact_result(
    operation: Callable[..., Interval],
    first: tuple[Interval, list[Fraction]],
    second: tuple[Interval, list[Fraction]],
) -> None:
    result = operation(first[0], second[0])
    for x in first[1]:
        for y in second[1]:
            assert holds(result, operation(x, y))


@settings(max_examples=300, deadline=None)
@given(first=intervals(), second=intervals(st.floats(0.0, 10.0)))
def test_scaling_contains_the_exact_result(
    first: tuple[Interval, list[Fraction]], second: tuple[Interval, list[Fraction]]
) -> None:
    result = iv.scale(first[0], second[0])
    for x in first[1]:
        for y in second[1]:
            assert holds(result, x * y)


@settings(max_examples=300, deadline=None)
@given(value=FLOATS)
def test_up_and_down_pass_the_neighbouring_float(value: float) -> None:
    x = np.array([value])
    assert iv.up(x)[0] >= np.nextafter(value, np.inf)
    assert iv.down(x)[0] <= np.nextafter(value, -np.inf)


@settings(max_examples=200, deadline=None)
@given(
    size=st.integers(1, 33),
    seed=st.integers(0, 2**32 - 1),
    width=st.sampled_from([0.0, 1e-18, 1e-9, 1.0]),
    spread=st.sampled_from([0, 8, 150]),
)
def test_matrix_product_contains_the_exact_result(size: int, seed: int, width: float, spread: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((size, 2)) * 10.0 ** rng.integers(-spread, spread + 1, (size, 2))
    low = rng.standard_normal(size) * 10.0 ** rng.integers(-min(spread, 8), min(spread, 8) + 1, size)
    if size > 1:  # cancellation: the exact sum is far smaller than its terms
        matrix[-1], low[-1] = matrix[0], -low[0]
    x = Interval(low, low + width * np.abs(low))
    result = iv.matmul(x, matrix)
    ends = np.stack([x.lo, x.hi])
    for choice in rng.integers(0, 2, (4, size)):
        picked = [Fraction(float(v)) for v in ends[choice, np.arange(size)]]
        for column in range(2):
            exact = sum((p * Fraction(float(w)) for p, w in zip(picked, matrix[:, column], strict=True)), Fraction(0))
            assert holds(result[[column]], exact)


def test_matrix_product_attains_its_ends_and_stays_sharp() -> None:
    rng = np.random.default_rng(3)
    matrix, middle = rng.standard_normal((32, 5)), rng.standard_normal((7, 32))
    x = Interval(middle - 0.25, middle + 0.25)
    result = iv.matmul(x, matrix)
    signs = np.sign(matrix)
    for column in range(5):
        highest = (middle + 0.25 * signs[:, column]) @ matrix[:, column]
        np.testing.assert_allclose(result.hi[:, column], highest, rtol=0, atol=1e-12)
    assert (iv.matmul(iv.point(middle), matrix).hi - iv.matmul(iv.point(middle), matrix).lo).max() < 1e-12


def test_matrix_product_refuses_shapes_that_do_not_fit() -> None:
    with pytest.raises(ShapeError, match="matmul"):
        iv.matmul(iv.point(np.ones((4, 3))), np.ones((2, 2)))


def samples() -> np.ndarray:
    """Arguments over all magnitudes, in lengths that reach vector kernels and their scalar tails."""
    rng = np.random.default_rng(0)
    signs = rng.choice([-1.0, 1.0], 1501)
    return np.concatenate([rng.uniform(-8, 8, 1502), signs * 10.0 ** rng.uniform(-20, 2, 1501), [0.0, -0.0, 1e-310]])


def test_tanh_keeps_its_assumed_error() -> None:
    x = samples()
    computed, enclosure = np.tanh(x), iv.tanh(iv.point(x))
    with mpmath.workdps(60):
        for entry, value, low, high in zip(x, computed, enclosure.lo, enclosure.hi, strict=True):
            exact = mpmath.tanh(mpmath.mpf(float(entry)))
            assert abs(exact - mpmath.mpf(float(value))) <= iv.TANH_ULPS / 2 * float(np.spacing(abs(value)))
            assert mpmath.mpf(float(low)) <= exact <= mpmath.mpf(float(high))
    assert np.all(enclosure.hi - enclosure.lo <= 1e-14)


def test_slope_of_tanh_contains_the_derivative() -> None:
    rng = np.random.default_rng(1)
    low = samples()
    high = low + rng.uniform(0, 2, low.size) * rng.integers(0, 2, low.size)
    slope = iv.tanh_slope(iv.tanh(Interval(low, high)))
    between = np.clip(low + rng.uniform(0, 1, low.size) * (high - low), low, high)
    with mpmath.workdps(60):
        for picked in (low, high, between):
            for entry, least, most in zip(picked, slope.lo, slope.hi, strict=True):
                exact = mpmath.sech(mpmath.mpf(float(entry))) ** 2
                assert mpmath.mpf(float(least)) <= exact <= mpmath.mpf(float(most))
    across = (low <= 0.0) & (high >= 0.0)
    assert across.any()
    assert (slope.hi[across] == 1.0).all()


@settings(max_examples=200, deadline=None)
@given(first=intervals(st.floats(-1e3, 1e3)), second=intervals(st.floats(-1e3, 1e3)), size=st.floats(0.0, 10.0))
def test_mean_value_spread_contains_all_signed_sums(
    first: tuple[Interval, list[Fraction]], second: tuple[Interval, list[Fraction]], size: float
) -> None:
    slopes = Interval(
        np.stack([first[0].lo, second[0].lo])[None], np.stack([first[0].hi, second[0].hi])[None]
    )  # (1, 2, 1)
    result = iv.spread(slopes, np.array([[size, 1.0]]))[0]
    for x in first[1]:
        for y in second[1]:
            for sign in (-1, 1):
                assert holds(result, sign * x * Fraction(size) + y)
                assert holds(result, sign * x * Fraction(size) - y)


def test_centre_and_radius_reach_both_ends() -> None:
    rng = np.random.default_rng(2)
    low = rng.standard_normal(1000) * 10.0 ** rng.integers(-12, 12, 1000)
    x = Interval(low, low + np.abs(rng.standard_normal(1000)))
    middle, radius = iv.centre(x)
    for a, b, c, r in zip(x.lo, x.hi, middle, radius, strict=True):
        assert Fraction(float(r)) >= max(
            Fraction(float(b)) - Fraction(float(c)), Fraction(float(c)) - Fraction(float(a))
        )


def test_overflow_never_ends_in_a_finite_bound() -> None:
    huge = iv.point(np.array([[1e200, 1e200]]))
    with np.errstate(over="ignore", invalid="ignore"):
        for result in (huge * huge, iv.matmul(huge, np.array([[1e200], [1e200]])), (huge + huge) * huge):
            assert not np.isfinite(result.hi).any()
            assert not (np.isfinite(result.lo) & (result.lo > 1.8e308)).any()
