"""The double integrator in print: every figure and table is drawn, numbers are those of the records."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from replication import report
from replication.config import Config
from replication.errors import ResultError
from replication.experiments.double_integrator import figures, planes, tables
from replication.experiments.double_integrator.read import (
    METHODS,
    SCENARIOS,
    read_certificates,
    read_references,
    read_scenario,
    read_settings,
)
from replication.report import parts
from replication.results import quantities
from replication.tasks.double_integrator.experts import PredictiveController
from replication.typeset import style

from .synthetic_double_integrator import BACKUP_COST, EXPERIMENT, MPC_COST
from .synthetic_results import small_config, write_quantities, write_results
from .synthetic_updates import write_updates
from .written import overlapping, small

NAMES = [name for name in parts.names_for("figure", Config()) if parts.part(name).experiment == EXPERIMENT]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    write_results(folder, small_config(epochs=10, double_integrator=True))
    write_quantities(folder)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_is_the_same_each_time_and_without_dates(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    report.render(name, results, tmp_path / "1.pdf")
    monkeypatch.setattr(style, "png", lambda figure, dpi: b"")  # a second picture would be compared with nothing
    report.render(name, results, tmp_path / "2.pdf")
    content = (tmp_path / "1.pdf").read_bytes()
    assert content.startswith(b"%PDF")
    assert b"Date" not in content
    assert content == (tmp_path / "2.pdf").read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_what_a_figure_says_can_be_read(results: Path, name: str) -> None:
    figure = getattr(import_module(parts.part(name).module), parts.part(name).function)(results)
    assert small(figure) == []
    assert overlapping(figure) == []


def test_a_scale_without_the_task_cannot_draw_it(tmp_path: Path) -> None:
    write_results(tmp_path, small_config(epochs=10))
    with pytest.raises(ResultError, match="does not run experiment 'double-integrator'"):
        report.render(NAMES[0], tmp_path, tmp_path / "a.pdf")


def test_a_missing_certificate_or_reference_is_named(tmp_path: Path) -> None:
    write_results(tmp_path, small_config(epochs=10, double_integrator=True))
    write_quantities(tmp_path)
    (tmp_path / EXPERIMENT / "scpo-mixed/seed-0/certificate.json").unlink()
    with pytest.raises(ResultError, match=r"scpo-mixed/seed-0/certificate\.json: no such file"):
        planes.certificate(tmp_path)
    path = tmp_path / EXPERIMENT / "references.json"
    path.write_text(json.dumps({"costs": {}}))
    with pytest.raises(ResultError, match=r"references\.json: damaged, lacks costs\.backup, costs\.mpc, cost_starts"):
        read_references(tmp_path)


def test_training_marks_a_tiny_violation_and_counts_it(tmp_path: Path) -> None:
    write_results(tmp_path, small_config(epochs=10, double_integrator=True))
    for seed in (0, 1):
        folder = tmp_path / EXPERIMENT / "scpo-cooperative" / f"seed-{seed}"
        updates = pd.read_parquet(folder / "updates.parquet")
        updates.loc[33, "max_g"] = 4e-13 if seed == 0 else updates["max_g"][33]
        updates["unsafe_iterate"] = updates["max_g"] > 0
        write_updates(folder, updates)
    write_quantities(tmp_path)
    axes = next(axes for axes in figures.training(tmp_path).axes if axes.get_ylabel() == "$\\max_i\\, g_i$")
    dots = [y for line in axes.get_lines() if line.get_marker() == "x" for y in np.atleast_1d(line.get_ydata())]
    assert 4e-13 in dots
    assert any(text.get_text() == "1 of 160 unsafe" for text in axes.texts)
    row = next(line for line in tables.safety(tmp_path).splitlines() if "bound only" in line)
    assert [cell.strip() for cell in row.split("&")[1:5]] == [
        r"\num{160}",
        r"\num{1}",
        r"\num{33}",
        r"\num{+4.00e-13}",
    ]


def test_counts_stand_at_the_line_of_zero(results: Path) -> None:
    for axes in figures.training(results).axes[-3:]:  # not on the curves: those of SCPO below it, of others above
        sides = {text.get_color(): (text.xy[1], text.get_va()) for text in axes.texts if "unsafe" in text.get_text()}
        assert sides == {
            style.COLOURS["scpo"]: (0.0, "top"),
            style.COLOURS["unconstrained"]: (0.0, "bottom"),
        }


def test_the_contraction_asked_for_stands_out(results: Path) -> None:
    settings = read_settings(results)
    for axes in figures.gauge(results).axes:
        (asked,) = (line for line in axes.get_lines() if line.get_marker() == "v")
        assert list(asked.get_xydata()[0]) == [settings.horizon, settings.contraction]
        assert asked.get_markeredgecolor() == "white"
        assert asked.get_zorder() > max(line.get_zorder() for line in axes.get_lines() if line is not asked)


def test_slices_of_the_policy_show_the_backup_dashed(results: Path) -> None:
    figure = planes.policy(results)
    names = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert names == {*(style.LABELS[name] for name in figures.SHOWN), "backup"}
    for axes in figure.axes[6:9]:
        dashed = [line for line in axes.get_lines() if line.get_linestyle() != "-"]
        assert [line.get_color() for line in dashed] == [style.GREY]


def test_areas_over_training_share_their_cells(results: Path) -> None:
    for axes, scenario in zip(planes.certificate(results).axes[6:9], SCENARIOS, strict=True):
        found = [(m, one) for m in planes.CERTIFIED for one in read_certificates(results, f"{m}-{scenario}")]
        assert len(found) == len(planes.CERTIFIED)
        drawn = [line for line in axes.get_lines() if len(line.get_xdata()) > 2]
        for (method, one), line in zip(found, drawn, strict=True):
            assert line.get_color() == style.COLOURS[method]
            assert list(line.get_ydata()) == [row["invariant_area"] for row in one.numbers["over_training"]]


def test_a_relative_gauge_is_the_worst_of_the_starts(results: Path) -> None:
    runs = read_scenario(results, "mixed")["scpo"]
    found = figures.relative_gauge(runs)
    psi = runs[0].exhibits["trajectories"].pivot_table(index="t", columns="start", values="psi").to_numpy()
    expected = np.minimum((psi / psi[0]).max(axis=1), 1e3)
    np.testing.assert_array_equal(found.loc[found["seed"] == runs[0].seed, "gauge"], expected)


def test_objective_has_two_references_and_every_arm(results: Path) -> None:
    table = tables.objective(results)
    assert rf"backup & \num{{{BACKUP_COST:.1f}}}" in table
    assert rf"MPC & \num{{{MPC_COST:.1f}}}" in table
    lines = [line for line in table.splitlines() if line.startswith(r"\quad ")]
    assert len(lines) == len(METHODS) * len(SCENARIOS)
    assert all(line.count("&") == 6 for line in table.splitlines() if "&" in line)
    costs = [run.final["cost"] for run in read_scenario(results, "cooperative")["scpo"]]
    assert rf"\num{{{np.median(costs):.1f}}}" in lines[0]
    share = (BACKUP_COST - np.median(costs)) / (BACKUP_COST - MPC_COST)
    assert read_references(results).gap_closed(float(np.median(costs))) == pytest.approx(share)
    assert "--" in lines[len(METHODS)]  # the gap means nothing where labels are malicious


def test_certificates_are_of_the_first_seeds_and_in_the_table(results: Path) -> None:
    assert len(read_certificates(results, "scpo-mixed")) == 1
    assert read_certificates(results, "no-such-arm") == ()
    rows = [line for line in tables.certificates(results).splitlines() if line.startswith(r"\quad ")]
    certified = ["0" if method == "unconstrained" else "1" for method in METHODS] * len(SCENARIOS)
    assert [re.findall(r"\\num\{([^}]*)\}", row)[1] for row in rows] == certified


def test_settings_are_ours_but_for_the_residual_policy(results: Path) -> None:
    rows = [line for line in tables.settings(results).splitlines() if line.startswith(r"\quad ")]
    stated = [row for row in rows if r"\S" in row]
    assert [row.endswith(r"& \S \R \\") for row in stated] == [True]
    assert all(row.endswith((r"& \R \\", r"& \R \Cal \\")) for row in rows if row not in stated)
    tuned, ours = (" ".join(row for row in rows if (r"\Cal" in row) == marked) for marked in (True, False))
    for name in ("starts", "updates", r"\eta", "recycled", r"\kappa", "factor, decay", "look along", "tightening"):
        assert name in tuned
    for name in ("contraction", "labelled states", "hidden widths", "batch size", "projection"):
        assert name in ours


def test_the_table_of_quantities_has_the_references(results: Path) -> None:
    table = quantities.read(results)
    assert table.value(EXPERIMENT, "", "mpc-gain-position") == pytest.approx(PredictiveController().gain[0, 0])
    loss = [read_scenario(results, "mixed")["unconstrained"][seed].final["clean_loss"] for seed in (0, 1)]
    assert table.statistic(EXPERIMENT, "unconstrained-mixed", "clean-loss", "median") == np.median(loss)
    assert table.statistic(EXPERIMENT, "scpo-mixed", "clean-loss-reduction", "median") == pytest.approx(0.4)
