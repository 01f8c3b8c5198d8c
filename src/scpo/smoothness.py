"""The smoothness constants L_i, the kink constants c_i and the radius r: known beforehand, or estimated from steps.

A metric of a ReLU network or a maximum over time has kinks, where no finite L holds: at a step that crosses one, L
would grow like 1 / |z|, and steps would shrink with it.  There |g(theta + D) - g - grad g^T D| is at most
c |D| + (L / 2) |D|^2, and c enters the bound beside the slopes' error.  For smooth metrics c = 0.

Only with constants that are known to hold is the bound a certificate.  Estimated constants make it a forecast,
and its misses are counted (docs/method.md, what is proven and what is estimated).
"""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from scpo.arrays import Array
from scpo.errors import ConfigurationError, ShapeError

if TYPE_CHECKING:  # the report reads the constants below without torch
    from torch import Tensor

#: of EstimatedSmoothness: quantile over the metrics, how many times the longest reliable step r is, r at the start
POOLING, GROWTH, FIRST_RADIUS = 0.5, 2.0, 0.1


class Smoothness(Protocol):
    """A model of L (k,), c (k,) and r.  Write your own with these methods."""

    def start(self, length: int) -> None:
        """Get ready for k = ``length`` metrics; called once, before anything else."""
        ...

    def visit(self, theta: Tensor) -> None:
        """Take note of the iterate ``theta`` (d,), for constants that depend on it; called before each update."""
        ...

    def constants(self) -> Array:
        """Return L, shape (k,)."""
        ...

    def kinks(self) -> Array:
        """Return c, shape (k,): how far the slope along a step may jump; zeros for smooth metrics."""
        ...

    def radius(self) -> float:
        """Return r, up to which L and c are taken to hold."""
        ...

    def observe(self, required: Array, reliable: np.ndarray, length: float) -> None:
        """Learn from a step of ``length`` |z|: ``required`` (k,) is the L with which, c = 0, no bound had been missed.

        Entries with ``reliable`` (k,) False are rounding and must be ignored; all are, and ``length`` is 0, where the
        constants in use left no step at all.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return the state as arrays and numbers."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave."""
        ...


class FixedSmoothness:
    """Constants that are known: one number for all metrics, or one for each.

    Args:
        constants: L, a scalar or shape (k,), not negative.
        radius: r within which they hold.
    """

    def __init__(self, constants: ArrayLike, radius: float = np.inf) -> None:
        try:
            self._given = np.array(constants, dtype=np.float64)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ConfigurationError(f"smoothness: expected numbers, got {type(constants).__name__}") from error
        if self._given.ndim > 1 or not np.isfinite(self._given).all() or (self._given < 0).any():
            raise ConfigurationError("smoothness: expected finite constants >= 0, a scalar or one per metric")
        if not radius > 0:
            raise ConfigurationError(f"radius: must be positive, got {radius}")
        self._radius = float(radius)
        self._constants = np.atleast_1d(self._given)

    def start(self, length: int) -> None:
        """Spread a scalar over the metrics; raise ShapeError where the number does not fit."""
        if self._given.ndim == 1 and self._given.size != length:
            raise ShapeError(f"smoothness: {self._given.size} constants for {length} metrics")
        self._constants = np.broadcast_to(self._given, (length,)).copy()

    def visit(self, theta: Tensor) -> None:
        """Do nothing: the constants are the same everywhere."""

    def constants(self) -> Array:
        """Return L, shape (k,)."""
        return self._constants

    def kinks(self) -> Array:
        """Return zeros (k,): L is all there is."""
        return np.zeros(self._constants.size)

    def radius(self) -> float:
        """Return r."""
        return self._radius

    def observe(self, required: Array, reliable: np.ndarray, length: float) -> None:
        """Learn nothing: the constants are known."""

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: there is no state."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore nothing."""


class EstimatedSmoothness:
    """L_i = factor * max(decayed maximum of what metric i needed, a quantile of those maxima over all metrics).

    The quantile lets a metric that has hardly moved learn from its peers.  The radius follows evidence too: at most
    ``growth`` times the longest step at which L was observed.

    With a finite ``kink_ratio``, curvature is what a step needed up to ``kink_ratio`` times that quantile.  What lies
    beyond has come from a kink: per |z| it goes into c_i = kink_factor * decayed maximum.

    Args:
        initial: stands in for observations before there are any; it decays like one.
        factor: safety factor on what was observed.
        decay: of the maxima, per step, also where a metric's part in it was rounding.
        pooling: quantile over the metrics, in [0, 1].
        kink_ratio: see above, above 1; infinite for metrics without kinks, about 20 for ReLU networks and maxima.
            Probes are to be much shorter than steps.
        kink_factor: on the jumps of kinks; None: the same as ``factor``.
        initial_radius, growth, max_radius: of the radius.
    """

    def __init__(
        self,
        initial: float = 10.0,
        *,
        factor: float = 2.0,
        decay: float = 0.999,
        pooling: float = POOLING,
        kink_ratio: float = np.inf,
        kink_factor: float | None = None,
        initial_radius: float = FIRST_RADIUS,
        growth: float = GROWTH,
        max_radius: float = 1.0,
    ) -> None:
        if not (initial > 0 and np.isfinite(initial)):
            raise ConfigurationError(f"initial: must be positive and finite, got {initial}")
        for name, given in (("factor", factor), ("kink_factor", factor if kink_factor is None else kink_factor)):
            if not given >= 1:
                raise ConfigurationError(f"{name}: must be at least 1, got {given}")
        if not 0 < decay <= 1:
            raise ConfigurationError(f"decay: must lie in (0, 1], got {decay}")
        if not 0 <= pooling <= 1:
            raise ConfigurationError(f"pooling: must lie in [0, 1], got {pooling}")
        if not kink_ratio > 1:
            raise ConfigurationError(f"kink_ratio: must be above 1, got {kink_ratio}")
        if not (0 < initial_radius and growth >= 1 and max_radius > 0):
            raise ConfigurationError("radius: initial_radius and max_radius must be positive, growth at least 1")
        self.initial, self.factor, self.decay, self.pooling = initial, factor, decay, pooling
        self.kink_ratio, self.growth, self.max_radius = kink_ratio, growth, max_radius
        self.kink_factor = factor if kink_factor is None else kink_factor
        self._first = min(initial_radius, max_radius) / growth
        self._longest = self._first
        self._observed, self._jumps = np.zeros(0), np.zeros(0)

    def start(self, length: int) -> None:
        """Begin with ``initial`` for every metric."""
        self._observed, self._jumps = np.full(length, float(self.initial)), np.zeros(length)
        self._longest = self._first

    def visit(self, theta: Tensor) -> None:
        """Do nothing: the estimate follows the steps."""

    def constants(self) -> Array:
        """Return the estimate of L, shape (k,)."""
        return np.asarray(self.factor * np.maximum(self._observed, self._pooled()))

    def kinks(self) -> Array:
        """Return the estimate of c, shape (k,)."""
        return np.asarray(self.kink_factor * self._jumps)

    def _pooled(self) -> float:
        """Return the quantile of the maxima; numpy.quantile does the same, at a cost that an update would notice."""
        if self._observed.size == 0:
            return 0.0
        ordered = np.sort(self._observed)
        place = self.pooling * (ordered.size - 1)
        below, above = ordered[int(place)], ordered[min(int(place) + 1, ordered.size - 1)]
        return float(below + (place - int(place)) * (above - below))

    def radius(self) -> float:
        """Return r."""
        return min(self.max_radius, self.growth * self._longest)

    def observe(self, required: Array, reliable: np.ndarray, length: float) -> None:
        """Raise the maxima to what this step needed, after a little decay."""
        self._jumps = self.decay * self._jumps
        if length == 0.0:  # kinks that forbid every step cannot be seen again; curvature has not been seen to be less
            return
        needed = np.where(reliable, required, 0.0)
        most = self.kink_ratio * self._pooled() if np.isfinite(self.kink_ratio) else np.inf
        curvature = np.minimum(needed, most)
        self._observed = np.maximum(self.decay * self._observed, curvature)
        self._jumps = np.maximum(self._jumps, 0.5 * length * (needed - curvature))
        if reliable.any() or reliable.size == 0:
            self._longest = max(self._longest, length)

    def state_dict(self) -> dict[str, Any]:
        """Return the maxima and the longest step."""
        return {"observed": self._observed.copy(), "jumps": self._jumps.copy(), "longest": self._longest}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave."""
        self._observed = np.array(state["observed"], dtype=np.float64)
        self._jumps = np.array(state.get("jumps", np.zeros(self._observed.size)), dtype=np.float64)
        self._longest = float(state["longest"])


def as_smoothness(given: str | ArrayLike | Smoothness, radius: float) -> Smoothness:
    """Return the model that is named, that has these constants, or that is given itself."""
    if not isinstance(radius, Real) or not radius > 0:
        raise ConfigurationError(f"radius: must be a positive number, got {radius!r}")
    if isinstance(given, str):
        if given != "estimated":
            raise ConfigurationError(f"smoothness: no {given!r}; give 'estimated', constants, or an object")
        return EstimatedSmoothness(max_radius=radius)
    methods = [name for name in vars(Smoothness) if not name.startswith("_")]
    present = [name for name in methods if hasattr(given, name)]
    if len(present) == len(methods) and not isinstance(given, type):
        if np.isfinite(radius):
            raise ConfigurationError(f"radius: {type(given).__name__} has its own; leave radius= out")
        return given
    if present:
        raise ConfigurationError(f"smoothness: {given!r} is no object with the methods {', '.join(methods)}")
    return FixedSmoothness(given, radius)
