"""Statistics over seeds, against values known from tables and against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from replication.results.statistics import (
    median_interval,
    pair,
    prediction_interval,
    proportion_interval,
    single,
    upper_bound,
)
from scpo.errors import ConfigurationError, NonFiniteError, ShapeError

SEEDS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30)


@given(SEEDS)
def test_median_interval_lies_within_the_range(values: list[float]) -> None:
    (low, high), median, interval = pair("range", values), single("median", values), median_interval(values)
    assert low <= interval.low <= median <= interval.high <= high


def test_median_interval_against_tables() -> None:
    ten = median_interval(np.arange(1.0, 11.0))  # ranks 2 and 9, coverage 97.85 %
    assert (ten.low, ten.high) == (2.0, 9.0)
    assert ten.coverage == pytest.approx(1.0 - 2.0 * 11.0 / 1024.0)
    three = median_interval([1.0, 2.0, 3.0])  # cannot reach 95 %: says so
    assert (three.low, three.high, three.coverage) == (1.0, 3.0, 0.75)
    assert median_interval([4.0]).coverage == 0.0


def test_median_interval_covers_as_often_as_it_says() -> None:
    draws = np.random.default_rng(1).exponential(size=(4000, 10))
    found = [median_interval(row) for row in draws]
    covered = np.mean([interval.low <= np.log(2.0) <= interval.high for interval in found])
    assert covered == pytest.approx(found[0].coverage, abs=0.012)


def test_a_prediction_interval_holds_one_more_as_often_as_it_says() -> None:
    draws = np.random.default_rng(1).exponential(size=(4000, 51))
    found = [prediction_interval(row[:-1]) for row in draws]
    held = np.mean([one.low <= row[-1] <= one.high for one, row in zip(found, draws, strict=True)])
    assert found[0].coverage == pytest.approx(1.0 - 2.0 / 51.0)
    assert held == pytest.approx(found[0].coverage, abs=0.012)
    hundred = prediction_interval(np.arange(100.0))  # the second from either end: 97 of 101 places
    assert (hundred.low, hundred.high, hundred.coverage) == (1.0, 98.0, pytest.approx(97.0 / 101.0))
    few = prediction_interval([1.0, 2.0, 3.0])
    assert (few.low, few.high, few.coverage) == (1.0, 3.0, 0.5)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(0, 10, 0.0, 0.3085), (10, 10, 0.6915, 1.0), (3, 10, 0.0667, 0.6525), (0, 3, 0.0, 0.7076)],
)
def test_clopper_pearson_against_tables(successes: int, trials: int, low: float, high: float) -> None:
    interval = proportion_interval(successes, trials)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_clopper_pearson_ends_have_the_tail_probability(case: tuple[int, int]) -> None:
    successes, trials = case
    interval = proportion_interval(successes, trials)
    assert interval.low <= successes / trials <= interval.high
    if successes < trials:
        assert binom.cdf(successes, trials, interval.high) == pytest.approx(0.025, rel=1e-6)
    if successes > 0:
        assert binom.sf(successes - 1, trials, interval.low) == pytest.approx(0.025, rel=1e-6)


@pytest.mark.parametrize("values", [[], [[1.0, 2.0]]])
def test_shapes_are_checked(values: list[object]) -> None:
    with pytest.raises(ShapeError, match="one number per seed"):
        single("median", values)


def test_bad_input_is_refused() -> None:
    with pytest.raises(NonFiniteError, match="seed number 1"):
        single("sum", [1.0, float("nan")])
    for successes, trials in ((1, 0), (-1, 3), (4, 3)):
        with pytest.raises(ConfigurationError, match="successes"):
            proportion_interval(successes, trials)
    for level in (-0.5, 0.0, 1.0, 1.2):
        for interval in (median_interval, prediction_interval):
            with pytest.raises(ConfigurationError, match="level"):
                interval([1.0, 2.0], level)
        with pytest.raises(ConfigurationError, match="level"):
            proportion_interval(1, 3, level)
    with pytest.raises(ConfigurationError, match=r"between 0\.5 and 1"):
        upper_bound(1, 3, 0.4)


def test_statistics_by_name() -> None:
    values = [3.0, 0.0, 2.0, 0.0]
    expected = {"sum": 5.0, "max": 3.0, "min": 0.0, "median": 1.0, "mean": 1.25, "seeds": 4.0, "nonzero": 2.0}
    assert {name: single(name, values) for name in expected} == expected
    assert pair("range", values) == (0.0, 3.0)
    interval, share = median_interval(values), proportion_interval(2, 4)
    assert pair("interval", values) == (interval.low, interval.high)
    assert single("coverage", values) == interval.coverage
    assert pair("share-interval", values) == (share.low, share.high)
    for name, refused in (("range", single), ("sum", pair)):
        with pytest.raises(ConfigurationError, match=f"no statistic '{name}'"):
            refused(name, values)
