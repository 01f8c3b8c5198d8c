"""The claims of the study: the study makes their evidence, and none is decided twice or by construction."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from replication import scales
from replication.claims import claims, decide
from replication.claims.claims import Claim
from replication.config import Config
from replication.experiments.quantities import QUANTITIES
from replication.study import preregistration

from . import planted_claims

STATED = claims.load(preregistration.CLAIMS)
STUDY = scales.load_scale(preregistration.SCALE)


def test_the_study_makes_the_evidence_that_its_claims_need() -> None:
    assert STUDY.scale in claims.DECIDING
    for claim in STATED.claims:
        for name in (*claim.needs.arms, *claim.needs.baselines):
            experiment, arm = name.split("/")
            settings, section = STUDY.section(experiment).arms[arm], STUDY.section(experiment).for_arm(arm)
            assert settings.seeds >= claim.needs.seeds, claim.id
            assert section.schedule.max_rollouts or section.schedule.updates >= claim.needs.updates, claim.id
            assert not (QUANTITIES[claim.quantity].judged and section.scpo.verify), claim.id


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Config]:
    results = tmp_path_factory.mktemp("made") / "study"
    return results, planted_claims.write_of(results, planted_claims.study_config(STATED))


@pytest.mark.slow
@pytest.mark.parametrize("claim", STATED.claims, ids=lambda claim: claim.id)
def test_good_evidence_holds_and_bad_evidence_deviates(made: tuple[Path, Config], tmp_path: Path, claim: Claim) -> None:
    results = planted_claims.copied(made[0], tmp_path / "study", (*claim.needs.arms, *claim.needs.baselines))
    only = STATED.model_copy(update={"claims": (planted_claims.relaxed(claim),)})
    found = {}
    for good in (True, False):
        planted_claims.plant(results, made[1], claim, good=good)
        found[good] = decide.evaluate(results, only)[0]
    assert found[True].status == "supported", found[True]
    assert found[False].status == "deviates", found[False]
    assert found[False].measured != found[True].measured


def test_whatever_says_95_percent_has_six_seeds() -> None:
    assert all(claim.needs.seeds >= 6 for claim in STATED.claims if claim.tier == "statistical")


def test_one_datum_decides_one_claim() -> None:
    data = Counter(
        (claim.quantity, claim.statistic, arm, claim.needs.baselines)
        for claim in STATED.claims
        for arm in claim.needs.arms
    )
    assert [datum for datum, count in data.items() if count > 1] == []


def test_a_count_of_runs_has_exact_bounds_and_is_judged_by_its_value() -> None:
    claim = next(one for one in STATED.claims if one.id == "safe-throughout")
    safe, unsafe = [0.0] * 100, [0.0] * 99 + [3.0]
    assert decide.reduce(claim, [safe, safe]) == (0.0, 0.0, 0.0)
    assert decide.shown(claim, [safe], 0.0, 0.0) == pytest.approx((0.0, 0.02951), abs=1e-5)
    value, low, high = decide.reduce(claim, [safe, unsafe])
    assert value == low == high == 1 / 200
    assert decide.holds(claim, 0.0, 0.0)
    assert not decide.holds(claim, low, high)


def test_the_published_value_must_lie_where_one_more_run_would() -> None:
    claim = next(one for one in STATED.claims if one.id == "figure-policy-error")
    near = [0.10 + 0.001 * seed for seed in range(100)]
    assert decide.holds(claim, *decide.reduce(claim, [near])[1:])
    outlier = [0.05 + 0.0001 * seed for seed in range(99)] + [0.5]  # its range holds 0.16 all the same
    assert not decide.holds(claim, *decide.reduce(claim, [outlier])[1:])


def test_the_words_name_files_that_are_there() -> None:
    said = (Path(preregistration.SCALE).parents[1] / "docs/preregistration.md").read_text(encoding="utf-8")
    for path in (preregistration.SCALE, preregistration.CLAIMS):
        assert f"config/{path.name}" in said
