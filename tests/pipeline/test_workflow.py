"""The workflow with stand-ins for its commands: what an edit repeats, and what it leaves alone."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from replication.config import load
from replication.report import parts
from tests.pipeline import warm

PROJECT = Path(__file__).parents[2]
PARTS = ("Snakefile", "workflow", "profiles", "config", "notebooks", "paper", "shipped", "src")


# Instead of a command: makes the outputs that begin as one of its --out does, empty.
COMMAND = """
import sys
from itertools import takewhile
from pathlib import Path
given = takewhile(lambda one: not one.startswith("--"), sys.argv[sys.argv.index("--out") + 1:])
begun = tuple(str(Path(out).with_suffix("")) for out in given)
for name in Path("outputs.txt").read_text().split():
    if name.startswith(begun):
        Path(name).touch()
"""
REFEREE = """
import sys
from pathlib import Path
Path(sys.argv[2]).touch()
"""
LATEXMK = """#!/bin/sh
touch main.pdf
"""


class Workflow:
    """A copy of the project whose commands do nothing but make empty files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plans: dict[tuple[str, str, str], str] = {}
        for part in PARTS:
            source = PROJECT / part
            if source.is_dir():
                shipped = ["results"] if part == "shipped" else []
                ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "report.pdf", *shipped)
                shutil.copytree(source, folder / part, ignore=ignored)
            else:
                shutil.copy(source, folder / part)

        (folder / "src/replication/__main__.py").write_text(COMMAND)
        (folder / "workflow/scripts/referee.py").write_text(REFEREE)
        (folder / "bin").mkdir()
        for name in ("latexmk", "pdflatex"):
            program = folder / "bin" / name
            program.write_text(LATEXMK)
            program.chmod(0o755)

    def snakemake(self, *options: str, scale: str = "smoke", settings: str = "", origin: str = "") -> str:
        given = ["--profile", "profiles/default", "--cores", "1", *options]
        given += ["--config", f"scale={scale}", f"set={settings}", f"from={origin}"]
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        environment = os.environ | {"PYTHONPATH": str(self.folder / "src"), "PATH": path}
        run = warm.module("snakemake", *given, folder=self.folder, environment=environment)
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout + run.stderr

    def finish(self) -> None:
        summary = self.snakemake("--summary").splitlines()
        names = [line.split("\t")[0] for line in summary if line.startswith("results/")]
        (self.folder / "outputs.txt").write_text("\n".join(names))
        self.snakemake()

    def plan(self, scale: str = "smoke", settings: str = "", origin: str = "") -> str:
        """What a dry run says, asked once: it takes seconds, and nothing changes but inside plan_after_editing."""
        asked = (scale, settings, origin)
        if asked not in self.plans:
            self.plans[asked] = self.snakemake("--dry-run", scale=scale, settings=settings, origin=origin)
        return self.plans[asked]

    def scheduled(self, **options: str) -> set[str]:
        """Names of the rules that a dry run would run."""
        return rules_of(self.plan(**options))

    def plan_after_editing(self, *names: str) -> str:
        paths = [self.folder / name for name in names]
        before = [(path, path.read_bytes(), path.stat()) for path in paths]
        for path, content, _ in before:
            path.write_bytes(content + b"\n# edited\n")
        try:
            return self.snakemake("--dry-run")
        finally:
            for path, content, times in before:
                path.write_bytes(content)
                os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    def scheduled_after_editing(self, name: str) -> set[str]:
        return rules_of(self.plan_after_editing(name))


def rules_of(plan: str) -> set[str]:
    return set(re.findall(r"^([a-z_]+) +\d+$", plan, re.MULTILINE))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workflow = Workflow(tmp_path_factory.mktemp("project"))
    workflow.finish()
    return workflow


def test_edited_commands_and_comments_repeat_nothing(finished):
    plan = finished.plan_after_editing("src/replication/cli/runs.py", "config/smoke.yaml")
    assert "Nothing to be done" in plan, f"{plan}\nwithout the edits:\n{finished.plan()}"
    assert rules_of(plan) == set()


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("regression/data/normal/seed-20002.npz", "dataset"),
        ("regression/scpo/seed-20002/weights.npz", "train_regression"),
        ("regression/scpo/seed-20002/run.stamp.json", "train_regression"),
        ("double-integrator/scpo-mixed/seed-20002/certificate.npz", "certificate"),
        ("quantities.stamp.json", "quantities"),
        ("referee.stamp.json", "referee"),
        ("report/figures/regression-safety.stamp.json", "figure"),
    ],
)
def test_what_was_deleted_is_made_again(finished, name, rule):
    path = finished.folder / "results/smoke" / name
    aside = finished.folder / "aside"
    path.rename(aside)
    try:
        assert rule in rules_of(finished.snakemake("--dry-run"))
    finally:
        aside.rename(path)


@pytest.mark.parametrize(
    ("name", "readers"),
    [
        ("series.parquet", {"quantities", "claims", "notebook", "explorer", "figure", "tables_regression_tables"}),
        ("final.safetensors", {"referee", "stationarity", "claims"}),
        ("weights.npz", {"referee", "policies", "explorer"}),
        ("updates.parquet", {"referee", "tables_report_referee"}),
    ],
)
def test_a_changed_record_reaches_its_readers(finished, name, readers):
    """Most of them ask for the table of quantities and not for the records, see the next test."""
    rules = finished.scheduled_after_editing(f"results/smoke/regression/scpo/seed-20002/{name}")
    assert readers <= rules
    assert not {rule for rule in rules if rule.startswith(("train", "dataset", "config"))}


def test_editing_the_projection_retrains(finished):
    rules = finished.scheduled_after_editing("src/scpo/projection/project.py")
    assert {"train_regression", "figure", "tables_regression_tables", "numbers", "notebook"} <= rules


def test_editing_a_figure_draws_it_again_and_retrains_nothing(finished):
    rules = finished.scheduled_after_editing("src/replication/experiments/regression/figures.py")
    assert "figure" in rules
    assert not {rule for rule in rules if rule.startswith(("train", "dataset", "config"))}


def test_editing_the_referee_judges_again_and_retrains_nothing(finished):
    plan = finished.plan_after_editing("workflow/scripts/referee.py")
    rules = rules_of(plan)
    assert {"referee", "plant_faults", "tables_regression_tables", "numbers"} <= rules
    assert re.findall(r"Drawing figure (.*)", plan) == ["falsification-smoothness"]
    assert not {rule for rule in rules if rule.startswith(("train", "dataset", "config"))}


def test_editing_the_claims_retrains_nothing(finished):
    rules = finished.scheduled_after_editing("config/claims.yaml")
    assert {"claims", "tables_report_claims", "check_report", "pdf"} <= rules
    assert not rules & {"figure", "numbers", "notebook", "referee"}
    assert not {rule for rule in rules if rule.startswith(("train", "dataset", "config"))}


def test_the_double_integrator_has_references_and_certificates(finished):
    plan = finished.plan(scale="paper")
    section = load(PROJECT / "config/paper.yaml").double_integrator
    first = {name: arm.seed_range[: section.certificate.seeds] for name, arm in section.arms.items()}
    certified = re.findall(r"Certifying: double-integrator, (.*), seed (\d+)", plan)
    assert set(certified) == {(name, str(seed)) for name, seeds in first.items() for seed in seeds}
    assert {"train_double_integrator", "references", "certificate"} <= finished.scheduled(scale="paper")
    without = finished.plan(scale="paper", settings="regression=null double_integrator.certificate=null")
    assert "Training: double-integrator" in without and "Certifying" not in without


def test_without_a_task_there_is_no_pdf(finished):
    assert "pdf" in finished.scheduled(scale="paper")
    plan = finished.plan(scale="paper", settings="double_integrator=null")
    rules = rules_of(plan)
    assert {"train_regression", "numbers"} <= rules
    assert not rules & {"pdf", "train_double_integrator", "references", "certificate"}
    assert "its text is about double-integrator too" in plan


def test_editing_one_task_leaves_the_other_alone(finished):
    rules = finished.scheduled_after_editing("src/replication/tasks/double_integrator/rollout.py")
    assert "train_double_integrator" in rules
    assert "train_regression" not in rules


def test_a_changed_setting_retrains_its_arm_alone(finished):
    settings = "regression.arms.scpo-tanh.overrides.schedule.epochs=3 regression.arms.unconstrained.seeds=2"
    plan = finished.plan(settings=f"{settings} double_integrator.schedule.epochs=3")
    trained = set(re.findall(r"Training: (.*)", plan))
    regression = {run for run in trained if run.startswith("regression")}
    assert regression == {"regression, scpo-tanh, seed 20002", "regression, unconstrained, seed 20003"}
    every = load(PROJECT / "config/smoke.yaml").double_integrator.arms
    assert len(trained - regression) == len(every)  # a setting of the experiment: every run


def test_the_paper_scale_plans_every_seed(finished):
    output = finished.plan(scale="paper")
    planned = {
        f"{experiment}, {name}, seed {seed}"
        for experiment, section in load(PROJECT / "config/paper.yaml").experiments.items()
        for name, arm in section.arms.items()
        for seed in arm.seed_range
    }
    assert set(re.findall(r"Training: (.*)", output)) == planned


def test_the_review_scale_plans_one_seed_of_every_arm(finished):
    trained = {scale: set(re.findall(r"Training: (.*)", finished.plan(scale=scale))) for scale in ("review", "paper")}
    arms = [section.arms for section in load(PROJECT / "config/paper.yaml").experiments.values()]
    assert len(trained["review"]) == sum(map(len, arms))
    assert trained["review"] == {run for run in trained["paper"] if run.endswith(", seed 20002")}


@pytest.mark.parametrize("figure", parts.names_for("figure", load(PROJECT / "config/paper.yaml")))
def test_a_figure_waits_for_its_own_runs_alone(figure):
    """Where nothing is made yet, one figure trains the arms that it names, and no table of all runs is asked for."""
    reads = parts.part(figure).reads
    assert "*" not in reads and "quantities.parquet" not in reads


def test_one_figure_trains_two_arms(finished):
    plan = finished.snakemake("--dry-run", "results/paper/report/figures/regression-replication.pdf", scale="paper")
    trained = {run.rpartition(",")[0] for run in re.findall(r"Training: (.*)", plan)}
    assert trained == {"regression, scpo", "regression, unconstrained"}
    assert rules_of(plan) == {"config", "dataset", "train_regression", "figure", "total"}


# Prints what Snakemake knows of each rule of a scale.
RULES = """
import json, sys
from pathlib import Path
from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, ResourceSettings
with SnakemakeApi() as api:
    asked = ConfigSettings(config={"scale": sys.argv[1], "set": "", "from": sys.argv[2]})
    read = api.workflow(ResourceSettings(cores=1), config_settings=asked, snakefile=Path("Snakefile"))
    for rule in read._workflow.rules:
        made = {"message": rule.message, "log": rule.log, "benchmark": rule.benchmark} if rule.output else {}
        has = {"description": rule.docstring, **made}  # a target alone makes nothing
        print(json.dumps([rule.name, [name for name, given in has.items() if not given], len(rule.input)]))
"""


def listed(scale: str, origin: str = "") -> dict[str, tuple[list[str], int]]:
    """Of each rule of a scale what it lacks, and how many inputs it lists."""
    environment = os.environ | {"PYTHONPATH": str(PROJECT / "src")}
    run = warm.python(RULES, scale, origin, folder=PROJECT, environment=environment)
    assert run.returncode == 0, run.stderr
    return {name: (lacking, inputs) for name, lacking, inputs in map(json.loads, run.stdout.splitlines())}


@pytest.mark.parametrize(
    ("scale", "origin", "rule"), [("smoke", "", "train_regression"), ("study", "shipped", "restore")]
)
def test_every_rule_says_what_it_does_and_logs(scale, origin, rule):
    rules = listed(scale, origin)
    assert rule in rules
    assert {name: lacking for name, (lacking, _) in rules.items() if lacking} == {}


def test_few_rules_ask_for_every_record():
    """Snakemake took twice as long to plan a study when claims, tables and notebooks did, too."""
    experiments = load(PROJECT / "config/paper.yaml").experiments.values()
    runs = sum(arm.seeds for section in experiments for arm in section.arms.values())
    assert {name for name, (_, inputs) in listed("paper").items() if inputs > 3 * runs} == {"quantities", "referee"}
