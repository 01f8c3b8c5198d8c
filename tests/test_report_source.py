"""The digitised figure and what is computed about it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scpo.report import regression_source
from scpo.report.load import read_run
from scpo.report.series import envelope

from .synthetic_results import TASK, small_config, target, write_results


def test_the_late_band_and_the_policy_are_as_the_readme_says() -> None:
    band = regression_source.late_band()
    assert (band.low, band.high, band.peak) == pytest.approx((0.05, 0.15, 0.29), abs=0.006)
    assert 0.157 <= regression_source.policy_error() <= 0.163


@pytest.mark.parametrize("inputs", ["normal", "uniform"])
def test_the_floor_is_the_clipped_targets_loss(inputs: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=2_000_000) if inputs == "normal" else rng.uniform(-np.pi, np.pi, size=2_000_000)
    sampled = np.mean((target(x) - np.clip(target(x), -1.4, 1.4)) ** 2)
    assert regression_source.floor(1.4, inputs) == pytest.approx(sampled, rel=0.01)
    assert regression_source.floor(3.0, inputs) == 0.0


def test_a_run_on_the_published_band_is_inside_and_one_far_off_is_not(tmp_path: Path) -> None:
    write_results(tmp_path, small_config(epochs=300))
    run = read_run(tmp_path, TASK, "scpo", 0)
    published = regression_source.read_loss()
    middle = 0.5 * (published["loss_low"] + published["loss_high"])
    run.metrics["loss"] = np.interp(run.metrics["epoch"], published["epoch"], middle)
    assert regression_source.share_inside(run) > 0.95
    run.metrics["loss"] += 2.0
    assert regression_source.share_inside(run) == 0.0


@given(st.lists(st.floats(-1e3, 1e3) | st.just(float("nan")), min_size=1, max_size=200), st.floats(0.3, 20.0))
def test_thinning_keeps_every_extreme(values: list[float], width: float) -> None:
    x, y = np.arange(len(values), dtype=float), np.array(values)
    centres, low, high, median = envelope(x, y, width)
    finite = y[np.isfinite(y)]
    assert len(centres) == len(low) == len(high) == len(median) <= len(values)
    if finite.size:
        assert (low.min(), high.max()) == (finite.min(), finite.max())
        assert ((low <= median) & (median <= high)).all()
        assert (np.diff(centres) > 0).all()


def test_thinning_bins_by_position() -> None:
    centres, low, high, median = envelope([0.0, 1.0, 2.0, 3.0, 9.0], [5.0, 1.0, 3.0, 4.0, 2.0], 3.0)
    np.testing.assert_array_equal(centres, [1.5, 4.5, 10.5])
    np.testing.assert_array_equal(low, [1.0, 4.0, 2.0])
    np.testing.assert_array_equal(high, [5.0, 4.0, 2.0])
    np.testing.assert_array_equal(median, [3.0, 4.0, 2.0])
