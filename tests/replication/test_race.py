"""A race: settings that were unsafe once get no further seeds."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from replication import bank, budget, documents, files, scales
from replication.errors import ResultError
from replication.experiments import arms
from replication.study import race
from scpo.errors import ConfigurationError, NonFiniteError
from scpo.optimizer import SafeOptimizer

SCALE = """
scale: tuning
only_stated: true
regression:
  hidden: [8]
  heldout: 50
  grid_size: 10
  datasets: {normal: {size: 64}}
  optimizer: {learning_rate: 1.0}
  schedule: {epochs: 8, batch_size: 16, evaluate_every: 4}
  scpo: {directions: {count: 8, recycled: 2}}
  arms:
    unconstrained: {seeds: 2, first_seed: 10000}
    scpo: {seeds: 2, first_seed: 10000}
"""


@pytest.fixture
def scale(tmp_path):
    path = tmp_path / "tuning.yaml"
    path.write_text(SCALE)
    return path


@pytest.fixture
def study(tmp_path):
    """Return the same scale with seeds that are reported: its bank keeps whole runs, judged."""
    path = tmp_path / "study.yaml"
    path.write_text(SCALE.replace("scale: tuning", "scale: study").replace("10000", "20002"))
    return path


def test_the_runs_are_ordered_by_seed(scale):
    config = scales.load_scale(scale, ["regression.arms.scpo.seeds=1"])
    assert [(key.arm, key.seed) for key in bank.runs_of(config)] == [
        ("scpo", 10000),
        ("unconstrained", 10000),
        ("unconstrained", 10001),
    ]


def test_a_part_has_the_arms_and_the_first_seeds_that_are_named(scale):
    config = scales.load_scale(scale)
    wanted = bank.runs_of(config)
    assert list(race.Part().of(config, wanted)) == list(wanted)
    found = race.Part(("regression/scpo",), 1).of(config, wanted)
    assert found == {key: wanted[key] for key in (bank.Key("regression", "scpo", 10000),)}
    with pytest.raises(ConfigurationError, match="did you mean regression/scpo"):
        race.Part(("regression/scop",)).of(config, wanted)
    with pytest.raises(ConfigurationError, match="1 or more"):
        race.Part(seeds=0).of(config, wanted)


@pytest.mark.slow
def test_settings_that_were_unsafe_get_no_further_seeds(scale, tmp_path, capsys):
    results = tmp_path / "results"
    race.main(scale, [], results, 1, racing=True)
    finished = {path.parent.relative_to(results / "regression").as_posix() for path in results.rglob("run.json")}
    assert finished == {"unconstrained/seed-10000", "scpo/seed-10000", "scpo/seed-10001"}
    assert "UNSAFE" in capsys.readouterr().err
    rows = arms.text(scales.load_scale(scale), results).splitlines()
    path = results / "regression/unconstrained/seed-10000/run.json"
    text = path.read_text()
    diverged = json.loads(text)
    diverged["final"] |= {"heldout_max_g": None, "heldout_unsafe": None}
    path.write_text(json.dumps(diverged))
    assert "not finite" in next(
        row for row in arms.text(scales.load_scale(scale), results).splitlines() if "/unconstrained " in row
    )
    path.write_text(text)
    unconstrained, scpo = (
        next(row.split() for row in rows if row.startswith(f"regression/{arm} ")) for arm in ("unconstrained", "scpo")
    )
    assert unconstrained[1:4] == ["1/2", "1", "100.0"]
    assert scpo[1:6] == ["2/2", "0", "77.6", "%", "0"]
    stamps = {path: path.stat().st_mtime_ns for path in results.rglob("run.stamp.json")}
    race.main(scale, [], results, 1, racing=True)
    assert all(path.stat().st_mtime_ns == time for path, time in stamps.items())
    assert not (results / "regression/unconstrained/seed-10001").exists()
    # with a bank, the records of these runs are kept, and say which settings were unsafe
    race.main(scale, [], results, 1, tmp_path / "bank", racing=True)
    assert not list(results.rglob("run.json"))
    race.main(scale, [], results, 1, tmp_path / "bank", racing=True)
    assert not list(results.rglob("run.json"))
    held = bank.Bank(tmp_path / "bank")
    assert [(key.arm, key.seed) for key in held.runs()] == [("scpo", 10000), ("scpo", 10001), ("unconstrained", 10000)]
    assert set(dict(held.read("regression", "scpo"))[held.runs()[0]]) == set(bank.RECORD)


@pytest.mark.slow
def test_what_is_banked_is_not_run_again(study, tmp_path, monkeypatch):
    results, folder = tmp_path / "results", tmp_path / "bank"
    race.main(study, ["regression.arms.unconstrained=null"], results, 1, folder)
    assert not list(results.rglob("run.json"))  # they have moved
    wanted = bank.runs_of(scales.load_scale(study))
    found = bank.Bank(folder)
    assert [key.arm for key, digest in wanted.items() if found.holds(key, digest)] == ["scpo", "scpo"]
    found.restore(bank.Key("regression", "scpo", 20002), tmp_path / "restored")
    assert {path.name for path in (tmp_path / "restored").iterdir()} == {
        *bank.KEPT,
        "curve.parquet",
        "referee.json",
        "policies.npz",
    }
    judged = documents.read(tmp_path / "restored" / "referee.json", documents.Refereed).arms
    assert [(one.arm, one.runs, one.recomputed) for one in judged] == [("scpo", 1, 0)]
    race.main(study, [], results, 1, folder)  # the second seed of the unsafe arm as well: this is no race
    assert not (results / "regression/scpo/seed-20002").exists()
    assert len(bank.Bank(folder).runs()) == 4
    left = budget.loads(scales.load_scale(study), results, folder)
    assert [load.runs for load in left] == [0, 0]
    changed = scales.load_scale(study, ["regression.scpo.kappa=0.5"])
    assert [load.runs for load in budget.loads(changed, None, folder)] == [2, 2]
    shard = next(folder.rglob("seeds-20000-20024.parquet"))
    shard.write_bytes(shard.read_bytes() + b" ")
    with pytest.raises(ResultError, match="missing or altered"):
        list(bank.Bank(folder).read("regression", shard.parent.name))


@pytest.mark.slow
def test_a_run_that_the_referee_did_not_pass_is_not_banked(study, tmp_path, monkeypatch):
    changes = ["regression.arms.unconstrained=null", "regression.arms.scpo.seeds=1"]
    results, folder, key = tmp_path / "results", tmp_path / "bank", bank.Key("regression", "scpo", 20002)
    race.run(study, changes, key, results)
    config = scales.load_scale(study, changes)
    race._prepare(config, results)
    assert bank.Bank(folder).collect(results, bank.runs_of(config)) == []  # trained, and killed before it was judged
    good = (results / key.folder / "weights.npz").read_bytes()
    arrays = files.read_npz(results / key.folder / "weights.npz")
    files.write_npz(results / key.folder / "weights.npz", **(arrays | {"theta": arrays["theta"] + 1e-3}))
    with pytest.raises(ResultError, match="referee: "):
        race.run(study, changes, key, results, judged=True)
    assert bank.Bank(folder).collect(results, bank.runs_of(config)) == []
    (results / key.folder / "weights.npz").write_bytes(good)
    stamp = (results / key.folder / "run.stamp.json").stat().st_mtime_ns
    race.run(study, changes, key, results, judged=True)  # judged, and not trained again
    assert (results / key.folder / "run.stamp.json").stat().st_mtime_ns == stamp
    assert bank.Bank(folder).collect(results, bank.runs_of(config)) == [key]


def test_a_run_without_the_rows_of_its_updates_is_made_anew(study, tmp_path, monkeypatch):
    key, trained = bank.Key("regression", "scpo", 20002), []
    monkeypatch.setattr("replication.study.race.is_finished", lambda *arguments: True)
    monkeypatch.setattr("replication.training.train.run_from_files", lambda *arguments, **options: trained.append(1))
    race.run(study, [], key, tmp_path)
    assert len(trained) == 1
    files.write_bytes(tmp_path / key.folder / "updates.parquet", b"")
    race.run(study, [], key, tmp_path)
    assert len(trained) == 1


def test_a_run_that_fails_is_repeated_once_and_then_counts_as_unsafe(study, tmp_path, monkeypatch):
    changes = ["regression.arms.unconstrained=null", "regression.arms.scpo.seeds=1"]
    key, step, calls = bank.Key("regression", "scpo", 20002), SafeOptimizer.step, []

    def fails_once(self):
        calls.append("step")
        if len(calls) == 5:
            raise NonFiniteError("the constraint is not finite")
        return step(self)

    def fails(self):
        return fails_always(self) if self.evaluate.rollouts > 40 else step(self)

    def fails_always(self):
        raise NonFiniteError("the constraint is not finite")

    monkeypatch.setattr(SafeOptimizer, "step", fails_once)
    race.run(study, changes, key, tmp_path / "once", judged=False)
    whole = documents.read(tmp_path / "once" / key.folder / "run.json", documents.RunSummary)
    assert not whole.failed and not whole.unsafe
    monkeypatch.setattr(SafeOptimizer, "step", fails)
    results = tmp_path / "always"
    race._prepare(scales.load_scale(study, changes), results)
    race.run(study, changes, key, results, judged=True)  # the referee agrees with the records up to there
    ended = documents.read(results / key.folder / "run.json", documents.RunSummary)
    assert ended.failed and ended.unsafe and ended.unsafe_iterates == 0 and 0 < ended.updates < whole.updates
    assert "once more, from the checkpoint" in (results / key.folder).with_suffix(".log").read_text()
    monkeypatch.setattr(SafeOptimizer, "step", fails_always)
    with pytest.raises(NonFiniteError):  # there is no run to count
        race.run(study, changes, key, tmp_path / "at once")


def test_data_of_other_settings_are_drawn_anew(study, tmp_path, monkeypatch):
    monkeypatch.setattr("replication.training.train.run_from_files", lambda *arguments, **options: None)
    data = tmp_path / "regression/data/normal/seed-20002.npz"
    for changes, size in (([], 64), (["regression.datasets.normal.size=32"], 32)):
        race.run(study, changes, bank.Key("regression", "scpo", 20002), tmp_path)
        assert {len(array) for array in files.read_npz(data).values()} >= {size}
    before = data.stat().st_mtime_ns
    race.run(study, changes, bank.Key("regression", "scpo", 20002), tmp_path)
    assert data.stat().st_mtime_ns == before


def test_a_run_that_is_made_anew_is_judged_anew(study, tmp_path, monkeypatch):
    monkeypatch.setattr("replication.training.train.run_from_files", lambda *arguments, **options: None)
    key = bank.Key("regression", "scpo", 20002)
    files.write_json(tmp_path / key.folder / bank.JUDGED, {})
    race.run(study, [], key, tmp_path)  # killed before it is judged
    assert not (tmp_path / key.folder / bank.JUDGED).exists()


POOL = """
import multiprocessing, os, time
from concurrent.futures import ProcessPoolExecutor
from replication.study.race import _end_with_parent
if __name__ == "__main__":
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, initializer=_end_with_parent) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        time.sleep(60)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_no_worker_outlives_a_study_that_is_killed(tmp_path):
    (tmp_path / "pool.py").write_text(POOL)
    with subprocess.Popen([sys.executable, str(tmp_path / "pool.py")], stdout=subprocess.PIPE, text=True) as study:
        worker = int(study.stdout.readline())
        assert Path(f"/proc/{worker}").exists()
        os.kill(study.pid, signal.SIGKILL)
    until = time.monotonic() + 60
    while Path(f"/proc/{worker}").exists() and time.monotonic() < until:
        time.sleep(0.1)
    assert not Path(f"/proc/{worker}").exists()
