"""Claims are decided by their evidence: bad evidence deviates, missing or altered evidence decides nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from replication.claims import claims, decide, verdicts
from replication.claims.claims import Claim
from replication.claims.decide import Measured
from replication.claims.verdicts import Verdict
from replication.cli import main
from replication.config import Config, dump
from replication.errors import ResultError
from replication.provenance import stamp
from replication.results.integrity import WITHOUT
from replication.results.quantities import of_rows
from replication.results.statistics import proportion_interval

from . import planted_claims
from .synthetic_stamps import write_stamps

STATED = claims.load()
#: The arms of small results.
ARMS = ("regression/scpo", "regression/scpo-no-buffer")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Config]:
    results = tmp_path_factory.mktemp("made") / "study"
    return results, planted_claims.write(results)


@pytest.fixture(scope="module")
def two_arms(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Config]:
    results = tmp_path_factory.mktemp("two") / "study"
    return results, planted_claims.write(results, planted_claims.study_config(arms=ARMS))


@pytest.fixture
def results(two_arms: tuple[Path, Config], tmp_path: Path) -> Path:
    return planted_claims.copied(two_arms[0], tmp_path / "study", ARMS)


def _decided(results: Path, *few: Claim) -> list[Verdict]:
    only = STATED.model_copy(update={"claims": tuple(map(planted_claims.relaxed, few))})
    return decide.evaluate(results, only)


def _one(results: Path, claim: Claim) -> Verdict:
    return _decided(results, claim)[0]


@pytest.mark.parametrize("claim", STATED.claims, ids=lambda claim: claim.id)
def test_good_evidence_holds_and_bad_evidence_deviates(made: tuple[Path, Config], tmp_path: Path, claim: Claim) -> None:
    results = planted_claims.copied(made[0], tmp_path / "study", (*claim.needs.arms, *claim.needs.baselines))
    planted_claims.plant(results, made[1], claim, good=True)
    good, of_source = _decided(results, claim, claim.model_copy(update={"mark": "S"}))
    assert good.status == "supported", good
    assert of_source.status == "reproduced"
    planted_claims.plant(results, made[1], claim, good=False)
    bad = _one(results, claim)
    assert bad.status == "deviates", bad
    assert bad.measured != good.measured


def _named(name: str) -> Claim:
    return next(claim for claim in STATED.claims if claim.id == name)


def test_evidence_that_is_missing_is_not_run(results: Path) -> None:
    (results / "regression/scpo/seed-1/run.json").unlink()
    found = _one(results, _named("regression-improves"))
    assert (found.status, found.measured) == ("not-run", None)
    assert found.reason.startswith("missing evidence: regression/scpo/seed-1/run.json: no such file")


def test_without_results_there_is_nothing_to_verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--results", str(tmp_path / "study")]) == 1
    assert "no results; make reproduce" in capsys.readouterr().out


def test_too_few_seeds_and_too_short_runs_decide_nothing(results: Path) -> None:
    claim = _named("regression-improves")
    found = decide.evaluate(results, STATED.model_copy(update={"claims": (claim,)}))[0]
    assert found.status == "not-run"
    assert "needs 10 seeds" in found.reason
    few = claim.model_copy(update={"needs": claim.needs.model_copy(update={"seeds": 2})})
    found = decide.evaluate(results, STATED.model_copy(update={"claims": (few,)}))[0]
    assert "needs runs of 10000 updates" in found.reason


@pytest.mark.parametrize("name", ["run.json", "evaluations.parquet", "curve.parquet", "series.parquet"])
def test_an_altered_file_is_named(results: Path, name: str) -> None:
    path = results / "regression/scpo/seed-1" / name
    if path.suffix == ".json":
        path.write_text(json.dumps(json.loads(path.read_text()) | {"projected_share": 0.125}))
    else:
        pd.read_parquet(path).iloc[::-1].to_parquet(path)
    found = _one(results, _named("regression-improves"))
    assert found.status == "not-run"
    assert (
        found.reason
        == f"altered evidence: {path}: not the file that run.stamp.json describes; delete it and run the pipeline again"
    )


def test_altered_settings_are_named(results: Path) -> None:
    path = results / "config.json"
    text = path.read_text()
    path.write_text(text.replace('"bound": 1.4', '"bound": 1.5'))
    assert path.read_text() != text
    found = _one(results, _named("regression-improves"))
    assert "config.json: not the settings that" in found.reason


def test_evidence_without_a_stamp_decides_nothing(results: Path) -> None:
    (results / "regression/scpo/seed-0/run.stamp.json").unlink()
    assert "no stamp" in _one(results, _named("regression-improves")).reason


def test_another_scale_decides_nothing(tmp_path: Path) -> None:
    results = tmp_path / "smoke"
    planted_claims.write(results, planted_claims.study_config("smoke", ARMS))
    found = decide.evaluate(results, STATED)
    assert {one.status for one in found} == {"not-run"}
    assert any("scale 'smoke' decides nothing" in one.reason for one in found)
    assert decide.judge(results, strict=False)[1] == 1


def test_a_value_that_is_not_finite_deviates(results: Path, two_arms: tuple[Path, Config]) -> None:
    claim = _named("regression-loss")
    path = results / "regression/scpo/seed-0/run.json"
    summary = json.loads(path.read_text())
    path.write_text(json.dumps(summary | {"final": summary["final"] | {"fresh_loss": None}}))
    write_stamps(results, two_arms[1])
    found = _one(results, claim)
    assert (found.status, found.measured, found.reason) == ("deviates", None, "a value is not finite")


@pytest.fixture
def everything_holds(results: Path, two_arms: tuple[Path, Config], monkeypatch: pytest.MonkeyPatch) -> Path:
    chosen = [_named(name) for name in ("regression-rejects", "regression-improves", "figure-early-loss")]
    chosen[-1] = chosen[-1].model_copy(update={"mark": "F"})
    chosen += [_named(name) for name in ("referee-agrees", "speed-literal")]
    few = STATED.model_copy(update={"claims": tuple(map(planted_claims.relaxed, chosen))})
    for claim in few.claims[:-1]:
        planted_claims.plant(results, two_arms[1], claim, good=True)
    every = claims.load  # the digest of all claims is taken of their file
    monkeypatch.setattr(claims, "load", lambda path=None: few if path is None else every(path))
    return results


def _decide(results: Path) -> Path:
    """Make the table of quantities and the claims, as the workflow does; return claims.json."""
    assert main(["quantities", "--results", str(results), "--out", str(results / "quantities.parquet")]) == 0
    out = results / "claims.json"
    assert main(["claims", "--results", str(results), "--out", str(out)]) == 0
    return out


def _contents(results: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in results.rglob("*") if path.is_file()}


def test_verify_writes_nothing_and_exits_with_0(everything_holds: Path, capsys) -> None:
    before = _contents(everything_holds)
    assert main(["verify", "--results", str(everything_holds)]) == 0
    out = capsys.readouterr().out
    assert "not-run  speed-literal: benchmarks.json: no such file; run make bench" in out
    assert "5 claims: 1 reproduced, 3 supported, 0 deviates, 1 not-run" in out
    assert _contents(everything_holds) == before


def test_verify_prints_what_is_claimed_and_measured(everything_holds: Path, capsys) -> None:
    assert main(["verify", "--results", str(everything_holds)]) == 0
    out = capsys.readouterr().out
    for one in _stated(everything_holds):
        below = out.partition(f"  {one.id} ")[2].partition("\n")[2]
        assert " ".join(below.split()).startswith(f"{one.statement} [{one.quantity}]")
    assert max(map(len, re.findall("^    .*", out, re.MULTILINE))) <= verdicts.WIDTH


def _stated(results: Path) -> list[Verdict]:
    """Return the verdicts on the claims that a test has put in place."""
    return decide.evaluate(results, claims.load())


def test_verify_writes_nothing_on_incomplete_results(everything_holds: Path) -> None:
    _decide(everything_holds)
    (everything_holds / "regression/scpo/seed-0/run.json").unlink()
    before = _contents(everything_holds)
    assert main(["verify", "--results", str(everything_holds)]) == 1
    assert _contents(everything_holds) == before


def test_claims_are_decided_by_the_table(everything_holds: Path) -> None:
    rows = json.loads(_decide(everything_holds).read_text())
    assert [row["status"] for row in rows] == ["supported", "supported", "reproduced", "supported", "not-run"]
    keys = {"id", "statement", "source", "status", "measured", "expected", "tolerance", "seeds", "evidence"}
    assert keys <= rows[0].keys()
    assert "results:quantities.parquet" in stamp.read(everything_holds / "claims.json")["inputs"]


def test_without_a_table_no_claim_is_written(everything_holds: Path, capsys) -> None:
    assert main(["claims", "--results", str(everything_holds), "--out", str(everything_holds / "claims.json")]) == 2
    assert "quantities.parquet: no such file; make it: replicate quantities" in capsys.readouterr().err
    assert not (everything_holds / "claims.json").exists()


def test_deciding_again_leaves_the_report_valid(results: Path) -> None:
    made = []
    for _ in range(2):  # a stamp that is there already lies among those of the evidence, and is none of it
        _decide(results)
        made.append((results / "claims.stamp.json").read_bytes())
    assert made[0] == made[1]
    assert stamp.changed(results / "claims.json", results) == []


def test_a_deviation_fails_only_if_strict(everything_holds: Path, two_arms: tuple[Path, Config]) -> None:
    planted_claims.plant(everything_holds, two_arms[1], _named("regression-rejects"), good=False)
    assert main(["verify", "--results", str(everything_holds)]) == 0
    assert main(["verify", "--results", str(everything_holds), "--strict"]) == 1


def test_missing_or_altered_evidence_fails(everything_holds: Path, capsys) -> None:
    before = _decide(everything_holds).read_bytes()
    path = everything_holds / "regression/scpo/seed-0/run.json"
    text = path.read_text()
    path.write_text(text + " ")
    assert main(["verify", "--results", str(everything_holds)]) == 1
    assert f"altered evidence: {path}" in capsys.readouterr().out
    with pytest.raises(ResultError, match=r"altered evidence: .*seed-0/run\.json"):
        decide.write(everything_holds, everything_holds / "claims.json")
    path.unlink()
    assert main(["verify", "--results", str(everything_holds)]) == 1
    with pytest.raises(ResultError, match=r"missing evidence: .*seed-0/run\.json: no such file"):
        decide.write(everything_holds, everything_holds / "claims.json")
    path.write_text(text)
    assert main(["verify", "--results", str(everything_holds)]) == 0
    assert (everything_holds / "claims.json").read_bytes() == before


@pytest.mark.parametrize("content", ["{}", "[]", '{"outputs": {"run.json"', ""])
def test_a_damaged_stamp_is_named_and_fails(everything_holds: Path, content: str, capsys) -> None:
    _decide(everything_holds)
    path = everything_holds / "regression/scpo/seed-0/run.stamp.json"
    path.write_text(content)
    assert main(["verify", "--results", str(everything_holds)]) == 1
    assert f"altered evidence: {path}: damaged, " in capsys.readouterr().out
    with pytest.raises(ResultError, match="damaged, "):
        decide.write(everything_holds, everything_holds / "claims.json")


def test_a_file_without_a_stamp_is_held_against_the_table(everything_holds: Path, capsys) -> None:
    _decide(everything_holds)
    path = everything_holds / "referee.json"
    assert path.name in WITHOUT
    path.write_text(path.read_text() + " ")
    assert main(["verify", "--results", str(everything_holds)]) == 1
    assert f"{path} is not what quantities.parquet was made of" in capsys.readouterr().out


def test_an_altered_answer_of_the_referee_stops_the_claims(everything_holds: Path, tmp_path: Path) -> None:
    """Its job stamps it, whatever the table was made of."""
    path, script = everything_holds / "referee.json", tmp_path / "referee.py"
    script.write_text(f"import sys; open(sys.argv[2], 'w').write({path.read_text()!r})")
    assert main(["referee", "--script", str(script), "--results", str(everything_holds), "--out", str(path)]) == 0
    before = _decide(everything_holds).read_bytes()
    path.write_text(path.read_text() + " ")
    with pytest.raises(ResultError, match=r"altered evidence: .*referee\.json: not the file that referee\.stamp\.json"):
        decide.write(everything_holds, everything_holds / "claims.json")
    assert main(["referee", "--script", str(script), "--results", str(everything_holds), "--out", str(path)]) == 0
    assert _decide(everything_holds).read_bytes() == before
    script.write_text("raise SystemExit('referee: it differs')")
    assert main(["referee", "--script", str(script), "--results", str(everything_holds), "--out", str(path)]) == 1


#: A run of 50 updates that went to its end.
RAN = (("updates", 50.0), ("failed", 0.0))


def test_seeds_that_only_one_of_two_arms_has_are_left_out(results: Path) -> None:
    claim = planted_claims.relaxed(_named("buffer-helps"))
    only = STATED.model_copy(update={"claims": (claim,)})
    rows = [("regression", "scpo-no-buffer", seed, claim.quantity, 0.4) for seed in (0, 1)]
    rows += [("regression", "scpo", seed, claim.quantity, 0.1) for seed in (1, 2)]
    both = [(arm, seed) for arm in ("scpo", "scpo-no-buffer") for seed in (0, 1)]
    rows += [("regression", arm, seed, name, value) for arm, seed in both for name, value in RAN]
    found = decide.evaluate(results, only, of_rows(rows))[0]
    assert (found.measured, found.seeds) == (pytest.approx(0.3), (1,))
    assert found.reason == "regression/scpo-no-buffer: needs 2 seeds, there are 1"
    apart = of_rows([row for row in rows if row[2] != 1])
    assert "no seed is in both regression/scpo-no-buffer and" in decide.evaluate(results, only, apart)[0].reason


@pytest.mark.parametrize(("count", "said"), [(None, "judges 0 of 2 runs"), (1, "judges 1 of 2 runs")])
def test_a_referee_that_saw_fewer_runs_decides_nothing(results: Path, count: int | None, said: str) -> None:
    path = results / "referee.json"
    content = json.loads(path.read_text())
    if count is None:
        del content["arms"][0]
    else:
        content["arms"][0]["runs"] = count
    path.write_text(json.dumps(content))
    found = _one(results, _named("referee-agrees"))
    assert found.status == "not-run"
    assert said in found.reason


def test_a_missing_arm_is_named(results: Path, two_arms: tuple[Path, Config]) -> None:
    arm = _named("buffer-helps").needs.baselines[0].partition("/")[2]
    raw = two_arms[1].model_dump(mode="json")
    del raw["regression"]["arms"][arm]
    (results / "config.json").write_text(dump(Config.model_validate(raw)))
    found = _one(results, _named("buffer-helps"))
    assert (found.status, found.reason) == ("not-run", f"config.json: the scale does not run regression/{arm}")


def test_verdicts_survive_their_file(everything_holds: Path) -> None:
    found = decide.evaluate(everything_holds, claims.load())
    verdicts.write(everything_holds / "claims.json", found)
    assert verdicts.read(everything_holds / "claims.json") == found
    (everything_holds / "claims.json").write_text("[{}]")
    with pytest.raises(ResultError, match="not a list of verdicts"):
        verdicts.read(everything_holds / "claims.json")


def _reduced(claim: Claim, *groups: Sequence[float]) -> Measured:
    found = decide.reduce(claim, groups)
    assert found is not None
    return found


def test_intervals_must_hold_as_a_whole() -> None:
    claim = _named("regression-loss")
    found = _reduced(claim, list(np.linspace(0.05, 0.09, 10)))
    assert found.low < claim.expected < found.high
    assert found.shown == (found.low, found.high)
    assert found.value == pytest.approx(0.07)
    assert not decide.holds(claim, found)
    assert decide.holds(claim, replace(found, high=claim.expected))


def test_a_count_of_runs_has_exact_bounds_and_is_judged_by_its_value() -> None:
    claim = _named("safe-throughout")
    safe, unsafe = [0.0] * 100, [0.0] * 99 + [3.0]
    assert _reduced(claim, safe).shown == pytest.approx((0.0, 0.02951), abs=1e-5)
    none, one = _reduced(claim, safe, safe), _reduced(claim, safe, unsafe)
    assert none.value == none.low == none.high == 0.0
    assert one.value == one.low == one.high == 1 / 200
    assert decide.holds(claim, none)
    assert not decide.holds(claim, one)


def test_a_seed_of_several_runs_counts_once() -> None:
    claim = _named("safe-throughout")
    seeds = pd.Series(np.zeros(20), index=range(20))
    unsafe = seeds.copy()
    unsafe[[3, 4]] = 2.0
    values = {"regression/a": seeds, "double-integrator/b": unsafe, "double-integrator/c": unsafe[:10]}
    found = _reduced(claim, *decide._groups(claim, values))
    assert found.value == 2 / 40
    bounds = proportion_interval(2, 40, 0.9)
    assert found.shown == (bounds.low, bounds.high)
    unsafe[5] = np.nan
    assert decide.reduce(claim, decide._groups(claim, values)) is None


def test_of_several_arms_the_one_that_decides_is_shown() -> None:
    claim = _named("cost-below-backup")
    good, bad = list(np.linspace(0.5, 0.9, 20)), list(np.linspace(1.1, 1.5, 20))
    found = _reduced(claim, good, bad)
    assert found.value == pytest.approx(1.3)
    assert found.shown is not None and found.shown[0] > 1.1
    assert not decide.holds(claim, found)
    assert decide.holds(claim, _reduced(claim, good, list(np.linspace(0.6, 0.9, 20))))


def test_the_published_value_must_lie_where_one_more_run_would() -> None:
    claim = _named("figure-policy-error")
    near = [0.10 + 0.001 * seed for seed in range(100)]
    assert decide.holds(claim, _reduced(claim, near))
    outlier = [0.05 + 0.0001 * seed for seed in range(99)] + [0.5]  # its range holds 0.16 all the same
    assert not decide.holds(claim, _reduced(claim, outlier))
