"""Training runs: the same from run to run, resumable, comparable between methods, complete on disk."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import scpo.proposals
from replication import files, scales
from replication.cli import main
from replication.config import Config, load
from replication.errors import ResultError
from replication.provenance import stamp
from replication.training import checkpoint as checkpoints
from replication.training import datasets, train
from scpo.errors import ConfigurationError, NonFiniteError, SolverError

PROJECT = Path(__file__).parents[2]
SCHEDULE = {"epochs": 12, "updates_per_epoch": 2, "batch_size": 32, "evaluate_every": 5, "checkpoint_every": 4}
SMALL = {
    "regression": {
        "hidden": [8, 8],
        "grid_size": 20,
        "heldout": 200,
        "schedule": SCHEDULE,
        "scpo": {"directions": {"count": 8}},
        "datasets": {"normal": {"size": 128}, "uniform": {"inputs": "uniform", "size": 128}},
        "arms": {
            "scpo": {"method": "scpo", "dataset": "normal"},
            "scpo-verified": {"method": "scpo", "dataset": "normal", "overrides": {"scpo": {"verify": True}}},
            "scpo-proven": {
                "method": "scpo",
                "dataset": "normal",
                "overrides": {
                    "hidden": [8],
                    "activation": "tanh",
                    "scpo": {"smoothness": {"kind": "proven", "max_radius": 0.2}},
                },
            },
            "backtracking": {"method": "backtracking", "dataset": "normal"},
            "unconstrained": {"method": "unconstrained", "dataset": "normal"},
            "unconstrained-uniform": {"method": "unconstrained", "dataset": "uniform"},
        },
    },
    "double_integrator": {
        "starts": 16,
        "horizon": 20,
        "hidden": [8],
        "heldout": 1000,
        "schedule": SCHEDULE,
        "scpo": {"directions": {"count": 8}},
        "datasets": {name: {"scenario": name, "size": 64} for name in ("cooperative", "mixed", "hostile")},
    },
}
CONFIG = Config.model_validate(SMALL)
TABLES = ("updates.parquet", "series.parquet", "evaluations.parquet")
DETERMINISTIC = (*TABLES, "weights.npz", "final.safetensors", "run.json")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for experiment, dataset in (("regression", "normal"), ("double-integrator", "mixed")):
        datasets.main(CONFIG, experiment, dataset, 3, folder / f"{experiment}-{dataset}.npz")
    return folder


CASES = [
    ("regression", "normal", "scpo"),
    ("regression", "normal", "scpo-verified"),
    ("regression", "normal", "scpo-proven"),
    ("regression", "normal", "unconstrained"),
    ("regression", "normal", "backtracking"),
    ("double-integrator", "mixed", "scpo-mixed"),
    ("double-integrator", "mixed", "unconstrained-mixed"),
]


def run(folder, experiment, dataset, arm, name, checkpoint=None):
    out = folder / name
    train.run_from_files(CONFIG, experiment, arm, 3, folder / f"{experiment}-{dataset}.npz", out, checkpoint)
    return out


@pytest.mark.parametrize(("experiment", "dataset", "arm"), CASES)
def test_same_run_twice_and_resumed_run_give_identical_files(prepared, monkeypatch, experiment, dataset, arm):
    whole = run(prepared, experiment, dataset, arm, f"{arm}-whole")
    again = run(prepared, experiment, dataset, arm, f"{arm}-again")
    checkpoint = prepared / f"{arm}-checkpoint"

    def interrupt(*arguments):
        original(*arguments)
        if arguments[2] == 13:  # after the checkpoint at update 8
            raise KeyboardInterrupt

    original = train.Records.add
    monkeypatch.setattr(train.Records, "add", lambda self, info, update, *rest: interrupt(self, info, update, *rest))
    with pytest.raises(KeyboardInterrupt):
        run(prepared, experiment, dataset, arm, f"{arm}-resumed", checkpoint)
    assert (checkpoint / "state.pt").exists()
    assert not (prepared / f"{arm}-resumed").exists()
    monkeypatch.setattr(train.Records, "add", original)
    resumed = run(prepared, experiment, dataset, arm, f"{arm}-resumed", checkpoint)
    assert not checkpoint.exists()
    assert json.loads((resumed / "run.timing.json").read_text())["resumed"]
    for name in DETERMINISTIC:
        assert (whole / name).read_bytes() == (again / name).read_bytes(), name
        assert (whole / name).read_bytes() == (resumed / name).read_bytes(), name


def test_records_are_complete_and_consistent(prepared):
    out = run(prepared, "regression", "normal", "scpo", "records")
    updates, summary = pd.read_parquet(out / "updates.parquet"), files.read_json(out / "run.json")
    assert updates["update"].tolist() == list(range(25))
    assert updates["epoch"].iloc[-1] == 12.0
    assert updates["loss"].iloc[0] == updates["loss"].iloc[1]
    assert (updates["unsafe_iterate"] == (updates["max_g"] > 0)).all()
    assert summary["max_g"] == updates["max_g"].max()
    assert summary["updates"] == 24
    assert summary["rollouts"] == updates["rollouts"].iloc[-1]
    assert (updates["rollouts"].diff() > updates["directions"])[1:].all()  # a probe for each, and the step
    evaluations = pd.read_parquet(out / "evaluations.parquet")
    assert evaluations["update"].tolist() == [0, 10, 20, 24]
    assert evaluations[["rejected_share", "clean_rejected_share"]].iloc[0].isna().all()
    assert not {"update", "epoch", "rejected_share"} & summary["final"].keys()
    assert summary["median_step"] == updates["step_norm"].iloc[1:].median()
    assert summary["largest_required"] == updates["required_max"].max()
    weights = files.read_npz(out / "weights.npz")
    assert weights["updates"].tolist() == [0, 10, 20, 24]
    sizes = [int(np.prod([side for side in shape if side])) for shape in weights["shapes"]]
    assert weights["theta"].shape == (4, sum(sizes))
    stamped = files.read_json(out / "run.stamp.json")
    assert stamped["outputs"][(out / "updates.parquet").as_posix()] == files.sha256(out / "updates.parquet")
    assert stamped["code_sha256"]
    assert set(stamped["versions"]) == set(stamp.versions())


def test_methods_share_start_data_and_batches(prepared):
    first = files.read_npz(run(prepared, "regression", "normal", "scpo", "share-a") / "weights.npz")
    second_out = run(prepared, "regression", "normal", "unconstrained", "share-b")
    second = files.read_npz(second_out / "weights.npz")
    np.testing.assert_array_equal(first["theta"][0], second["theta"][0])
    losses = [pd.read_parquet(prepared / name / "updates.parquet")["loss"][1] for name in ("share-a", "share-b")]
    assert losses[0] == losses[1]
    assert not np.array_equal(first["theta"][-1], second["theta"][-1])


def test_the_unconstrained_step_rejects_nothing(prepared):
    out = run(prepared, "double-integrator", "mixed", "unconstrained-mixed", "rejects-nothing")
    found = pd.read_parquet(out / "evaluations.parquet")["rejected_share"].iloc[1:].dropna()
    assert len(found) > 0
    assert (found == 0.0).all()


def test_proven_constants_hold(prepared):
    out = run(prepared, "regression", "normal", "scpo-proven", "proven")
    updates = pd.read_parquet(out / "updates.parquet")
    assert (updates["bound_misses"] == 0).all() and not updates["unsafe_iterate"].any()
    assert (updates["required_max"].iloc[1:].dropna() <= updates["smoothness_max"].iloc[1:].min()).all()


def test_checkpoint_of_other_settings_or_damaged_is_not_used(prepared, capsys):
    checkpoint = prepared / "foreign"
    checkpoint.mkdir()
    (checkpoint / "state.pt").write_bytes(checkpoints.sealed({"fingerprint": "another"}))
    run(prepared, "regression", "normal", "unconstrained", "foreign-run", checkpoint)
    assert "other settings" in capsys.readouterr().err
    checkpoint.mkdir()
    changed = bytearray(checkpoints.sealed({"fingerprint": "another"}))
    changed[-40] ^= 1
    for damaged in (b"", b"half a file", bytes(changed)):
        checkpoint.mkdir(exist_ok=True)
        (checkpoint / "state.pt").write_bytes(damaged)
        out = run(prepared, "regression", "normal", "unconstrained", "damaged-run", checkpoint)
        assert "damaged checkpoint" in capsys.readouterr().err
        assert not files.read_json(out / "run.timing.json")["resumed"]


def test_a_loss_of_scpo_that_is_not_finite_is_a_typed_error_and_leaves_no_results(prepared):
    arrays = files.read_npz(prepared / "regression-normal.npz")
    files.write_npz(prepared / "huge.npz", **arrays | {"labels": arrays["labels"] * 1e200})
    with pytest.raises(NonFiniteError, match=r"the loss is inf; lower the learning rate"):
        train.run_from_files(CONFIG, "regression", "scpo", 3, prepared / "huge.npz", prepared / "broken")
    assert not (prepared / "broken").exists()


def test_unknown_names_and_missing_files_say_what_there_is(prepared):
    with pytest.raises(ConfigurationError, match="unconstrained-uniform"):
        run(prepared, "regression", "normal", "no-such-arm", "none")
    with pytest.raises(ConfigurationError, match="regression"):
        datasets.main(CONFIG, "no-such-experiment", "normal", 1, prepared / "x.npz")
    with pytest.raises(ConfigurationError, match="uniform"):
        datasets.main(CONFIG, "regression", "no-such-data", 1, prepared / "x.npz")
    with pytest.raises(ResultError, match="no such file"):
        train.run_from_files(CONFIG, "regression", "scpo", 3, prepared / "missing.npz", prepared / "none")


def test_settings_edited_after_planning_are_refused(prepared, capsys):
    options = ["--experiment=regression", "--dataset=normal", "--seed=0", f"--out={prepared / 'late.npz'}"]
    scale = ["--scale-file", str(PROJECT / "config/smoke.yaml")]
    planned = scales.digest(scales.for_dataset(load(PROJECT / "config/smoke.yaml"), "regression", "normal"))
    assert main(["dataset", *scale, "--set=regression.heldout=600", *options, "--planned", planned]) == 2
    assert "changed after this job was planned" in capsys.readouterr().err
    assert not (prepared / "late.npz").exists()
    assert main(["dataset", *scale, "--set=regression.bound=9 regression.arms.scpo.seeds=7", *options]) == 0
    assert (prepared / "late.npz").exists()


def test_an_unsolved_update_is_counted_and_training_goes_on(prepared, monkeypatch):
    solve, calls = scpo.proposals.project_onto, []

    def fails_once(*arguments, **options):
        calls.append(1)
        if len(calls) == 3:
            raise SolverError("planted")
        return solve(*arguments, **options)

    monkeypatch.setattr("scpo.proposals.project_onto", fails_once)
    out = run(prepared, "regression", "normal", "scpo", "unsolved")
    updates, summary = pd.read_parquet(out / "updates.parquet"), files.read_json(out / "run.json")
    assert summary["solver_failures"] == 1
    assert updates["update"].tolist() == list(range(25))
    failed = updates[updates["solver_failures"] == 1]
    assert failed["update"].tolist() == [3]
    assert failed["step_norm"].tolist() == [0.0]
    assert failed["max_g"].tolist() == [updates["max_g"][2]]
    assert updates["step_norm"][4] > 0


@pytest.mark.filterwarnings("ignore:no solver reached")
def test_an_update_at_an_unproven_point_is_counted_with_the_unsolved_ones(prepared, monkeypatch):
    """Its step is the usual one here, and it has no column of its own."""
    solve, calls = scpo.proposals.project_onto, []

    def unproven_once(*arguments, **options):
        calls.append(1)
        if len(calls) == 3:
            error = SolverError("planted")
            error.best = solve(*arguments, **options)
            raise error
        return solve(*arguments, **options)

    usual = pd.read_parquet(run(prepared, "regression", "normal", "scpo", "usual") / "updates.parquet")
    monkeypatch.setattr("scpo.proposals.project_onto", unproven_once)
    out = run(prepared, "regression", "normal", "scpo", "unproven")
    updates = pd.read_parquet(out / "updates.parquet")
    assert files.read_json(out / "run.json")["solver_failures"] == 1
    assert updates["update"][updates["solver_failures"] == 1].tolist() == [3]
    updates["solver_failures"] = 0
    pd.testing.assert_frame_equal(updates, usual)


@pytest.mark.parametrize(("experiment", "dataset", "arm"), [CASES[0], CASES[3], CASES[5]])
def test_nominal_steps_are_rolled_out_without_a_trace(prepared, experiment, dataset, arm):
    """Evaluations at every epoch, with a rollout at theta + p each, leave training as it is with few of them."""
    often = SMALL[experiment.replace("-", "_")] | {"schedule": SCHEDULE | {"evaluate_every": 1}}
    config, data = Config.model_validate(SMALL | {experiment.replace("-", "_"): often}), prepared / "x"
    train.run_from_files(config, experiment, arm, 3, prepared / f"{experiment}-{dataset}.npz", data / arm)
    seldom = run(prepared, experiment, dataset, arm, f"{arm}-seldom")
    pd.testing.assert_frame_equal(*(pd.read_parquet(out / "updates.parquet") for out in (data / arm, seldom)))
    evaluations, summary = pd.read_parquet(data / arm / "evaluations.parquet"), files.read_json(data / arm / "run.json")
    worst, taken = evaluations["nominal_max_g"].iloc[1:], evaluations["nominal_taken"].iloc[1:]
    assert (summary["nominal_checked"], summary["nominal_unsafe"]) == (12, int((worst > 0).sum()))
    assert summary["nominal_unsafe_taken"] == int((taken[worst > 0] == 1.0).sum())
    updates = pd.read_parquet(data / arm / "updates.parquet").set_index("update")["max_g"]
    for update, nominal, whole in zip(evaluations["update"].iloc[1:], worst, taken, strict=True):
        if whole:  # the nominal step was taken, so the iterate is the policy that was rolled out
            assert nominal == pytest.approx(updates[update], abs=1e-12)
    assert taken.all() == (arm == "unconstrained")


def test_a_baseline_that_diverges_ends_there_and_says_so(prepared):
    """A fixed penalty of such a weight overshoots: the constraint values grow until they are not finite."""
    overrides = {"baselines": {"charge": {"weight": 1e300}}, "schedule": SCHEDULE | {"epochs": 100}}
    arm = {"method": "penalty", "dataset": "normal", "overrides": overrides}
    config = Config.model_validate({"regression": SMALL["regression"] | {"arms": {"penalty": arm}}})
    out = prepared / "diverged"
    train.run_from_files(config, "regression", "penalty", 3, prepared / "regression-normal.npz", out)
    updates, summary = pd.read_parquet(out / "updates.parquet"), files.read_json(out / "run.json")
    assert summary["diverged_update"] == summary["updates"] + 1 == len(updates) < 200
    assert summary["unsafe_iterates"] > 0
    assert np.isfinite(updates["max_g"]).all()
    assert pd.read_parquet(out / "evaluations.parquet")["update"].iloc[-1] == summary["updates"]
