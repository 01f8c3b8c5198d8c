"""With an assumption broken on purpose, the checks of test_guarantees.py do see the guarantees break."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import scpo.proposals
from replication.planted_faults.method import BiasedProbes, wrapped
from replication.planted_faults.smooth import INNER, PROBLEMS, Smooth, Vector, away, broken_guarantees, run, waves
from scpo.arrays import Array
from scpo.directions import Isotropic
from scpo.errors import UnsafeStartError
from scpo.optimizer import SafeOptimizer
from scpo.options import Constraint
from scpo.projection.project import Projection
from scpo.projection.region import LocalSafeRegion
from scpo.smoothness import FixedSmoothness


def failures(problem: Smooth, seed: int = 0, updates: int = 40, **options: Any) -> set[str]:
    policy = Vector(np.zeros(problem.dimension))
    safe = wrapped(problem, policy, **options)
    return broken_guarantees(run(safe, away(seed, policy), updates), 1.0, safe.rounding)


@pytest.mark.parametrize("name", PROBLEMS)
def test_constants_planted_too_small_are_seen(name: str) -> None:
    seen = set[str]()
    for seed in range(3):
        problem = PROBLEMS[name](seed)
        assert failures(problem, seed) == set()
        seen |= failures(problem, seed, smoothness=1e-3 * problem.constants)
    assert seen >= {"safe", "bound", "slack"}
    assert "projection" not in seen  # that one does not rest on the constants


def test_biased_probes_are_seen() -> None:
    seen = set[str]()
    for seed in range(3):
        problem = waves(seed)
        seen |= failures(problem, seed, constraint=BiasedProbes(problem, np.negative))
    assert seen >= {"safe", "bound", "slack"}


def test_a_forced_unsafe_start_is_seen() -> None:
    problem = waves(0)
    directions = np.random.default_rng(0).normal(size=(200, problem.dimension))
    unsafe = next(t for t in directions if problem.values(t[None]).max() > 0.1)
    policy = Vector(unsafe)
    with pytest.raises(UnsafeStartError, match="backup"):
        SafeOptimizer(INNER["sgd"](policy), policy, problem.constraint, directions=Isotropic())

    policy = Vector(np.zeros(problem.dimension))
    safe = SafeOptimizer(
        INNER["sgd"](policy),
        policy,
        problem.constraint,
        smoothness=FixedSmoothness(problem.constants, radius=1e-3),
        directions=Isotropic(),
        verify=False,
    )
    with torch.no_grad():
        policy.theta.copy_(torch.from_numpy(unsafe))
    assert "safe" in broken_guarantees(run(safe, away(0, policy), 1), 0.5, safe.rounding)


def test_steps_that_are_no_projection_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def overshoot(region: LocalSafeRegion, target: Array, *, metric: Array | None = None) -> Projection:
        honest = scpo.projection.project.project_onto(region, target, metric=metric)
        return replace(honest, point=1.5 * honest.point)

    problem = waves(1)
    monkeypatch.setattr(scpo.proposals, "project_onto", overshoot)
    assert "projection" in failures(problem, smoothness=0.0)


def test_steps_up_the_loss_are_seen() -> None:
    # momentum that turns against the gradient, without the descent row
    policy = Vector(np.zeros(4))
    options: dict[str, Any] = {"smoothness": 0.0, "directions": Isotropic(), "verify": False}
    seen = {}
    for descent in (None, False):
        with torch.no_grad():
            policy.theta.zero_()
        inner = torch.optim.SGD(policy.parameters(), lr=0.5, momentum=0.9)
        flat = Constraint(lambda policy: [-1.0], may_be_flat=True)
        safe = SafeOptimizer(inner, policy, flat, descent=descent, **options)
        seen[descent] = broken_guarantees(run(safe, away(0, policy), 20), 0.5, safe.rounding)
    assert seen == {None: set(), False: {"descent"}}


def test_rounding_that_is_not_accounted_for_is_seen() -> None:
    # g rounded to multiples of 1e-4, which the bound is told (or not)
    def coarse(stacked: Mapping[str, Tensor]) -> Array:
        return np.round((stacked["theta"].numpy() @ slopes.T - 0.3) * 1e4) / 1e4

    slopes = np.random.default_rng(4).normal(size=(3, 4))
    problem = replace(waves(0, d=4), constants=np.zeros(3))
    seen = [
        failures(
            problem,
            constraint=Constraint(coarse, batched=True, rounding=rounding),
            directions=Isotropic(count=4, probe_length=length),
            updates=60,
        )
        for rounding, length in ((5e-5, 0.1), (0.0, 1e-3))
    ]
    assert seen[0] == set()
    assert seen[1] >= {"bound"}
