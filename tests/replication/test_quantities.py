"""The table of quantities: declared once, computed once, read by name."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from replication.cli import main
from replication.errors import ResultError
from replication.experiments import arms, overview, quantities
from replication.provenance import stamp
from replication.results import quantities as table
from replication.results.quantities import Table, of_rows
from replication.results.read import read_arm, read_config
from replication.results.run_quantities import equal_rollouts, objective_after
from scpo.errors import ConfigurationError, NonFiniteError

from .synthetic_results import small_config, write_results

REGRESSION = "regression"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("made") / "paper"
    config = small_config(epochs=1000, double_integrator=True)
    write_results(results, config)
    ratios = {"update_over_yardstick_regression": 1.5, "update_over_yardstick_double_integrator": 1.5}
    ratios |= {"update_over_gram_regression": 1.9, "update_over_gram_double_integrator": 1.9}
    ratios |= {"literal_over_update": 30.0, "exponent_in_dimension": 0.9}
    (results.parent / "benchmarks.json").write_text(json.dumps({"ratios": ratios}))
    return results


@pytest.fixture(scope="module")
def found(made: Path) -> Table:
    return quantities.collect(made)


def test_every_declared_quantity_has_a_value(found: Table) -> None:
    missing = quantities.QUANTITIES.keys() - set(found.frame["quantity"]) - {one.name for one in quantities.EFFORT}
    unsafe, baselines = {"first-unsafe-update", "heldout-excess"}, {"objective-at-rollouts"}  # these results have none
    assert missing <= unsafe | baselines
    assert set(found.frame["quantity"]) <= quantities.QUANTITIES.keys()


def test_names_and_sentences_are_in_form() -> None:
    for quantity in quantities.QUANTITIES.values():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", quantity.name)
        assert quantity.sentence.endswith("."), quantity.name


def test_values_are_those_of_the_runs(made: Path, found: Table) -> None:
    runs = read_arm(made, REGRESSION, "scpo")
    values = found.values(REGRESSION, "scpo", "unsafe-iterates")
    assert values.to_dict() == {run.seed: run.summary["unsafe_iterates"] for run in runs}
    assert found.statistic(REGRESSION, "scpo", "updates", "sum") == sum(run.summary["updates"] for run in runs)
    assert found.statistic(REGRESSION, "scpo", "updates", "seeds") == 2
    side = [run.evaluations.loc[run.evaluations["epoch"] <= 500, "fresh_loss"].iloc[-1] for run in runs]
    assert found.values(REGRESSION, "scpo", "fresh-loss-at-side").tolist() == side
    assert found.value(REGRESSION, "", "side-epochs") == 500


def test_sizes_of_bound_misses_are_those_of_the_series(made: Path, found: Table) -> None:
    run = read_arm(made, REGRESSION, "scpo")[0]
    assert found.values(REGRESSION, "scpo", "worst-miss")[0] == run.series["worst_miss_high"].max()
    assert not found.has(REGRESSION, "unconstrained", "worst-miss")


def test_the_effort_of_an_arm_is_known_if_all_of_its_runs_state_it(made: Path) -> None:
    paths = [
        made / REGRESSION / "scpo" / f"seed-{run.seed}" / "run.timing.json"
        for run in read_arm(made, REGRESSION, "scpo")
    ]
    timing = {"host": "here", "platform": "Linux", "processor": "x86_64", "seconds": 1.0}
    for path, seconds in zip(paths, (3600.0, 1800.0), strict=True):
        path.write_text(json.dumps(timing | {"processor_seconds": seconds}))
    effort = quantities.effort(made, REGRESSION)
    assert effort.statistic(REGRESSION, "scpo", "processor-seconds", "median") == 2700.0
    assert effort.statistic(REGRESSION, "scpo", "processor-hours", "sum") == 1.5
    assert effort.arms(REGRESSION) == ["scpo"]
    paths[0].write_text(json.dumps(timing))
    assert not quantities.effort(made, REGRESSION).has(REGRESSION, "scpo", "processor-seconds")


def test_the_table_of_arms_shows_the_quantities(made: Path, found: Table) -> None:
    rows = {row.split()[0]: row for row in arms.text(read_config(made), made).splitlines() if "/" in row}
    for arm in found.arms(REGRESSION):
        shown = overview.overview(found, REGRESSION, arms.COLUMNS).loc[arm].tolist()
        del shown[list(arms.COLUMNS).index("largest")]  # run.json knows it only where there was a miss
        assert all(text in rows[f"{REGRESSION}/{arm}"] for text in shown)


def test_the_command_writes_the_same_table_again(made: Path, tmp_path: Path) -> None:
    first, second = made / table.FILE, tmp_path / table.FILE
    for out in (first, second):
        assert main(["quantities", "--results", str(made), "--out", str(out)]) == 0
    assert first.read_bytes() == second.read_bytes()
    assert stamp.changed(first, made) == []
    frame = table.read(made).frame
    assert tuple(frame.columns) == table.COLUMNS
    assert frame["seed"].dtype == np.int64
    pd.testing.assert_frame_equal(frame, quantities.collect(made).frame)


def test_a_table_that_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=r"quantities\.parquet: no such file; make it: replicate quantities"):
        table.read(tmp_path)
    (tmp_path / table.FILE).write_bytes(b"PAR1")
    with pytest.raises(ResultError, match=r"quantities\.parquet: damaged"):
        table.read(tmp_path)


def test_a_missing_run_is_an_error_or_a_gap(made: Path, tmp_path: Path) -> None:
    results = shutil.copytree(made, tmp_path / "paper")
    (results / "regression/scpo/seed-1/run.json").unlink()
    with pytest.raises(ResultError, match=r"scpo/seed-1/run\.json: no such file"):
        quantities.collect(results)
    partial = quantities.collect(results, strict=False)
    with pytest.raises(ResultError, match=r"scpo/seed-1/run\.json: no such file"):
        partial.values(REGRESSION, "scpo", "updates")
    assert len(partial.values(REGRESSION, "unconstrained", "updates")) == 2
    (results / "falsification.json").unlink()
    with pytest.raises(ResultError, match=r"falsification\.json: no such file"):
        quantities.collect(results, strict=False).value("", "", "planted-faults")


@pytest.fixture
def small() -> Table:
    first = [("e", "one", seed, "loss", float(seed)) for seed in (2, 0, 1)]
    second = [("e", "two", seed, "loss", 10.0 * seed) for seed in (1, 2, 3)]
    return of_rows([*first, *second, ("", "", -1, "faults", 7.0)])


def test_arms_are_read_alone_and_together(small: Table) -> None:
    assert small.arms("e") == ["one", "two"]
    assert small.values("e", "one", "loss").to_dict() == {0: 0.0, 1: 1.0, 2: 2.0}
    assert small.statistic("e", "one+two", "loss", "sum") == 63.0
    assert small.pair("e", "one", "loss", "range") == (0.0, 2.0)
    assert small.value("", "", "faults") == 7.0
    assert small.has("e", "one", "loss")
    assert not small.has("e", "three", "loss")


def test_differences_are_taken_over_common_seeds(small: Table) -> None:
    assert small.paired("e", "one", "two", "loss").to_dict() == {1: -9.0, 2: -18.0}
    other = of_rows([("e", "one", 0, "loss", 1.0), ("e", "two", 1, "loss", 1.0)])
    with pytest.raises(ResultError, match="no seed is in both e/one and e/two"):
        other.paired("e", "one", "two", "loss")


def test_what_is_not_there_is_named(small: Table) -> None:
    with pytest.raises(ResultError, match="no value of 'loss' for e/three"):
        small.values("e", "three", "loss")
    with pytest.raises(ResultError, match="has 3 values, not one"):
        small.value("e", "one", "loss")
    with pytest.raises(ConfigurationError, match="no statistic 'average'"):
        small.statistic("e", "one", "loss", "average")
    with pytest.raises(ConfigurationError, match="no statistic 'sum' that is a pair"):
        small.pair("e", "one", "loss", "sum")
    with pytest.raises(ResultError, match="two values for e one 0 loss"):
        of_rows([("e", "one", 0, "loss", 1.0), ("e", "one", 0, "loss", 2.0)])
    with pytest.raises(NonFiniteError):
        of_rows([("e", "one", 0, "loss", float("nan"))]).statistic("e", "one", "loss", "median")


def test_the_objective_after_so_many_rollouts_is_that_of_each_run(made: Path) -> None:
    for run in read_arm(made, REGRESSION, "scpo"):
        spent = np.interp(run.evaluations["update"], run.series["update"], run.series["rollouts"])
        objective = run.evaluations["fresh_loss"].to_numpy()
        assert objective_after(run, spent) == pytest.approx(objective)
        assert objective_after(run, np.array([2.0 * spent[-1]])) == objective[-1]  # a run that has ended keeps its last
        between = objective_after(run, np.array([spent[-2:].mean()]))
        assert between == pytest.approx(objective[-2:].mean())
        limits = {"a": run.settings, "b": run.settings}
        assert equal_rollouts(limits) is None
