"""The page of planted faults: each is caught, and a check that stops working is noticed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from replication import cli
from replication.certificate import Certificate
from replication.documents import PlantedFault
from replication.errors import FalsificationError
from replication.planted_faults import certificates, method, records
from replication.planted_faults import run as page
from scpo.constraint import ConstraintEvaluator
from scpo.projection import solvers

REFEREE = Path(__file__).parents[2] / "workflow/scripts/referee.py"


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(method, "FACTORS", (1.0, 0.01))
    monkeypatch.setattr(method, "SEEDS", 1)
    monkeypatch.setattr(method, "UPDATES", 25)


@pytest.fixture(scope="module")
def altered() -> dict[str, PlantedFault]:
    return {finding.name: finding for finding in records.altered_files(REFEREE)}


@pytest.mark.usefixtures("short")
def test_small_constants_break_the_guarantee() -> None:
    finding = method.constants_too_small()
    assert finding.caught
    assert finding.numbers["bound_misses"][0] == finding.numbers["unsafe_iterates"][0] == 0
    assert finding.numbers["unsafe_iterates"][1] > 0


@pytest.mark.usefixtures("short")
def test_a_missed_sound_bound_is_not_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(method, "FACTORS", (1.0, 1.0))  # the fault is not planted: nothing breaks
    assert not method.constants_too_small().caught
    monkeypatch.setattr(method, "PROBLEMS", {"wrong": lambda seed: _with_small_constants(seed)})
    monkeypatch.setattr(method, "FACTORS", (1.0, 0.01))
    assert not method.constants_too_small().caught


def _with_small_constants(seed: int) -> method.Smooth:
    problem = method.waves(seed)
    return replace(problem, constants=0.01 * problem.constants)


@pytest.mark.usefixtures("short")
def test_a_look_that_sees_nothing_is_reported_as_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert method.look_removed().caught
    monkeypatch.setattr("scpo.look._curvature_along", lambda step, residual, options: np.zeros_like(residual))
    assert not method.look_removed().caught


def test_biased_probes_break_the_bound_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(method, "SEEDS", 3)
    assert method.biased_probes().caught
    monkeypatch.setattr(method, "_hide_worsening", lambda change: change)
    assert not method.biased_probes().caught


def test_a_start_is_judged_at_the_last_digit(monkeypatch: pytest.MonkeyPatch) -> None:
    finding = method.unsafe_start()
    assert finding.caught
    assert 0 < finding.numbers["nearest_g"] < 1e-14
    monkeypatch.setattr(ConstraintEvaluator, "check_start", lambda evaluate, theta: evaluate(theta[None])[0])
    assert not method.unsafe_start().caught


def test_noise_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert method.noisy_constraint().caught
    monkeypatch.setattr(ConstraintEvaluator, "check_determinism", lambda *_: None)
    assert not method.noisy_constraint().caught


def test_what_cannot_be_projected_is_not_stepped(monkeypatch: pytest.MonkeyPatch) -> None:
    assert method.nonconvex_region().caught
    assert method.failing_solvers().caught
    monkeypatch.setattr(method, "_unsolved", solvers.BACKENDS["clarabel"])  # the fault is not planted
    assert not method.failing_solvers().caught


@pytest.mark.parametrize("experiment", [certificates.unsafe_pocket, certificates.limit_cycle])
def test_the_certificate_refuses_faulty_policies(
    experiment: Callable[[], PlantedFault], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert experiment().caught
    monkeypatch.setattr(Certificate, "covers", lambda *_: True)
    assert not experiment().caught


def test_each_alteration_is_noticed_by_its_checks(altered: dict[str, PlantedFault]) -> None:
    assert set(altered) == {case.name for case in records.CASES}
    assert {name for name, finding in altered.items() if not finding.caught} == set()
    assert altered["altered-loss"].observed == "stamp: updates.parquet not as written"
    assert altered["altered-count"].observed.startswith("load check: refused; referee: disagrees; stamp: run.json")


def test_an_alteration_that_is_none_is_not_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(run: Path) -> None:
        assert (run / "run.json").exists()

    monkeypatch.setattr(records, "CASES", [replace(case, alter=nothing) for case in records.CASES])
    findings = records.altered_files(REFEREE)
    assert {(finding.caught, finding.observed) for finding in findings} == {(False, "not noticed")}


def _page(monkeypatch: pytest.MonkeyPatch, *, caught: bool) -> None:
    said = {"planted": "a fault", "expected": "caught", "observed": "seen", "numbers": {"n": 1}}
    found = [PlantedFault(name="planted", caught=one, **said) for one in (caught, True)]
    monkeypatch.setattr(page, "findings", lambda referee: found)


def test_the_page_is_written_with_its_stamp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _page(monkeypatch, caught=True)
    out = tmp_path / "falsification.json"
    assert cli.main(["plant-faults", "--referee", str(REFEREE), "--out", str(out)]) == 0
    found: Any = json.loads(out.read_text())
    assert [finding["name"] for finding in found["findings"]] == ["planted", "planted"]
    assert list(json.loads((tmp_path / "falsification.stamp.json").read_text())["outputs"]) == [str(out)]


def test_a_fault_that_is_not_caught_stops_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _page(monkeypatch, caught=False)
    with pytest.raises(FalsificationError, match="1 of 2 planted faults"):
        page.main(REFEREE, tmp_path / "falsification.json")
    assert cli.main(["plant-faults", "--referee", str(REFEREE), "--out", str(tmp_path / "falsification.json")]) == 2
    assert "planted: planted a fault; expected caught; observed seen" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_every_planted_fault_is_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    planted, called = [], []
    for module in (method, certificates):
        for name, function in list(vars(module).items()):
            if getattr(function, "__annotations__", {}).get("return") == "Finding":
                planted.append(name)
                monkeypatch.setattr(module, name, lambda name=name: called.append(name))
    monkeypatch.setattr(records, "altered_files", lambda referee: called.append("altered_files") or [])
    page.findings(REFEREE)
    assert sorted(called) == sorted([*planted, "altered_files"])
