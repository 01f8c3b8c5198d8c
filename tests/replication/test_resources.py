"""What jobs ask a cluster for: measured, scaled to the settings, more with each attempt."""

from __future__ import annotations

from pathlib import Path

import pytest

from replication import resources
from replication.config import Config, dump
from replication.errors import ResultError
from replication.resources import Measured
from replication.settings import merge
from scpo.errors import ConfigurationError

HEAD = "s\th:m:s\tmax_rss\tcpu_time\trule_name\twildcards\n"


def changed(**settings: object) -> Config:
    return Config.model_validate(merge(Config().model_dump(mode="json"), settings))


def benchmark(path: Path, megabytes: object, seconds: object, rule: str, **wildcards: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{HEAD}9\t0:00:09\t{megabytes}\t{seconds}\t{rule}\t{wildcards}\n")


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A folder of results with a configuration, and benchmarks beside it."""
    results = tmp_path / "results/tiny"
    results.mkdir(parents=True)
    (results / "config.json").write_text(dump(Config()))
    return results


def test_the_longest_job_and_the_largest_memory_are_kept(finished: Path, tmp_path: Path):
    logs = tmp_path / "logs/tiny"
    shorter = Config().regression.for_arm("scpo-plain").schedule.epochs  # type: ignore[union-attr]
    longer = Config().regression.for_arm("scpo").schedule.epochs  # type: ignore[union-attr]
    assert shorter < longer
    benchmark(logs / "a.benchmark.tsv", 300, 49, "train_regression", arm="scpo", seed="0")
    benchmark(logs / "deep/b.benchmark.tsv", 200, 50, "train_regression", arm="scpo-plain", seed="0")
    benchmark(logs / "c.benchmark.tsv", "NA", "-", "config")
    resources.measured_in([finished], tmp_path / "out.yaml")
    found = resources.read(tmp_path / "out.yaml")
    per_epoch = Config().regression.for_arm("scpo-plain").schedule.updates_per_epoch  # type: ignore[union-attr]
    assert found["train_regression"] == Measured(megabytes=300, seconds=50, work=shorter * per_epoch)
    assert found["config"].work == 1


def test_benchmarks_without_the_names_of_rules_are_refused(finished: Path, tmp_path: Path):
    path = tmp_path / "logs/tiny/a.benchmark.tsv"
    path.parent.mkdir(parents=True)
    path.write_text("s\tmax_rss\tcpu_time\n1\t2\t3\n")
    with pytest.raises(ResultError, match="benchmark-extended"):
        resources.measured_in([finished], tmp_path / "out.yaml")
    assert not (tmp_path / "out.yaml").exists()


@pytest.mark.parametrize("text", ["a: {megabytes: 1, seconds: 1}", "a: {megabytes: -1, seconds: 1, work: 1}", "a: ["])
def test_a_damaged_table_is_named(text: str, tmp_path: Path):
    (tmp_path / "out.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match=r"out\.yaml"):
        resources.read(tmp_path / "out.yaml")


@pytest.mark.parametrize("rule", sorted(resources.read()))
def test_each_attempt_asks_for_more_than_was_measured(rule: str):
    config, arm = Config(), "scpo" if rule == "train_regression" else "scpo-mixed"
    measured = resources.read()[rule]
    sizes = [resources.megabytes(config, rule, arm, attempt) for attempt in (1, 2, 3)]
    times = [resources.minutes(config, rule, arm, attempt) for attempt in (1, 2, 3)]
    assert measured.megabytes < sizes[0] < sizes[1] < sizes[2]
    assert measured.seconds * resources.work(config, rule, arm) / measured.work < 60 * times[0]
    assert times[1] == 2 * times[0] and times[2] == 4 * times[0]


def test_larger_jobs_ask_for_more():
    plain = Config()
    longer = changed(regression={"schedule": {"updates_per_epoch": 20}})
    assert resources.minutes(longer, "train_regression", "scpo") > resources.minutes(plain, "train_regression", "scpo")
    larger = changed(regression={"schedule": {"batch_size": 1_000_000}})
    grown = resources.megabytes(larger, "train_regression", "scpo")
    assert grown > resources.megabytes(plain, "train_regression", "scpo") + 1000
    finer = changed(double_integrator={"certificate": {"cells": 8000}})
    assert resources.minutes(finer, "certificate") > 5 * resources.minutes(plain, "certificate")
    more = changed(regression={"arms": {"scpo": {"seeds": 999}}})
    assert resources.minutes(more, "referee") > resources.minutes(plain, "referee")
