"""The probes of an update: how long they are, and the slopes of g that they show."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.linalg import vector_norm

from scpo.arrays import Array, length_of
from scpo.basis import Basis
from scpo.errors import ConfigurationError, ShapeError
from scpo.roughness import FEWEST, NEAR_GRID, on_a_grid
from scpo.smoothness import safe_length
from scpo.state import Method, Start

#: length of a probe over the length that would balance curvature against rounding
PROBE_FACTOR = 10.0
#: no probe is longer, against |theta| or the nominal step, unless the user says so
LARGEST_PROBE = 1e-3
#: probes are made longer where the rounding of a slope exceeds this share of the slope, and could decide on the step
NOISY = 0.25
#: the curvature along the first nominal step is probed at this part of it and at twice that
FIRST_PROBE = 0.25
#: that step is halved so often, at most, while values along it are not finite
MOST_HALVINGS = 30
#: a step shows L only where L |z|^2 is at least this many times the rounding of g
RELIABLE = 8.0
#: no safe probe is shorter: its square must not underflow
SHORTEST_PROBE = float(np.finfo(np.float64).tiny) ** 0.25

#: at the first probes one value on a grid shows that g is coarse, if no more than this share of the values change
FEW = 0.5

#: what is said where no probe changes a value
FLAT = (
    "no probe changed any constraint value, while the loss has a gradient. The constraint looks at another policy than "
    "the one it is given (a copy that it keeps, a worker that got it earlier), or it is piecewise constant (rates, "
    "counts, max(0, g), values rounded to less than a probe shows): return a smooth surrogate such as a signed distance"
)


@dataclass(frozen=True)
class Constants:
    """The smoothness model's constants at an iterate: L (k,), c (k,) and r."""

    smoothness: Array
    kinks: Array
    radius: float


@dataclass(frozen=True)
class Probes:
    """The results of the probes of an update.

    Attributes:
        slopes: the difference quotients a (k, n) of g along the basis.
        length: the length nu of a probe.
        unsafe: the number of unsafe probes; it includes short ones and those along the first nominal step.
        constants: L, c and r before the update.
        rounding: the rounding eps_g (k,) of g.
        coarse: the values of the probes show that g is coarser than was known.
    """

    slopes: Array
    length: float
    unsafe: int
    constants: Constants
    rounding: Array
    coarse: bool = False

    def required(self, step: Array, rise: Array, kinks: Array | float = 0.0) -> Array:
        """Return the L (k,) for which g after a step z (n,) would have been equal to its bound.

        Args:
            step: z.
            rise: g(theta + Q z) - g(theta), shape (k,).
            kinks: the c (k,) in the bound.
        """
        n, length = self.slopes.shape[1], length_of(step)
        known = self.slopes @ step + (self.noise + kinks) * length
        curved = 0.5 * np.sqrt(n) * self.length * length + 0.5 * length**2
        return np.asarray(np.maximum(0.0, (rise - known) / curved))

    def below(self, step: Array, rise: Array, smoothness: Array) -> Array:
        """Return how far (k,) g lies after a step below what the slopes say, beyond the error of these.

        Args:
            step: z (n,).
            rise: g(theta + Q z) - g(theta), shape (k,).
            smoothness: L (k,), for the error of the slopes.
        """
        return np.asarray(self.slopes @ step - rise - self.error(smoothness) * length_of(step) - 2.0 * self.rounding)

    @property
    def noise(self) -> Array:
        """The part of e (k,) that comes from rounding."""
        return np.asarray(np.sqrt(self.slopes.shape[1]) * 2.0 * self.rounding / self.length)

    def within(self, radius: float) -> Probes:
        """Return the same probes with a smaller r: ``radius``, if that is smaller."""
        return replace(self, constants=replace(self.constants, radius=min(radius, self.constants.radius)))

    def error(self, smoothness: Array) -> Array:
        """Return e + c (k,): the error of the slopes for the given L (k,), plus the kink constants."""
        return slope_error(smoothness, self.rounding, self.length, self.slopes.shape[1]) + self.constants.kinks


def slope_error(smoothness: Array, rounding: Array, length: float, directions: int) -> Array:
    """Return e (k,), the error of slopes from probes of this ``length`` along this number of ``directions``."""
    return np.asarray(np.sqrt(directions) * (0.5 * smoothness * length + 2.0 * rounding / length))


def probe(start: Start, basis: Basis, method: Method) -> tuple[Basis, Probes]:
    """Evaluate g along the basis; return the probes, and the basis of the directions that were kept.

    A direction whose probe diverged (NaN or infinity) is dropped from the basis.

    Raises:
        ShapeError: the number of constants of the smoothness model is not that of the constraint values.
    """
    constants, unsafe = _constants(start, method)
    length = _usual_length(start, method, constants)
    if method.directions.safe_probes and start.values.size and not start.unsafe:
        length, short = _safe_length(start, basis, method, constants, length)
        unsafe += short
    basis, probes = _probe_at(length, start, basis, method, constants)
    unsafe += probes.unsafe
    longer = _length_beyond_rounding(start, probes, method)
    if longer > length:
        basis, probes = _probe_at(longer, start, basis, method, constants)
        unsafe += probes.unsafe
    return basis, replace(probes, unsafe=unsafe)


def _probe_at(length: float, start: Start, basis: Basis, method: Method, constants: Constants) -> tuple[Basis, Probes]:
    """Evaluate g along the basis at this ``length``."""
    values = method.evaluate.attempt_along(start.theta, basis.vectors.T, length)
    unsafe = _unsafe(values)
    diverged = np.asarray(np.isinf(values).any(axis=1))
    if diverged.any():
        basis, values = basis.without(diverged), values[~diverged]
    slopes = ((values - start.values) / length).T
    probes = Probes(slopes, length, unsafe, constants, start.rounding)
    return basis, replace(probes, coarse=True) if _shows_coarse(values, start, basis, probes, method) else probes


def _shows_coarse(values: Array, start: Start, basis: Basis, probes: Probes, method: Method) -> bool:
    """Return True if g was taken for float64, and its values (n, k) at the probes lie on a grid.

    The same is said of the first probes if they change no value.  Values at probes that lie on a grid themselves show
    nothing.  A constraint with ``may_be_flat`` is left as it is.
    """
    constraint = method.evaluate.constraint
    if start.coarse or constraint.rounding is not None or constraint.may_be_flat or values.size == 0:
        return False
    if not start.probed and is_flat(start, basis, probes):
        return True
    few = not start.probed and int(np.count_nonzero(probes.slopes)) <= FEW * probes.slopes.size
    if not _show_grid(values, start.values, few):
        return False
    theta = start.theta.cpu().numpy()
    points = theta[:, None] + probes.length * basis.vectors.cpu().numpy()
    generic = ~on_a_grid(points, np.repeat(theta[:, None], basis.size, axis=1), least=1, within=NEAR_GRID)
    return _show_grid(values[generic], start.values, few)


def _show_grid(values: Array, base: Array, few: bool) -> bool:
    """Return True if the values (n, k) show a grid: one of the k is on it at several probes.

    One difference is enough if ``few`` values have changed.  A single probe shows a grid by several of the k, if all
    that it changes are on one.
    """
    on = on_a_grid(values, base, least=1 if few or len(values) == 1 else 0)
    if few or len(values) != 1:
        return bool(on.any())
    return bool(on.sum() >= min(FEWEST, on.size) and on[values[0] != base].all())


def refuse_flat(start: Start, basis: Basis, probes: Probes, method: Method) -> None:
    """Refuse a constraint whose slopes are all exactly 0 in the first basis that is probed to the end.

    Raises:
        ConfigurationError: they are, and the constraint lacks ``may_be_flat``.
    """
    if not start.probed and is_flat(start, basis, probes) and not method.evaluate.constraint.may_be_flat:
        raise ConfigurationError(f"{FLAT}; or, if this is intended, give scpo.Constraint(g, may_be_flat=True)")


def is_flat(start: Start, basis: Basis, probes: Probes) -> bool:
    """Return True if all slopes are exactly 0 although they were probed to the end."""
    return not probes.slopes.any() and is_complete(start, basis, probes)


def is_complete(start: Start, basis: Basis, probes: Probes) -> bool:
    """Return True if there are slopes, the loss has a gradient, and no direction was dropped."""
    return probes.slopes.size > 0 and bool(start.gradient.any()) and basis.holds_nominal


def _constants(start: Start, method: Method) -> tuple[Constants, int]:
    """Return the constants at theta, and the number of unsafe probes along the first nominal step."""
    model, unsafe = method.smoothness, 0
    model.visit(start.theta)
    if not model.measured and start.nominal.any():
        curvature, length, unsafe = _curvature_along(start.nominal, start, method)
        model.measure(curvature, length)
    smoothness, kinks = np.asarray(model.constants()), np.asarray(model.kinks())
    if start.raised is not None:
        smoothness = np.maximum(smoothness, start.raised)
    if not smoothness.shape == kinks.shape == start.values.shape:
        raise ShapeError(
            f"smoothness: constants {smoothness.shape} and kinks {kinks.shape} "
            f"for {start.values.size} constraint values"
        )
    return Constants(smoothness, kinks, min(model.radius(), start.longest)), unsafe


def _unsafe(values: Array) -> int:
    """Return how many rows of g (m, k) violate the constraint."""
    return int((values > 0).any(axis=1).sum())


def _curvature_along(step: Tensor, start: Start, method: Method) -> tuple[Array, float, int]:
    """Return the curvature (k,) of each constraint along ``step`` (d,), the length of the step, and the unsafe probes.

    Two probes show the curvature.  The step is halved while the values are not finite.  If they never become finite,
    the curvature is 0.
    """
    unsafe = 0
    for _ in range(MOST_HALVINGS):
        values = method.evaluate.attempt(start.theta + torch.stack([FIRST_PROBE * step, 2.0 * FIRST_PROBE * step]))
        unsafe += _unsafe(values)
        if np.isfinite(values).all():
            length = float(vector_norm(step))
            bend = np.maximum(np.abs(values[1] - 2.0 * values[0] + start.values) - 4.0 * start.rounding, 0.0)
            return bend / (FIRST_PROBE * length) ** 2, length, unsafe
        step = 0.5 * step
    return np.zeros_like(start.values), float(vector_norm(step)), unsafe


def _balanced_length(start: Start, constants: Constants) -> float:
    """Return the length at which curvature and rounding contribute equally to the error of a slope.

    It is the length for the median constraint.  It is infinite if most constraints are linear or have no rounding.
    """
    known = (constants.smoothness > 0) & (start.rounding > 0)
    squares = np.divide(start.rounding, constants.smoothness, out=np.full(known.shape, np.inf), where=known)
    return 2.0 * math.sqrt(median(squares))


def _usual_length(start: Start, method: Method, constants: Constants) -> float:
    """Return the length nu <= r of probes that need not be safe."""
    unit = start.scale or 1.0
    if start.values.size == 0:
        return min(constants.radius, LARGEST_PROBE * unit)
    balanced, most = _balanced_length(start, constants), LARGEST_PROBE * unit
    if start.coarse and math.isfinite(balanced):
        most = max(most, min(balanced, unit))
    usual = min(most, PROBE_FACTOR * balanced)
    return min(method.directions.probe_length or usual, constants.radius)


def _length_beyond_rounding(start: Start, probes: Probes, method: Method) -> float:
    """Return a length of probes at which rounding hides no slope that could limit this step.

    A slope is hidden if its error by rounding is large against it; only constraints near their limits count.  The
    length is no longer than that which balances curvature and rounding for such a constraint, |theta| or |p|, and r.
    The present length is returned if it hides no slope, if the user gave it, or if probes must be safe.
    """
    present, constants = probes.length, probes.constants
    if method.directions.probe_length or method.directions.safe_probes or not probes.slopes.size:
        return present
    sizes, noise = np.linalg.norm(probes.slopes, axis=1), probes.noise
    slack = np.maximum(-start.values - method.tightening_at(start), 0.0)
    hidden = (noise > NOISY * sizes) & (method.step.kappa * slack <= noise * start.nominal_norm)
    if not hidden.any():
        return present
    with np.errstate(divide="ignore", invalid="ignore"):
        wanted = present * noise[hidden] / (0.5 * NOISY * sizes[hidden])
        balanced = 2.0 * np.sqrt(start.rounding[hidden] / constants.smoothness[hidden])
    return min(float(np.fmin(wanted, balanced).max()), start.scale, constants.radius)


def first_length(start: Start) -> float:
    """Return the length of probes before L is known: a small part of |theta| or of |p|, whichever part is smaller."""
    nominal = FIRST_PROBE * start.nominal_norm
    return min(LARGEST_PROBE * (start.scale or 1.0), nominal or math.inf)


def _safe_length(start: Start, basis: Basis, method: Method, constants: Constants, longest: float) -> tuple[float, int]:
    """Return the largest nu <= ``longest`` for which every probe is safe by the bound, and the number of unsafe probes.

    This needs a bound on the gradients.  If there is none, short probes along the basis are evaluated first to get one.
    """
    bound, unsafe = start.gradient_bound, 0
    if bound is None:
        shortest = min(longest, _balanced_length(start, constants))
        values = method.evaluate.attempt_along(start.theta, basis.vectors.T, shortest)
        unsafe = _unsafe(values)
        values = values[np.isfinite(values).all(axis=1)]
        error = slope_error(constants.smoothness, start.rounding, shortest, basis.size)
        bound = np.linalg.norm((values - start.values) / shortest, axis=0) + error
    slack = np.maximum(-start.values - 2.0 * start.rounding, 0.0)
    safe = safe_length(bound + constants.kinks, constants.smoothness, slack)
    return max(min(longest, safe), SHORTEST_PROBE), unsafe


def learn(required: Array, length: float, smoothness: Array, probes: Probes, method: Method) -> None:
    """Tell the smoothness model the L that a step needed, and for which constraints it is reliable despite rounding."""
    largest = np.maximum(np.maximum(smoothness, required), 1e-300)
    reliable = length**2 * largest >= RELIABLE * probes.rounding
    method.smoothness.observe(required, reliable, length)


def median(numbers: Array) -> float:
    """Return the median, or 0.0 for an empty array.  This is much faster than numpy.median."""
    if numbers.size == 0:
        return 0.0
    ordered = np.sort(numbers)
    return 0.5 * float(ordered[(numbers.size - 1) // 2] + ordered[numbers.size // 2])
