"""The KKT residual of final policies: the part of the loss gradient that active constraints cannot balance."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from replication import cli, files
from replication.config import Config, dump
from replication.errors import ResultError
from replication.experiments.regression import stationarity
from replication.results.read import read_stationarity
from replication.tasks.regression import build as regression
from replication.tasks.regression.settings import RegressionConfig


def test_residual_of_unbalanced_gradients() -> None:
    gradient = np.array([-3.0, 0.0, 4.0])
    assert stationarity.residual(gradient, np.zeros((0, 3))) == 1.0
    assert stationarity.residual(np.zeros(3), np.eye(3)) == 0.0
    assert stationarity.residual(gradient, np.array([[2.0, 0.0, 0.0]])) == pytest.approx(0.8)
    assert stationarity.residual(gradient, np.array([[-2.0, 0.0, 0.0]])) == pytest.approx(1.0)  # pulls the same way
    assert stationarity.residual(gradient, np.array([[1.0, 0, 0], [0, 0, -1.0], [1.0, 0, 0]])) < 1e-9
    assert stationarity.residual(gradient, np.array([[0.0, 0.0, 0.0]])) == pytest.approx(1.0)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(2, 8))
def test_no_multipliers_do_better(seed: int, count: int, dimension: int) -> None:
    rng = np.random.default_rng(seed)
    gradient, slopes = rng.normal(size=dimension), rng.normal(size=(count, dimension))
    found = stationarity.residual(gradient, slopes)
    assert 0.0 <= found <= 1.0 + 1e-9
    trials = rng.exponential(size=(2000, count)) * rng.integers(0, 2, (2000, count))
    others = np.linalg.norm(gradient + trials @ slopes, axis=1) / np.linalg.norm(gradient)
    assert found <= others.min() + 1e-9


def write_run(results: Path, section: RegressionConfig, weights: dict[str, torch.Tensor] | None = None) -> None:
    """Write the files that the residual of arm scpo, seed 0, is made of; the initial policy by default."""
    results.mkdir(parents=True)
    (results / "config.json").write_text(dump(Config(regression=section, double_integrator=None)), encoding="utf-8")
    data = regression.generate_data(section, "normal", np.random.default_rng(0))
    files.write_npz(results / "regression/data/normal/seed-0.npz", **data)
    policy = regression.build(section, data).initial_policy(torch.Generator().manual_seed(0))
    folder = results / "regression/scpo/seed-0"
    folder.mkdir(parents=True)
    save_file(weights or policy.state_dict(), folder / "final.safetensors")


@pytest.fixture
def section() -> RegressionConfig:
    """One run of a small network."""
    raw = RegressionConfig().model_dump(mode="json")
    raw["arms"] = {"scpo": {"method": "scpo", "dataset": "normal", "seeds": 1, "first_seed": 0}}
    raw["arms"]["unconstrained"] = {"method": "unconstrained", "dataset": "normal", "seeds": 1, "first_seed": 0}
    return RegressionConfig.model_validate(raw | {"hidden": [4], "heldout": 10})


def test_the_initial_policy_is_far_from_the_bounds(tmp_path: Path, section: RegressionConfig) -> None:
    results = tmp_path / "results"
    write_run(results, section)
    out = results / "regression/stationarity.json"
    assert cli.main(["stationarity", "--results", str(results), "--out", str(out)]) == 0
    assert json.loads(out.read_text())["runs"] == [{"arm": "scpo", "seed": 0, "active": 0, "residual": 1.0}]
    found = read_stationarity(results)
    assert (found.near, [(run.arm, run.residual) for run in found.runs]) == (stationarity.NEAR, [("scpo", 1.0)])
    assert out.with_suffix(".stamp.json").is_file()
    for damaged, problem in (
        ("[]", "the file: "),
        ('{"near": 0.1, "runs": [{"arm": "a"}]}', r"lacks runs\.0\.seed, runs\.0\.active, runs\.0\.residual"),
        ('{"near": 1, "runs": [{"arm": "a", "seed": 0, "active": 1, "residual": []}]}', r"runs\.0\.residual: "),
    ):
        out.write_text(damaged)
        with pytest.raises(ResultError, match=rf"stationarity\.json: damaged, {problem}"):
            read_stationarity(results)


def test_a_policy_at_the_bound_counts_its_active_points(tmp_path: Path, section: RegressionConfig) -> None:
    results = tmp_path / "results"
    at_bound = section.bound - section.scpo.tightening
    weights = {
        "weights.0": torch.zeros(1, 4, dtype=torch.float64),
        "biases.0": torch.zeros(4, dtype=torch.float64),
        "weights.1": torch.zeros(4, 1, dtype=torch.float64),
        "biases.1": torch.tensor([at_bound], dtype=torch.float64),
    }
    write_run(results, section, weights)
    stationarity.main(results, results / "regression/stationarity.json")
    (run,) = json.loads((results / "regression/stationarity.json").read_text())["runs"]
    assert (run["active"], run["residual"]) == (section.grid_size, 1.0)  # the loss pulls inwards, nothing is in the way


def test_weights_of_another_network_are_refused(tmp_path: Path, section: RegressionConfig) -> None:
    results = tmp_path / "results"
    write_run(results, section, {"weights.0": torch.zeros(2, 2)})
    with pytest.raises(ResultError, match="not the policy's weights"):
        stationarity.main(results, results / "regression/stationarity.json")
