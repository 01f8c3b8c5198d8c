"""The digitised figure and what is computed about it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from replication.errors import ResultError
from replication.experiments.regression import published
from replication.results.read import read_run

from .synthetic_results import EXPERIMENT, small_config, target, write_results


def test_the_late_band_and_the_policy_are_as_the_readme_says() -> None:
    band = published.late_band()
    assert (band.low, band.high, band.peak) == pytest.approx((0.05, 0.15, 0.29), abs=0.006)
    assert 0.157 <= published.policy_error() <= 0.163


@pytest.mark.parametrize("damage", ["truncated", "unlisted", "no list"])
def test_a_damaged_copy_of_the_figure_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(published.LOSS.parent, copy)
    monkeypatch.setattr(published, "LOSS", copy / published.LOSS.name)
    assert len(published.read_loss()) > 600
    if damage == "truncated":
        (copy / published.LOSS.name).write_bytes(published.LOSS.read_bytes()[:-1000])
    elif damage == "unlisted":
        (copy / published.SUMS).write_text("")
    else:
        (copy / published.SUMS).unlink()
    with pytest.raises(ResultError, match=published.SUMS if damage == "no list" else published.LOSS.name):
        published.read_loss()


@pytest.mark.parametrize("inputs", ["normal", "uniform"])
def test_the_floor_is_the_clipped_targets_loss(inputs: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=2_000_000) if inputs == "normal" else rng.uniform(-np.pi, np.pi, size=2_000_000)
    sampled = np.mean((target(x) - np.clip(target(x), -1.4, 1.4)) ** 2)
    assert published.floor(1.4, inputs) == pytest.approx(sampled, rel=0.01)
    assert published.floor(3.0, inputs) == 0.0


def test_the_loss_is_told_apart_by_where_it_lies() -> None:
    x = np.linspace(-np.pi, np.pi, 4001)
    clipped = np.clip(target(x), -1.4, 1.4)
    density = np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi)
    least = published.floor(1.4, "normal")
    found = published.loss_by_place(least + 0.5, pd.DataFrame({"x": x, "pi": clipped}), 1.4)
    none = {"tails": 0.0, "peaks": 0.0, "rest": 0.0, "beyond": 0.5}
    inside = np.trapezoid(density * (target(x) - clipped) ** 2, x) / np.trapezoid(density, x)
    assert found == pytest.approx(none | {"inside": inside}, abs=1e-6)
    parts = {"tails": np.abs(x) > 2.0, "peaks": np.abs(np.abs(x) - 1.1) <= 0.3}
    parts["rest"] = ~parts["tails"] & ~parts["peaks"]
    for name, where in parts.items():  # zero there: the whole of f^2 is lost, but for what the floor has of it
        curve = pd.DataFrame({"x": x, "pi": np.where(where, 0.0, clipped)})
        lost = density * (target(x) ** 2 - (target(x) - clipped) ** 2)
        found = published.loss_by_place(0.0, curve, 1.4)
        assert found[name] == pytest.approx(np.trapezoid(np.where(where, lost, 0.0), x), rel=0.01)
        assert all(abs(found[other]) < 0.01 * found[name] for other in parts if other != name)
        assert found["beyond"] == pytest.approx(-least - sum(found[part] for part in parts))


def test_share_inside_the_published_band(tmp_path: Path) -> None:
    write_results(tmp_path, small_config(epochs=300))
    run = read_run(tmp_path, EXPERIMENT, "scpo", 0)
    loss = published.read_loss()
    middle = 0.5 * (loss["loss_low"] + loss["loss_high"])
    run.series["loss_low"] = run.series["loss_high"] = np.interp(run.series["epoch"], loss["epoch"], middle)
    assert published.share_inside(run) > 0.95
    run.series["loss_low"] += 2.0
    run.series["loss_high"] += 2.0
    assert published.share_inside(run) == 0.0
