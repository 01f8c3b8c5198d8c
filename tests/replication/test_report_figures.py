"""Figures: every panel is drawn, nothing unsafe is thinned away, equal results give equal bytes."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from replication import report
from replication.config import Config
from replication.errors import ResultError
from replication.experiments.regression import figures as regression_figures
from replication.experiments.regression import supervision
from replication.experiments.regression.published import read_loss, read_policy
from replication.experiments.regression.quantities import side_epochs
from replication.report import parts
from replication.results import frames, quantities
from replication.results.read import read_arm, read_arms
from replication.training.series import EARLY
from replication.typeset import style
from replication.typeset.style import COLOURS, png, spaced
from scpo.errors import ConfigurationError

from .synthetic_results import EXPERIMENT, small_config, write_quantities, write_results
from .synthetic_updates import write_updates
from .written import overlapping, small

TINY = 3e-13
NAMES = ("needed", "used")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    write_results(folder, small_config(epochs=60))
    write_quantities(folder)
    return folder


@pytest.fixture
def tiny_violation(tmp_path: Path) -> Path:
    """Results in which SCPO's seed 0 is unsafe at one update, by 3e-13."""
    write_results(tmp_path, small_config(epochs=60))
    for seed in (0, 1):
        folder = tmp_path / EXPERIMENT / "scpo" / f"seed-{seed}"
        updates = pd.read_parquet(folder / "updates.parquet")
        updates["max_g"] = -np.abs(updates["max_g"])
        if seed == 0:
            updates.loc[77, "max_g"] = TINY
        updates["unsafe_iterate"] = updates["max_g"] > 0
        write_updates(folder, updates)
    write_quantities(tmp_path)
    return tmp_path


def _dots(axes: Axes) -> list[float]:
    return [float(y) for line in axes.get_lines() if line.get_marker() == "x" for y in np.atleast_1d(line.get_ydata())]


def _texts(axes: Axes) -> str:
    return " ".join([axes.get_title(loc="right"), *(text.get_text() for text in axes.texts)])


def test_a_scale_makes_the_parts_of_its_experiments() -> None:
    one, none = Config(double_integrator=None), Config(regression=None, double_integrator=None)
    every, general = ({*parts.names_for("figure", of), *parts.names_for("table", of)} for of in (one, none))
    assert {parts.part(name).experiment for name in every - general} == {EXPERIMENT}
    assert {parts.part(name).experiment for name in general} == {None}


def test_an_unknown_part_is_answered_with_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match="no figure or table 'guess'; there are budget, claims-abstract"):
        parts.part("guess")


@pytest.mark.parametrize("name", parts.names_for("figure", Config(double_integrator=None)))
def test_a_figure_is_the_same_each_time_and_without_dates(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    first, second = tmp_path / "1.pdf", tmp_path / "2.pdf"
    report.render(name, results, first)
    monkeypatch.setattr(style, "png", lambda figure, dpi: b"")  # a second picture would be compared with nothing
    report.render(name, results, second)
    content = first.read_bytes()
    assert content.startswith(b"%PDF")
    assert b"Date" not in content
    assert content == second.read_bytes()


@pytest.mark.parametrize("name", parts.names_for("figure", Config(double_integrator=None)))
def test_what_a_figure_says_can_be_read(results: Path, name: str) -> None:
    figure = getattr(import_module(parts.part(name).module), parts.part(name).function)(results)
    assert small(figure) == []
    assert overlapping(figure) == []


def test_a_figure_without_results_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=r"config\.json: no such file"):
        report.render("regression-safety", tmp_path, tmp_path / "a.pdf")
    assert list(tmp_path.iterdir()) == []


def test_the_replication_has_the_published_panels(results: Path) -> None:
    figure = regression_figures.replication(results)
    panels = [axes for axes in figure.axes if axes.get_subplotspec() is not None]
    assert len(panels) == 6
    assert [axes.get_ylabel() for axes in panels[0::2]] == ["policy $\\pi_\\theta(x)$", "batch loss", "violation"]
    policy = read_policy()
    behind = [len(line.get_xdata()) == len(policy) for axes in panels[:2] for line in axes.get_lines()]
    assert sum(behind) == 1  # behind SCPO's alone
    assert [len(axes.collections) for axes in panels[:2]] == [1, 1]  # a band of the seeds around their median
    assert "published" in [text.get_text() for text in figure.legends[0].get_texts()]
    assert png(figure, dpi=30).startswith(b"\x89PNG")


def test_panels_have_letters_in_their_order(results: Path) -> None:
    panels = regression_figures.replication(results).axes
    assert [axes.get_title(loc="left").split()[0] for axes in panels] == [rf"$\mathbf{{{one}}}$" for one in "abcdef"]


def test_the_first_epochs_have_a_row_of_their_own(tmp_path: Path) -> None:
    write_results(tmp_path, small_config(epochs=int(EARLY) + 10))
    write_quantities(tmp_path)
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
    figure = regression_figures.safety(tiny_violation)
    assert TINY in _dots(figure.axes[0])
    assert "1 of 240 unsafe" in " ".join(text.get_text() for text in figure.legends[0].get_texts())
    panels = regression_figures.replication(tiny_violation).axes
    violation = next(axes for axes in panels if axes.get_ylabel() == "violation")
    assert _dots(violation) == [TINY]


def test_safety_has_a_line_for_each_arm_in_its_colour(results: Path) -> None:
    iterates, heldout = regression_figures.safety(results).axes
    for name, *lines in zip(regression_figures.SAFETY_ARMS, _curves(iterates), _curves(heldout), strict=True):
        assert [line.get_color() for line in lines] == [COLOURS[name]] * 2
    worst = [
        max(run.summary["max_g"] for run in read_arm(results, EXPERIMENT, name))
        for name in regression_figures.SAFETY_ARMS
    ]
    np.testing.assert_allclose([max(line.get_ydata()) for line in _curves(iterates)], worst)
    assert iterates.get_ylim()[1] > max(worst)


def _curves(axes: Axes) -> list[Line2D]:
    return [line for line in axes.get_lines() if line.get_color() in COLOURS.values()]


def test_the_share_of_policies_unsafe_on_heldout_points() -> None:
    values = [1.0, 1.0, -1.0, -1.0, 1.0, 1.0, 1.0, 0.0]
    evaluations = pd.DataFrame({"epoch": [1.0, 2.0, 3.0, 4.0] * 2, "heldout_max_g": values})
    shares = regression_figures.unsafe_shares(evaluations, 2)
    assert dict(shares) == {1.0: 1.0, 3.0: 0.5}
    assert list(regression_figures.unsafe_shares(evaluations, 0)) == [0.625]


def test_the_share_of_missed_updates_loses_no_miss(tmp_path: Path) -> None:
    write_results(tmp_path, small_config(epochs=400))  # a bin holds more updates than one
    for every, name in enumerate(regression_figures.SMOOTHNESS_ARMS, start=3):
        for seed in (0, 1):
            folder = tmp_path / EXPERIMENT / name / f"seed-{seed}"
            updates = pd.read_parquet(folder / "updates.parquet")
            updates["bound_misses"] = (updates["update"] % (every + seed) == 1).astype(updates["bound_misses"].dtype)
            write_updates(folder, updates)
    write_quantities(tmp_path)
    panels, columns = regression_figures.smoothness(tmp_path).axes, len(regression_figures.SMOOTHNESS_ARMS)
    assert len(panels) == 2 * columns
    for axes, name in zip(panels[columns:], regression_figures.SMOOTHNESS_ARMS, strict=True):
        runs = read_arm(tmp_path, EXPERIMENT, name)
        data = frames.series(runs)
        updates = data.groupby(frames.windows(data, regression_figures.WINDOWS))["updates"].sum()
        shares = regression_figures.miss_shares(data)
        misses, whole = (sum(run.summary[key] for run in runs) for key in ("bound_misses", "updates"))
        assert (shares * updates).sum() == pytest.approx(misses)
        assert misses > 0
        assert axes.get_ylim()[1] >= shares.max()
        assert spaced(f"{misses:,} of {whole:,} updates with a miss") in _texts(axes)


def test_the_constants_are_named_and_no_extreme_is_lost(results: Path) -> None:
    constants = regression_figures.smoothness(results).axes[0]
    ends = {line.get_label(): line.get_ydata()[-1] for line in constants.get_lines() if line.get_label() in NAMES}
    assert [text.get_text() for text in constants.texts] == sorted(NAMES, key=ends.get)
    needed = frames.series(read_arm(results, EXPERIMENT, "scpo"))["required_max_high"]
    band = constants.collections[0].get_paths()[0].vertices
    assert band[:, 1].max() == pytest.approx(needed.max())


def test_rejected_shares_are_those_of_the_table(results: Path) -> None:
    runs, table = read_arm(results, EXPERIMENT, "scpo"), quantities.read(results)
    epoch = side_epochs(read_arms(results, EXPERIMENT))
    single, medians = supervision.rejected_shares({0.0: runs}, epoch)
    assert set(single["adversarial"]) == set(medians["adversarial"]) == {"0 %"}
    found = medians[medians["samples"] == "harmful"].set_index("seed")["rejected"]
    assert found.to_dict() == table.values(EXPERIMENT, "scpo", "rejected-share-at-side").to_dict()
    assert (
        single.groupby(["samples", "seed"])["rejected"].median() == medians.set_index(["samples", "seed"])["rejected"]
    ).all()


def test_seeds_below_the_axis_of_rejected_shares_are_counted(tmp_path: Path) -> None:
    write_results(tmp_path, small_config(epochs=60))
    folder = tmp_path / EXPERIMENT / "scpo" / "seed-0"
    evaluations = pd.read_parquet(folder / "evaluations.parquet").assign(rejected_share=supervision.LOW - 1.0)
    evaluations.to_parquet(folder / "evaluations.parquet")
    write_quantities(tmp_path)
    texts = [text.get_text() for text in supervision.supervision(tmp_path).axes[-1].texts]
    assert texts == ["1 seed lower"]


def _one_update(results: Path, **columns: float | bool) -> Path:
    raw = small_config(epochs=1, seeds=1).model_dump(mode="json")
    raw[EXPERIMENT]["schedule"] |= {"updates_per_epoch": 1}
    config = write_results(results, Config.model_validate(raw))
    for arm in config.experiments[EXPERIMENT].arms:
        folder = results / EXPERIMENT / arm / "seed-0"
        write_updates(folder, pd.read_parquet(folder / "updates.parquet").assign(**columns))
    write_quantities(results)
    return results


@pytest.mark.parametrize("columns", [{"required_max": np.nan}, {"required_max": 0.0, "max_g": 0.0}])
def test_runs_of_one_update_and_edge_values_can_be_drawn(tmp_path: Path, columns: dict[str, float]) -> None:
    results = _one_update(tmp_path, **columns)
    for name, one in parts.all_parts().items():
        if one.experiment == EXPERIMENT:
            report.render(name, results, tmp_path / name)


def test_a_figure_that_reads_more_than_its_mark_says_is_refused(results, tmp_path, monkeypatch):
    one = parts.part("regression-smoothness")
    assert one.is_read("config.json") and one.is_read("regression/scpo/seed-0/run.json")
    assert not one.is_read("regression/unconstrained/seed-0/run.json")
    less = replace(one, reads=("quantities.parquet", "regression/scpo-uniform/*"))
    monkeypatch.setattr(parts, "all_parts", lambda: {one.name: less})
    with pytest.raises(ConfigurationError, match=r"regression-smoothness: .* reads regression/scpo/seed-0"):
        report.render(one.name, results, tmp_path / "a.pdf")
