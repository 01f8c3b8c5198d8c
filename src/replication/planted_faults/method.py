"""Faults in the inputs of the method: the constants L, probes, start, constraint and solvers."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from replication.documents import PlantedFault
from replication.planted_faults.smooth import INNER, PROBLEMS, Smooth, Vector, away, run, waves
from scpo.arrays import Array
from scpo.directions import Isotropic
from scpo.errors import ConfigurationError, NonDeterministicConstraintError, SolverError, UnsafeStartError
from scpo.optimizer import SafeOptimizer
from scpo.options import Constraint
from scpo.projection import solvers
from scpo.projection.norm import Norm
from scpo.projection.project import project
from scpo.projection.region import LocalSafeRegion
from scpo.projection.sqp import Solution
from scpo.smoothness import FixedSmoothness

UPDATES, SEEDS = 40, 3
#: L used over the L that is proven
FACTORS = (2.0, 1.0, 0.5, 0.2, 0.1, 0.03, 0.01)


def wrapped(
    problem: Smooth, policy: Vector, constraint: Callable[[Any], Any] | Constraint | None = None, **options: Any
) -> SafeOptimizer:
    """Return an optimiser on the bound alone, with the proven L and all of the slack; ``options`` replace these."""
    given: dict[str, Any] = {
        "smoothness": problem.constants,
        "directions": Isotropic(count=4),
        "verify": False,
        "look": False,
        "kappa": 1.0,
    }
    if not isinstance(constraint, Constraint):
        constraint = Constraint(constraint or problem.batched, batched=True)
    return SafeOptimizer(INNER["momentum"](policy), policy, constraint, **(given | options))


def count(problem: Smooth, seed: int, **options: Any) -> Counter[str]:
    """Train on one problem from 0, with ``options`` of the optimiser, and return the counts.

    Counts of updates: all of them, those in which a constraint exceeded its bound, and those after which one was
    violated.  Counts of proposals that were evaluated and found unsafe, and of runs: all, and those with an unsafe
    iterate.
    """
    policy = Vector(np.zeros(problem.dimension))
    safe = wrapped(problem, policy, seed=seed, **options)
    steps = run(safe, away(seed, policy), UPDATES)
    unsafe = sum(bool((step.after > 0).any()) for step in steps)
    return Counter(
        updates=len(steps),
        bound_misses=sum(step.info.bound_misses > 0 for step in steps),
        unsafe_iterates=unsafe,
        unsafe_proposals=sum(step.info.unsafe_proposals for step in steps),
        unsafe_runs=int(unsafe > 0),
        runs=1,
    )


def constants_too_small() -> PlantedFault:
    """Plant constants L below the proven ones: the bound must be missed; with the proven L it must hold."""

    def over_seeds(factor: float, name: str) -> Counter[str]:
        problems = [(seed, PROBLEMS[name](seed)) for seed in range(SEEDS)]
        return sum((count(p, seed, smoothness=factor * p.constants) for seed, p in problems), Counter[str]())

    by_kind = {factor: {name: over_seeds(factor, name) for name in PROBLEMS} for factor in FACTORS}
    totals = {factor: sum(kinds.values(), Counter[str]()) for factor, kinds in by_kind.items()}
    sound = sum((totals[factor] for factor in FACTORS if factor >= 1), Counter[str]())
    smallest = FACTORS[-1]
    least = totals[smallest]
    every_kind_breaks = all(kind["bound_misses"] and kind["unsafe_iterates"] for kind in by_kind[smallest].values())
    return PlantedFault(
        name="constants-too-small",
        planted=f"L below the proven one, down to {smallest:g} of it ({len(PROBLEMS)} kinds of constraints, "
        f"{SEEDS} seeds each)",
        expected="no bound miss and no unsafe iterate while L is at least the proven one; both once it is far below, "
        "for every kind of constraint",
        observed=f"with the proven L or more: {sound['bound_misses']} misses and {sound['unsafe_iterates']} unsafe "
        f"iterates in {sound['updates']} updates; with {smallest:g} of it: {least['bound_misses']} misses and "
        f"{least['unsafe_iterates']} unsafe iterates in {least['updates']}",
        numbers={
            "factors": list(FACTORS),
            "updates": least["updates"],
            "runs": least["runs"],
            "bound_misses": [totals[factor]["bound_misses"] for factor in FACTORS],
            "unsafe_iterates": [totals[factor]["unsafe_iterates"] for factor in FACTORS],
            "unsafe_runs": [totals[factor]["unsafe_runs"] for factor in FACTORS],
        },
        caught=sound["bound_misses"] == sound["unsafe_iterates"] == 0 and every_kind_breaks,
    )


def look_removed() -> PlantedFault:
    """Plant constants L far below the proven ones, and switch off the look along the step.

    Without the look steps must become unsafe.  With it only few may.
    """
    factor = FACTORS[-1]

    def total(look: bool) -> Counter[str]:
        problems = [(seed, PROBLEMS[name](seed)) for name in PROBLEMS for seed in range(SEEDS)]
        return sum((count(p, seed, smoothness=factor * p.constants, look=look) for seed, p in problems), Counter[str]())

    without, beside = total(False), total(True)
    return PlantedFault(
        name="look-removed",
        planted=f"L at {factor:g} of the proven one, without the look along the step",
        expected="unsafe iterates; with the look at most a tenth as many",
        observed=f"{without['unsafe_iterates']} unsafe iterates and {without['bound_misses']} updates with a miss, in "
        f"{without['updates']} updates; with the look {beside['unsafe_iterates']} and {beside['bound_misses']}",
        numbers={
            "updates": without["updates"],
            "unsafe_iterates": without["unsafe_iterates"],
            "unsafe_iterates_with_the_look": beside["unsafe_iterates"],
        },
        caught=10 * beside["unsafe_iterates"] <= without["unsafe_iterates"] > 0,
    )


class BiasedProbes:
    """A constraint that reports a wrong change at probes, which come several at a time, and the true one at iterates.

    Args:
        problem: the honest constraint.
        told: the change of g from iterate to probe (m, k) -> the change that is reported (m, k).
    """

    def __init__(self, problem: Smooth, told: Callable[[Array], Array]) -> None:
        self.problem, self.told = problem, told
        self.base: Array = np.zeros(0)

    def __call__(self, stacked: Mapping[str, Tensor]) -> Array:
        """Return g (m, k) of m policies; if m > 1 they are probes, and the reported change is false."""
        values = self.problem.batched(stacked)
        if values.shape[0] == 1:
            self.base = values[0]
            return values
        return self.base + self.told(values - self.base)


def _hide_worsening(change: Array) -> Array:
    return np.minimum(change, 0.0)


def biased_probes() -> PlantedFault:
    """Plant probes that hide every worsening: the bound alone must fail, and verified mode must stay safe."""

    def total(told: Callable[[Array], Array], **options: Any) -> Counter[str]:
        problems = [(seed, waves(seed)) for seed in range(SEEDS)]
        counts = [count(p, seed, constraint=BiasedProbes(p, told), **options) for seed, p in problems]
        return sum(counts, Counter[str]())

    honest = total(lambda change: change)
    bound_only = total(_hide_worsening)
    verified = total(_hide_worsening, verify=True)
    names = ("updates", "bound_misses", "unsafe_iterates", "unsafe_proposals")
    modes = {"honest": honest, "bound_only": bound_only, "verified": verified}
    breaks = bound_only["bound_misses"] > 0 and bound_only["unsafe_iterates"] > 0
    held_off = verified["unsafe_proposals"] > 0 and verified["unsafe_iterates"] == 0
    return PlantedFault(
        name="biased-probes",
        planted="a constraint that hides every worsening at the probes and tells the truth at iterates",
        expected="on the bound alone misses and unsafe iterates; verified, unsafe proposals and no unsafe iterate; "
        "honest probes, neither",
        observed=f"bound alone: {bound_only['bound_misses']} misses and {bound_only['unsafe_iterates']} unsafe "
        f"iterates in {bound_only['updates']} updates; verified: {verified['unsafe_proposals']} unsafe proposals "
        f"rejected, {verified['unsafe_iterates']} unsafe iterates; honest: {honest['bound_misses']} and "
        f"{honest['unsafe_iterates']}",
        numbers={f"{mode}_{name}": counts[name] for mode, counts in modes.items() for name in names},
        caught=breaks and held_off and honest["bound_misses"] == honest["unsafe_iterates"] == 0,
    )


def unsafe_start() -> PlantedFault:
    """Plant starts on both sides of the boundary, a rounding apart: only the safe ones may be accepted."""
    taken = refused = projections = 0
    nearest = np.inf
    for seed in range(SEEDS):
        problem = waves(seed)
        inside, outside = _boundary(problem, seed)
        excess = float(problem.values(outside[None]).max())
        nearest = min(nearest, excess)
        taken += not _raises(UnsafeStartError, wrapped, problem, Vector(inside))
        refused += _raises(UnsafeStartError, wrapped, problem, Vector(outside))
        projections += _raises(UnsafeStartError, project, [1.0], [excess], [[1.0]], 0.0)
    return PlantedFault(
        name="unsafe-start",
        planted="a start outside the safe set, found by bisection next to its boundary",
        expected="refused, by the optimiser and by the projection; the start just inside is taken",
        observed=f"refused {refused} of {SEEDS} (the nearest has g = {nearest:.1e}), projection refused "
        f"{projections} of {SEEDS}; just inside, {taken} of {SEEDS} taken",
        numbers={
            "refused": refused,
            "projections_refused": projections,
            "taken": taken,
            "starts": SEEDS,
            "nearest_g": nearest,
        },
        caught=refused == projections == taken == SEEDS,
    )


def _boundary(problem: Smooth, seed: int) -> tuple[Array, Array]:
    """Return two neighbouring points on a ray from 0, a rounding apart: the first is safe, the second is not."""
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


class NoisyConstraint:
    """A constraint with normal noise of standard deviation ``size``, drawn from ``noise``."""

    def __init__(self, problem: Smooth, size: float, noise: np.random.Generator) -> None:
        self.problem, self.size, self.noise = problem, size, noise

    def __call__(self, stacked: Mapping[str, Tensor]) -> Array:
        """Return g (m, k) of m policies, with the noise."""
        values = self.problem.batched(stacked)
        return values + self.size * self.noise.normal(size=values.shape)


def noisy_constraint() -> PlantedFault:
    """Plant noise in the last digits of the constraint, which must be refused at the start."""
    noise, refused, size = np.random.default_rng(0), 0, 1e-12
    for seed in range(SEEDS):
        problem = waves(seed)
        noisy = NoisyConstraint(problem, size, noise)
        policy = Vector(np.zeros(problem.dimension))
        refused += _raises(NonDeterministicConstraintError, wrapped, problem, policy, noisy)
    return PlantedFault(
        name="noisy-constraint",
        planted=f"a constraint that is not deterministic: noise of size {size:.0e}",
        expected="refused at the start",
        observed=f"refused {refused} of {SEEDS}",
        numbers={"refused": refused, "starts": SEEDS, "noise": size},
        caught=refused == SEEDS,
    )


class _Concave(FixedSmoothness):
    """A smoothness model that gives -L after its first update, as a signed curvature might be."""

    _observed = 0

    def constants(self) -> Array:
        """Return L (k,) at first, then -L."""
        return super().constants() if self._observed == 0 else -super().constants()

    def observe(self, required: Array, reliable: np.ndarray, length: float) -> None:
        """Count the update."""
        self._observed += 1


def nonconvex_region() -> PlantedFault:
    """Plant a negative L, which makes the region non-convex: the step must be refused and everything must stay."""
    problem = waves(0)
    policy = Vector(np.zeros(problem.dimension))
    safe, loss = wrapped(problem, policy, smoothness=_Concave(problem.constants)), away(0, policy)
    run(safe, loss, 1)
    refused, kept = _refused_step(safe, loss, ConfigurationError)
    return PlantedFault(
        name="non-convex-region",
        planted="a smoothness model that gives curvature with its sign, so that the region is not convex",
        expected="the step is refused; policy and optimiser stay as they were",
        observed=f"{'refused' if refused else 'taken'}, policy and optimiser {'unchanged' if kept else 'changed'}",
        numbers={"refused": int(refused), "unchanged": int(kept)},
        caught=refused and kept,
    )


def failing_solvers() -> PlantedFault:
    """Plant solvers that find nothing: the step must be refused, everything must stay, and training must go on."""
    problem = waves(0)
    policy = Vector(np.zeros(problem.dimension))
    safe, loss = wrapped(problem, policy), away(0, policy)
    run(safe, loss, 3)
    with _every_solver(_unsolved):
        refused, kept = _refused_step(safe, loss, SolverError)
    went_on = run(safe, loss, 1)[0].info.step_norm > 0
    return PlantedFault(
        name="failing-solvers",
        planted="a projection that no solver solves",
        expected="the step is refused; policy and optimiser stay as they were, and the next update goes on",
        observed=f"{'refused' if refused else 'taken'}, policy and optimiser {'unchanged' if kept else 'changed'}; "
        f"the next update {'went on' if went_on else 'stayed'}",
        numbers={"refused": int(refused), "unchanged": int(kept), "went_on": int(went_on)},
        caught=refused and kept and went_on,
    )


def _unsolved(region: LocalSafeRegion, target: Array, tightening: Array, norm: Norm | None) -> list[Solution]:
    """Stand in for a solver that finds no solution."""
    return []


@contextmanager
def _every_solver(solver: Callable[..., Any]) -> Iterator[None]:
    """Put ``solver`` in the place of every backend of the projection, inside the block."""
    honest = dict(solvers.BACKENDS)
    solvers.BACKENDS.update(dict.fromkeys(honest, solver))
    try:
        yield
    finally:
        solvers.BACKENDS.update(honest)


def _raises(error: type[Exception], action: Callable[..., object], *arguments: Any, **options: Any) -> bool:
    try:
        action(*arguments, **options)
    except error:
        return True
    return False


def _refused_step(safe: SafeOptimizer, loss: Callable[[], Tensor], error: type[Exception]) -> tuple[bool, bool]:
    """Return whether a step raises ``error``, and whether policy and wrapped optimiser are as before afterwards."""
    safe.zero_grad()
    loss().backward()
    theta, state = safe.vector.read(), copy.deepcopy(safe.optimizer.state_dict()["state"])
    raised = _raises(error, safe.step)
    after = safe.optimizer.state_dict()["state"]
    same_state = state.keys() == after.keys() and all(
        torch.equal(torch.as_tensor(state[key][name]), torch.as_tensor(after[key][name]))
        for key in state
        for name in state[key]
        if state[key][name] is not None
    )
    return raised, bool(torch.equal(safe.vector.read(), theta) and same_state)
