"""Models of smoothness: the constants L_i, the kink constants c_i, and the radius r within which they hold.

They bound the curvature of a constraint: |g(theta + D) - g(theta) - grad g(theta)^T D| <= c |D| + (L / 2) |D|^2 for all
|D| <= r.  Smooth constraints have c = 0.  A constraint with kinks (a ReLU policy, a maximum over time) has no finite L
without c.  In the step bound c is added to the error of the slopes.

The step bound is a certificate only where the constants are known to hold.  With estimated constants it is a forecast,
and its misses are counted (docs/method.md, section 10).
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from scpo.arrays import Array
from scpo.errors import ConfigurationError, ShapeError
from scpo.options import Options, option

if TYPE_CHECKING:  # the settings import this module, and need no torch
    from torch import Tensor


class Smoothness:
    """A model of L (k,), c (k,) and r.  A model of your own is a subclass that defines :meth:`constants`."""

    #: a bound on |grad g_i| at the start, a number or (k,), for safe probes; None if it is not known
    gradient_bound: ArrayLike | None = None
    #: True if L is learned from steps, so that a large one may stand for a kink
    estimated = False

    def start(self, length: int) -> None:
        """Prepare for k = ``length`` constraint values.  The optimiser calls this once, before everything else."""

    def visit(self, theta: Tensor) -> None:
        """Take note of the iterate ``theta`` (d,), if the constants depend on it.  Each update calls this first."""

    @property
    def measured(self) -> bool:
        """False if the model asks for :meth:`measure` before its constants are used."""
        return True

    def measure(self, curvature: Array, length: float) -> None:
        """Learn the curvature (k,) of each constraint along the first nominal step, and the length of that step."""

    def constants(self) -> Array:
        """Return L, shape (k,)."""
        raise NotImplementedError(f"{type(self).__name__} must define constants()")

    def kinks(self) -> Array:
        """Return c, shape (k,), the largest jump of the slope along a step."""
        return np.zeros(np.shape(self.constants()))

    def radius(self) -> float:
        """Return r, the length of the longest step for which L and c hold."""
        return np.inf

    def observe(self, required: Array, reliable: np.ndarray, length: float) -> None:
        """Learn from a proposed step that was evaluated.

        Args:
            required: the L (k,) for which g would have been equal to its bound if c were 0.
            reliable: (k,), False if ``required`` is only rounding and must be ignored.
            length: the length |z| of the step.
        """

    def blocked(self) -> None:
        """Learn that no step was possible with the constants in use."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the model as arrays and numbers."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state that :meth:`state_dict` returned."""


class FixedSmoothness(Smoothness):
    """A model with known constants: one number for all constraint values, or one for each.

    Args:
        constants: L, a number or shape (k,), not negative.
        radius: the radius r within which the constants hold.
        gradient_bound: a bound on |grad g_i| at the start, a number or (k,), for safe probes.

    Raises:
        ConfigurationError: the constants or the radius cannot be used.
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
        """Set the constant of each of the ``length`` constraint values.

        Raises:
            ShapeError: the number of constants is not that of the constraint values.
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


@dataclass(frozen=True, kw_only=True)
class EstimatedSmoothness(Options):
    """The options of a model that estimates L and r from the steps.  :class:`Estimate` is that model.

    Each step shows the L that each constraint needed.  The model keeps a decaying maximum of these for each constraint,
    and L_i = factor * the maximum of constraint i.  The first values come from two probes along the first nominal step.
    The radius is at most ``growth`` times the longest step at which L was observed; the first nominal step counts as
    one.

    No number here has a unit, so the path does not depend on the units of a constraint or of the parameters.
    """

    factor: float = option(2.0, "safety factor on observed curvature", ge=1)
    decay: float = option(0.999, "factor on old maxima at each step", gt=0, le=1)
    growth: float = option(2.0, "r, as a multiple of the longest step at which L was observed", ge=1)
    max_radius: float | None = option(None, "largest r; null: no limit", gt=0)


class Estimate(Smoothness):
    """The model that estimates L and r from the steps so far; see :class:`EstimatedSmoothness`."""

    estimated = True

    def __init__(self, options: EstimatedSmoothness) -> None:
        self.options = options
        self._observed, self._longest = np.zeros(0), 0.0

    def start(self, length: int) -> None:
        """Set every maximum to 0: nothing has been observed."""
        self._observed, self._longest = np.zeros(length), 0.0

    @property
    def measured(self) -> bool:
        """False before the first curvature was measured."""
        return self._longest > 0.0

    def measure(self, curvature: Array, length: float) -> None:
        """Take the curvature (k,) and the length of the first nominal step as the first observations."""
        self._observed, self._longest = np.array(curvature, dtype=np.float64), length

    def constants(self) -> Array:
        """Return the estimate of L, shape (k,)."""
        return np.asarray(self.options.factor * self._observed)

    def radius(self) -> float:
        """Return r."""
        most = np.inf if self.options.max_radius is None else self.options.max_radius
        return min(most, self.options.growth * self._longest) if self.measured else most

    def observe(self, required: Array, reliable: np.ndarray, length: float) -> None:
        """Let the maxima decay, then raise them to the L that this step needed."""
        self._observed = np.maximum(self.options.decay * self._observed, np.where(reliable, required, 0.0))
        if reliable.any() or reliable.size == 0:
            self._longest = max(self._longest, length)

    def blocked(self) -> None:
        """Let the maxima decay as after a step; otherwise maxima that are too large would block all steps for ever."""
        self._observed = self.options.decay * self._observed

    def state_dict(self) -> dict[str, Any]:
        """Return the maxima and the longest step."""
        return {"observed": self._observed.copy(), "longest": self._longest}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state that :meth:`state_dict` returned."""
        self._observed = np.array(state["observed"], dtype=np.float64)
        self._longest = float(state["longest"])


def carried(bound: Array, smoothness: Array, kinks: Array, length: float) -> Array:
    """Return a bound (k,) on |grad g_i| after a step of ``length`` <= r, given the ``bound`` (k,) before it.

    With c = 0 a gradient changes by at most L |z|; kinks add 2 sqrt(2) c to that (docs/method.md, section 8).
    """
    return np.asarray(bound + 2.0 * np.sqrt(2.0) * kinks + length * smoothness)


def safe_length(bound: Array, smoothness: Array, slack: Array) -> float:
    """Return the length up to which a step in any direction lets no value rise by more than ``slack``; inf: any length.

    Args:
        bound: bounds (k,) on |grad g_i|, with the kink constants.
        smoothness: L (k,).
        slack: how far each value (k,) may rise, at least 0.
    """
    root = bound + np.sqrt(bound**2 + 2.0 * smoothness * slack)
    limits = np.divide(2.0 * slack, root, out=np.full_like(slack, np.inf), where=root > 0)
    return float(limits.min(initial=np.inf))


def as_smoothness(given: EstimatedSmoothness | Smoothness | ArrayLike | None) -> Smoothness:
    """Return the smoothness model for an argument of :class:`scpo.SafeOptimizer`.

    Options or None give an estimate, numbers give fixed constants, and a model is returned as it is.
    """
    if given is None or isinstance(given, EstimatedSmoothness):
        return Estimate(given or EstimatedSmoothness())
    return given if isinstance(given, Smoothness) else FixedSmoothness(given)
