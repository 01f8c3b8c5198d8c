"""Faults planted in what the method is given: constants, probes, start, constraint, projection."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from replication.planted_faults.finding import Finding
from replication.planted_faults.smooth import INNER, PROBLEMS, Smooth, Step, Vector, away, run, waves
from scpo.arrays import Array
from scpo.errors import ConfigurationError, NonDeterministicConstraintError, SolverError, UnsafeStartError
from scpo.optimizer import SafeOptimizer
from scpo.projection import solvers
from scpo.projection.project import project
from scpo.projection.region import LocalSafeRegion
from scpo.smoothness import FixedSmoothness

UPDATES, SEEDS = 40, 3
#: L used over the L that is proven
FACTORS = (2.0, 1.0, 0.5, 0.2, 0.1, 0.03, 0.01)


class BiasedProbes:
    """A constraint that lies at probes, which come several at a time, and tells the truth at iterates.

    Args:
        problem: the honest metrics.
        told: change of g between iterate and probe (m, k) -> the change that is reported.
    """

    def __init__(self, problem: Smooth, told: Callable[[Array], Array]) -> None:
        self.problem, self.told = problem, told
        self.base: Array = np.zeros(0)

    def __call__(self, stacked: Mapping[str, Tensor]) -> Array:
        """Return g (m, k) of m policies, with the lie if m > 1."""
        values = self.problem.batched(stacked)
        if values.shape[0] == 1:
            self.base = values[0]
            return values
        return self.base + self.told(values - self.base)


@dataclass(frozen=True)
class Count:
    """What one run or several showed: updates, those with a bound miss, unsafe iterates and proposals, runs."""

    updates: int = 0
    bound_misses: int = 0
    unsafe_iterates: int = 0
    unsafe_proposals: int = 0
    unsafe_runs: int = 0
    runs: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    @classmethod
    def of(cls, steps: list[Step]) -> Count:
        """Count over the updates of one run."""
        unsafe = sum(bool((step.after > 0).any()) for step in steps)
        misses = sum(step.info.bound_misses > 0 for step in steps)
        return cls(len(steps), misses, unsafe, sum(step.info.unsafe_proposals for step in steps), int(unsafe > 0), 1)


def wrapped(problem: Smooth, policy: Vector, **options: Any) -> SafeOptimizer:
    """Return a bound-only optimiser with the proven constants that may use all of the slack; options override."""
    given: dict[str, Any] = {
        "batched_constraint": problem.batched,
        "smoothness": problem.constants,
        "sampler": "isotropic",
        "samples": 4,
        "verify": False,
        "kappa": 1.0,
    }
    return SafeOptimizer(INNER["momentum"](policy), policy, **(given | options))


def count(problem: Smooth, seed: int, **options: Any) -> Count:
    """Run one problem with ``options`` of the optimiser and count."""
    policy = Vector(np.zeros(problem.dimension))
    return Count.of(run(wrapped(problem, policy, seed=seed, **options), away(seed, policy), UPDATES))


def constants_too_small() -> Finding:
    """L is taken smaller than it is: the bound is missed and iterates become unsafe, which does not happen at L."""
    found = {
        (factor, name): sum(
            (count(problem, seed, smoothness=factor * problem.constants) for seed, problem in _seeded(name)), Count()
        )
        for factor in FACTORS
        for name in PROBLEMS
    }
    totals = [sum((found[factor, name] for name in PROBLEMS), Count()) for factor in FACTORS]
    sound = [total for factor, total in zip(FACTORS, totals, strict=True) if factor >= 1]
    least = [found[FACTORS[-1], name] for name in PROBLEMS]
    last = totals[-1]
    series: dict[str, list[int]] = {
        name: [getattr(total, name) for total in totals] for name in ("bound_misses", "unsafe_iterates", "unsafe_runs")
    }
    return Finding(
        "constants-too-small",
        f"L below the proven one, down to {FACTORS[-1]:g} of it ({len(PROBLEMS)} kinds of metrics, {SEEDS} seeds each)",
        "no bound miss and no unsafe iterate while L is at least the proven one; both once it is far below, "
        "for every kind of metric",
        f"with the proven L or more: {sum(total.bound_misses for total in sound)} misses and "
        f"{sum(total.unsafe_iterates for total in sound)} unsafe iterates in {sum(total.updates for total in sound)} "
        f"updates; with {FACTORS[-1]:g} of it: {last.bound_misses} misses and {last.unsafe_iterates} unsafe iterates "
        f"in {last.updates}",
        {"factors": list(FACTORS), "updates": last.updates, "runs": last.runs, **series},
        caught=not any(total.bound_misses or total.unsafe_iterates for total in sound)
        and all(total.bound_misses and total.unsafe_iterates for total in least),
    )


def biased_probes() -> Finding:
    """Probes hide every worsening: on the bound alone that breaks the guarantee, verified mode holds it off."""

    def total(told: Callable[[Array], Array], **options: Any) -> Count:
        counts = [count(p, seed, batched_constraint=BiasedProbes(p, told), **options) for seed, p in _seeded("waves")]
        return sum(counts, Count())

    honest, bound_only = total(lambda change: change), total(_hide_worsening)
    verified = total(_hide_worsening, verify=True)
    return Finding(
        "biased-probes",
        "a constraint that hides every worsening at the probes and tells the truth at iterates",
        "on the bound alone misses and unsafe iterates; verified, unsafe proposals and no unsafe iterate; "
        "honest probes, neither",
        f"bound alone: {bound_only.bound_misses} misses and {bound_only.unsafe_iterates} unsafe iterates in "
        f"{bound_only.updates} updates; verified: {verified.unsafe_proposals} unsafe proposals rejected, "
        f"{verified.unsafe_iterates} unsafe iterates; honest: {honest.bound_misses} and {honest.unsafe_iterates}",
        {
            f"{mode}_{name}": getattr(which, name)
            for mode, which in (("honest", honest), ("bound_only", bound_only), ("verified", verified))
            for name in ("updates", "bound_misses", "unsafe_iterates", "unsafe_proposals")
        },
        caught=bool(bound_only.bound_misses and bound_only.unsafe_iterates and verified.unsafe_proposals)
        and not (verified.unsafe_iterates or honest.bound_misses or honest.unsafe_iterates),
    )


def unsafe_start() -> Finding:
    """Starts on both sides of the boundary, as near to it as floating point allows: safe ones taken, unsafe refused."""
    taken = refused = projections = 0
    nearest = np.inf
    for seed in range(SEEDS):
        problem = waves(seed)
        inside, outside = _boundary(problem, seed)
        excess = float(problem.values(outside[None]).max())
        nearest = min(nearest, excess)
        taken += not _raises(UnsafeStartError, lambda: wrapped(problem, Vector(inside)))  # noqa: B023
        refused += _raises(UnsafeStartError, lambda: wrapped(problem, Vector(outside)))  # noqa: B023
        projections += _raises(UnsafeStartError, lambda: project([1.0], [excess], [[1.0]], 0.0))  # noqa: B023
    return Finding(
        "unsafe-start",
        "a start outside the safe set, found by bisection next to its boundary",
        "refused, by the optimiser and by the projection; the start just inside is taken",
        f"refused {refused} of {SEEDS} (the nearest has g = {nearest:.1e}), projection refused {projections} of "
        f"{SEEDS}; just inside, {taken} of {SEEDS} taken",
        {"refused": refused, "projections_refused": projections, "taken": taken, "starts": SEEDS, "nearest_g": nearest},
        caught=refused == projections == taken == SEEDS,
    )


def noisy_constraint() -> Finding:
    """A constraint that adds random noise in the last digits."""
    noise, refused, size = np.random.default_rng(0), 0, 1e-12
    for seed in range(SEEDS):
        problem = waves(seed)

        def noisy(stacked: Mapping[str, Tensor], problem: Smooth = problem) -> Array:
            values = problem.batched(stacked)
            return values + size * noise.normal(size=values.shape)

        policy = Vector(np.zeros(problem.dimension))
        refused += _raises(
            NonDeterministicConstraintError,
            lambda: wrapped(problem, policy, batched_constraint=noisy),  # noqa: B023
        )
    return Finding(
        "noisy-constraint",
        f"a constraint that is not deterministic: noise of size {size:.0e}",
        "refused at the start",
        f"refused {refused} of {SEEDS}",
        {"refused": refused, "starts": SEEDS, "noise": size},
        caught=refused == SEEDS,
    )


class _Concave(FixedSmoothness):
    """A user's model that turns L negative after its first update, as a signed curvature would."""

    def constants(self) -> Array:
        """Return L (k,), not a bound of |curvature|."""
        return self._constants * (1.0 if self._constants.size == 0 or self._observed == 0 else -1.0)

    _observed = 0

    def observe(self, required: Array, reliable: np.ndarray, length: float) -> None:
        """Notice that there was an update."""
        self._observed += 1


def nonconvex_region() -> Finding:
    """Curvature with its sign would make the region non-convex; the step is refused and everything stays."""
    problem = waves(0)
    policy = Vector(np.zeros(problem.dimension))
    safe, loss = wrapped(problem, policy, smoothness=_Concave(problem.constants)), away(0, policy)
    run(safe, loss, 1)
    error, kept = _step(safe, loss, ConfigurationError)
    return Finding(
        "non-convex-region",
        "a smoothness model that gives curvature with its sign, so that the region is not convex",
        "the step is refused; policy and optimiser stay as they were",
        f"{'refused' if error else 'taken'}, policy and optimiser {'unchanged' if kept else 'changed'}",
        {"refused": int(error), "unchanged": int(kept)},
        caught=error and kept,
    )


def failing_solvers() -> Finding:
    """No backend solves the projection: an error, or (asked for in long runs) an update that stays; never a step."""
    problem = waves(0)
    outcomes: dict[bool, bool] = {}
    for stay in (False, True):
        policy = Vector(np.zeros(problem.dimension))
        safe, loss = wrapped(problem, policy, stay_on_solver_failure=stay), away(0, policy)
        run(safe, loss, 3)
        before = safe.vector.read()
        with patch.dict(solvers.BACKENDS, dict.fromkeys(solvers.BACKENDS, _unsolved)):
            if stay:
                step = run(safe, loss, 1)[0]
                outcomes[stay] = step.info.solver_failures == 1 and torch.equal(safe.vector.read(), before)
            else:
                outcomes[stay] = all(_step(safe, loss, SolverError))
    return Finding(
        "failing-solvers",
        "a projection that no backend solves",
        "an error that leaves policy and optimiser as they were; in long runs the policy stays and the update is "
        "counted",
        f"error: {'policy and optimiser unchanged' if outcomes[False] else 'not as expected'}; long runs: "
        f"{'policy unchanged and counted' if outcomes[True] else 'not as expected'}",
        {"error": int(outcomes[False]), "stayed": int(outcomes[True])},
        caught=all(outcomes.values()),
    )


def _unsolved(region: LocalSafeRegion, target: Array, offset: Array) -> None:
    """Stand in for a backend that finds nothing."""


def _hide_worsening(change: Array) -> Array:
    return np.minimum(change, 0.0)


def _seeded(name: str) -> list[tuple[int, Smooth]]:
    return [(seed, PROBLEMS[name](seed)) for seed in range(SEEDS)]


def _raises(error: type[Exception], action: Callable[[], object]) -> bool:
    try:
        action()
    except error:
        return True
    return False


def _boundary(problem: Smooth, seed: int) -> tuple[Array, Array]:
    """Return neighbours on a ray from 0, the first safe and the second not, a rounding apart."""
    rng = np.random.default_rng([seed, 2])
    while True:
        far = rng.normal(size=problem.dimension)
        if problem.values(far[None]).max() > 0:
            break
    low, high = 0.0, 1.0
    while (middle := 0.5 * (low + high)) not in (low, high):
        if problem.values((middle * far)[None]).max() > 0:
            high = middle
        else:
            low = middle
    return low * far, high * far


def _step(safe: SafeOptimizer, loss: Callable[[], Tensor], error: type[Exception]) -> tuple[bool, bool]:
    """Return whether a step raises ``error``, and whether policy and wrapped optimiser are then as before."""
    safe.zero_grad()
    loss().backward()
    theta, state = safe.vector.read(), copy.deepcopy(safe.optimizer.state_dict()["state"])
    raised = _raises(error, safe.step)
    after = safe.optimizer.state_dict()["state"]
    same = state.keys() == after.keys() and all(
        torch.equal(torch.as_tensor(state[key][name]), torch.as_tensor(after[key][name]))
        for key in state
        for name in state[key]
        if state[key][name] is not None
    )
    return raised, bool(torch.equal(safe.vector.read(), theta) and same)
