"""The proposals of an update: steps from the safe region, one after the other, until one is accepted."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from scpo.aim import Aim
from scpo.arrays import Array, length_of
from scpo.basis import ORTHONORMAL, Basis
from scpo.errors import SolverError
from scpo.look import look_along
from scpo.probing import Probes, learn
from scpo.projection.project import Projection, project_onto
from scpo.projection.region import LocalSafeRegion
from scpo.state import Method, Start

#: rejected proposals after the first, after which theta stays (verified mode)
MAX_RETRIES = 8
#: lengths for which rounding counts as an error of the slope, each half of the step found for the one before
MOST_LENGTHS = 12


@dataclass(frozen=True)
class Proposal:
    """A step that the bound allows.

    Attributes:
        step: z (n,); 0 if the bound allows nothing.
        bound: the step bound U(z) (k,), without the tightening.
        projection: the projection of the target.
        looks: the number of looks along the step.
        unsafe_looks: the number of those with max g > 0.
        missed: no solver reached the tolerances, and the nearest point that was found stands for the projection.
    """

    step: Array
    bound: Array
    projection: Projection
    looks: int = 0
    unsafe_looks: int = 0
    missed: bool = False

    @property
    def given_up(self) -> bool:
        """True if the step is 0 because no solver found another point, whatever L is."""
        return self.missed and not self.projection.point.any()


@dataclass(frozen=True)
class Trial:
    """A proposal and its evaluation.

    Attributes:
        theta: the proposed parameters (d,).
        values: g (k,) at theta.
        proposal: the step and its bound.
        required: the L (k,) for which g would have been equal to its bound if c were 0.
        required_beside_kinks: the L (k,) for which g would have been equal to its bound with the c in use.
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
    def finite(self) -> bool:
        """False if the rollout diverged."""
        return bool(np.isfinite(self.values).all())

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


def find_step(start: Start, basis: Basis, probes: Probes, aimed: Aim, method: Method) -> Search:
    """Propose steps until one is accepted; each rejection raises L for the next proposal.

    A rollout that diverged says nothing about L, nor does a solver that finds no step.  After a divergence the next
    proposal is at most half as long.
    """
    smoothness, proposals, trials = probes.constants.smoothness, [], []
    while True:
        proposal = propose(start, basis, probes, aimed, smoothness, method)
        proposals.append(proposal)
        if not proposal.step.any():
            break
        trial = _evaluate(start, basis, probes, proposal, method)
        trials.append(trial)
        if trial.finite:
            learn(trial.required, trial.length, smoothness, probes, method)
        if _accepted(trial, start, method):
            return Search(tuple(proposals), tuple(trials), smoothness, trial)
        smoothness = raised(trial, smoothness, method)
        if not trial.finite:
            probes = probes.within(0.5 * trial.length)
        if len(trials) > MAX_RETRIES:
            break
    if aimed.target.any() and all(trial.finite for trial in trials) and not proposal.given_up:
        method.smoothness.blocked()
    return Search(tuple(proposals), tuple(trials), smoothness, None)


def propose(start: Start, basis: Basis, probes: Probes, aimed: Aim, smoothness: Array, method: Method) -> Proposal:
    """Return the projection of the target for these L (k,), shortened by a look, with its bound.

    A constraint may have less slack than rounding.  Then what is lacking, divided by a least length, is added to the
    error of its slope, which is enough for steps of at least this length.  The least length is halved until the step
    reaches it.

    If no solver reaches the tolerances, the nearest point that was found is taken.  It lies in the region and satisfies
    the descent inequality, as the projection does; it may be farther from the target, or 0.

    Raises:
        SolverError: no solver found any point.
    """
    region, lacking = _region(start, probes, smoothness, method), _lacking(start, method)
    least = 0.5 * region.reach(aimed.target) if lacking.any() else 0.0
    looks, unsafe, misses = 0, 0, False
    for _ in range(MOST_LENGTHS):
        beside = np.divide(lacking, least, out=np.zeros_like(lacking), where=(lacking > 0) & (least > 0))
        rows = replace(region, probe_error=region.probe_error + beside)
        projection, missed = _projected(_with_pieces(_with_descent_row(rows, aimed, method), aimed), aimed)
        misses = misses or missed
        step = projection.point
        if method.look is not None and step.any() and length_of(step) >= least:
            seen = look_along(step, start, basis, probes, region, beside, method.evaluate, method.look)
            looks, unsafe = looks + seen.count, unsafe + seen.unsafe
            step, bound = seen.step, seen.bound
        else:
            bound = region.bound(step, start.values)
        proposal = Proposal(step, bound, projection, looks, unsafe, misses)
        length = length_of(step)
        if length >= least:
            return proposal
        if length == 0.0:
            break
        least = 0.5 * length
    return replace(proposal, step=np.zeros_like(proposal.step), bound=start.values)


def _projected(region: LocalSafeRegion, aimed: Aim) -> tuple[Projection, bool]:
    """Return the projection of the target and False; if it missed its tolerances, the nearest point found and True."""
    try:
        return project_onto(region, aimed.target, metric=aimed.metric), False
    except SolverError as error:
        if error.best is None:
            raise
        return error.best, True


def _region(start: Start, probes: Probes, smoothness: Array, method: Method) -> LocalSafeRegion:
    """Return the safe region S.

    The rounding of g is taken out of the slack, as far as the slack goes (see :func:`_lacking`).  Q is orthonormal only
    up to rounding, so the constants that multiply |z| are raised until they hold for |Q z|.
    """
    kappa, longer = method.step.kappa, 1.0 + ORTHONORMAL
    values = np.minimum(start.values + method.tightening_at(start) + 2.0 * start.rounding / kappa, 0.0)
    error = probes.error(smoothness)
    return LocalSafeRegion.build(
        values, probes.slopes, longer**2 * smoothness, longer**2 * error, probes.constants.radius / longer, kappa
    )


def _lacking(start: Start, method: Method) -> Array:
    """Return how much of the rounding 2 eps_g the slack (k,) does not cover; a step has to gain that much.

    A constraint beyond its tightened limit has no slack, and must not rise.
    """
    slack = np.maximum(-start.values - method.tightening_at(start), 0.0)
    return np.asarray(np.maximum(2.0 * start.rounding - slack, 0.0))


def _with_descent_row(region: LocalSafeRegion, aimed: Aim, method: Method) -> LocalSafeRegion:
    """Return the region with the row that keeps the loss from rising, if there is one."""
    if aimed.descent_row is None or method.descent is None:
        return region
    return LocalSafeRegion(
        np.append(region.values, 0.0),
        np.vstack([region.slopes, aimed.descent_row]),
        np.append(region.smoothness, method.descent.loss_smoothness),
        np.append(region.probe_error, 0.0),
        region.radius,
        region.kappa,
    )


def _with_pieces(region: LocalSafeRegion, aimed: Aim) -> LocalSafeRegion:
    """Return the region with the rows of planes, which get the constants of their constraints."""
    if aimed.pieces is None:
        return region
    rows, of = aimed.pieces, aimed.pieces.indices
    return LocalSafeRegion(
        np.append(region.values, region.values[of] - rows.below),
        np.vstack([region.slopes, rows.slopes]),
        np.append(region.smoothness, region.smoothness[of]),
        np.append(region.probe_error, region.probe_error[of]),
        region.radius,
        region.kappa,
    )


def _evaluate(start: Start, basis: Basis, probes: Probes, proposal: Proposal, method: Method) -> Trial:
    """Evaluate g at a proposal and return it with the L that it needed."""
    theta = start.theta + basis.combine(proposal.step)
    values = method.evaluate.attempt(theta[None])[0]
    rise = values - start.values
    beside = probes.required(proposal.step, rise, probes.constants.kinks)
    return Trial(theta, values, proposal, probes.required(proposal.step, rise), beside)


def _allowed(start: Start, method: Method) -> Array:
    """Return the largest g (k,) allowed after a step: the tightened limit, or the present g if that is larger."""
    tightening = method.tightening_at(start)
    return np.where(start.values + tightening > 0, start.values, -tightening)


def _accepted(trial: Trial, start: Start, method: Method) -> bool:
    """Return True if the step is taken.

    In verified mode it must be safe; a step that restores safety must not raise the worst violation.
    """
    if not method.step.verify:
        return True
    if not trial.finite:
        return False
    if start.unsafe:
        return bool(trial.values.max() <= start.values.max())
    return bool((trial.values <= _allowed(start, method)).all())


def raised(trial: Trial, smoothness: Array, method: Method) -> Array:
    """Return L (k,) after a rejection: at least doubled for the constraints that missed their bounds."""
    if not trial.finite:
        return smoothness
    missed = trial.values > trial.proposal.bound
    raised = np.where(missed, np.maximum(2.0 * smoothness, trial.required), smoothness)
    return np.asarray(np.maximum(method.smoothness.constants(), raised))
