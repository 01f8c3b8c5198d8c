"""Reading result folders: whatever is missing, damaged or of another schema is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from replication.errors import ResultError
from replication.results.read import read_arm, read_config, read_csv, read_run
from replication.training.series import COUNTED

from .synthetic_results import EXPERIMENT, small_config, write_results


@pytest.fixture
def results(tmp_path: Path) -> Path:
    write_results(tmp_path, small_config(epochs=10))
    return tmp_path


def test_an_arm_is_read_seed_by_seed(results: Path) -> None:
    runs = read_arm(results, EXPERIMENT, "scpo")
    assert [run.seed for run in runs] == [0, 1]
    assert all(run.method == "scpo" and run.series["updates"].sum() == 20 for run in runs)
    assert len(runs[0].exhibits["curve"]) == 400
    assert runs[0].final["fresh_loss"] == runs[0].evaluations["fresh_loss"].iloc[-1]


def test_unknown_tasks_and_arms_are_named(results: Path) -> None:
    with pytest.raises(ResultError, match="does not run experiment 'flying'"):
        read_arm(results, "flying", "scpo")
    with pytest.raises(ResultError, match="no arm 'guess'"):
        read_arm(results, EXPERIMENT, "guess")


@pytest.mark.parametrize("name", ["run.json", "series.parquet", "evaluations.parquet", "curve.parquet"])
def test_a_missing_or_damaged_file_is_named(results: Path, name: str) -> None:
    path = results / EXPERIMENT / "scpo" / "seed-1" / name
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ResultError, match=f"seed-1/{name}.*damaged"):
        read_arm(results, EXPERIMENT, "scpo")
    path.unlink()
    with pytest.raises(ResultError, match=f"seed-1/{name}: no such file"):
        read_arm(results, EXPERIMENT, "scpo")


def test_a_damaged_column_name_is_found(results: Path) -> None:
    path = results / EXPERIMENT / "scpo" / "seed-1" / "evaluations.parquet"
    whole, honest = path.read_bytes(), read_arm(results, EXPERIMENT, "scpo")[1].evaluations

    def damaged(place: bytes) -> bytes:
        assert place in whole
        return whole.replace(place, b"\xff" + place[1:], 1)

    path.write_bytes(damaged(b'"pandas_type"'))
    pd.testing.assert_frame_equal(read_arm(results, EXPERIMENT, "scpo")[1].evaluations, honest)
    path.write_bytes(damaged(b"fresh_loss"))
    with pytest.raises(ResultError, match=r"seed-1/evaluations\.parquet.*damaged"):
        read_arm(results, EXPERIMENT, "scpo")


def _longer(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    frame.loc[3, name] += 1
    return frame


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.drop(columns="max_g_high"), "lacks the columns max_g_high"),
        (lambda frame: frame.astype({"max_g_high": "int64"}), "wrong type: max_g_high"),
        (lambda frame: frame.iloc[:-1], "disagree: updates 20 and 19"),
        (lambda frame: frame.drop(index=7), "disagree: updates 20 and 19"),
        (lambda frame: frame.iloc[::-1], "not in order"),
        (lambda frame: frame.assign(max_g_high=frame["max_g_high"] - 1e-15), "disagree: max_g"),
        *((partial(_longer, name=name), f"disagree: {name} ") for name in COUNTED),
    ],
)
def test_a_series_of_another_schema_or_run_is_refused(
    results: Path, change: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    path = results / EXPERIMENT / "scpo" / "seed-0" / "series.parquet"
    change(pd.read_parquet(path)).to_parquet(path)
    with pytest.raises(ResultError, match=message):
        read_run(results, EXPERIMENT, "scpo", 0)


def test_another_runs_summary_is_refused(results: Path) -> None:
    path = results / EXPERIMENT / "scpo" / "seed-0" / "run.json"
    path.write_text((results / EXPERIMENT / "scpo" / "seed-1" / "run.json").read_text())
    with pytest.raises(ResultError, match="is of seed 1, not 0"):
        read_run(results, EXPERIMENT, "scpo", 0)
    summary = json.loads(path.read_text())
    del summary["bound_misses"]
    path.write_text(json.dumps(summary))
    with pytest.raises(ResultError, match="lacks bound_misses"):
        read_run(results, EXPERIMENT, "scpo", 0)


def test_a_configuration_of_another_version_is_refused(results: Path) -> None:
    path = results / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"speed": 3}))
    with pytest.raises(ResultError, match="not a configuration of this version"):
        read_config(results)


def test_a_csv_needs_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x,y\n1.5,2.5\n")
    assert read_csv(path, ("x",))["x"].tolist() == [1.5]
    with pytest.raises(ResultError, match="lacks the columns z"):
        read_csv(path, ("x", "z"))
    with pytest.raises(ResultError, match="cannot be read"):
        read_csv(tmp_path / "b.csv", ("x",))
