"""Figures: every panel is drawn, nothing unsafe is thinned away, equal results give equal bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.text import Text

from replication import report
from replication.config import Config
from replication.errors import ResultError
from replication.experiments.regression import figures as regression_figures
from replication.experiments.regression.published import read_loss
from replication.report import macros, parts
from replication.training.series import EARLY
from replication.typeset.style import INK, png, spaced
from scpo.errors import ConfigurationError

from .synthetic_metrics import write_metrics
from .synthetic_results import EXPERIMENT, small_config, write_results

TINY = 3e-13


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    write_results(folder, small_config(epochs=60))
    return folder


@pytest.fixture
def tiny_violation(tmp_path: Path) -> Path:
    """Results in which SCPO's seed 0 is unsafe at one update, by 3e-13."""
    write_results(tmp_path, small_config(epochs=60))
    for seed in (0, 1):
        folder = tmp_path / EXPERIMENT / "scpo" / f"seed-{seed}"
        metrics = pd.read_parquet(folder / "metrics.parquet")
        metrics["max_g"] = -np.abs(metrics["max_g"])
        if seed == 0:
            metrics.loc[77, "max_g"] = TINY
        metrics["unsafe_iterate"] = metrics["max_g"] > 0
        write_metrics(folder, metrics)
    return tmp_path


def _dots(axes: Axes) -> list[float]:
    return [float(y) for line in axes.get_lines() if line.get_marker() == "." for y in np.atleast_1d(line.get_ydata())]


def _texts(axes: Axes) -> str:
    return " ".join([axes.get_title(loc="right"), *(text.get_text() for text in axes.texts)])


def test_a_scale_makes_the_parts_of_its_experiments() -> None:
    every, general = ({*parts.names_for("figure", of), *parts.names_for("table", of)} for of in ([EXPERIMENT], []))
    assert {parts.part(name).experiment for name in every - general} == {EXPERIMENT}
    assert {parts.part(name).experiment for name in general} == {None}


def test_an_unknown_part_is_answered_with_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match="no figure or table 'guess'; there are claims-abstract, claims"):
        parts.part("guess")


@pytest.mark.parametrize("name", parts.names_for("figure", ["regression"]))
def test_a_figure_is_a_pdf_without_dates_and_the_same_each_time(results: Path, tmp_path: Path, name: str) -> None:
    first, second = tmp_path / "1.pdf", tmp_path / "2.pdf"
    report.render(name, results, first)
    report.render(name, results, second)
    content = first.read_bytes()
    assert content.startswith(b"%PDF")
    assert b"Date" not in content
    assert content == second.read_bytes()


def test_a_figure_without_results_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=r"config\.json: no such file"):
        report.render("regression-safety", tmp_path, tmp_path / "a.pdf")
    assert list(tmp_path.iterdir()) == []


def test_the_replication_has_the_published_three_panels_twice(results: Path) -> None:
    figure = regression_figures.replication(results)
    panels = [axes for axes in figure.axes if axes.get_subplotspec() is not None]
    assert len(panels) == 6
    assert [axes.get_ylabel() for axes in panels[0::2]] == ["policy $\\pi_\\theta(x)$", "batch loss", "violation"]
    labels = [text.get_text() for text in panels[0].get_legend().get_texts()]
    assert "published policy" in labels
    assert "published policy" not in [text.get_text() for text in panels[1].get_legend().get_texts()]
    seeds = [line for line in panels[0].get_lines() if line.get_linewidth() == regression_figures.THIN["linewidth"]]
    assert len(seeds) == 2
    assert png(figure, dpi=30).startswith(b"\x89PNG")


def test_the_first_epochs_have_a_row_of_their_own_and_cover_no_loss(tmp_path: Path) -> None:
    write_results(tmp_path, small_config(epochs=int(EARLY) + 10))
    figure = regression_figures.replication(tmp_path)
    assert [axes.get_ylabel() for axes in figure.axes[0::2]] == [
        "policy $\\pi_\\theta(x)$",
        "batch loss",
        "batch loss",
        "violation",
    ]
    early, late = figure.axes[2], figure.axes[4]
    assert (early.get_xlim()[1], early.get_yscale()) == (EARLY, "linear")
    assert (late.get_xlim()[1], late.get_yscale()) == (EARLY + 10, "log")
    published = read_loss().query(f"epoch <= {EARLY}")
    for axes in (early, late):
        assert not axes.child_axes
        low, high = axes.get_ylim()
        assert low <= published["loss_low"].min()
        assert published["loss_high"].max() <= high


def test_a_tiny_violation_is_marked_and_counted(tiny_violation: Path) -> None:
    iterates = regression_figures.safety(tiny_violation).axes[0]
    assert _dots(iterates) == [TINY]
    assert "1 of 240 unsafe" in _texts(iterates)
    panels = regression_figures.replication(tiny_violation).axes
    violation = next(axes for axes in panels if axes.get_ylabel() == "violation")
    assert _dots(violation) == [TINY]


def test_safety_has_a_row_for_each_arm_and_counts_the_heldout(results: Path) -> None:
    figure = regression_figures.safety(results)
    assert len(figure.axes) == 2 * len(regression_figures.SAFETY_ARMS)
    assert all("unsafe" in _texts(axes) for axes in figure.axes)
    titles = [axes.get_title(loc="left") for axes in figure.axes[0::2]]
    drawn = [text for axes in figure.axes[0::2] for text in axes.findobj(Text) if text.get_text() in titles]
    assert {title.get_color() for title in drawn if title.get_text()} == {INK}  # whatever the colour of the curves
    top = max(axes.get_ylim()[1] for axes in figure.axes)
    worst = max(run.summary["max_g"] for run in regression_figures.read_arm(results, EXPERIMENT, "unconstrained"))
    assert top > worst


def test_smoothness_draws_the_share_of_updates_with_a_miss_and_counts_every_one(tmp_path: Path) -> None:
    write_results(tmp_path, small_config(epochs=400))  # a bin holds more updates than one
    for every, name in enumerate(regression_figures.SMOOTHNESS_ARMS, start=3):
        for seed in (0, 1):
            folder = tmp_path / EXPERIMENT / name / f"seed-{seed}"
            metrics = pd.read_parquet(folder / "metrics.parquet")
            metrics["bound_misses"] = (metrics["update"] % (every + seed) == 1).astype(metrics["bound_misses"].dtype)
            write_metrics(folder, metrics)
    figure = regression_figures.smoothness(tmp_path)
    panels, columns = figure.axes, len(regression_figures.SMOOTHNESS_ARMS)
    assert len(panels) == 2 * columns
    for constants, axes, name in zip(
        panels[:columns], panels[columns:], regression_figures.SMOOTHNESS_ARMS, strict=True
    ):
        runs = regression_figures.read_arm(tmp_path, EXPERIMENT, name)
        missed, updates = (np.sum([run.series[key] for run in runs], axis=0) for key in ("bound_misses", "updates"))
        steps = axes.collections[0].get_paths()[0].vertices
        for epoch, share in zip(runs[0].series["epoch"], missed / np.maximum(updates, 1), strict=True):
            assert steps[steps[:, 0] == epoch, 1].max() == share
            assert axes.get_ylim()[1] >= share
        count = sum(run.summary["bound_misses"] for run in runs)
        assert count == missed.sum() > 0
        whole = sum(run.summary["updates"] for run in runs)
        assert spaced(f"{count:,} of {whole:,} updates with a miss") in _texts(axes)
        assert not constants.texts  # nothing is written over the constants
        assert constants.get_legend() is None
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["needed for no miss", "used"]


def _one_update(results: Path, **columns: float | bool) -> Path:
    raw = small_config(epochs=1, seeds=1).model_dump(mode="json")
    raw[EXPERIMENT]["schedule"] |= {"updates_per_epoch": 1}
    config = write_results(results, Config.model_validate(raw))
    for arm in config.experiments[EXPERIMENT].arms:
        folder = results / EXPERIMENT / arm / "seed-0"
        write_metrics(folder, pd.read_parquet(folder / "metrics.parquet").assign(**columns))
    return results


@pytest.mark.parametrize("columns", [{"required_max": np.nan}, {"required_max": 0.0, "max_g": 0.0}])
def test_runs_of_one_update_and_edge_values_can_be_drawn(tmp_path: Path, columns: dict[str, float]) -> None:
    results = _one_update(tmp_path, **columns)
    for name, one in parts.all_parts().items():
        if one.experiment == EXPERIMENT:
            report.render(name, results, tmp_path / name)
    macros.write(results, tmp_path / "macros.tex")
