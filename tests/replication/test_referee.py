"""The referee agrees with honest records, and catches every planted disagreement."""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from replication import files

from .judged import SCRIPT, refused


def test_it_agrees_with_honest_records(referee: ModuleType, honest: Path, tmp_path: Path) -> None:
    referee.main(honest, tmp_path / "referee.json")
    found = json.loads((tmp_path / "referee.json").read_text())
    arms = {(arm["experiment"], arm["arm"]): arm for arm in found["arms"]}
    assert len(arms) == 7
    for (_, name), arm in arms.items():
        assert (arm["runs"], arm["iterates"]) == (1, 13 if name == "audited" else 4)
        assert arm["recorded"] == arm["recomputed"]
        assert arm["worst_g"] < 1e-12
        assert arm["worst_other"] < 1e-12
    updates = pd.read_parquet(honest / "double-integrator/unconstrained-mixed/seed-1/updates.parquet")
    saved = updates.loc[updates["update"] % 4 == 0, "max_g"]
    assert arms["double-integrator", "unconstrained-mixed"]["recomputed"] == int((saved > 0).sum()) > 0
    assert arms["double-integrator", "filtered"]["recomputed"] == 0


def test_one_run_is_judged_alone(referee: ModuleType, tampered: Path, tmp_path: Path) -> None:
    shutil.rmtree(tampered / "regression/scpo")
    referee.main(tampered, tmp_path / "referee.json", "regression/audited/seed-0")
    found = json.loads((tmp_path / "referee.json").read_text())
    assert [(arm["arm"], arm["runs"], arm["iterates"]) for arm in found["arms"]] == [("audited", 1, 13)]
    with pytest.raises(SystemExit, match="asks for no run regression/audited/seed-9"):
        referee.main(tampered, tmp_path / "referee.json", "regression/audited/seed-9")


@pytest.mark.parametrize("experiment", ["regression", "double-integrator"])
def test_another_promise_than_the_recorded_one_is_found(referee: ModuleType, tampered: Path, experiment: str) -> None:
    path = tampered / experiment / "audited/seed-0/weights.npz"
    arrays = files.read_npz(path)
    arrays["audited_bound"] -= 1e-6  # the misses that follow from it are larger
    np.savez(path, **arrays)
    message = refused(referee, tampered)
    assert "12 disagreements" in message
    assert "audited miss" in message


def test_other_audited_weights_are_found(referee: ModuleType, tampered: Path) -> None:
    path = tampered / "regression/audited/seed-0/weights.npz"
    arrays = files.read_npz(path)
    arrays["audited_theta"][3] *= 1.0001
    np.savez(path, **arrays)
    assert "audited max_g" in refused(referee, tampered)


@pytest.mark.parametrize(
    ("arm", "table", "column"),
    [
        ("regression/scpo/seed-0", "updates", "max_g"),
        ("regression/scpo/seed-0", "evaluations", "fresh_loss"),
        ("double-integrator/scpo-mixed/seed-0", "updates", "max_g"),
        ("double-integrator/scpo-mixed/seed-0", "evaluations", "clean_loss"),
        ("double-integrator/unconstrained-mixed/seed-1", "evaluations", "cost"),
        ("double-integrator/unconstrained-mixed/seed-1", "evaluations", "heldout_unsafe"),
    ],
)
def test_a_changed_record_is_named(referee: ModuleType, tampered: Path, arm: str, table: str, column: str) -> None:
    path = tampered / arm / f"{table}.parquet"
    frame = pd.read_parquet(path)
    last = frame.index[-1]
    frame.loc[last, column] -= 3e-9 * max(1.0, abs(frame.loc[last, column]))
    frame.to_parquet(path)
    message = refused(referee, tampered)
    _, name, seed = arm.split("/")
    assert "1 disagreements" in message
    line = message.splitlines()[-1].split()
    assert line[1:5] == [name, seed.removeprefix("seed-"), "12", column]


@pytest.mark.parametrize(("method", "count"), [("scpo", 1), ("unconstrained", 0)])
def test_unsafe_iterates_of_the_method_are_listed(referee: ModuleType, tmp_path: Path, method: str, count: int) -> None:
    class Judge:
        activation = "tanh"

        def constraints(self, network: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
            return np.array([-1.0, network(np.ones((1, 1)))[0, 0]])

    (tmp_path / "run.json").write_text(json.dumps({"method": method}))
    np.savez(
        tmp_path / "weights.npz",
        names=["weights.0", "biases.0"],
        shapes=[[1, 1], [1, 0]],
        audited_updates=[3, 8],
        audited_theta=[[-1.0, 0.0], [0.25, 0.0]],
        audited_bound=[[0.0, 0.0], [0.0, 0.125]],
    )
    found = referee.unsafe_iterates(7, tmp_path, Judge())
    assert found == [{"seed": 7, "update": 8, "constraint": 1, "g": 0.25, "miss": 0.125}][:count]


def test_an_unsafe_iterate_that_is_not_counted_is_found(referee: ModuleType, tampered: Path) -> None:
    path = tampered / "double-integrator/unconstrained-mixed/seed-1/run.json"
    summary = json.loads(path.read_text())
    path.write_text(json.dumps(summary | {"unsafe_iterates": summary["unsafe_iterates"] - 1}))
    assert "unsafe_iterates" in refused(referee, tampered)


def test_other_weights_than_those_recorded_are_found(referee: ModuleType, tampered: Path) -> None:
    path = tampered / "regression/tanh/seed-0/weights.npz"
    arrays = files.read_npz(path)
    arrays["theta"][2, 5] += 1e-4
    np.savez(path, **arrays)
    lines = refused(referee, tampered).splitlines()
    assert {line.split()[3] for line in lines[2:]} == {"8"}


def test_a_value_that_is_no_number_is_a_disagreement(referee: ModuleType, tampered: Path) -> None:
    path = tampered / "regression/scpo/seed-0/updates.parquet"
    frame = pd.read_parquet(path)
    frame.loc[4, "max_g"] = np.nan
    frame.to_parquet(path)
    assert "max_g" in refused(referee, tampered)


def _edit_config(results: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = results / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


def test_an_experiment_without_a_judge_is_refused(referee: ModuleType, tampered: Path) -> None:
    _edit_config(tampered, lambda config: config.update(pendulum={"arms": {}}))
    assert "no judge for the experiment pendulum" in refused(referee, tampered)


@pytest.mark.parametrize(
    ("experiment", "arm", "setting"),
    [
        ("regression", "tanh", "activation"),
        ("double_integrator", "scpo-mixed", "aggregation"),
        ("double_integrator", "scpo-mixed", "activation"),
    ],
)
def test_an_arm_without_a_judge_is_refused(
    referee: ModuleType, tampered: Path, experiment: str, arm: str, setting: str
) -> None:
    def change(config: dict[str, Any]) -> None:
        config[experiment]["arms"][arm]["overrides"][setting] = "unheard-of"

    _edit_config(tampered, change)
    message = refused(referee, tampered)
    assert "no judge for" in message
    assert "unheard-of" in message


def test_a_missing_run_is_named(referee: ModuleType, tampered: Path) -> None:
    folder = tampered / "regression/tanh/seed-0"
    shutil.rmtree(folder)
    message = refused(referee, tampered)
    assert "1 of 7 runs are missing" in message
    assert message.splitlines()[-1] == str(folder)


def test_a_seed_that_was_not_run_is_missing(referee: ModuleType, tampered: Path) -> None:
    _edit_config(tampered, lambda config: config["regression"]["arms"]["scpo"].update(seeds=2))
    assert "regression/scpo/seed-1" in refused(referee, tampered)


def test_no_run_at_all_is_refused(referee: ModuleType, tampered: Path) -> None:
    _edit_config(tampered, lambda config: config.update(regression=None, double_integrator=None))
    assert "nothing to judge" in refused(referee, tampered)


def test_it_imports_nothing_of_the_packages() -> None:
    imported = {
        (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(ast.parse(SCRIPT.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert imported <= {"json", "sys", "pathlib", "numpy", "pandas"}
