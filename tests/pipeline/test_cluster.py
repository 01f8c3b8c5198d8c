"""What a cluster is asked for: every rule that it runs says its memory and time, and jobs of a kind go together."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest

from replication import scales, strict_yaml
from tests.pipeline import warm

PROJECT = Path(__file__).parents[2]
RULES = """
import json, sys
from pathlib import Path
from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, ResourceSettings

with SnakemakeApi() as api:
    settings = ConfigSettings(config={"scale": "smoke", **dict(part.split("=") for part in sys.argv[1:])})
    workflow = api.workflow(ResourceSettings(cores=1), config_settings=settings, snakefile=Path("Snakefile"))._workflow
    local = {rule.name: rule.norun or rule.name in workflow._localrules for rule in workflow.rules}
    said = {rule.name: {"mem_mb", "runtime"} <= set(rule.resources) for rule in workflow.rules}
    print(json.dumps([local, said]))
"""
RUN = os.environ | {"PYTHONPATH": str(PROJECT / "src")}


@pytest.mark.slow
@pytest.mark.parametrize("origin", ["", "shipped"])
def test_a_rule_runs_where_snakemake_does_or_says_what_it_needs(origin: str):
    options = ["scale=study", "from=shipped"] if origin else []
    done = warm.python(RULES, *options, folder=PROJECT, environment=RUN)
    assert done.returncode == 0, done.stderr
    local, said = json.loads(done.stdout.splitlines()[-1])
    assert len(local) > 10 and any(local.values())
    assert not [name for name in local if not local[name] and not said[name]]
    assert origin or not local["train_regression"]


@pytest.mark.slow
def test_jobs_of_a_kind_go_to_the_queue_together():
    pytest.importorskip("snakemake_executor_plugin_slurm")
    options = ["--profile", "profiles/slurm", "--cores", "2", "--dry-run", "--forceall"]
    options += ["--config", "scale=smoke", "set=only=[scpo,unconstrained]"]
    done = warm.module("snakemake", *options, folder=PROJECT, environment=RUN)
    assert done.returncode == 0, done.stdout + done.stderr
    (block,) = done.stdout.split("Group job training")[1:]
    assert block.count("    Job ") == block.count("Training: ") == 2


def test_the_queue_sees_hundreds_of_jobs_of_the_study_and_not_thousands():
    profile = strict_yaml.read(PROJECT / "profiles/slurm/config.yaml")
    together, group = profile["group-components"], dict(one.split("=") for one in profile["groups"])
    together = {name: int(count) for name, count in (one.split("=") for one in together)}
    config = scales.load_scale(PROJECT / "config/study.yaml")
    jobs = {"dataset": 0, "certificate": 0}
    for experiment, section in config.experiments.items():
        arms = section.arms.values()
        jobs[f"train_{experiment.replace('-', '_')}"] = sum(arm.seeds for arm in arms)
        jobs["dataset"] += len({(arm.dataset, seed) for arm in arms for seed in arm.seed_range})
    certified = config.double_integrator.certificate.seeds
    jobs["certificate"] = sum(min(arm.seeds, certified) for arm in config.double_integrator.arms.values())
    submitted = sum(math.ceil(count / together[group[rule]]) for rule, count in jobs.items())
    assert sum(jobs.values()) > 1500
    assert 100 < submitted < 500
