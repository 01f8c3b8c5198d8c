"""The stated claims: what is claimed, on what evidence of the study, and what a claim may not say."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from replication.claims import claims
from replication.claims.claims import Claim, Claims
from replication.experiments.regression import published
from replication.scales import load_scale
from replication.study import preregistration
from scpo.errors import ConfigurationError

STATED = claims.load()
STUDY = load_scale(preregistration.SCALE)
PROJECT = Path(__file__).parents[2]
#: Quantities that say how safe the bound alone keeps a run.
SAFETY = ("unsafe-iterates", "bound-misses", "near-miss-share", "heldout-worst-g", "heldout-unsafe-share")


def _named(name: str) -> Claim:
    return next(claim for claim in STATED.claims if claim.id == name)


def test_all_eight_claims_of_the_abstract_are_there() -> None:
    ids = {claim.id for claim in STATED.claims if claim.source.startswith("abstract")}
    eight = {"safe-throughout", "bound-from-rollouts", "convex-projection", "safe-by-induction"}
    eight |= {"closed-loop-stability", "adaptation-beyond-backup"}
    eight |= {f"{experiment}-{what}" for experiment in STUDY.experiments for what in ("rejects", "improves")}
    assert ids >= eight


def test_the_study_makes_the_evidence_that_claims_need() -> None:
    assert STUDY.scale in claims.DECIDING
    for claim in STATED.claims:
        for name in (*claim.needs.arms, *claim.needs.baselines):
            experiment, arm = name.split("/")
            schedule = STUDY.section(experiment).for_arm(arm).schedule
            assert STUDY.section(experiment).arms[arm].seeds >= claim.needs.seeds, claim.id
            assert schedule.max_rollouts or schedule.updates >= claim.needs.updates, claim.id
        if "certificates" in claim.needs.others:
            assert STUDY.double_integrator is not None
            assert STUDY.double_integrator.certificate is not None
            assert STUDY.double_integrator.certificate.seeds >= claim.needs.seeds


def test_no_claim_is_about_runs_that_check_each_step() -> None:
    arms = {arm for claim in STATED.claims for arm in claim.needs.arms if claim.quantity in SAFETY}
    assert arms
    for experiment, arm in (name.split("/") for name in arms):
        assert not STUDY.section(experiment).for_arm(arm).scpo.verify


def test_abstract_safety_claims_use_all_iterates_of_every_headline_run() -> None:
    sections = STUDY.experiments.items()
    seeds = {
        f"{experiment}/{name}": arm.seeds for experiment, section in sections for name, arm in section.arms.items()
    }
    headline = {name for name, count in seeds.items() if count == max(seeds.values())}
    for name in ("safe-throughout", "bound-from-rollouts", "convex-projection"):
        assert set(_named(name).needs.arms) == headline
    assert _named("safe-throughout").quantity == "unsafe-iterates"
    referee = _named("referee-agrees")
    assert (referee.quantity, referee.source, referee.needs.arms) == ("referee-difference", "ours", ())


def test_no_claim_is_judged_in_the_setting_of_the_source() -> None:
    assert {claim.mark for claim in STATED.claims} == {"R"}


def test_claims_on_one_quantity_name_the_same_calibrated() -> None:
    safe = set(_named("safe-throughout").calibrated)
    for experiment in STUDY.experiments:
        rejects = set(_named(f"{experiment}-rejects").calibrated)
        assert rejects and rejects <= safe
    by_loss = _named("regression-loss").calibrated
    assert by_loss
    for name in ("regression-improves", "figure-late-loss", "plain-reading-slower"):
        assert _named(name).calibrated == by_loss


def test_changed_claims_are_in_their_history() -> None:
    told = {claim.id: [change.change for change in claim.history] for claim in STATED.claims if claim.history}
    assert told.keys() >= {"regression-loss"}


def test_whatever_says_95_percent_has_six_seeds() -> None:
    assert all(claim.needs.seeds >= 6 for claim in STATED.claims if claim.tier == "statistical")


def test_one_datum_decides_one_claim() -> None:
    data = Counter(
        (claim.quantity, claim.statistic, arm, claim.needs.baselines)
        for claim in STATED.claims
        for arm in claim.needs.arms
    )
    assert [datum for datum, count in data.items() if count > 1] == []


def test_the_words_name_files_that_are_there() -> None:
    said = (PROJECT / "docs/preregistration.md").read_text(encoding="utf-8")
    for path in (preregistration.SCALE, claims.FILE):
        assert f"config/{path.name}" in said


def test_what_is_expected_of_the_figure_is_what_was_digitised() -> None:
    loss, band = published.read_loss(), published.late_band()
    near = loss.iloc[(loss["epoch"] - 200.0).abs().argmin()]
    for name in ("figure-early-loss", "figure-early-loss-ten-updates"):
        assert _named(name).expected == pytest.approx((near["loss_low"], near["loss_high"]), abs=0.01)
    assert _named("figure-late-loss").expected == pytest.approx((band.low, band.high), abs=0.01)
    assert _named("figure-policy-error").expected == pytest.approx(published.policy_error(), abs=0.01)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"surprise": 1}, "Extra inputs are not permitted"),
        ({"quantity": "guess"}, "no quantity 'guess'"),
        ({"tolerance": 0.1}, "an exact claim has no tolerance"),
        ({"tolerance": -0.1}, "greater than or equal to 0"),
        ({"comparator": "within"}, "a pair is expected"),
        ({"comparator": "covers"}, "'covers' goes with 'prediction'"),
        ({"tier": "statistical"}, "does not go with tier"),
        ({"pairing": "difference"}, "a pairing goes with baselines"),
        ({"mark": "F"}, "the mark is R"),
        ({"effort": "none"}, "no effort none"),
        ({"needs": {"arms": ["scpo"]}}, "String should match pattern"),
        ({"needs": {"arms": ["a/b"], "baselines": ["a/c", "a/d"]}}, "expected one for each arm"),
        ({"needs": {"arms": ["a/b"], "baselines": ["b/b"]}}, "expected runs of one experiment"),
    ],
)
def test_a_claim_that_makes_no_sense_is_refused(tmp_path: Path, change: dict, message: str) -> None:
    raw = STATED.model_dump(mode="json")
    row = next(row for row in raw["claims"] if row["id"] == "closed-loop-stability")
    row |= change
    path = tmp_path / "claims.yaml"
    path.write_text(json.dumps(raw))
    with pytest.raises(ConfigurationError, match=message):
        claims.load(path)


def test_claims_with_one_id_are_refused() -> None:
    raw = STATED.model_dump()
    with pytest.raises(ValueError, match="claims with the same id: closed-loop-stability"):
        Claims.model_validate(raw | {"claims": [*raw["claims"], _named("closed-loop-stability").model_dump()]})
