"""The stated claims: what is claimed, on what evidence, and what a claim may not say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from replication.claims import claims
from replication.claims.claims import Claim, Claims
from replication.config import load
from replication.experiments.quantities import QUANTITIES
from replication.experiments.regression import published
from scpo.errors import ConfigurationError

STATED = claims.load()
PROJECT = Path(__file__).parents[2]


def _named(name: str) -> Claim:
    return next(claim for claim in STATED.claims if claim.id == name)


def test_all_eight_claims_of_the_abstract_are_there() -> None:
    ids = {claim.id for claim in STATED.claims if claim.source.startswith("abstract")}
    eight = ("safe-without-gradients", "bound-from-rollouts", "convex-projection", "safe-by-induction")
    eight += ("closed-loop-stability", "adaptation-beyond-backup")
    eight += tuple(
        f"{experiment}-{what}"
        for experiment in ("regression", "double-integrator")
        for what in ("rejects", "feasible", "improves")
    )
    assert ids >= set(eight)


def test_the_paper_scale_makes_the_evidence_that_claims_need() -> None:
    config = load(PROJECT / "config/paper.yaml")
    assert config.scale in claims.DECIDING
    for claim in STATED.claims:
        for name in (*claim.needs.arms, *claim.needs.baselines):
            experiment, arm = name.split("/")
            schedule = config.section(experiment).for_arm(arm).schedule
            assert config.section(experiment).arms[arm].seeds >= claim.needs.seeds, claim.id
            assert schedule.epochs * schedule.updates_per_epoch >= claim.needs.updates, claim.id
            assert QUANTITIES[claim.quantity].judged <= (not config.section(experiment).for_arm(arm).scpo.verify), (
                claim.id
            )
        if "certificates" in claim.needs.others:
            assert config.double_integrator is not None
            assert config.double_integrator.certificate is not None
            assert config.double_integrator.certificate.seeds >= claim.needs.seeds


def test_abstract_safety_claims_use_all_iterates() -> None:
    config, headline = load(PROJECT / "config/paper.yaml"), set(_named("safe-by-induction-estimated").needs.arms)
    claim = _named("safe-without-gradients")
    assert (claim.quantity, set(claim.needs.arms)) == ("unsafe-iterates", headline)
    saved = _named("saved-iterates-safe")
    assert (saved.quantity, saved.source, set(saved.needs.arms)) == ("recomputed-unsafe", "ours", headline)
    everything = {f"{experiment}/{arm}" for experiment, section in config.experiments.items() for arm in section.arms}
    assert set(_named("referee-agrees").needs.arms) == everything


def test_only_the_zero_policy_is_judged_as_in_the_source() -> None:
    assert [claim.id for claim in STATED.claims if claim.mark != "R"] == ["figure-initial-loss"]


def test_claims_on_one_quantity_name_the_same_calibrated() -> None:
    for experiment in ("regression", "double-integrator"):
        feasible = _named(f"{experiment}-feasible").calibrated
        assert feasible
        assert _named(f"{experiment}-rejects").calibrated == feasible
        assert set(feasible) <= set(_named("safe-without-gradients").calibrated)
    by_loss = _named("regression-loss").calibrated
    assert _named("regression-improves").calibrated == _named("figure-late-loss").calibrated == by_loss


def test_changed_and_added_claims_are_in_their_history() -> None:
    told = {claim.id: [change.change for change in claim.history] for claim in STATED.claims if claim.history}
    assert told.keys() >= {"safe-without-gradients", "referee-agrees", "saved-iterates-safe", "harmful-part-removed"}


def test_what_is_expected_of_the_figure_is_what_was_digitised() -> None:
    loss, policy, band = published.read_loss(), published.read_policy(), published.late_band()
    assert _named("figure-initial-loss").expected == pytest.approx(
        (loss["loss_low"][0], loss["loss_high"][0]), abs=0.01
    )
    near = loss.iloc[(loss["epoch"] - 200.0).abs().argmin()]
    assert _named("figure-early-loss").expected == pytest.approx((near["loss_low"], near["loss_high"]), abs=0.01)
    assert _named("figure-late-loss").expected == pytest.approx((band.low, band.high), abs=0.01)
    assert _named("figure-policy-error").expected == pytest.approx(published.policy_error(), abs=0.01)
    for name, found in (("upper", policy["pi_theta"].max()), ("lower", policy["pi_theta"].min())):
        claim = _named(f"figure-{name}-level")
        assert claim.expected == pytest.approx(found, abs=claim.tolerance)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"surprise": 1}, "Extra inputs are not permitted"),
        ({"quantity": "guess"}, "no quantity 'guess'"),
        ({"tolerance": 0.1}, "an exact claim has no tolerance"),
        ({"tolerance": -0.1}, "greater than or equal to 0"),
        ({"comparator": "within"}, "a pair is expected"),
        ({"comparator": "covers"}, "'covers' goes with 'range' and 'prediction'"),
        ({"tier": "statistical"}, "does not go with tier"),
        ({"pairing": "difference"}, "a pairing goes with baselines"),
        ({"mark": "F"}, "the mark is R"),
        ({"effort": "none"}, "no effort none"),
        ({"needs": {"arms": ["scpo"]}}, "String should match pattern"),
        ({"needs": {"arms": ["a/b"], "baselines": ["a/c", "a/d"]}}, "expected one for each arm"),
    ],
)
def test_a_claim_that_makes_no_sense_is_refused(tmp_path: Path, change: dict, message: str) -> None:
    raw = STATED.model_dump(mode="json")
    row = next(row for row in raw["claims"] if row["id"] == "regression-feasible")
    row |= change
    path = tmp_path / "claims.yaml"
    path.write_text(json.dumps(raw))
    with pytest.raises(ConfigurationError, match=message):
        claims.load(path)


def test_claims_with_one_id_are_refused() -> None:
    raw = STATED.model_dump()
    with pytest.raises(ValueError, match="claims with the same id: regression-feasible"):
        Claims.model_validate(raw | {"claims": [*raw["claims"], _named("regression-feasible").model_dump()]})
