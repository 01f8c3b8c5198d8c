"""One safe update: parameters -> sampled basis -> probes -> local safe region -> projected step.

Notation and proofs: docs/method.md.  Nothing here lasts beyond the update but what the smoothness model learns.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.linalg import vector_norm

from scpo.arrays import UNIT_ROUNDOFF, Array, length_of
from scpo.buffer import turned
from scpo.constraint import ConstraintEvaluator
from scpo.directions import (
    ORTHONORMAL,
    Directions,
    Sampler,
    SamplingContext,
    captured_energy,
    extend_basis,
    orthonormal_basis,
    product,
)
from scpo.errors import ConfigurationError, NonFiniteError, ScpoError, ShapeError, SolverError
from scpo.projection.project import Projection, project_onto
from scpo.projection.region import LocalSafeRegion
from scpo.records import Outcome, Settings, StepInfo, Update
from scpo.smoothness import Smoothness

#: A nominal step this parallel to -grad L needs no descent row: its projection descends by itself.
PARALLEL = 1.0 - 1e-12
#: The probe step is this many times the one that would balance curvature against rounding.
PROBE_FACTOR = 10.0
LARGEST_PROBE = 1e-3
#: A restoring step aims this many times the rounding of g below the limit, at least.
RESTORING_ROUNDING = 64.0
#: Share of the directions that must be missing before others are orthogonalised in a second pass.
WORTH_A_PASS = 0.25


def safe_update(
    start: Update,
    settings: Settings,
    evaluate: ConstraintEvaluator,
    smoothness: Smoothness,
    sampler: Sampler,
    context: SamplingContext,
    generator: torch.Generator,
) -> Outcome:
    """Return the outcome of one update from a safe theta (or a restoring one from an unsafe theta)."""
    tightened = start.values + settings.margin
    restoring = bool((start.values > 0).any())
    may_rise = settings.descent and not _descends_anyway(start, settings)
    basis, energy, complete = _basis(start, settings.samples, may_rise, sampler, context, generator)
    n = basis.shape[1]
    smoothness.visit(start.theta)
    constants, kinks = np.asarray(smoothness.constants()), np.asarray(smoothness.kinks())
    radius = smoothness.radius()
    if not constants.shape == kinks.shape == start.values.shape:
        shapes = f"constants {constants.shape} and kinks {kinks.shape}"
        raise ShapeError(f"smoothness: {shapes} for {start.values.size} metrics")
    if n == 0:  # p = 0 and nothing sampled
        return _stay(start, restoring)
    step, unsafe_looks = _probe_length(start, settings, constants, kinks, radius, evaluate, basis)
    probes = evaluate(torch.add(start.theta, basis.T, alpha=step))
    slopes = ((probes - start.values) / step).T
    unsafe_probes = unsafe_looks + int((probes > 0).any(axis=1).sum())

    target = (basis.T @ start.nominal).cpu().numpy()
    descent_row = None
    if restoring:
        target = _restoring_target(slopes, tightened, start.rounding, radius)
    elif settings.descent and not start.gradient.any():
        target *= settings.loss_smoothness == 0  # no direction descends: stay, if a rise can be of second order
    elif may_rise:
        descent_row = (basis.T @ start.gradient).cpu().numpy()
    nominal = target
    if settings.buffer > 0.0 and not restoring and target.any():
        target = turned(nominal, slopes, tightened, settings.buffer)
    tally = _Tally()
    retries_of_solver = failures_of_solver = 0
    for attempt in range(settings.max_retries + 2):
        give_up = settings.verify and attempt == settings.max_retries + 1
        error = np.sqrt(n) * (0.5 * constants * step + 2.0 * start.rounding / step) + kinks
        region = _region(start, settings, tightened, slopes, constants, error, radius)
        try:
            projection = _projected(region, target, descent_row, settings)
        except SolverError:
            if not settings.stay_on_solver_failure:
                raise
            failures_of_solver += 1
            projection = Projection(np.zeros(n), "failed", np.zeros(start.values.size, bool), np.zeros(0), "none")
        retries_of_solver += len(projection.retries)
        z = projection.point if not give_up else np.zeros(n)
        promised = replace(region, values=start.values).bound(z)
        allowed = np.where(tightened > 0, start.values, -settings.margin)
        if z.any() and (promised + 2 * start.rounding > allowed).any():
            z, promised = np.zeros(n), start.values  # less room than rounding: stay
        if not z.any():
            theta, values = start.theta, start.values
            if target.any():  # blocked: kink constants that leave no step to test them are forgotten
                smoothness.observe(np.zeros(constants.size), np.zeros(constants.size, dtype=bool), 0.0)
            break
        theta = start.theta + basis @ torch.from_numpy(z).to(basis)
        values = evaluate(theta[None])[0]
        required = tally.add(theta, values, promised, z, slopes, kinks, start, step)
        length = length_of(z)
        shown = length**2 * np.maximum(np.maximum(constants, required), 1e-300)
        smoothness.observe(required, shown >= 8.0 * start.rounding, length)
        rejected = settings.verify and not restoring and bool((values + settings.margin > 0).any())
        if not rejected:
            break
        raised = np.where(values > promised, np.maximum(2.0 * constants, required), constants)
        constants = np.maximum(smoothness.constants(), raised)
    length = length_of(z)
    info = StepInfo(
        update=0,
        margin=-float(values.max(initial=-np.inf)),
        projected=projection.status != "inside" or target is not nominal,
        restoring=restoring,
        bound=float(promised.max(initial=-np.inf)),
        proposals=tally.proposals,
        unsafe_proposals=len(tally.unsafe_thetas),
        unsafe_probes=unsafe_probes,
        bound_misses=tally.misses,
        worst_miss=tally.worst,
        nominal_norm=float(vector_norm(start.nominal)),
        step_norm=length,
        smoothness_median=_median(constants),
        smoothness_max=float(constants.max(initial=0.0)),
        kink_max=float(kinks.max(initial=0.0)),
        required_median=tally.required_median,
        required_max=tally.required_max,
        captured_energy=energy,
        active=int(projection.active[: values.size].sum()),
        solver_retries=retries_of_solver,
        solver_failures=failures_of_solver,
        rollouts=0,
    )
    known = start.gradient_bound
    if n == start.theta.numel():  # no gradient has a part outside the basis
        seen = np.linalg.norm(slopes, axis=1) + error
        known = seen if known is None else np.minimum(known, seen)
    return Outcome(
        theta,
        values,
        None if known is None else known + 2.0 * kinks + constants * length,
        info,
        None if complete else _recycled(basis, slopes, tightened, projection, settings),
        tuple(tally.unsafe_thetas),
    )


class _Tally:
    """Counts over the proposals of one update."""

    def __init__(self) -> None:
        self.proposals = self.misses = 0
        self.unsafe_thetas: list[Tensor] = []
        self.worst = self.required_median = self.required_max = float("nan")

    def add(
        self,
        theta: Tensor,
        values: Array,
        promised: Array,
        z: Array,
        slopes: Array,
        kinks: Array,
        start: Update,
        step: float,
    ) -> Array:
        """Count one proposal and return the L (k,) with which its g would just have met the bound without kinks."""
        length = length_of(z)
        excess = values - start.values - slopes @ z - np.sqrt(z.size) * 2.0 * start.rounding / step * length
        curved = 0.5 * np.sqrt(z.size) * step * length + 0.5 * length**2
        required = np.maximum(0.0, (excess - kinks * length) / curved)
        self.proposals += 1
        if (values > 0).any():
            self.unsafe_thetas.append(theta)
        if values.size:
            self.misses += int((values > promised + 2.0 * start.rounding).sum())
            self.worst = float(np.fmax(self.worst, (values - promised).max()))
            self.required_median = _median(required)
            self.required_max = float(np.fmax(self.required_max, required.max()))
        return np.asarray(np.maximum(0.0, excess / curved))


def _basis(
    start: Update,
    samples: int,
    with_gradient: bool,
    sampler: Sampler,
    context: SamplingContext,
    generator: torch.Generator,
) -> tuple[Tensor, float, bool]:
    """Return Q (d, n) with the nominal step in its span, the captured energy, and whether no direction is missing."""
    dimension = start.theta.numel()
    count = min(samples, dimension)
    leading = [start.nominal[:, None]]
    if with_gradient and count > 1:
        leading.append(start.gradient[:, None])
    basis = orthonormal_basis(torch.cat(leading, dim=1))
    fresh = count - basis.shape[1]
    if fresh <= 0:
        return basis, float("nan"), basis.shape[1] == dimension
    recycled = start.theta.new_zeros(dimension, 0) if start.recycled is None else start.recycled[:, : fresh - 1]
    drawn = _drawn(start.theta, sampler, context, fresh - recycled.shape[1], generator)
    basis = extend_basis(basis, recycled, drawn.vectors)
    if drawn.exact:
        return basis, 1.0, True
    if recycled.shape[1] and basis.shape[1] < (1.0 - WORTH_A_PASS) * count:  # too many of them depended on others
        basis = extend_basis(basis, _drawn(start.theta, sampler, context, count - basis.shape[1], generator).vectors)
    energy = float("nan") if drawn.checks is None else captured_energy(basis, drawn.checks.to(start.theta))
    return basis, energy, basis.shape[1] == dimension


def _drawn(
    theta: Tensor, sampler: Sampler, context: SamplingContext, count: int, generator: torch.Generator
) -> Directions:
    """Return at most ``count`` directions of the sampler, checked."""
    name, dimension = type(sampler).__name__, theta.numel()
    try:
        drawn = sampler.draw(context, count, generator)
    except ScpoError:
        raise
    except Exception as error:
        raise ConfigurationError(
            f"{name} cannot draw directions, {type(error).__name__}: {error}; the states must suit the policy, and its "
            "derivatives exist (sampler='isotropic' needs neither)"
        ) from error
    if not isinstance(drawn, Directions):
        raise ConfigurationError(f"{name}.draw returned {type(drawn).__name__}, expected scpo.directions.Directions")
    vectors = drawn.vectors.to(theta)
    if vectors.ndim != 2 or vectors.shape[0] != dimension or vectors.shape[1] > count:
        raise ShapeError(
            f"{name} drew directions of shape {tuple(vectors.shape)}, expected ({dimension}, m) with m <= {count}"
        )
    if not np.isfinite(float(vector_norm(vectors))):
        raise NonFiniteError(f"{name} drew directions with NaN or infinite entries, or too long to be squared")
    return replace(drawn, vectors=vectors)


def _recycled(
    basis: Tensor, slopes: Array, tightened: Array, projection: Projection, settings: Settings
) -> Tensor | None:
    """Return the gradients (d, m) that the probes revealed of the metrics nearest to their limits.

    A metric's gradient changes little in one step, so Q a_i is the best known direction for the next update's basis.
    Fresh directions add to it what they see, update by update: even isotropic samples so close in on the gradients
    that matter.  The active metrics come first, then those with the least slack per slope.
    """
    count = min(settings.recycle, slopes.shape[0])
    if count == 0:
        return None
    distance = -tightened / np.maximum(np.linalg.norm(slopes, axis=1), 1e-300)
    distance[projection.active[: distance.size]] = -np.inf
    nearest = np.argsort(distance, kind="stable")[:count]
    return product(torch.from_numpy(slopes[nearest]).to(basis), basis.T).T


def _descends_anyway(start: Update, settings: Settings) -> bool:
    """Tell whether every projection of p = -eta grad L descends: for a beta-smooth loss while eta <= 2 / beta."""
    nominal, gradient = float(vector_norm(start.nominal)), float(vector_norm(start.gradient))
    parallel = float(-start.nominal @ start.gradient) >= PARALLEL * nominal * gradient
    return parallel and settings.loss_smoothness * nominal <= 2.0 * gradient


def _probe_length(
    start: Update,
    settings: Settings,
    constants: Array,
    kinks: Array,
    radius: float,
    evaluate: ConstraintEvaluator,
    basis: Tensor,
) -> tuple[float, int]:
    """Return nu <= r and how many first looks were unsafe.

    nu is as given, or where curvature and rounding balance; shorter where probes must be safe.
    """
    if start.values.size == 0:
        return min(radius, LARGEST_PROBE), 0
    rounding = max(_median(start.rounding), UNIT_ROUNDOFF)
    balanced = 2.0 * float(np.sqrt(rounding / max(_median(constants), 1e-12)))
    step = min(settings.probe_step or min(LARGEST_PROBE, PROBE_FACTOR * balanced), radius)
    if not settings.safe_probes or (start.values > 0).any():  # around an unsafe theta no probe is sure to be safe
        return step, 0
    bound, unsafe = start.gradient_bound, 0
    if bound is None:  # a first look along the basis with the shortest useful probes
        look = min(step, balanced)
        looks = evaluate(start.theta + look * basis.T)
        unsafe = int((looks > 0).any(axis=1).sum())
        error = np.sqrt(basis.shape[1]) * (0.5 * constants * look + 2.0 * start.rounding / look)
        bound = np.linalg.norm((looks - start.values) / look, axis=0) + error
    slack = np.maximum(-start.values - 2.0 * start.rounding, 0.0)
    bound = bound + kinks
    root = bound + np.sqrt(bound**2 + 2.0 * constants * slack)
    limits = np.divide(2.0 * slack, root, out=np.full_like(slack, np.inf), where=root > 0)
    return max(min(step, float(limits.min())), float(np.finfo(np.float64).tiny) ** 0.25), unsafe


def _region(
    start: Update,
    settings: Settings,
    tightened: Array,
    slopes: Array,
    constants: Array,
    error: Array,
    radius: float,
) -> LocalSafeRegion:
    """Return S; rounding of g is taken out of the slack, and a metric beyond its margin must not get worse.

    Q is orthonormal to rounding only, so constants that multiply |z| are raised to hold for |Q z|.
    """
    room = np.minimum(tightened + 2.0 * start.rounding / settings.kappa, 0.0)
    longer = 1.0 + ORTHONORMAL
    return LocalSafeRegion.build(
        room, slopes, longer**2 * constants, longer**2 * error, radius / longer, settings.kappa
    )


def _projected(region: LocalSafeRegion, target: Array, descent_row: Array | None, settings: Settings) -> Projection:
    if descent_row is not None:
        region = LocalSafeRegion(
            np.append(region.values, 0.0),
            np.vstack([region.slopes, descent_row]),
            np.append(region.smoothness, settings.loss_smoothness),
            np.append(region.probe_error, 0.0),
            region.radius,
            region.kappa,
        )
    return project_onto(region, target, backend=settings.backend)


def _restoring_target(slopes: Array, tightened: Array, rounding: Array, radius: float) -> Array:
    """Return a step down the metrics above their limits, or within rounding of them: those that have to fall.

    It is twice as long as the linear model asks for, and well above rounding, so that what is left of it can count.
    """
    short = tightened + 2.0 * rounding > 0
    downhill: Array = -slopes[short].sum(axis=0)
    size = length_of(downhill)
    if size == 0.0:
        return downhill
    norms = np.maximum(np.linalg.norm(slopes[short], axis=1), 1e-300)
    wanted = 2.0 * tightened[short] + RESTORING_ROUNDING * rounding[short]
    length = min(float((wanted / norms).max()), radius if np.isfinite(radius) else 1.0)
    return np.asarray(length / size * downhill)


def _median(numbers: Array) -> float:
    """Return the median, 0.0 of nothing; a fraction of the time of numpy.median, which an update would notice."""
    if numbers.size == 0:
        return 0.0
    ordered = np.sort(numbers)
    return 0.5 * float(ordered[(numbers.size - 1) // 2] + ordered[numbers.size // 2])


def _stay(start: Update, restoring: bool) -> Outcome:
    info = replace(StepInfo.unprojected(0, start.values, 0.0, 0, 0), restoring=restoring, proposals=0)
    return Outcome(start.theta, start.values, start.gradient_bound, info, start.recycled)
