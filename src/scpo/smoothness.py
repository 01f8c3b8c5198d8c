"""Smoothness: the constants L_i, the kink constants c_i and the radius r within which they hold.

A constraint with kinks (a ReLU policy, a maximum over time) has no finite L.  There |g(theta + D) - g - grad g^T D| is
at most c |D| + (L / 2) |D|^2, and c enters the bound beside the error of the slopes.  Smooth constraints have c = 0.

The bound is a certificate only where the constants are known to hold.  With estimated constants it is a forecast, and
its misses are counted (docs/method.md, section 10).
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from scpo.arrays import Array
from scpo.errors import ConfigurationError, ShapeError
from scpo.options import Options, option

if TYPE_CHECKING:  # settings are read without torch
    from torch import Tensor


class Smoothness:
    """A model of L (k,), c (k,) and r.  Write your own as a subclass that defines :meth:`constants`."""

    #: bound on |grad g_i| at the start, a number or (k,), for safe probes; None: not known
    gradient_bound: ArrayLike | None = None

    def start(self, length: int) -> None:
        """Prepare for k = ``length`` constraint values; called once, before everything else."""

    def visit(self, theta: Tensor) -> None:
        """Learn the iterate ``theta`` (d,); called before each update, for constants that depend on theta."""

    def constants(self) -> Array:
        """Return L, shape (k,)."""
        raise NotImplementedError(f"{type(self).__name__} must define constants()")

    def kinks(self) -> Array:
        """Return c, shape (k,): the largest jump of the slope along a step."""
        return np.zeros(np.shape(self.constants()))

    def radius(self) -> float:
        """Return r, the length up to which L and c hold."""
        return np.inf

    def observe(self, required: Array, reliable: np.ndarray, length: float) -> None:
        """Learn from a step.

        Args:
            required: (k,), the L with which this step would just have met its bound, were c = 0.
            reliable: (k,), False where ``required`` is rounding and must be ignored.
            length: |z| of the step.
        """

    def blocked(self) -> None:
        """Learn that the constants in use left no step at all."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state as arrays and numbers."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state that :meth:`state_dict` returned."""


class FixedSmoothness(Smoothness):
    """Constants that are known: one number for all constraint values, or one for each.

    Args:
        constants: L, a number or shape (k,), not negative.
        radius: r, within which they hold.
        gradient_bound: bound on |grad g_i| at the start, a number or (k,), for safe probes.

    Raises:
        ConfigurationError: the constants or the radius are unusable.
    """

    def __init__(self, constants: ArrayLike, radius: float = np.inf, gradient_bound: ArrayLike | None = None) -> None:
        try:
            self._given = np.array(constants, dtype=np.float64)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ConfigurationError(
                f"smoothness: expected numbers or a scpo.Smoothness, got {type(constants).__name__}"
            ) from error
        if self._given.ndim > 1 or not np.isfinite(self._given).all() or (self._given < 0).any():
            raise ConfigurationError(
                "smoothness: expected finite constants >= 0, one number or one per constraint value"
            )
        if not isinstance(radius, Real) or not radius > 0:
            raise ConfigurationError(f"radius: must be a positive number, got {radius!r}")
        self.gradient_bound = gradient_bound
        self._radius: float = float(radius)
        self._constants: Array = np.atleast_1d(self._given)

    def start(self, length: int) -> None:
        """Give every constraint value its constant.

        Raises:
            ShapeError: there are not as many constants as constraint values.
        """
        if self._given.ndim == 1 and self._given.size != length:
            raise ShapeError(f"smoothness: {self._given.size} constants for {length} constraint values")
        self._constants = np.broadcast_to(self._given, (length,)).copy()

    def constants(self) -> Array:
        """Return L, shape (k,)."""
        return self._constants

    def radius(self) -> float:
        """Return r."""
        return self._radius


@dataclass(frozen=True)
class EstimatedSmoothness(Options):
    """Options of an estimate of L, c and r from the steps taken.  :class:`Estimate` is the estimate itself.

    L_i = factor * max(decayed maximum of what constraint i needed, a quantile of these maxima).  The quantile lets a
    constraint that has hardly moved learn from its peers.  The radius is at most ``growth`` times the longest step at
    which L was observed.

    With a ``kink_ratio``, a need of up to ``kink_ratio`` times that quantile counts as curvature.  The rest comes from
    a kink: per |z| it goes into c_i = kink_factor * decayed maximum.  Probes must be much shorter than steps for this.
    """

    initial: float = option(10.0, "L before anything was observed; it decays like an observation", gt=0)
    _: KW_ONLY
    factor: float = option(2.0, "safety factor on observed curvature", ge=1)
    decay: float = option(0.999, "factor on old maxima at each step", gt=0, le=1)
    pooling: float = option(0.5, "quantile of the maxima below which no constraint's L falls", ge=0, le=1)
    kink_ratio: float | None = option(
        None, "needs beyond so many times the pooled L are kinks of g and go into c; none: all is curvature", gt=1
    )
    kink_factor: float | None = option(None, "safety factor on observed kinks; none: the same as on curvature", ge=1)
    initial_radius: float = option(0.1, "r before any step", gt=0)
    growth: float = option(2.0, "r over the longest step that showed something", ge=1)
    max_radius: float = option(1.0, "largest r", gt=0)


class Estimate(Smoothness):
    """L, c and r as the steps so far suggest them; see :class:`EstimatedSmoothness`."""

    def __init__(self, options: EstimatedSmoothness) -> None:
        self.options = options
        self._kink_factor = options.factor if options.kink_factor is None else options.kink_factor
        self._first = min(options.initial_radius, options.max_radius) / options.growth
        self._longest = self._first
        self._observed, self._jumps = np.zeros(0), np.zeros(0)

    def start(self, length: int) -> None:
        """Begin with ``initial`` for every constraint value."""
        self._observed, self._jumps = np.full(length, float(self.options.initial)), np.zeros(length)
        self._longest = self._first

    def constants(self) -> Array:
        """Return the estimate of L, shape (k,)."""
        return np.asarray(self.options.factor * np.maximum(self._observed, self._pooled()))

    def kinks(self) -> Array:
        """Return the estimate of c, shape (k,)."""
        return np.asarray(self._kink_factor * self._jumps)

    def radius(self) -> float:
        """Return r."""
        return min(self.options.max_radius, self.options.growth * self._longest)

    def observe(self, required: Array, reliable: np.ndarray, length: float) -> None:
        """Let the maxima decay, then raise them to what this step needed."""
        ratio = self.options.kink_ratio
        most = np.inf if ratio is None else ratio * self._pooled()
        needed = np.where(reliable, required, 0.0)
        curvature = np.minimum(needed, most)
        self._observed = np.maximum(self.options.decay * self._observed, curvature)
        self._jumps = np.maximum(self.options.decay * self._jumps, 0.5 * length * (needed - curvature))
        if reliable.any() or reliable.size == 0:
            self._longest = max(self._longest, length)

    def blocked(self) -> None:
        """Let c decay: kinks that forbid every step cannot be seen again.  Curvature stays as it was observed."""
        self._jumps = self.options.decay * self._jumps

    def _pooled(self) -> float:
        """Return the quantile of the maxima, as numpy.quantile would in many times the time."""
        if self._observed.size == 0:
            return 0.0
        ordered = np.sort(self._observed)
        place = self.options.pooling * (ordered.size - 1)
        below, above = ordered[int(place)], ordered[min(int(place) + 1, ordered.size - 1)]
        return float(below + (place - int(place)) * (above - below))

    def state_dict(self) -> dict[str, Any]:
        """Return the maxima and the longest step."""
        return {"observed": self._observed.copy(), "jumps": self._jumps.copy(), "longest": self._longest}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state that :meth:`state_dict` returned."""
        self._observed = np.array(state["observed"], dtype=np.float64)
        self._jumps = np.array(state["jumps"], dtype=np.float64)
        self._longest = float(state["longest"])


def as_smoothness(given: EstimatedSmoothness | Smoothness | ArrayLike | None) -> Smoothness:
    """Return a model: an estimate for its options or None, the model itself, or fixed constants for numbers."""
    if given is None or isinstance(given, EstimatedSmoothness):
        return Estimate(given or EstimatedSmoothness())
    return given if isinstance(given, Smoothness) else FixedSmoothness(given)
