"""The explorer's content: what the page says is what the results say, and the page needs nothing else."""

from __future__ import annotations

import base64
import itertools
import json
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from safetensors.numpy import save_file

from replication import files
from replication.bank import Bank
from replication.claims import claims, decide, verdicts
from replication.cli import main
from replication.config import Config, dump
from replication.errors import ResultError
from replication.experiments import policies
from replication.page import build, double_integrator, regression
from replication.page.double_integrator import strips
from replication.page.encode import array, shared
from replication.page.verdict_rows import SOURCES
from replication.paths import REPOSITORY
from replication.provenance import stamp
from replication.report import parts
from replication.results.read import read_section
from replication.tasks.double_integrator.rollout import rollout_policy
from replication.tasks.double_integrator.settings import DoubleIntegratorConfig
from replication.tasks.double_integrator.task import backup_module
from replication.tasks.regression.settings import RegressionConfig
from scpo.errors import ConfigurationError
from scpo.parameters import ParameterVector
from scpo.policies import ResidualPolicy

from .synthetic_results import small_config, write_quantities, write_results
from .synthetic_stamps import write_stamps


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explorer") / "results" / "synthetic"
    config = write_results(folder, small_config(epochs=10, seeds=2, double_integrator=True))
    write_stamps(folder, config)
    write_quantities(folder)
    decide.write(folder, folder / verdicts.NAME)
    return folder


@pytest.fixture(scope="module")
def made(results: Path) -> Path:
    out = results / "explorer.html"
    assert main(["explorer", "--results", str(results), "--out", str(out)]) == 0
    return out


def content_of(page: Path) -> dict:
    """Return the data in a page, with every array in its place."""
    text = page.read_text(encoding="utf-8")
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    content = json.loads(found)
    return _whole(content, content["arrays"])


def _whole(one: Any, arrays: list[Any]) -> Any:
    if isinstance(one, dict):
        return arrays[one["same"]] if one.keys() == {"same"} else {key: _whole(of, arrays) for key, of in one.items()}
    return [_whole(of, arrays) for of in one] if isinstance(one, list) else one


def decoded(encoded: dict) -> np.ndarray:
    """Return an encoded array."""
    return np.frombuffer(base64.b64decode(encoded["bytes"]), f"<{encoded['type']}").reshape(encoded["shape"])


def test_the_verdicts_are_those_of_the_claims(made: Path, results: Path) -> None:
    decided = json.loads((results / verdicts.NAME).read_text())
    shown = content_of(made)["claims"]
    for key in ("id", "status", "measured", "statement", "source", "tolerance"):
        assert [row[key] for row in shown] == [one[key] for one in decided]
    for row, one in zip(shown, decided, strict=True):
        listed = "\n".join(row["evidence"])
        assert {re.sub(r"/seed-\d+/", "/seed-<n>/", path) for path in one["evidence"]} == {
            line.partition(", n =")[0] for line in row["evidence"]
        }
        assert "seed" in listed or not any("/seed-" in path for path in one["evidence"])


def test_every_claim_has_a_source_that_the_page_can_filter_by(made: Path, results: Path) -> None:
    decided = verdicts.read(results / verdicts.NAME)
    for row, one in zip(content_of(made)["claims"], decided, strict=True):
        assert row["origin"] == SOURCES[next(source for source in SOURCES if one.source.startswith(source))]
        assert row["setting"].startswith(f"{one.mark}: ")
    assert {row["origin"] for row in content_of(made)["claims"]} == set(SOURCES.values())


def test_every_figure_that_a_claim_names_is_made() -> None:
    named = [name for claim in claims.load().claims for name in claim.shown_in]
    assert named
    for name in named:
        parts.part(name)


def test_the_runs_are_those_of_the_records(made: Path, results: Path) -> None:
    run = content_of(made)["views"]["regression"]["arms"]["scpo"]["1"]
    recorded = json.loads((results / "regression/scpo/seed-1/run.json").read_text())
    assert (run["updates"], run["unsafe"]) == (recorded["updates"], recorded["unsafe_iterates"])
    assert decoded(run["series"]["slack"]).min() == np.float32(-recorded["max_g"])
    assert decoded(run["series"]["updates"]).sum() == recorded["updates"]
    assert decoded(run["evaluations"]["loss"])[-1] == np.float32(recorded["final"]["fresh_loss"])


def test_a_run_that_could_not_go_on_is_not_shown_as_safe(tmp_path: Path) -> None:
    results = tmp_path / "results"
    write_results(results, small_config(epochs=10, seeds=1, double_integrator=True))
    for run in ("regression/scpo/seed-0", "double-integrator/scpo-mixed/seed-0"):
        path = results / run / "run.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"unsafe_iterates": 0, "diverged_update": 5}))
    write_quantities(results)
    integrator = double_integrator.view(results)["scenarios"]["mixed"]["scpo"]["0"]
    for run in (regression.view(results)["arms"]["scpo"]["0"], integrator):
        assert (run["unsafe"], run["failed"]) == (1, 1)


def test_an_unsafe_run_without_saved_policies_is_shown_by_its_last_one(tmp_path: Path) -> None:
    results, layers = tmp_path / "results", list(itertools.pairwise((2, 32, 32, 1)))
    write_results(results, small_config(epochs=10, seeds=2, double_integrator=True))
    folder = results / "double-integrator/scpo-mixed/seed-1"
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(record | {"unsafe_iterates": 0, "diverged_update": 5}))
    numbers = np.random.default_rng(0)
    weights = {f"weights.{layer}": numbers.normal(size=shape) for layer, shape in enumerate(layers)}
    biases = {f"biases.{layer}": numbers.normal(size=width) for layer, (_, width) in enumerate(layers)}
    save_file(weights | biases, folder / "final.safetensors")
    write_quantities(results)
    found = double_integrator.view(results)
    shown = found["scenarios"]["mixed"]["scpo"]
    assert list(shown) == ["0", "1"]
    assert shown["1"]["saved"].tolist() == [record["updates"]]
    parts = [
        part[f"{name}.{layer}"].ravel()
        for layer in range(3)
        for name, part in (("weights", weights), ("biases", biases))
    ]
    np.testing.assert_array_equal(decoded(shown["1"]["theta"])[0], np.concatenate(parts))
    total = found["counts"]["mixed"]["scpo"]
    assert total["failed"] == 1
    assert total["updates"] == sum(run["updates"] for run in shown.values())
    (folder / "final.safetensors").write_bytes(b"")
    with pytest.raises(ResultError, match=r"final\.safetensors: cannot be read"):
        double_integrator.view(results)


def test_an_array_that_occurs_several_times_is_stored_once() -> None:
    once, twice = array([1.0, 2.0]), array([3.0])
    content = {"a": {"once": once, "runs": [dict(twice), dict(twice)]}, "b": [array([3.0], "f4"), 1, None]}
    found = shared(content)
    assert found["arrays"] == [twice]
    assert found["a"]["runs"] == [{"same": 0}, {"same": 0}]
    assert _whole({key: of for key, of in found.items() if key != "arrays"}, found["arrays"]) == content


def test_policies_are_those_that_were_saved_else_the_last(made: Path, results: Path) -> None:
    views, saved = content_of(made)["views"], policies.read(results, "regression")
    arm = views["regression"]["arms"]["scpo"]
    total = views["regression"]["counts"]["scpo"]
    assert total == {name: sum(run[name] for run in arm.values()) for name in ("updates", "unsafe", "failed")}
    np.testing.assert_array_equal(decoded(arm["0"]["policies"]["pi"]), saved["scpo", 0]["pi"])
    assert len(arm["0"]["policies"]["evaluations"]) == len(saved["scpo", 0]["updates"])
    assert arm["1"]["policies"]["evaluations"] == [-1]
    theta = policies.read(results, "double-integrator")["scpo-mixed", 0]["theta"]
    loops = views["double-integrator"]["scenarios"]["mixed"]
    np.testing.assert_array_equal(decoded(loops["scpo"]["0"]["theta"]), theta)
    assert decoded(loops["unconstrained"]["0"]["theta"]).shape == (1, theta.shape[1])


def test_the_page_refers_to_nothing_outside(made: Path) -> None:
    text = made.read_text(encoding="utf-8")
    frame = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)|@import|url\(""", frame)
    assert not re.findall(r"<script[^>]+src", text)
    assert text.count("<script") == text.count("</script>")


def test_its_stamp_names_what_it_was_made_from(made: Path, results: Path) -> None:
    inputs = stamp.read(made)["inputs"]
    assert {"results:claims.json", "results:quantities.parquet", "results:regression/policies.npz"} <= inputs.keys()
    assert "src/replication/page/plane.js" in inputs
    assert stamp.changed(made, results) == []


def test_a_scale_without_an_experiment_has_no_view_of_it(tmp_path: Path) -> None:
    write_stamps(tmp_path, write_results(tmp_path, small_config(epochs=10, seeds=1)))
    write_quantities(tmp_path)
    decide.write(tmp_path, tmp_path / verdicts.NAME)
    assert list(build.collect(tmp_path)["views"]) == ["regression"]


def test_a_scale_without_the_arms_of_a_view_has_no_such_view(tmp_path: Path) -> None:
    raw = small_config(epochs=10, seeds=1, double_integrator=True).model_dump(mode="json")
    for experiment, arm in (("regression", "scpo-tanh"), ("double_integrator", "unconstrained-mixed")):
        raw[experiment]["arms"] = {arm: raw[experiment]["arms"][arm]}
    write_results(tmp_path, Config.model_validate(raw))
    write_quantities(tmp_path)
    verdicts.write(tmp_path / verdicts.NAME, [])
    assert build.collect(tmp_path)["views"] == {}


@given(arrays_of.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_strips_hold_the_cells_of_a_mask_and_no_others(mask: np.ndarray) -> None:
    again = np.zeros_like(mask)
    for column, first, end in strips(mask):
        assert not again[column, first:end].any()
        again[column, first:end] = True
    np.testing.assert_array_equal(again, mask)


@given(arrays_of.arrays(np.float64, st.integers(0, 20)))
def test_an_array_comes_back_as_it_was(values: np.ndarray) -> None:
    np.testing.assert_array_equal(decoded(array(values)), values)


def save(folder: Path, policy: ResidualPolicy, seed: int = 0) -> torch.Tensor:
    """Write the weights of three policies of this form as a run does; return them (3, d)."""
    vector = ParameterVector(policy, policy.parameters())
    theta = 0.3 * torch.randn(3, vector.dimension, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    shapes = np.zeros((len(vector.shapes), 2), dtype=np.int64)
    for row, shape in enumerate(vector.shapes):
        shapes[row, : len(shape)] = shape
    named = {"names": np.array(vector.names), "shapes": shapes, "updates": np.array([0, 5, 10])}
    files.write_npz(folder / "weights.npz", theta=theta.numpy(), **named)
    return theta


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    arms = {"scpo": {"method": "scpo", "dataset": "normal", "seeds": 5, "first_seed": 0}}
    regression = RegressionConfig.model_validate({"hidden": (5, 4), "arms": arms})
    arms = {"scpo-mixed": {"method": "scpo", "dataset": "mixed", "seeds": 1, "first_seed": 0}}
    integrator = DoubleIntegratorConfig.model_validate({"hidden": (6, 3), "arms": arms})
    config = Config(scale="small", regression=regression, double_integrator=integrator)
    files.write_text(tmp_path / "config.json", dump(config))
    return tmp_path


def test_kept_curves_are_those_of_the_saved_policies(trained: Path) -> None:
    policy = ResidualPolicy((1, 5, 4, 1), "relu")
    thetas = [save(trained / f"regression/scpo/seed-{seed}", policy, seed) for seed in range(policies.SEEDS)]
    out = trained / "regression/policies.npz"
    assert main(["policies", "--results", str(trained), "--experiment", "regression", "--out", str(out)]) == 0
    saved = policies.read(trained, "regression")
    assert sorted(saved) == [("scpo", seed) for seed in range(policies.SEEDS)]
    assert "regression/scpo/seed-2/weights.npz" in "".join(files.read_json(stamp.beside(out))["inputs"])
    for seed, theta in enumerate(thetas):
        vector = ParameterVector(policy, policy.parameters())
        vector.write(theta[1])
        with torch.no_grad():
            wanted = policy(torch.from_numpy(saved["scpo", seed]["x"]).double()[:, None])[:, 0]
        np.testing.assert_allclose(saved["scpo", seed]["pi"][1], wanted, atol=1e-5)


def test_kept_weights_give_the_same_closed_loops(trained: Path) -> None:
    policy = ResidualPolicy((2, 6, 3, 1), "tanh", backup=backup_module(), anchored=True)
    theta = save(trained / "double-integrator/scpo-mixed/seed-0", policy)
    policies.main(trained, "double-integrator", trained / "double-integrator/policies.npz")
    kept = policies.read(trained, "double-integrator")["scpo-mixed", 0]
    ParameterVector(policy, policy.parameters()).write(theta[2])
    starts = np.array([[-3.0, 1.0], [2.0, -0.5]])
    wanted = rollout_policy(policy, torch.from_numpy(starts), 10)
    states, inputs = rollout(kept["theta"][2], (2, 6, 3, 1), -backup_module().weight.numpy(), starts, 10)
    np.testing.assert_allclose(states, wanted.states[0], atol=1e-12)
    np.testing.assert_allclose(inputs, wanted.inputs[0, ..., 0], atol=1e-12)


def rollout(
    theta: np.ndarray, widths: tuple[int, ...], gain: np.ndarray, starts: np.ndarray, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return states (T + 1, S, 2) and inputs (T, S) of u = -K x + phi(x) - phi(0): NumPy and the kept weights alone."""

    def network(x: np.ndarray) -> np.ndarray:
        at = 0
        for layer, (before, after) in enumerate(itertools.pairwise(widths)):
            weight = theta[at : at + before * after].reshape(before, after)
            at += before * after
            x = x @ weight + theta[at : at + after]
            at += after
            x = np.tanh(x) if layer + 2 < len(widths) else x
        return x[:, 0]

    states, inputs = [starts], []
    for _ in range(steps):
        x = states[-1]
        inputs.append(-x @ gain.reshape(-1) + network(x) - network(np.zeros((1, 2))))
        states.append(np.column_stack([x[:, 0] + x[:, 1], x[:, 1] + inputs[-1]]))
    return np.stack(states), np.stack(inputs)


def test_weights_of_another_network_are_refused(trained: Path) -> None:
    save(trained / "double-integrator/scpo-mixed/seed-0", ResidualPolicy((2, 6, 4, 1), "tanh"))
    with pytest.raises(ResultError, match=r"seed-0/weights\.npz: not the weights of a policy with hidden widths"):
        policies.main(trained, "double-integrator", trained / "out.npz")
    for seed in range(policies.SEEDS):
        save(trained / f"regression/scpo/seed-{seed}", ResidualPolicy((1, 5, 1), "relu"))
    with pytest.raises(ResultError, match=r"not the weights of a policy"):
        policies.main(trained, "regression", trained / "out.npz")


def test_an_experiment_that_keeps_none_is_refused(trained: Path) -> None:
    with pytest.raises((ConfigurationError, ResultError), match="other"):
        policies.main(trained, "other", trained / "out.npz")


@pytest.mark.parametrize("experiment", ["regression", "double-integrator"])
def test_shipped_policies_are_those_of_the_shipped_runs(experiment: str) -> None:
    shipped = REPOSITORY / "shipped/results/study"
    kept = policies.chosen(read_section(shipped, experiment), experiment)
    joined = policies.read(shipped, experiment)
    assert kept
    assert joined.keys() == set(kept)
    bank = Bank(shipped)
    for arm in {arm for arm, _ in kept}:
        for key, contents in bank.read(experiment, arm):
            if (arm, key.seed) in joined:
                own = np.load(BytesIO(contents["policies.npz"]))
                assert set(own.files) == joined[arm, key.seed].keys()
                for name, array in joined[arm, key.seed].items():
                    np.testing.assert_array_equal(array, own[name])
