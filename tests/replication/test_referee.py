"""The referee: it agrees with honest records, and catches every planted disagreement."""

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
from replication.config import Config, dump
from replication.experiments.double_integrator import certificates, references
from replication.tasks.double_integrator.experts import PredictiveController
from replication.tasks.double_integrator.sets import backup_invariant_set
from replication.tasks.double_integrator.starts import training_starts
from replication.tasks.double_integrator.system import backup_gain
from replication.training import datasets, train

SCRIPT = Path(__file__).parents[2] / "workflow/scripts/referee.py"
SCHEDULE = {"epochs": 6, "updates_per_epoch": 2, "batch_size": 32, "evaluate_every": 2}
SCPO = {"directions": {"count": 8}}
CONFIG: dict[str, Any] = {
    "regression": {
        "hidden": [8, 8],
        "grid_size": 20,
        "heldout": 300,
        "schedule": SCHEDULE,
        "scpo": SCPO,
        "datasets": {
            "normal": {"size": 128},
            "uniform": {"size": 128, "inputs": "uniform"},
            "adversarial": {"size": 128, "adversarial_share": 0.3},
        },
        "arms": {
            "scpo": {"method": "scpo", "dataset": "normal"},
            "tanh": {"method": "unconstrained", "dataset": "normal", "overrides": {"activation": "tanh", "bound": 0.5}},
            "audited": {"method": "scpo", "dataset": "normal", "overrides": {"schedule": {"audited_share": 0.5}}},
        },
    },
    "double_integrator": {
        "starts": 16,
        "hidden": [8],
        "heldout": 1000,
        "schedule": SCHEDULE,
        "scpo": SCPO,
        "datasets": {name: {"scenario": name, "size": 64} for name in ("cooperative", "mixed", "hostile")},
        "arms": {
            "scpo-mixed": {"method": "scpo", "dataset": "mixed", "overrides": {"aggregation": "logsumexp"}},
            "unconstrained-mixed": {"method": "unconstrained", "dataset": "mixed", "first_seed": 1},
            "audited": {"method": "scpo", "dataset": "mixed", "overrides": {"schedule": {"audited_share": 0.5}}},
            "filtered": {
                "method": "unconstrained",
                "dataset": "mixed",
                "overrides": {"filtered": True, "aggregation": "max"},
            },
        },
    },
}
CERTIFIED = Path("double-integrator/scpo-mixed/seed-0")
#: of files in the results
PATHS = {
    "regression": Path("regression/data/normal/seed-0.npz"),
    "double-integrator": Path("double-integrator/data/mixed/seed-0.npz"),
    "references": Path("double-integrator/references.npz"),
    "starts": CERTIFIED / "starts.parquet",
    "certificate": CERTIFIED / "certificate.npz",
    "policy": CERTIFIED / "final.safetensors",
}
Arrays = dict[str, np.ndarray[Any, Any]]

for _section in CONFIG.values():
    for _arm in _section["arms"].values():
        _arm.setdefault("first_seed", 0)


@pytest.fixture(scope="module")
def referee() -> ModuleType:
    module = ModuleType("referee")
    exec(compile(SCRIPT.read_text(), str(SCRIPT), "exec"), module.__dict__)
    return module


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("results")
    settings = Config.model_validate(CONFIG)
    config = results / "config.json"
    config.write_text(dump(settings))
    for task, section in settings.experiments.items():
        for name, arm in section.arms.items():
            seed = arm.first_seed
            data = results / task / "data" / arm.dataset / f"seed-{seed}.npz"
            datasets.main(settings, task, arm.dataset, seed, data)
            train.run_from_files(settings, task, name, seed, data, results / task / name / f"seed-{seed}")
    references.main(config, results / "double-integrator" / "references.json")
    run = results / CERTIFIED
    certificates.main(
        run, run / "certificate.json", cells=40, cells_over_training=20, iterates=2, rho=settings.double_integrator.rho
    )
    return results


@pytest.fixture
def tampered(honest: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(honest, tmp_path / "results"))


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
    metrics = pd.read_parquet(honest / "double-integrator/unconstrained-mixed/seed-1/metrics.parquet")
    saved = metrics.loc[metrics["update"] % 4 == 0, "max_g"]
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
    message = _refused(referee, tampered)
    assert "12 disagreements" in message
    assert "audited miss" in message


def test_other_audited_weights_are_found(referee: ModuleType, tampered: Path) -> None:
    path = tampered / "regression/audited/seed-0/weights.npz"
    arrays = files.read_npz(path)
    arrays["audited_theta"][3] *= 1.0001
    np.savez(path, **arrays)
    assert "audited max_g" in _refused(referee, tampered)


def _refused(referee: ModuleType, results: Path) -> str:
    with pytest.raises(SystemExit) as stopped:
        referee.main(results, results / "referee.json")
    assert not (results / "referee.json").exists()
    return str(stopped.value)


@pytest.mark.parametrize(
    ("arm", "table", "column"),
    [
        ("regression/scpo/seed-0", "metrics", "max_g"),
        ("regression/scpo/seed-0", "evaluations", "fresh_loss"),
        ("double-integrator/scpo-mixed/seed-0", "metrics", "max_g"),
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
    message = _refused(referee, tampered)
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
    assert "unsafe_iterates" in _refused(referee, tampered)


def test_other_weights_than_those_recorded_are_found(referee: ModuleType, tampered: Path) -> None:
    path = tampered / "regression/tanh/seed-0/weights.npz"
    arrays = files.read_npz(path)
    arrays["theta"][2, 5] += 1e-4
    np.savez(path, **arrays)
    lines = _refused(referee, tampered).splitlines()
    assert {line.split()[3] for line in lines[2:]} == {"8"}


def test_a_value_that_is_no_number_is_a_disagreement(referee: ModuleType, tampered: Path) -> None:
    path = tampered / "regression/scpo/seed-0/metrics.parquet"
    frame = pd.read_parquet(path)
    frame.loc[4, "max_g"] = np.nan
    frame.to_parquet(path)
    assert "max_g" in _refused(referee, tampered)


def _edit_config(results: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = results / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


def test_an_experiment_without_a_judge_is_refused(referee: ModuleType, tampered: Path) -> None:
    _edit_config(tampered, lambda config: config.update(pendulum={"arms": {}}))
    assert "no judge for the experiment pendulum" in _refused(referee, tampered)


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
    message = _refused(referee, tampered)
    assert "no judge for" in message
    assert "unheard-of" in message


def test_a_missing_run_is_named(referee: ModuleType, tampered: Path) -> None:
    folder = tampered / "regression/tanh/seed-0"
    shutil.rmtree(folder)
    message = _refused(referee, tampered)
    assert "1 of 7 runs are missing" in message
    assert message.splitlines()[-1] == str(folder)


def test_a_seed_that_was_not_run_is_missing(referee: ModuleType, tampered: Path) -> None:
    _edit_config(tampered, lambda config: config["regression"]["arms"]["scpo"].update(seeds=2))
    assert "regression/scpo/seed-1" in _refused(referee, tampered)


def test_no_run_at_all_is_refused(referee: ModuleType, tampered: Path) -> None:
    _edit_config(tampered, lambda config: config.update(regression=None, double_integrator=None))
    assert "nothing to judge" in _refused(referee, tampered)


def test_it_imports_nothing_of_the_packages() -> None:
    imported = {
        (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(ast.parse(SCRIPT.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert imported <= {"json", "sys", "pathlib", "numpy", "pandas"}


# ---------------------------------------------------------------------------------------------------------------------
# What the runs were given


def _altered(results: Path, name: str, change: Callable[[Arrays], None]) -> None:
    path = results / PATHS[name]
    arrays = files.read_npz(path)
    change(arrays)
    np.savez(path, **arrays)


def _set(name: str, index: Any, value: Any) -> Callable[[Arrays], None]:
    """Return a change that sets one entry of an array."""

    def change(arrays: Arrays) -> None:
        arrays[name][index] = value

    return change


def _data(experiment: str, dataset: str, seed: int = 0) -> Arrays:
    return datasets.generate_data(Config.model_validate(CONFIG), experiment, dataset, seed)


def _check_data(referee: ModuleType, experiment: str, dataset: str, data: Arrays, seed: int = 0) -> None:
    section = experiment.replace("-", "_")
    settings = json.loads(dump(Config.model_validate(CONFIG)))[section]
    referee.DATA_CHECKS[section](Path("data.npz"), data, settings, dataset, seed)


def _reason(check: Callable[[], None]) -> str:
    with pytest.raises(SystemExit) as stopped:
        check()
    return str(stopped.value)


def test_what_banked_runs_were_given_is_judged_without_their_records(referee: ModuleType, tampered: Path) -> None:
    assert referee.judge_data(tampered) == (3, 7, 1)
    for path in tampered.glob("*/*/seed-*/*"):
        if path.name not in {"starts.parquet", "final.safetensors", "certificate.npz", "certificate.json"}:
            path.unlink()
    shutil.rmtree(tampered / "regression/tanh")
    assert referee.judge_data(tampered) == (3, 6, 1)
    _altered(tampered, "certificate", lambda arrays: arrays["mask"].fill(True))
    assert "certificate" in _reason(lambda: referee.judge_data(tampered))


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
    _altered(tampered, name, change)
    assert str(tampered / PATHS[name]) in _refused(referee, tampered)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("experiment", ["regression", "double-integrator"])
def test_data_as_defined_pass(referee: ModuleType, experiment: str, seed: int) -> None:
    for dataset in CONFIG[experiment.replace("-", "_")]["datasets"]:
        _check_data(referee, experiment, dataset, _data(experiment, dataset, seed), seed)


@pytest.mark.parametrize(
    ("dataset", "change", "reason"),
    [
        ("normal", _set("harmful", 3, True), "labels are f"),
        ("normal", _set("labels", 3, np.nan), "labels are f"),
        ("normal", lambda data: data.update(heldout=data["heldout"][1:]), "300 held-out inputs"),
        ("normal", lambda data: data.update(heldout=data["heldout"] + 1), "mean of held-out inputs"),
        ("normal", lambda data: data.update(heldout=data["heldout"] * 2), "mean of squared held-out inputs"),
        ("uniform", _set("heldout", 3, 3.15), "held-out inputs lie in"),
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
    assert reason in _reason(lambda: _check_data(referee, "regression", dataset, data))


def test_another_share_of_adversarial_labels_is_found(referee: ModuleType) -> None:
    data = _data("regression", "adversarial")
    assert "share of harmful" in _reason(lambda: _check_data(referee, "regression", "normal", data))


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
        ("mixed", _set("heldout_harmful", 3, True), "heldout_harmful marks"),
        ("mixed", _set("labels", 3, 0.1), "labels are those of the expert"),
        ("hostile", lambda data: data.update(labels=-data["labels"]), "labels are those of the expert"),
        ("hostile", lambda data: data.update(labels=data["good_labels"]), "labels are those of the expert"),
        ("cooperative", _set("inputs", 3, [4.6, 2.0]), "inputs lie in rho O_inf"),
        ("mixed", lambda data: data.update(heldout_inputs=data["heldout_inputs"] * 0.9), "of gauge below"),
        ("mixed", lambda data: data.update(heldout_inputs=_right_half(data["heldout_inputs"])), "with x1 above 0"),
        ("hostile", _relabel, "good_labels["),
        ("hostile", _set("good_labels", slice(None), 1.1), "good_labels in the safe set"),
        ("hostile", _set("fallbacks", (), 1), "fallbacks is 0"),
    ],
)
def test_altered_data_of_the_double_integrator_are_found(
    referee: ModuleType, dataset: str, change: Callable[[Arrays], None], reason: str
) -> None:
    data = _data("double-integrator", dataset)
    change(data)
    assert reason in _reason(lambda: _check_data(referee, "double-integrator", dataset, data))


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
    assert "labels[0]" in _reason(lambda: expert.check(Path("data.npz"), "labels", states, labels, 0))
    there_is_a_plan = states[2:]
    backup = -there_is_a_plan @ backup_gain().T
    assert "labels[0]" in _reason(lambda: expert.check(Path("data.npz"), "labels", there_is_a_plan, backup, 0))


@pytest.mark.parametrize(("rho", "count"), [(0.95, 224), (0.95, 16), (0.5, 60)])
def test_training_starts_are_those_defined(referee: ModuleType, rho: float, count: int) -> None:
    starts = training_starts(backup_invariant_set().scaled(rho), count)
    settings = {"rho": rho, "starts": count}
    referee.check_starts(Path("starts.parquet"), starts, settings)
    for index in range(count):
        moved = starts.copy()
        moved[index] += 1e-6
        assert "starts.parquet" in _reason(
            lambda moved=moved: referee.check_starts(Path("starts.parquet"), moved, settings)
        )
    assert "16" in _reason(lambda: referee.check_starts(Path("starts.parquet"), starts[:-1], settings | {"starts": 16}))


def test_a_moved_training_start_is_found(referee: ModuleType, tampered: Path) -> None:
    path = tampered / PATHS["starts"]
    frame = pd.read_parquet(path)
    frame.loc[12, "x1"] *= 0.999
    frame.to_parquet(path)
    message = _refused(referee, tampered)
    assert f"{path}: it is not true that starts are the defined ones" in message


def test_heldout_starts_that_are_fewer_or_not_uniform_are_found(referee: ModuleType, tampered: Path) -> None:
    settings = {"rho": 0.95, "heldout": 1000}
    path = tampered / PATHS["references"]
    referee.check_heldout_starts(path, settings)
    _altered(tampered, "references", lambda arrays: arrays.update(heldout_starts=arrays["heldout_starts"] * 0.9))
    assert "of gauge below" in _reason(lambda: referee.check_heldout_starts(path, settings))
    assert "500 held-out starts" in _reason(lambda: referee.check_heldout_starts(path, settings | {"heldout": 500}))


def _certify(results: Path, change: Callable[[Arrays], None]) -> None:
    """Change a certificate, and the areas that it states accordingly."""
    _altered(results, "certificate", change)
    arrays, path = files.read_npz(results / PATHS["certificate"]), results / CERTIFIED / "certificate.json"
    content = files.read_json(path)
    cell = (arrays["x1"][1] - arrays["x1"][0]) * (arrays["x2"][1] - arrays["x2"][0])
    content["final"] |= {"area": cell * arrays["mask"].sum(), "refuted_area": cell * arrays["refuted"].sum()}
    path.write_text(json.dumps(content))


def _swap(arrays: Arrays) -> None:
    """Certify one cell that was refuted."""
    i, j = np.argwhere(arrays["refuted"])[-1]
    arrays["mask"][i, j], arrays["refuted"][i, j] = True, False


def _refute(arrays: Arrays) -> None:
    """Refute one cell beside the others that was certified."""
    i, j = np.argwhere(arrays["mask"])[0]
    arrays["mask"][i, j], arrays["refuted"][i, j] = False, True


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_swap, "limits are kept from certified cells"),
        (_refute, "a limit is exceeded from refuted cells"),
        (lambda arrays: arrays["refuted"].fill(True), "no cell is certified and refuted"),
        (lambda arrays: arrays.update(x1=arrays["x1"] * 0.9), "cells divide the state limits of x1"),
    ],
)
def test_a_false_certificate_is_found(
    referee: ModuleType, tampered: Path, change: Callable[[Arrays], None], reason: str
) -> None:
    _certify(tampered, change)
    assert reason in _reason(lambda: referee.judge_data(tampered))


@pytest.mark.parametrize(("name", "value"), [("area", 50.0), ("refuted_area", 0.0), ("level", 1.2)])
def test_false_numbers_of_a_certificate_are_found(referee: ModuleType, tampered: Path, name: str, value: float) -> None:
    path = tampered / CERTIFIED / "certificate.json"
    content = files.read_json(path)
    content["final"][name] = value
    path.write_text(json.dumps(content))
    assert str(path) in _reason(lambda: referee.judge_data(tampered))


def test_a_certified_policy_must_come_to_the_origin(referee: ModuleType, tampered: Path) -> None:
    def near(arrays: Arrays) -> None:
        """Certify nothing but some cells around the origin, and refute nothing."""
        near = np.abs(arrays["x1"][1:]) < 1
        arrays["mask"] &= near[:, None] & near
        arrays["refuted"].fill(False)

    _certify(tampered, near)
    path = tampered / CERTIFIED / "certificate.json"
    content = files.read_json(path)
    content["final"] |= {"level": 0.0, "covers_starts": False}
    path.write_text(json.dumps(content))

    def backup(states: Any) -> Any:
        return -states @ backup_gain().T

    def elsewhere(states: Any) -> Any:
        return backup(states - [0.5, 0.0])

    referee.check_certificate(tampered / PATHS["certificate"], backup, 0)
    assert "comes within" in _reason(lambda: referee.check_certificate(tampered / PATHS["certificate"], elsewhere, 0))


def test_another_final_policy_than_the_last_one_saved_is_found(referee: ModuleType, tampered: Path) -> None:
    path = tampered / PATHS["policy"]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert f"{path}: it is not true that it holds the last policy" in _reason(lambda: referee.judge_data(tampered))
