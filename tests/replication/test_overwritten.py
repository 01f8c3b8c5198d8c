"""Runs that were made with other settings are replaced, but not without a word."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from replication import overwritten, scales
from replication.config import Config, dump

from .synthetic_stamps import stamp_of

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder in which one arm of each experiment has a finished run of the smoke scale."""
    config = smoke()
    for experiment, arm in (("regression", "scpo"), ("double-integrator", "scpo-mixed")):
        folder = tmp_path / experiment / arm / "seed-20002"
        folder.mkdir(parents=True)
        digest = scales.digest(scales.for_arm(config, experiment, arm))
        (folder / "run.stamp.json").write_text(json.dumps(stamp_of({}, digest)))
    (tmp_path / "config.json").write_text(dump(config))
    return tmp_path


def smoke(*changes: str) -> Config:
    return scales.load_scale(PROJECT / "config/smoke.yaml", changes)


@pytest.mark.parametrize(
    "change", ["regression.arms.scpo.seeds=2", "only=[scpo]", "regression.arms.scpo-tanh.overrides.bound=1.2"]
)
def test_what_leaves_the_finished_runs_alone_is_not_mentioned(results, change):
    assert overwritten.warning(smoke(), results) is None
    assert overwritten.warning(smoke(change), results) is None


def test_the_arms_and_the_changed_settings_are_named(results):
    said = overwritten.warning(smoke("regression.bound=1.2"), results)
    assert said is not None
    assert said.startswith(f"{results}: finished runs of regression/scpo were made with other settings")
    assert "(regression.bound: 1.4 -> 1.2)" in said
    (results / "config.json").unlink()
    assert "regression/scpo were made with other settings and" in str(
        overwritten.warning(smoke("regression.bound=1.2"), results)
    )


def test_results_that_are_no_runs_are_not_replaced_without_a_word(results):
    said = overwritten.warning(smoke("double_integrator.certificate.cells=24"), results)
    assert said is not None
    assert said.startswith(f"{results}: results that depend on double_integrator.certificate.cells: ")
    assert "-> 24 are replaced" in said


def test_a_damaged_stamp_counts_as_one_of_other_settings(results):
    (results / "regression/scpo/seed-20002/run.stamp.json").write_text("{}")
    assert "regression/scpo" in str(overwritten.warning(smoke(), results))
