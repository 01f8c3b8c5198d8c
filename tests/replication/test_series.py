"""Thinning of a run's rows: no extreme is lost, every count is kept, the statistics are those of the rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.training.series import COLUMN, COUNTED, EARLY, EARLY_WIDTH, EXACT, KEPT, bin_width, envelope, thin


def rows(epochs: int, per_epoch: int, seed: int = 0) -> pd.DataFrame:
    """Rows of a run with values of every kind, NaN among them."""
    rng = np.random.default_rng(seed)
    update = np.arange(epochs * per_epoch + 1)
    found = {"update": update, "epoch": update / per_epoch, "rollouts": update * 3}
    for name in KEPT:
        values = rng.normal(size=len(update))
        values[rng.random(len(update)) < 0.1] = np.nan
        found[name] = values
    found["max_g"] = rng.normal(size=len(update))
    for name, _ in COUNTED.values():
        found[name] = rng.integers(0, 3, len(update)) if name != "restoring" else rng.random(len(update)) < 0.5
    found["unsafe_iterate"] = found["max_g"] > 0
    return pd.DataFrame(found)


@pytest.mark.parametrize(("epochs", "per_epoch"), [(1, 1), (6, 2), (40, 1), (300, 2), (2000, 1)])
def test_counts_and_extremes_are_those_of_the_rows(epochs: int, per_epoch: int) -> None:
    updates = rows(epochs, per_epoch)
    whole = thin(updates).query("not early")
    after = updates.iloc[1:]
    assert whole["updates"].sum() == len(after)
    for name, (column, any_counts) in COUNTED.items():
        assert whole[name].sum() == (after[column] > 0 if any_counts else after[column]).sum()
    assert whole["max_g_high"].max() == updates["max_g"].max()
    assert whole["worst_miss_high"].max() == updates["worst_miss"].max() or updates["worst_miss"].isna().all()
    np.testing.assert_allclose(whole["loss_low"].min(), updates["loss"].min(), rtol=1e-7)
    assert whole["update"].iloc[-1] == len(after)
    assert whole["rollouts"].iloc[-1] == updates["rollouts"].iloc[-1]
    assert (np.diff(whole["epoch"]) > 0).all()


def test_a_long_run_is_thinned_and_finer_at_first() -> None:
    found = thin(rows(5000, 2))
    whole, early = found[~found["early"]], found[found["early"]]
    assert len(whole) == int(5000 / COLUMN) + 1
    np.testing.assert_allclose(np.diff(whole["epoch"]), COLUMN)
    assert early["epoch"].max() <= EARLY + EARLY_WIDTH
    np.testing.assert_allclose(np.diff(early["epoch"]), EARLY_WIDTH)
    assert early["max_g_high"].isna().all()
    assert not thin(rows(200, 2))["early"].any()


def test_statistics_are_those_of_each_bin() -> None:
    updates = rows(400, 3)
    whole = thin(updates).query("not early")
    grouped = updates.groupby(np.floor(updates["epoch"] / bin_width(400.0)).astype(int))
    for name, statistics in KEPT.items():
        for statistic in statistics:
            expected = getattr(grouped[name], {"low": "min", "high": "max"}.get(statistic, "median"))()
            np.testing.assert_allclose(whole[f"{name}_{statistic}"], expected, rtol=0.0 if name in EXACT else 1e-7)


def test_a_bin_without_a_value_is_nan() -> None:
    updates = rows(6, 1).assign(loss=[np.nan, 1.0, np.nan, 3.0, 4.0, np.nan, 6.0])
    np.testing.assert_array_equal(thin(updates)["loss_low"], updates["loss"])


@settings(deadline=None)
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
