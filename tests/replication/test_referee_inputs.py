"""The referee judges what the runs were given: data, labels and starts are those of their definitions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from replication.config import Config, dump
from replication.tasks.double_integrator.experts import PredictiveController
from replication.tasks.double_integrator.sets import backup_invariant_set
from replication.tasks.double_integrator.starts import training_starts
from replication.tasks.double_integrator.system import backup_gain
from replication.training import datasets

from .judged import CONFIG, PATHS, Arrays, altered, reason_of, refused, set_entry


def _data(experiment: str, dataset: str, seed: int = 0) -> Arrays:
    return datasets.generate_data(Config.model_validate(CONFIG), experiment, dataset, seed)


def _check_data(referee: ModuleType, experiment: str, dataset: str, data: Arrays, seed: int = 0) -> None:
    section = experiment.replace("-", "_")
    settings = json.loads(dump(Config.model_validate(CONFIG)))[section]
    referee.DATA_CHECKS[section](Path("data.npz"), data, settings, dataset, seed)


def test_what_banked_runs_were_given_is_judged_without_their_records(referee: ModuleType, tampered: Path) -> None:
    assert referee.judge_data(tampered) == (3, 7, 1)
    for path in tampered.glob("*/*/seed-*/*"):
        if path.name not in {"starts.parquet", "final.safetensors", "certificate.npz", "certificate.json"}:
            path.unlink()
    shutil.rmtree(tampered / "regression/tanh")
    assert referee.judge_data(tampered) == (3, 6, 1)
    altered(tampered, "certificate", lambda arrays: arrays["mask"].fill(True))
    assert "certificate" in reason_of(lambda: referee.judge_data(tampered))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("regression", lambda arrays: arrays["labels"].__setitem__(5, arrays["labels"][5] + 1e-6)),
        ("double-integrator", lambda arrays: arrays["harmful"].__setitem__(5, ~arrays["harmful"][5])),
        ("references", lambda arrays: arrays["heldout_starts"].__setitem__(5, [4.9, 4.9])),
        ("certificate", lambda arrays: arrays["mask"].__setitem__((-1, -1), True)),
    ],
)
def test_a_run_that_was_given_something_else_is_not_judged(
    referee: ModuleType, tampered: Path, name: str, change: Callable[[Arrays], None]
) -> None:
    altered(tampered, name, change)
    assert str(tampered / PATHS[name]) in refused(referee, tampered)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("experiment", ["regression", "double-integrator"])
def test_data_as_defined_pass(referee: ModuleType, experiment: str, seed: int) -> None:
    for dataset in CONFIG[experiment.replace("-", "_")]["datasets"]:
        _check_data(referee, experiment, dataset, _data(experiment, dataset, seed), seed)


@pytest.mark.parametrize(
    ("dataset", "change", "reason"),
    [
        ("normal", set_entry("harmful", 3, True), "labels are f"),
        ("normal", set_entry("labels", 3, np.nan), "labels are f"),
        ("normal", lambda data: data.update(heldout=data["heldout"][1:]), "300 held-out inputs"),
        ("normal", lambda data: data.update(heldout=data["heldout"] + 1), "mean of held-out inputs"),
        ("normal", lambda data: data.update(heldout=data["heldout"] * 2), "mean of squared held-out inputs"),
        ("uniform", set_entry("heldout", 3, 3.15), "held-out inputs lie in"),
        ("uniform", lambda data: data.update(heldout=data["heldout"] / 2), "mean of squared held-out inputs"),
        ("adversarial", lambda data: data.update(harmful=~data["harmful"]), "labels are f"),
        ("adversarial", lambda data: data.update(labels=-data["labels"]), "labels are f"),
    ],
)
def test_altered_data_of_the_regression_are_found(
    referee: ModuleType, dataset: str, change: Callable[[Arrays], None], reason: str
) -> None:
    data = _data("regression", dataset)
    change(data)
    assert reason in reason_of(lambda: _check_data(referee, "regression", dataset, data))


def test_another_share_of_adversarial_labels_is_found(referee: ModuleType) -> None:
    data = _data("regression", "adversarial")
    assert "share of harmful" in reason_of(lambda: _check_data(referee, "regression", "normal", data))


def _right_half(states: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return states * np.sign(states[:, :1])


def _relabel(data: Arrays) -> None:
    """Change a good label where neither a limit nor another check sees it."""
    expert = PredictiveController()
    free = (expert.terminal_set.gauge(data["inputs"]) > 1) & (np.abs(data["good_labels"][:, 0]) < 0.9)
    data["good_labels"][np.flatnonzero(free)[0]] += 1e-3


@pytest.mark.parametrize(
    ("dataset", "change", "reason"),
    [
        ("mixed", set_entry("heldout_harmful", 3, True), "heldout_harmful marks"),
        ("mixed", set_entry("labels", 3, 0.1), "labels are those of the expert"),
        ("hostile", lambda data: data.update(labels=-data["labels"]), "labels are those of the expert"),
        ("hostile", lambda data: data.update(labels=data["good_labels"]), "labels are those of the expert"),
        ("cooperative", set_entry("inputs", 3, [4.6, 2.0]), "inputs lie in rho O_inf"),
        ("mixed", lambda data: data.update(heldout_inputs=data["heldout_inputs"] * 0.9), "of gauge below"),
        ("mixed", lambda data: data.update(heldout_inputs=_right_half(data["heldout_inputs"])), "with x1 above 0"),
        ("hostile", _relabel, "good_labels["),
        ("hostile", set_entry("good_labels", slice(None), 1.1), "good_labels in the safe set"),
        ("hostile", set_entry("fallbacks", (), 1), "fallbacks is 0"),
    ],
)
def test_altered_data_of_the_double_integrator_are_found(
    referee: ModuleType, dataset: str, change: Callable[[Arrays], None], reason: str
) -> None:
    data = _data("double-integrator", dataset)
    change(data)
    assert reason in reason_of(lambda: _check_data(referee, "double-integrator", dataset, data))


def test_its_good_expert_is_the_one_that_made_the_labels(referee: ModuleType) -> None:
    expert, other = referee.GoodExpert(), PredictiveController()
    states = np.random.default_rng(0).uniform(-5, 5, (300, 2))
    plans = [(expert.plan(x), other.plan(x)) for x in states]
    assert {mine is None for mine, _ in plans} == {True, False}
    for mine, theirs in plans:
        assert (mine is None) == (theirs is None)
        if mine is not None and theirs is not None:
            np.testing.assert_allclose(mine, theirs, atol=referee.MPC_TOLERANCE)


def test_where_there_is_no_plan_the_label_is_the_backups(referee: ModuleType) -> None:
    expert = referee.GoodExpert()
    states = np.array([[4.9, 2.0], [-4.9, -2.0], [3.0, -2.5]])
    labels = PredictiveController()(states)[0]
    assert expert.check(Path("data.npz"), "labels", states, labels, 0) == 2
    labels[0] += 0.01
    assert "labels[0]" in reason_of(lambda: expert.check(Path("data.npz"), "labels", states, labels, 0))
    there_is_a_plan = states[2:]
    backup = -there_is_a_plan @ backup_gain().T
    assert "labels[0]" in reason_of(lambda: expert.check(Path("data.npz"), "labels", there_is_a_plan, backup, 0))


@pytest.mark.parametrize(("rho", "count"), [(0.95, 224), (0.95, 16), (0.5, 60)])
def test_training_starts_are_those_defined(referee: ModuleType, rho: float, count: int) -> None:
    starts = training_starts(backup_invariant_set().scaled(rho), count)
    settings = {"rho": rho, "starts": count}
    referee.check_starts(Path("starts.parquet"), starts, settings)
    for index in range(count):
        moved = starts.copy()
        moved[index] += 1e-6
        assert "starts.parquet" in reason_of(
            lambda moved=moved: referee.check_starts(Path("starts.parquet"), moved, settings)
        )
    assert "16" in reason_of(
        lambda: referee.check_starts(Path("starts.parquet"), starts[:-1], settings | {"starts": 16})
    )


def test_a_moved_training_start_is_found(referee: ModuleType, tampered: Path) -> None:
    path = tampered / PATHS["starts"]
    frame = pd.read_parquet(path)
    frame.loc[12, "x1"] *= 0.999
    frame.to_parquet(path)
    message = refused(referee, tampered)
    assert f"{path}: it is not true that starts are the defined ones" in message


def test_heldout_starts_that_are_fewer_or_not_uniform_are_found(referee: ModuleType, tampered: Path) -> None:
    settings = {"rho": 0.95, "heldout": 1000}
    path = tampered / PATHS["references"]
    referee.check_heldout_starts(path, settings)
    altered(tampered, "references", lambda arrays: arrays.update(heldout_starts=arrays["heldout_starts"] * 0.9))
    assert "of gauge below" in reason_of(lambda: referee.check_heldout_starts(path, settings))
    assert "500 held-out starts" in reason_of(lambda: referee.check_heldout_starts(path, settings | {"heldout": 500}))
