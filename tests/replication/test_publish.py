"""A bank becomes shipped results: what is restored of it is what the report reads, for the seeds that are there."""

import json
import shutil

import numpy as np
import pytest

from replication import bank, files, scales
from replication.config import dump
from replication.errors import ResultError
from replication.experiments import quantities
from replication.planted_faults import run as planted
from replication.results import inventory
from replication.results.inventory import BENCHMARKS
from replication.results.read import read_config
from replication.shipped import ship
from replication.study import given, publish, race
from tests.replication import synthetic_falsification

pytestmark = pytest.mark.slow

SCALE = """
scale: small
only_stated: true
regression:
  hidden: [8]
  heldout: 200
  grid_size: 20
  datasets: {normal: {size: 64}}
  schedule: {epochs: 4, updates_per_epoch: 2, batch_size: 16, evaluate_every: 2, audited_share: 0.5}
  scpo: {directions: {count: 4, recycled: 2}}
  arms:
    scpo: {seeds: 3, first_seed: 20002}
    unconstrained: {seeds: 1, first_seed: 20002}
double_integrator:
  starts: 16
  hidden: [8]
  heldout: 1000
  datasets: {mixed: {scenario: mixed, size: 64}}
  schedule: {epochs: 2, updates_per_epoch: 2, batch_size: 16, evaluate_every: 1}
  certificate: {cells: 40, cells_over_training: 20, iterates: 2, seeds: 1}
  arms:
    scpo-mixed: {seeds: 1, first_seed: 20002}
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A scale of which one run is missing in the bank, and the folders of bank and results."""
    folder = tmp_path_factory.mktemp("study")
    scale, results, out = folder / "small.yaml", folder / "results" / "small", folder / "bank"
    scale.write_text(SCALE)
    race.main(scale, ["regression.arms.scpo.seeds=2"], results, 1, out)
    return scale, results, out


@pytest.mark.slow
def test_the_bank_is_restored_as_the_results_of_a_scale(study, tmp_path, monkeypatch):
    scale, results, out = study

    def without_planting(_, path):
        synthetic_falsification.write(path.parent)
        files.write_json(path.with_suffix(".stamp.json"), {})

    monkeypatch.setattr(planted, "main", without_planting)
    (out / BENCHMARKS).write_text('{"ratios": {}}')  # measured elsewhere, and kept
    publish.main(scale, results, out, race.REFEREE)
    restored = tmp_path / "results" / "shipped" / "small"
    ship.restore(out, restored)
    names = {path.relative_to(restored).as_posix() for path in restored.rglob("*") if path.is_file()}
    assert names | {BENCHMARKS} == set(ship.restored_names(out))
    assert (restored.parent / BENCHMARKS).read_text() == '{"ratios": {}}'
    config = read_config(restored)
    assert {arm: one.seeds for arm, one in config.regression.arms.items()} == {"scpo": 2, "unconstrained": 1}
    assert json.loads((restored / publish.PLANNED).read_text())["seeds"]["regression/scpo"] == 3
    assert set(inventory.files_of(config)) <= names
    assert (restored / "double-integrator/scpo-mixed/seed-20002/certificate.stamp.json").is_file()
    table = quantities.collect(restored)
    assert [table.value("", "", name) for name in ("finished-runs", "planned-runs")] == [4.0, 5.0]
    assert table.values("regression", "scpo", "unsafe-iterates").to_dict() == {20002: 0.0, 20003: 0.0}
    assert files.read_json(restored / "referee.json")["arms"][0]["arm"] == "scpo-mixed"
    assert (restored / "regression/policies.npz").is_file()


@pytest.fixture(scope="module")
def restored(study, tmp_path_factory):
    """Settings and runs of the bank, and results that hold the runs, the references and what the runs were given."""
    from replication.experiments.double_integrator import references

    scale, _, out = study
    results = tmp_path_factory.mktemp("restored") / "small"
    kept = bank.Bank(out)
    config = publish.held_of(scales.load_scale(scale), kept)
    files.write_text(results / "config.json", dump(config))
    for key in kept.runs():
        kept.restore(key, results / key.folder)
    references.main(results / "config.json", results / "double-integrator/references.json")
    given.judge(config, results, kept.runs(), race.REFEREE)
    return config, results, kept.runs()


def test_what_banked_runs_were_given_is_made_again_and_judged(restored):
    _, results, _ = restored
    assert len(list(results.glob("*/data/*/seed-*.npz"))) == 3
    assert (results / "double-integrator/scpo-mixed/seed-20002/starts.parquet").is_file()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("regression/data/normal/seed-20002.npz", "not the file that the run regression/"),
        ("double-integrator/scpo-mixed/seed-20002/starts.parquet", "not the file that the run double-integrator/"),
        ("double-integrator/scpo-mixed/seed-20002/certificate.json", "area is that of the cells"),
        ("double-integrator/references.npz", "held-out starts"),
    ],
)
def test_runs_that_were_given_something_else_are_not_published(restored, tmp_path, name, reason):
    config, honest, runs = restored
    results = shutil.copytree(honest, tmp_path / "small")
    path = results / name
    if path.suffix == ".json":
        content = files.read_json(path)
        content["final"]["area"] += 1
        files.write_json(path, content)
    elif path.suffix == ".npz":
        arrays = files.read_npz(path)
        changed = {"heldout_starts": arrays["heldout_starts"] / 2} if "heldout_starts" in arrays else {}
        files.write_npz(path, **arrays | changed, more=np.zeros(1))
    else:
        path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ResultError, match=reason):
        given.judge(config, results, runs, race.REFEREE)


def test_certificates_without_a_banked_stamp_get_one_each_time(tmp_path):
    key = bank.Key("double-integrator", "scpo-mixed", 20002)
    for name in (
        "config.json",
        *(f"{key.folder}/{name}" for name in ("certificate.json", "certificate.npz", "final.safetensors")),
    ):
        files.write_text(tmp_path / name, name)
    name = f"{key.folder}/certificate.stamp.json"
    assert [publish._stamps(tmp_path, [key], set()) for _ in range(2)] == [[name], [name]]
    assert publish._stamps(tmp_path, [key], {name}) == []


def test_a_bank_without_a_run_of_the_scale_is_refused(study, tmp_path):
    scale, _, out = study
    with pytest.raises(ResultError, match="holds no run"):
        publish.held_of(scales.load_scale(scale, ["base_seed=1"]), bank.Bank(out))
