"""The drawing of an update is true of the constraints that it is made from."""

from __future__ import annotations

import numpy as np

from replication.report import schematic


def test_the_drawn_step_is_safe_where_the_nominal_one_is_not() -> None:
    step = schematic.projected()
    assert schematic.constraints(schematic.NOMINAL).max() > 0
    assert schematic.inside(step)
    assert (schematic.constraints(step) < (1.0 - schematic.KAPPA) * schematic.VALUE).all()


def test_no_step_of_the_region_is_nearer_to_the_nominal_one() -> None:
    steps = np.random.default_rng(0).uniform(-schematic.RADIUS, schematic.RADIUS, (20_000, 2))
    distances = np.linalg.norm(steps[schematic.inside(steps)] - schematic.NOMINAL, axis=1)
    assert len(distances) > 1000
    assert distances.min() > np.linalg.norm(schematic.projected() - schematic.NOMINAL) - 2e-3


def test_the_bound_holds_within_the_radius() -> None:
    steps = np.random.default_rng(1).uniform(-schematic.RADIUS, schematic.RADIUS, (20_000, 2))
    steps = steps[np.linalg.norm(steps, axis=1) <= schematic.RADIUS]
    assert (schematic.constraints(steps) <= schematic.bound(steps) + 1e-12).all()
