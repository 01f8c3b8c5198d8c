"""One safe update: basis -> probes -> aim -> proposals -> the step taken -> its record.

Notation and proofs: docs/method.md.  An update changes nothing but what the smoothness model has learned and the state
of the random generator.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.linalg import vector_norm

from scpo.aim import Aim, aim
from scpo.arrays import Array, length_of
from scpo.basis import ORTHONORMAL, Basis, draw_basis, product
from scpo.look import look_along
from scpo.options import Look
from scpo.probing import Probes, median, probe
from scpo.projection.project import Projection, project_onto
from scpo.projection.region import LocalSafeRegion
from scpo.records import StepInfo
from scpo.smoothness import carried
from scpo.state import Method, Refuge, Start

#: rejected proposals after the first, after which theta stays (verified mode)
MAX_RETRIES = 8
#: a step shows L only where L |z|^2 is at least this many times the rounding of g
RELIABLE = 8.0


@dataclass(frozen=True)
class Outcome:
    """The result of an update.

    Attributes:
        theta: the new parameters (d,).
        values: g (k,) at theta.
        gradient_bound: a bound (k,) on |grad g_i| at theta, or None if it is not known.
        info: the record of the update.
        recycled: directions (d, m) for the next update, or None.
        unsafe: the parameters (d,) of each proposal with max g > 0.
        refuge: the last safe iterate, if theta is unsafe and the next update is to go back.
        raised: the least L (k,) for the updates that start from the refuge, until one of them is safe.
    """

    theta: Tensor
    values: Array
    gradient_bound: Array | None
    info: StepInfo
    recycled: Tensor | None = None
    unsafe: tuple[Tensor, ...] = ()
    refuge: Refuge | None = None
    raised: Array | None = None


@dataclass(frozen=True)
class Proposal:
    """A step that the bound allows.

    Attributes:
        step: z (n,); 0 if the bound allows nothing.
        bound: the step bound u(z) (k,), without the tightening.
        projection: the projection of the target.
        looks: the number of looks along the step.
        unsafe_looks: the number of those with max g > 0.
    """

    step: Array
    bound: Array
    projection: Projection
    looks: int = 0
    unsafe_looks: int = 0


@dataclass(frozen=True)
class Trial:
    """A proposal and its evaluation.

    Attributes:
        theta: the proposed parameters (d,).
        values: g (k,) at theta.
        proposal: the step and its bound.
        required: the L (k,) with which the step would just have met its bound if c were 0.
        required_beside_kinks: the L (k,) with which it would just have met its bound with the c in use.
    """

    theta: Tensor
    values: Array
    proposal: Proposal
    required: Array
    required_beside_kinks: Array

    @property
    def length(self) -> float:
        """The length |z| of the step."""
        return length_of(self.proposal.step)

    @property
    def unsafe(self) -> bool:
        """True if a constraint value is above 0."""
        return bool((self.values > 0).any())


@dataclass(frozen=True)
class Search:
    """The proposals of an update.

    Attributes:
        proposals: all of them, in order.
        trials: those that were evaluated, in order.
        smoothness: L (k,) at the end, raised by rejections.
        taken: the trial that was accepted; None if theta stays.
    """

    proposals: tuple[Proposal, ...]
    trials: tuple[Trial, ...]
    smoothness: Array
    taken: Trial | None

    @property
    def last(self) -> Proposal:
        """The last proposal, evaluated or not."""
        return self.proposals[-1]


def safe_update(start: Start, method: Method) -> Outcome:
    """Return the result of one update.

    From a safe theta it improves the loss.  From an unsafe one it goes back to the last safe iterate, or it restores
    safety where there is none.

    Raises:
        ScpoError: the directions, the constraint, the smoothness model or the projection failed.
    """
    if start.refuge is not None:
        return _go_back(start, start.refuge, method)
    if not start.nominal.any() and not start.unsafe:
        return _stay(start, method)
    basis = draw_basis(start, method)
    if basis.size == 0:  # no nominal step, and nothing was drawn
        return _stay(start, method)
    probes = probe(start, basis, method)
    goal = aim(start, basis, probes, method)
    search = find_step(start, basis, probes, goal, method)
    taken, missed = search.taken, _to_undo(start, search, method)
    return Outcome(
        theta=start.theta if taken is None else taken.theta,
        values=start.values if taken is None else taken.values,
        gradient_bound=_gradient_bound(start, basis, probes, search),
        info=record(start, basis, probes, goal, search, method),
        recycled=None if basis.complete else _recycled(start, basis, probes, search, method),
        unsafe=tuple(trial.theta for trial in search.trials if trial.unsafe),
        refuge=None if missed is None else Refuge(start.theta, start.values, start.gradient_bound),
        raised=None if missed is None else _raised(missed, search.smoothness, method),
    )


def _to_undo(start: Start, search: Search, method: Method) -> Trial | None:
    """Return the trial that was taken if the next update is to go back from it."""
    taken, look = search.taken, method.look
    return taken if taken and taken.unsafe and not start.unsafe and look and look.go_back else None


def _go_back(start: Start, refuge: Refuge, method: Method) -> Outcome:
    """Return the result of an update that goes back to the last safe iterate, where g is known."""
    info = StepInfo(
        update=start.update,
        slack=_slack(refuge.values),
        returned=True,
        step_bound=-_slack(refuge.values),
        nominal_norm=float(vector_norm(start.nominal)),
        step_norm=float(vector_norm(refuge.theta - start.theta)),
        rollouts=method.evaluate.rollouts,
    )
    return Outcome(refuge.theta, refuge.values, refuge.gradient_bound, info, start.recycled, raised=start.raised)


def _stay(start: Start, method: Method) -> Outcome:
    """Return the result of an update that has no direction: theta stays."""
    info = StepInfo(
        update=start.update,
        slack=_slack(start.values),
        restoring=start.unsafe,
        nominal_norm=0.0,
        step_norm=0.0,
        rollouts=method.evaluate.rollouts,
    )
    return Outcome(start.theta, start.values, start.gradient_bound, info, start.recycled)


def find_step(start: Start, basis: Basis, probes: Probes, goal: Aim, method: Method) -> Search:
    """Propose steps until one is accepted; each rejection raises L for the next proposal."""
    smoothness, proposals, trials = probes.constants.smoothness, [], []
    while True:
        proposal = propose(start, basis, probes, goal, smoothness, method)
        proposals.append(proposal)
        if not proposal.step.any():
            break
        trial = _evaluate(start, basis, probes, proposal, method)
        trials.append(trial)
        _learn(trial.required, trial.length, smoothness, probes, method)
        if _accepted(trial, start, method):
            return Search(tuple(proposals), tuple(trials), smoothness, trial)
        smoothness = _raised(trial, smoothness, method)
        if len(trials) > MAX_RETRIES:
            break
    if goal.target.any():
        method.smoothness.blocked()
    return Search(tuple(proposals), tuple(trials), smoothness, None)


def propose(start: Start, basis: Basis, probes: Probes, goal: Aim, smoothness: Array, method: Method) -> Proposal:
    """Return the step to which the target is projected for these L (k,), shortened by a look, with its bound.

    Raises:
        SolverError: no solver reached the tolerances.
    """
    region = _region(start, probes, smoothness, method)
    projection = project_onto(_with_descent_row(region, goal, method), goal.target, metric=goal.metric)
    proposal = Proposal(projection.point, region.bound(projection.point, start.values), projection)
    if method.look is not None and proposal.step.any():
        proposal = _looked(proposal, start, basis, probes, region, method, method.look)
    if proposal.step.any() and (proposal.bound + 2 * start.rounding > _allowed(start, method)).any():
        return replace(proposal, step=np.zeros_like(proposal.step), bound=start.values)
    return proposal


def _looked(
    proposal: Proposal, start: Start, basis: Basis, probes: Probes, region: LocalSafeRegion, method: Method, look: Look
) -> Proposal:
    """Return the part of a proposal that is left after looking along it."""
    seen = look_along(proposal.step, start, basis, probes, region, method, look)
    return replace(proposal, step=seen.step, bound=seen.bound, looks=seen.count, unsafe_looks=seen.unsafe)


def _region(start: Start, probes: Probes, smoothness: Array, method: Method) -> LocalSafeRegion:
    """Return the safe region S.

    The rounding of g is taken out of the slack, and a constraint beyond its tightened limit must not get worse.  Q is
    orthonormal to rounding only, so constants that multiply |z| are raised until they hold for |Q z|.
    """
    kappa, longer = method.step.kappa, 1.0 + ORTHONORMAL
    values = np.minimum(start.values + method.tightening + 2.0 * start.rounding / kappa, 0.0)
    error = probes.error(smoothness)
    return LocalSafeRegion.build(
        values, probes.slopes, longer**2 * smoothness, longer**2 * error, probes.constants.radius / longer, kappa
    )


def _with_descent_row(region: LocalSafeRegion, goal: Aim, method: Method) -> LocalSafeRegion:
    """Return the region with the row that keeps the loss from rising, if there is one."""
    if goal.descent_row is None or method.descent is None:
        return region
    return LocalSafeRegion(
        np.append(region.values, 0.0),
        np.vstack([region.slopes, goal.descent_row]),
        np.append(region.smoothness, method.descent.loss_smoothness),
        np.append(region.probe_error, 0.0),
        region.radius,
        region.kappa,
    )


def _evaluate(start: Start, basis: Basis, probes: Probes, proposal: Proposal, method: Method) -> Trial:
    """Evaluate g at a proposal and return it with the L that it needed."""
    theta = start.theta + basis.combine(proposal.step)
    values = method.evaluate(theta[None])[0]
    rise = values - start.values
    beside = probes.required(proposal.step, rise, probes.constants.kinks)
    return Trial(theta, values, proposal, probes.required(proposal.step, rise), beside)


def _learn(required: Array, length: float, smoothness: Array, probes: Probes, method: Method) -> None:
    """Tell the smoothness model the L that a step needed, and for which constraints this is more than rounding."""
    largest = np.maximum(np.maximum(smoothness, required), 1e-300)
    reliable = length**2 * largest >= RELIABLE * probes.rounding
    method.smoothness.observe(required, reliable, length)


def _allowed(start: Start, method: Method) -> Array:
    """Return what g (k,) may be after a step: the tightened limit, or no worse where it is beyond that already."""
    return np.where(start.values + method.tightening > 0, start.values, -method.tightening)


def _accepted(trial: Trial, start: Start, method: Method) -> bool:
    """Return True if the step is taken.

    In verified mode it must be safe, or leave the worst violation no worse where it restores safety.
    """
    if not method.step.verify:
        return True
    if start.unsafe:
        return bool(trial.values.max() <= start.values.max())
    return bool((trial.values <= _allowed(start, method)).all())


def _raised(trial: Trial, smoothness: Array, method: Method) -> Array:
    """Return L (k,) after a rejection: at least doubled for the constraints that missed their bounds."""
    missed = trial.values > trial.proposal.bound
    raised = np.where(missed, np.maximum(2.0 * smoothness, trial.required), smoothness)
    return np.asarray(np.maximum(method.smoothness.constants(), raised))


def record(start: Start, basis: Basis, probes: Probes, goal: Aim, search: Search, method: Method) -> StepInfo:
    """Return the record of an update."""
    trials, taken, rounding = search.trials, search.taken, probes.rounding
    k = start.values.size
    bound = start.values if taken is None else taken.proposal.bound
    misses = [int((trial.values > trial.proposal.bound + 2.0 * rounding).sum()) for trial in trials]
    worst = [float((trial.values - trial.proposal.bound).max()) for trial in trials if k]
    needed = [trial.required_beside_kinks for trial in trials if k]
    return StepInfo(
        update=start.update,
        slack=_slack(start.values if taken is None else taken.values),
        projected=goal.turned or search.last.projection.status != "inside",
        restoring=goal.restoring,
        step_bound=float(bound.max(initial=-np.inf)),
        proposals=len(trials),
        unsafe_proposals=sum(trial.unsafe for trial in trials),
        unsafe_probes=probes.unsafe,
        looks=sum(one.looks for one in search.proposals),
        unsafe_looks=sum(one.unsafe_looks for one in search.proposals),
        bound_misses=sum(misses),
        worst_miss=max(worst, default=math.nan),
        nominal_norm=float(vector_norm(start.nominal)),
        step_norm=0.0 if taken is None else taken.length,
        smoothness_median=median(search.smoothness),
        smoothness_max=float(search.smoothness.max(initial=0.0)),
        kink_max=float(probes.constants.kinks.max(initial=0.0)),
        required_median=median(needed[-1]) if needed else math.nan,
        required_max=max((float(one.max()) for one in needed), default=math.nan),
        captured_energy=basis.energy,
        active=int(search.last.projection.active[:k].sum()),
        solver_retries=sum(len(one.projection.retries) for one in search.proposals),
        rollouts=method.evaluate.rollouts,
    )


def _slack(values: Array) -> float:
    return -float(values.max(initial=-np.inf))


def _gradient_bound(start: Start, basis: Basis, probes: Probes, search: Search) -> Array | None:
    """Return the bound on |grad g_i| (k,) at the new iterate; None if there is none."""
    bound = start.gradient_bound
    if basis.whole:  # no gradient has a part outside the basis
        seen = np.linalg.norm(probes.slopes, axis=1) + probes.error(search.smoothness)
        bound = seen if bound is None else np.minimum(bound, seen)
    if bound is None:
        return None
    length = 0.0 if search.taken is None else search.taken.length
    return carried(bound, search.smoothness, probes.constants.kinks, length)


def _recycled(start: Start, basis: Basis, probes: Probes, search: Search, method: Method) -> Tensor | None:
    """Return the gradients (d, m) of the constraints nearest to their limits, as the probes showed them.

    A gradient changes little in one step, so Q a_i is the best known direction for the next basis.  Fresh directions
    add to it what they see, update by update: even isotropic directions close in on the gradients that matter.  Active
    constraints come first, then those with the least slack per slope.
    """
    slopes = probes.slopes
    count = min(method.directions.recycled, slopes.shape[0])
    if count == 0:
        return None
    tightened = start.values + method.tightening
    distance = -tightened / np.maximum(np.linalg.norm(slopes, axis=1), 1e-300)
    distance[search.last.projection.active[: distance.size]] = -np.inf
    nearest = np.argsort(distance, kind="stable")[:count]
    return product(torch.from_numpy(slopes[nearest]).to(basis.vectors), basis.vectors.T).T
