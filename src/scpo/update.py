"""One safe update: basis -> probes -> aim -> proposals -> the step taken -> its record.

Notation and proofs: docs/method.md.  An update changes only the state of the smoothness model and of the random
generator.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor
from torch.linalg import vector_norm

from scpo.aim import Aim, aim
from scpo.arrays import Array
from scpo.basis import Basis, draw_basis, next_count
from scpo.memory import NUMBERS, Memory, renewed
from scpo.pieces import BESIDE, CONCAVE, SAME, SHARP, STILL, TURN, Pieces
from scpo.probing import Probes, first_length, is_complete, is_flat, median, probe, refuse_flat
from scpo.proposals import Search, Trial, find_step, raised
from scpo.records import StepInfo
from scpo.roughness import resolved
from scpo.smoothness import carried
from scpo.state import Method, Refuge, Start


@dataclass(frozen=True)
class Outcome:
    """The result of an update.

    Attributes:
        start: the start, with the rounding of g that the update measured, and whether it probed a basis to the end.
        theta: the new parameters (d,).
        values: g (k,) at theta.
        gradient_bound: a bound (k,) on |grad g_i| at theta, or None if it is not known.
        info: the record of the update.
        memory: the gradients that the probes so far have shown, or None.
        count: the largest number of directions of the next update; None: N.
        unsafe: the parameters (d,) of each proposal with max g > 0.
        refuge: the last safe iterate, if theta is unsafe and the next update is to go back.
        raised: a lower limit on L (k,) for the updates that start from the refuge, until one of them is safe.
        longest: the longest step allowed in these updates, after a rollout that diverged.
        bound: the step bound U (k,) at theta; None where theta stayed or went back.
        flat: no probe changed any constraint value, while the loss has a gradient.
    """

    start: Start
    theta: Tensor
    values: Array
    gradient_bound: Array | None
    info: StepInfo
    memory: Memory | None = None
    count: int | None = None
    unsafe: tuple[Tensor, ...] = ()
    refuge: Refuge | None = None
    raised: Array | None = None
    longest: float = math.inf
    bound: Array | None = None
    flat: bool = False


def safe_update(start: Start, method: Method) -> Outcome:
    """Return the result of one update.

    From a safe theta it improves the loss.  From an unsafe theta it goes back to the last safe iterate; if there is
    none, it takes a step that restores safety.

    Raises:
        ScpoError: the directions, the constraint, the smoothness model or the projection failed.
    """
    if start.refuge is not None:
        return _go_back(start, start.refuge, method)
    if not start.nominal.any() and not start.unsafe:
        return _stay(start, method)
    start, rough = resolved(start, method, first_length(start))
    if start.memory is not None and start.memory.pieces is not None:
        start = replace(start, memory=start.memory.standing(start.theta, start.values))
    basis = draw_basis(start, method)
    if basis.size == 0:  # no nominal step, and nothing was drawn
        return _stay(start, method)
    basis, probes = probe(start, basis, method)
    rough += probes.unsafe
    if probes.coarse:
        start, more = resolved(replace(start, coarse=True), method, first_length(start))
        basis, probes = probe(start, basis, method)
        rough += more + probes.unsafe
    probes = replace(probes, unsafe=rough)
    refuse_flat(start, basis, probes, method)
    if not start.probed:
        start = replace(start, probed=bool(probes.slopes.any()) or is_complete(start, basis, probes))
    if basis.size == 0:
        warnings.warn("the constraint diverged at every probe (NaN or infinity), so no step was taken", stacklevel=3)
        return _stay(start, method, probes.unsafe)
    aimed = aim(start, basis, probes, method)
    search = find_step(start, basis, probes, aimed, method)
    taken, missed, longest = search.taken, _to_undo(start, search, method), math.inf
    if missed is not None:
        longest = start.longest if missed.finite else 0.5 * missed.length
    return Outcome(
        start=start,
        theta=start.theta if taken is None else taken.theta,
        values=start.values if taken is None else taken.values,
        gradient_bound=_gradient_bound(start, basis, probes, search, method),
        info=record(start, basis, probes, aimed, search, method),
        memory=_remembered_with_pieces(start, basis, probes, search, method),
        count=next_count(basis, method.directions),
        unsafe=tuple(trial.theta for trial in search.trials if trial.unsafe),
        refuge=None if missed is None else Refuge(start.theta, start.values, start.gradient_bound),
        raised=None if missed is None else raised(missed, search.smoothness, method),
        longest=longest,
        bound=None if taken is None else taken.proposal.bound,
        flat=is_flat(start, basis, probes),
    )


def _to_undo(start: Start, search: Search, method: Method) -> Trial | None:
    """Return the trial that was taken, if the next update must go back from it; otherwise None."""
    taken, look = search.taken, method.look
    if taken and not taken.finite:
        return taken
    return taken if taken and taken.unsafe and not start.unsafe and look and look.go_back else None


def _go_back(start: Start, refuge: Refuge, method: Method) -> Outcome:
    """Return the result of an update that goes back to the last safe iterate, where g is known."""
    info = StepInfo(
        update=start.update,
        slack=_slack(refuge.values),
        returned=True,
        step_bound=-_slack(refuge.values),
        nominal_norm=start.nominal_norm,
        step_norm=float(vector_norm(refuge.theta - start.theta)),
        rollouts=method.evaluate.rollouts,
    )
    return Outcome(
        start,
        refuge.theta,
        refuge.values,
        refuge.gradient_bound,
        info,
        start.memory,
        start.count,
        raised=start.raised,
        longest=start.longest,
    )


def _stay(start: Start, method: Method, unsafe_probes: int = 0) -> Outcome:
    """Return the result of an update that has no direction: theta stays."""
    info = StepInfo(
        update=start.update,
        slack=_slack(start.values),
        restoring=start.unsafe,
        unsafe_probes=unsafe_probes,
        nominal_norm=start.nominal_norm,
        step_norm=0.0,
        rollouts=method.evaluate.rollouts,
    )
    return Outcome(start, start.theta, start.values, start.gradient_bound, info, start.memory, start.count)


def record(start: Start, basis: Basis, probes: Probes, aimed: Aim, search: Search, method: Method) -> StepInfo:
    """Return the record of an update."""
    trials, taken, rounding = search.trials, search.taken, probes.rounding
    k = start.values.size
    bound = start.values if taken is None else taken.proposal.bound
    missed = [trial.values > trial.proposal.bound + 2.0 * rounding for trial in trials]
    near = [trial.proposal.bound >= 0.5 * start.values for trial in trials]
    worst = [float((trial.values - trial.proposal.bound).max()) for trial in trials if k]
    needed = [trial.required_beside_kinks for trial in trials if k and trial.finite]
    return StepInfo(
        update=start.update,
        slack=_slack(start.values if taken is None else taken.values),
        projected=aimed.turned or search.last.projection.status != "inside",
        restoring=aimed.restoring,
        step_bound=float(bound.max(initial=-np.inf)),
        proposals=len(trials),
        unsafe_proposals=sum(trial.unsafe for trial in trials),
        unsafe_probes=probes.unsafe,
        looks=sum(one.looks for one in search.proposals),
        unsafe_looks=sum(one.unsafe_looks for one in search.proposals),
        bound_misses=sum(int(one.sum()) for one in missed),
        near=sum(int(one.sum()) for one in near),
        near_misses=sum(int((one & other).sum()) for one, other in zip(near, missed, strict=True)),
        worst_miss=max(worst, default=math.nan),
        nominal_norm=start.nominal_norm,
        step_norm=0.0 if taken is None else taken.length,
        smoothness_median=median(search.smoothness),
        smoothness_max=float(search.smoothness.max(initial=0.0)),
        kink_max=float(probes.constants.kinks.max(initial=0.0)),
        required_median=median(needed[-1]) if needed else math.nan,
        required_max=max((float(one.max()) for one in needed), default=math.nan),
        captured_energy=basis.energy,
        directions=basis.size,
        active=int(search.last.projection.active[:k].sum()),
        solver_retries=sum(len(one.projection.retries) for one in search.proposals),
        solver_misses=int(any(one.missed for one in search.proposals)),
        rollouts=method.evaluate.rollouts,
    )


def _slack(values: Array) -> float:
    return -float(values.max(initial=-np.inf))


def _gradient_bound(start: Start, basis: Basis, probes: Probes, search: Search, method: Method) -> Array | None:
    """Return the bound on |grad g_i| (k,) at the new iterate; None if there is none."""
    bound = start.gradient_bound
    if basis.whole:  # no gradient has a part outside the basis
        seen = np.linalg.norm(probes.slopes, axis=1) + probes.error(search.smoothness)
        bound = seen if bound is None else np.minimum(bound, seen)
    if bound is None:
        return None
    length, vector = 0.0 if search.taken is None else search.taken.length, method.evaluate.vector
    if search.taken is not None and not vector.exact:  # writing theta may move it by more than the step
        length = float(vector_norm(vector.rounded(search.taken.theta) - start.theta))
    return carried(bound, search.smoothness, probes.constants.kinks, length)


def _remembered_with_pieces(
    start: Start, basis: Basis, probes: Probes, search: Search, method: Method
) -> Memory | None:
    """Return the gradients of the constraints nearest to their limits, and planes of those whose slopes may turn.

    Which they are, the last step that was proposed decides (see :data:`scpo.pieces.TURN`).  After a step as good as 0
    no plane is kept, and none of a constraint without the curvature of a kink any more: g may be flat at one iterate.
    """
    if start.memory is not None:
        start = replace(start, memory=start.memory.at_pieces(basis.vectors, probes.slopes))
    memory = remembered(start, basis, probes, method, search.last.projection.active[: start.values.size])
    most = min(method.directions.pieces, NUMBERS // start.dimension)
    if most == 0 or method.directions.recycled == 0 or not method.smoothness.estimated:
        return memory
    pieces = _of_convex(start, probes, search)
    length = search.trials[-1].length if search.trials else 0.0
    if length <= STILL * float(vector_norm(start.nominal)):
        pieces = pieces.some(np.empty(0, dtype=np.int64))
    else:
        sizes = np.linalg.norm(probes.slopes, axis=1)
        sharp = search.smoothness * start.scale >= SHARP * sizes
        turning = sharp & (search.smoothness * length >= TURN * sizes) & (sizes > 0.0)
        turning[pieces.concave] = False
        pieces = pieces.marked(sharp[pieces.indices])
        if turning.any():
            places = np.flatnonzero(turning)
            nearest = places[np.argsort(-start.values[places] / sizes[places], kind="stable")]
            new = _planes(start, basis, probes, memory, pieces, nearest[: method.directions.recycled])
            pieces = pieces.extended(new, most)
    if not pieces.known:
        return memory
    return replace(memory or Memory.nothing(start.theta), pieces=pieces)


def _of_convex(start: Start, probes: Probes, search: Search) -> Pieces:
    """Return the planes of the constraints that no step of this update has shown not to be convex."""
    pieces = (start.memory and start.memory.pieces) or Pieces.none(start.theta)
    sizes = np.linalg.norm(probes.slopes, axis=1)
    for trial in search.trials:
        if trial.finite:
            rise = trial.values - start.values
            concave = probes.below(trial.proposal.step, rise, search.smoothness) > CONCAVE * sizes * trial.length
            if concave.any():
                concave &= ~pieces.explain(start.theta, start.values, BESIDE * probes.length, trial.theta, rise)
                pieces = pieces.without(concave)
    return pieces


def _planes(
    start: Start, basis: Basis, probes: Probes, memory: Memory | None, pieces: Pieces, indices: np.ndarray
) -> Iterator[tuple[int, Tensor, float, int | None]]:
    """Yield the planes of some constraints at theta: index, gradient, value at 0, and which plane each replaces."""
    for index in indices:
        place = np.flatnonzero(memory.indices == index) if memory else np.empty(0, dtype=np.int64)
        gradient = memory.gradients[place[0]] if memory and place.size else basis.combine(probes.slopes[index])
        like = pieces.nearest(index, probes.slopes[index], basis.vectors)
        same = like[0] if like and like[1] <= SAME * np.linalg.norm(probes.slopes[index]) else None
        yield index, gradient, start.values[index] - float(gradient @ start.theta), same


def remembered(
    start: Start, basis: Basis, probes: Probes, method: Method, active: np.ndarray | None = None
) -> Memory | None:
    """Return the gradients of the constraints nearest to their limits, corrected by the probes of this update.

    The ``active`` constraints (k,) come first.  Nothing is remembered if the basis holds all directions.
    """
    least, k = method.directions.recycled, start.values.size
    if basis.complete or least == 0 or k == 0:
        return None
    return renewed(start.memory, start.values + method.tightening, probes.slopes, active, basis.vectors, least)
