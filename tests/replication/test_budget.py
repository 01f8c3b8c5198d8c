"""The estimate before a run: it counts what is left to do and adds it up."""

from __future__ import annotations

from pathlib import Path

import pytest

from replication import budget
from replication.cli import main
from replication.config import Config
from replication.scales import load_scale
from replication.settings import Arm, ScheduleConfig
from replication.tasks.regression.settings import RegressionConfig
from scpo.errors import ConfigurationError

PROJECT = Path(__file__).parents[2]


def small(**changes) -> Config:
    arms = {
        "scpo": Arm(method="scpo", dataset="normal", seeds=3, first_seed=0),
        "scpo-uniform": Arm(method="scpo", dataset="uniform", seeds=2, first_seed=0),
        "scpo-many": Arm(
            method="scpo", dataset="normal", seeds=1, first_seed=0, overrides={"scpo": {"directions": {"count": 40}}}
        ),
        "unconstrained": Arm(method="unconstrained", dataset="normal", seeds=1, first_seed=0),
    }
    schedule = ScheduleConfig(epochs=100, updates_per_epoch=3, batch_size=8, evaluate_every=50)
    section = RegressionConfig(arms=arms, schedule=schedule, heldout=10, hidden=(4,), grid_size=10)
    return Config(regression=section.model_copy(update=changes), double_integrator=None)


def minutes(text: str, row: str) -> float:
    return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(row))


def test_the_loads_are_seeds_updates_and_evaluations():
    assert budget.loads(small())[0] == budget.Load("regression", "scpo", runs=3, updates=300, evaluations=3)


def test_finished_runs_are_left_out(tmp_path):
    done = tmp_path / "regression/scpo/seed-1"
    done.mkdir(parents=True)
    (tmp_path / "regression/scpo/seed-2").mkdir()  # begun and not finished
    (done / "run.json").write_text("{}")
    assert [load.runs for load in budget.loads(small(), tmp_path)] == [2, 2, 1, 1]
    text = budget.estimate(small(), 2, tmp_path, lambda *_: budget.Cost(1.0, 0.0))
    assert "(runs finished already: 1)" in text


def test_the_estimate_measures_like_arms_once():
    asked = []

    def cost(config, experiment, arm):
        asked.append(arm)
        return budget.Cost(update=0.2, evaluation=10.0)

    text = budget.estimate(small(), 1, cost=cost)
    assert asked == ["scpo", "scpo-many", "unconstrained"]
    each = (budget.START_SECONDS + 300 * 0.2 + 3 * 10.0) / 60
    assert minutes(text, "regression, scpo ") == pytest.approx(3 * each, abs=0.051)
    assert minutes(text, "regression, scpo-uniform") == pytest.approx(2 * each, abs=0.051)
    judged = 7 * 3 * 10.0 / 60
    assert minutes(text, "referee") == pytest.approx(judged, abs=0.051)
    whole = 7 * each + judged + budget.REPORT_SECONDS / 60
    assert f"about {round(whole)} min with one process" in text
    assert f"about {round(whole / 2)} min with 2 processes" in budget.estimate(small(), 2, cost=cost)


def test_certificates_count_by_their_cells():
    def certificates(cells):
        config = load_scale(PROJECT / "config/smoke.yaml", [f"double_integrator.certificate.cells={cells}"])
        return minutes(budget.estimate(config, 1, cost=lambda *_: budget.Cost(0.0, 0.0)), "certificates")

    assert certificates(3200) == pytest.approx(4 * certificates(1600), rel=0.02)
    assert certificates(800) > 0


def test_an_arm_is_measured_by_updates_that_are_taken():
    cost = budget.measure(small(), "regression", "scpo")
    assert 1e-5 < cost.update < 10.0
    assert 0.0 < cost.evaluation < 10.0
    with pytest.raises(ConfigurationError, match="no arm"):
        budget.measure(small(), "regression", "none")


def test_the_command_reads_a_scale_and_its_changes(monkeypatch, capsys):
    monkeypatch.setattr(budget, "measure", lambda *_: budget.Cost(0.0, 0.0))
    scale = str(PROJECT / "config/smoke.yaml")
    assert main(["estimate", "--scale-file", scale, "--jobs", "2", "--set", "regression.arms.scpo.seeds=37"]) == 0
    out = capsys.readouterr().out
    assert "regression, scpo " in out and " 37 " in out and out.splitlines()[-1].startswith("smoke: about")
