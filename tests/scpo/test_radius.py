"""No step leaves the radius within which the constants are taken to hold."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from replication.planted_faults.smooth import INNER, Vector, away, run
from scpo.optimizer import SafeOptimizer
from scpo.options import Constraint
from scpo.smoothness import FixedSmoothness


@pytest.mark.parametrize("radius", [1e-3, 0.05])
def test_no_step_is_longer_than_the_radius(radius: float) -> None:
    policy = Vector(np.zeros(4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # directions are drawn at random, as no states are given
        smoothness = FixedSmoothness(0.0, radius)
        safe = SafeOptimizer(
            INNER["sgd"](policy), policy, Constraint(lambda policy: [-1.0], may_be_flat=True), smoothness=smoothness
        )
    lengths = [float(np.linalg.norm(step.moved)) for step in run(safe, away(0, policy), 5)]
    assert lengths == pytest.approx([radius] * 5)
    assert max(lengths) <= radius
