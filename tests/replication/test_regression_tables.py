"""The tables of the regression's side experiments: right numbers, and arms that a scale leaves out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from replication import report
from replication.config import Config
from replication.experiments.regression import supervision as regression_supervision
from replication.experiments.regression import tables
from replication.experiments.regression.quantities import rejected
from replication.experiments.regression.read import read_settings, supervision_arms
from replication.report import parts
from replication.results.quantities import LOSS
from replication.results.read import read_arm
from replication.typeset import latex

from .synthetic_results import EXPERIMENT, small_config, write_quantities, write_results

LEFT_OUT = {
    "scpo-adversarial-10",
    "unconstrained-adversarial-10",
    "scpo-adversarial-50",
    "scpo-softplus",
    "scpo-covered",
    "scpo-proven",
    "unconstrained-small",
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    write_results(folder)
    write_quantities(folder)
    return folder


def _rows(table: str) -> list[list[str]]:
    return [line.removesuffix(r" \\").split(" & ") for line in table.splitlines() if line.endswith(r" \\")]


def _evaluations(results: Path, arm: str, seed: int, **columns: object) -> None:
    path = results / EXPERIMENT / arm / f"seed-{seed}" / "evaluations.parquet"
    pd.read_parquet(path).assign(**columns).to_parquet(path)


def test_families_pair_the_methods_and_leave_other_inputs_out(results: Path) -> None:
    families = supervision_arms(read_settings(results))
    assert list(families) == [0.0, 0.1, 0.3, 0.5]
    assert families[0.0] == {"scpo": "scpo", "unconstrained": "unconstrained"}
    assert families[0.5] == {method: f"{method}-adversarial-50" for method in ("scpo", "unconstrained")}


def test_every_table_has_a_cell_for_each_of_its_columns(results: Path) -> None:
    for name in ("supervision", "alternatives", "activations", "coverage", "proven"):
        table = getattr(tables, name)(results)
        assert table.endswith("\\end{tabular}\n")
        spread = [sum(1 + ("multicolumn{2}" in cell) for cell in cells) for cells in _rows(table)]
        assert len(set(spread)) == 1, name


def test_losses_are_compared_at_the_same_epoch(tmp_path: Path) -> None:
    write_results(tmp_path, small_config(epochs=40))
    write_quantities(tmp_path)
    runs = read_arm(tmp_path, EXPERIMENT, "scpo")
    side = read_arm(tmp_path, EXPERIMENT, "scpo-tanh")
    assert (runs[0].epochs, side[0].epochs) == (40.0, 20.0)
    rows = {cells[0]: cells[1:] for cells in _rows(tables.activations(tmp_path))}
    for of, cell in zip((runs, side), rows["loss, fresh inputs"], strict=False):
        losses = [run.evaluations.set_index("epoch").loc[20.0, "fresh_loss"] for run in of]
        assert cell.startswith(rf"\num{{{np.median(losses):.3f}}} ")
    axes = regression_supervision.supervision(tmp_path).axes
    assert {max(float(x) for line in panel.get_lines()[-1:] for x in line.get_xdata()) for panel in axes[:4]} == {20.0}


def test_alternatives_are_compared_at_the_same_epoch(tmp_path: Path) -> None:
    write_results(tmp_path, small_config(epochs=40))
    write_quantities(tmp_path)
    rows = {cells[0]: cells[1:] for cells in _rows(tables.alternatives(tmp_path))}
    arms = {
        name: read_arm(tmp_path, EXPERIMENT, name)
        for name in tables.ALTERNATIVES
        if name in small_config().regression.arms
    }
    assert {runs[0].epochs for runs in arms.values()} == {20.0, 40.0}
    losses = {
        name: {run.seed: run.evaluations.set_index("epoch").loc[20.0, "fresh_loss"] for run in runs}
        for name, runs in arms.items()
    }
    for name, runs in arms.items():
        seeds, loss, difference, *_, missed, rollouts, _ = rows[tables.ALTERNATIVES[name]]
        assert (seeds, loss) == (latex.count(len(runs)), latex.fixed(np.median([*losses[name].values()])))
        paired = [losses[name][seed] - losses["scpo"][seed] for seed in losses[name].keys() & losses["scpo"].keys()]
        assert difference == ("--" if name == "scpo" else latex.difference(float(np.median(paired)), LOSS))
        each = sum(run.summary["rollouts"] for run in runs) / sum(run.summary["updates"] for run in runs)
        assert rollouts == latex.significant(each, 2)
        assert (missed == "--") == (name in ("backtracking", "unconstrained"))


def test_the_rejected_share_is_the_median_of_the_second_half(tmp_path: Path) -> None:
    write_results(tmp_path, small_config(seeds=1))
    count = len(read_arm(tmp_path, EXPERIMENT, "scpo")[0].evaluations)
    assert count == 9
    shares = np.array([np.nan, 9, 9, 0.3, 0.9, 0.25, np.nan, 1.5, 0.5])
    _evaluations(tmp_path, "scpo", 0, rejected_share=shares, clean_rejected_share=np.full(count, np.nan))
    (run,) = read_arm(tmp_path, EXPERIMENT, "scpo")
    assert rejected(run, "rejected_share") == 0.5
    assert rejected(run, "clean_rejected_share") is None
    write_quantities(tmp_path)
    plain = next(cells for cells in _rows(tables.supervision(tmp_path)) if cells[1] == "SCPO")
    assert plain[-2:] == [r"\num{0.60}", "--"]  # up to the epoch that all have reached


def test_a_tiny_violation_between_the_points_keeps_its_sign(tmp_path: Path) -> None:
    write_results(tmp_path, small_config(seeds=1))
    count = len(read_arm(tmp_path, EXPERIMENT, "scpo-covered")[0].evaluations)
    worst = np.full(count, -0.1)
    worst[3] = 4e-13
    _evaluations(tmp_path, "scpo-covered", 0, heldout_max_g=worst)
    write_quantities(tmp_path)
    rows = {cells[0]: cells[1:] for cells in _rows(tables.coverage(tmp_path))}
    assert rows["worst raw \\(g\\), held out"][-1] == r"\num{+4.000e-13}"
    assert rows["evaluations unsafe held out"][-1] == rf"\num{{1}} of \num{{{count}}}"
    usual = small_config().regression.scpo.tightening
    assert rows["tightening"] == [r"\num{0}", rf"\num{{{usual:g}}}", r"\num{0.12}"]
    assert rows["\\quad cost of the tightening"][1] == "--"


def test_arms_that_a_scale_leaves_out_break_no_table(tmp_path: Path) -> None:
    raw = small_config(seeds=1).model_dump(mode="json")
    for arm in LEFT_OUT:
        raw[EXPERIMENT]["arms"][arm] = None
    write_results(tmp_path, Config.model_validate(raw))
    write_quantities(tmp_path)
    names = [name for name, one in parts.all_parts().items() if one.experiment == EXPERIMENT]
    assert {"regression-supervision", "regression-proven"} <= set(names)
    for name in names:
        report.render(name, tmp_path, tmp_path / f"out/{name}")
    families = supervision_arms(read_settings(tmp_path))
    assert [list(arms) for arms in families.values()] == [["scpo", "unconstrained"]] * 2 + [["unconstrained"]]
