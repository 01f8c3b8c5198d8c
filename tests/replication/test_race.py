"""A race: settings that were unsafe once get no further seeds."""

import pytest

from replication import scales
from replication.results import arms_table
from replication.training import race

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


def test_the_runs_are_ordered_by_seed_and_know_their_settings(scale):
    config = scales.load_scale(scale, ["regression.arms.scpo.seeds=1"])
    found = list(race.entries(config))
    assert [(one.arm, one.seed) for one in found] == [
        ("scpo", 10000),
        ("unconstrained", 10000),
        ("unconstrained", 10001),
    ]
    assert found[0].settings != found[1].settings == found[2].settings


@pytest.mark.slow
def test_settings_that_were_unsafe_get_no_further_seeds(scale, tmp_path, capsys):
    results = tmp_path / "results"
    race.main(scale, [], results, jobs=1)
    finished = {path.parent.relative_to(results / "regression").as_posix() for path in results.rglob("run.json")}
    assert finished == {"unconstrained/seed-10000", "scpo/seed-10000", "scpo/seed-10001"}
    assert "UNSAFE" in capsys.readouterr().err
    rows = arms_table.text(scales.load_scale(scale), results).splitlines()
    unconstrained, scpo = (
        next(row.split() for row in rows if row.startswith(f"regression/{arm} ")) for arm in ("unconstrained", "scpo")
    )
    assert unconstrained[1:4] == ["1/2", "1", "1.000"]
    assert scpo[1:5] == ["2/2", "0", "0.776", "0"]
    stamps = {path: path.stat().st_mtime_ns for path in results.rglob("run.stamp.json")}
    race.main(scale, [], results, jobs=1, every=True)
    assert (results / "regression/unconstrained/seed-10001/run.json").is_file()
    assert all(path.stat().st_mtime_ns == time for path, time in stamps.items())
