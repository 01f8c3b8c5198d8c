"""Of claims that deviate those are left open whose interval overlaps what is expected; any other is refuted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from replication.claims import claims, decide, verdicts
from replication.claims.claims import Claim
from replication.claims.decide import Measured
from replication.claims.verdicts import Verdict

STATED = claims.load()


def _named(name: str) -> Claim:
    return next(claim for claim in STATED.claims if claim.id == name)


def _reduced(claim: Claim, *groups: Sequence[float]) -> Measured:
    found = decide.reduce(claim, groups)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("comparator", "expected", "tolerance", "between", "left_open"),
    [
        ("at_most", 1.0, 0.0, (0.5, 1.5), True),
        ("at_most", 1.0, 0.0, (1.2, 1.5), False),
        ("at_most", 1.0, 0.25, (1.25, 1.5), True),
        ("at_most", 1.0, 0.0, (0.5, 0.9), False),  # it holds
        ("at_least", 1.0, 0.0, (0.5, 1.5), True),
        ("at_least", 1.0, 0.0, (0.5, 0.9), False),
        ("at_least", 1.0, 0.25, (0.5, 0.75), True),
        ("equals", 1.0, 0.0, (0.5, 1.5), True),
        ("equals", 1.0, 0.0, (1.2, 1.5), False),
        ("equals", 1.0, 0.0, (0.5, 0.9), False),
        ("equals", 1.0, 0.25, (1.2, 1.5), True),
        ("within", (1.0, 2.0), 0.0, (1.5, 2.5), True),
        ("within", (1.0, 2.0), 0.0, (0.5, 2.5), True),
        ("within", (1.0, 2.0), 0.0, (2.2, 2.5), False),
        ("within", (1.0, 2.0), 0.0, (0.5, 0.9), False),
        ("within", (1.0, 2.0), 0.25, (2.2, 2.5), True),
        ("covers", 1.0, 0.0, (1.2, 1.5), False),
        ("covers", 1.0, 0.0, (0.5, 0.9), False),
        ("covers", (1.0, 2.0), 0.0, (1.5, 2.5), True),
    ],
)
def test_a_claim_is_left_open_where_its_interval_meets_what_is_expected(
    comparator: str,
    expected: float | tuple[float, float],
    tolerance: float,
    between: tuple[float, float],
    left_open: bool,
) -> None:
    statistic = "prediction" if comparator == "covers" else "median"
    change = {"comparator": comparator, "expected": expected, "tolerance": tolerance, "statistic": statistic}
    claim = _named("regression-loss").model_copy(update=change)
    values = [between[0]] * 20 + [between[1]] * 20  # both intervals are those of the values
    assert _reduced(claim, values).shown == between
    assert decide.left_open(claim, [values]) is left_open
    assert not (left_open and decide.holds(claim, _reduced(claim, values)))


def test_an_arm_that_refutes_a_claim_closes_it() -> None:
    claim = _named("cost-below-backup")
    wide, above = [0.5] * 20 + [3.0] * 20, [1.2] * 20 + [1.3] * 20
    assert _reduced(claim, wide, above) == _reduced(claim, wide)  # what is printed is the arm that is furthest away
    assert decide.left_open(claim, [wide])
    assert decide.left_open(claim, [wide, [0.5] * 20])
    assert not decide.left_open(claim, [wide, above])


def test_a_share_of_seeds_is_left_open_by_its_bounds() -> None:
    claim = _named("look-needed")
    two, none = [1.0] * 2 + [0.0] * 10, [0.0] * 100
    assert decide.left_open(claim, [two])
    assert not decide.left_open(claim, [none])
    assert not decide.left_open(_named("safe-throughout"), [two])


def test_what_has_no_interval_or_no_value_is_never_left_open() -> None:
    others = _named("others-unsafe")
    assert not decide.holds(others, _reduced(others, [0.0, 3.0]))
    assert not decide.left_open(others, [[0.0, 3.0]])
    assert not decide.left_open(_named("regression-loss"), [[0.05] * 10 + [np.nan]])


def test_what_is_left_open_is_said_and_counted() -> None:
    open_, refuted = (Verdict.of(STATED.claims[0], "deviates", left_open=left) for left in (True, False))
    assert (open_.said, refuted.said) == ("deviates, left open", "deviates")
    found = verdicts.text([open_, refuted])
    assert "\ndeviates, left open  " in found
    assert found.endswith("\n2 claims: 0 reproduced, 0 supported, 2 deviates (1 left open), 0 not-run\n")
    assert verdicts.summary([refuted]).endswith("1 deviates, 0 not-run")
