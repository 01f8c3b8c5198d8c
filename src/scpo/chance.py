"""Constraints on noisy simulators: an upper confidence bound on a mean or on a quantile of sampled rollouts.

Each is a function, policy -> (k,), and is given to :class:`scpo.SafeOptimizer` as it is, or in a
:class:`scpo.Constraint` with options.  All evaluations of a phase use the same random numbers, so the function is
deterministic.  ``SafeOptimizer.refresh()`` begins a new phase, with random numbers that no step has seen.

What is promised: docs/library.md, "A noisy simulator".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, Literal, Self

import numpy as np
from scipy import special
from torch import Tensor

from scpo.arrays import Array
from scpo.errors import ConfigurationError, ConstraintError, ShapeError
from scpo.options import Options, option

#: the bounds on a mean
METHODS = ("bernstein", "hoeffding", "student")


@dataclass(frozen=True, eq=False)
class Sampled(Options):
    """Base of the bounds on sampled values: runs the rollouts of a phase and turns their values into one bound.

    Attributes:
        simulate: (policy, seeds) -> (rollouts, k): the values of one rollout for each seed, safe where they are <= 0.
            With ``Constraint(batched=True)``: (stacked parameters of p policies, seeds) -> (p, rollouts, k).
        rollouts: m, the rollouts of one evaluation.
        level: the probability with which all k bounds of a policy hold.
        seed: the seed of the random numbers of all phases.
        phase: the number of the phase; each has its own seeds.
    """

    simulate: Callable[[Any, tuple[int, ...]], Any]
    _: KW_ONLY
    rollouts: int = option(100, "rollouts of one evaluation", ge=2)
    level: float = option(0.99, "probability with which all bounds of a policy hold", gt=0, lt=1)
    seed: int = option(0, "of the random numbers of all phases", ge=0)
    phase: int = option(0, "number of the phase", ge=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.simulate):
            raise ConfigurationError(f"simulate: expected a callable, got {type(self.simulate).__name__}")

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the phase, one for each rollout: different whole numbers below 2^32."""
        drawn = np.random.SeedSequence([self.seed, self.phase]).generate_state(2 * self.rollouts)
        return tuple(dict.fromkeys(map(int, drawn)))[: self.rollouts]

    def in_phase(self, phase: int) -> Self:
        """Return the same bound with the random numbers of another phase."""
        return replace(self, phase=phase)

    def __call__(self, policy: Any) -> Array:
        """Return the upper confidence bounds, shape (k,), or (p, k) for a batch of p policies.

        Raises:
            ShapeError: the simulator did not return (rollouts, k) numbers.
        """
        samples = self._checked(self.simulate(policy, self.seeds))
        return self.bound(np.where(np.isfinite(samples), samples, np.inf))

    def bound(self, samples: Array) -> Array:
        """Return the upper confidence bounds (..., k) of samples (..., m, k), in which inf is a diverged rollout."""
        raise NotImplementedError

    def _each(self, k: int) -> float:
        """Return the probability with which one bound may fail, so that all k hold at the level."""
        return (1.0 - self.level) / max(k, 1)

    def _checked(self, raw: Any) -> Array:
        if isinstance(raw, Tensor):
            raw = raw.detach().cpu().numpy()
        if np.asarray(raw).dtype.kind not in "iuf":
            raise ShapeError(f"the simulator returned {type(raw).__name__}, not ({self.rollouts}, k) real numbers")
        samples = np.asarray(raw, dtype=np.float64)
        if samples.ndim < 2 or samples.shape[-2] != self.rollouts:
            raise ShapeError(
                f"the simulator returned shape {samples.shape}, expected ({self.rollouts}, k): a row for each seed"
            )
        return samples


@dataclass(frozen=True, eq=False, kw_only=True)
class UpperMean(Sampled):
    """The constraint that the mean of each value over rollouts is at most 0, by an upper confidence bound on it.

    Attributes:
        method: "bernstein" (the empirical Bernstein bound of Maurer and Pontil, 2009, theorem 4) and "hoeffding" hold
            for independent values in an interval.  Bernstein's bound is closer if the values are many and vary little.
            "student" holds for independent normal values.
        span: the interval (low, high) in which every value lies, for the first two.

    Raises:
        ConfigurationError: the method is unknown, or the span is missing, no interval, or of no use.
        ConstraintError: a value lies outside the span.

    Example:
        >>> import numpy as np
        >>> uniform = lambda policy, seeds: [[np.random.default_rng(seed).uniform(-1.0, 0.0)] for seed in seeds]
        >>> bool(-0.5 < UpperMean(uniform, rollouts=1000, span=(-1.0, 0.0))(None) < -0.4)
        True
    """

    method: Literal["bernstein", "hoeffding", "student"] = option("bernstein", "the bound on the mean")
    span: tuple[float, float] | Sequence[float] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method not in METHODS:
            raise ConfigurationError(f"method: no {self.method!r}; there are {', '.join(METHODS)}")
        if self.method == "student":
            if self.span is not None:
                raise ConfigurationError(
                    "span: method='student' takes the values to be normal, so no interval holds them; leave span out"
                )
            return
        if self.span is None:
            raise ConfigurationError(
                f"span: {self.method} needs the interval (low, high) of the values; method='student' needs none, but "
                "takes the values to be normal"
            )
        low, high = self.span if np.shape(self.span) == (2,) else (0.0, 0.0)
        if not -math.inf < low < high < math.inf:
            raise ConfigurationError(f"span: expected (low, high) with low < high, got {self.span!r}")

    def bound(self, samples: Array) -> Array:
        """Return the upper confidence bounds (..., k) on the means of samples (..., m, k); inf if a sample is inf."""
        finite: np.ndarray = np.asarray(np.isfinite(samples))
        if self.span is not None and (finite & ((samples < self.span[0]) | (samples > self.span[1]))).any():
            raise ConstraintError(
                f"the simulator returned values from {samples[finite].min():.6g} to {samples[finite].max():.6g}, "
                f"outside the span {tuple(self.span)}; state the interval that holds all"
            )
        whole: np.ndarray = np.asarray(finite.all(axis=-2, keepdims=True))
        mean, deviation = samples.mean(axis=-2), np.where(whole, samples, 0.0).std(axis=-2, ddof=1)
        return np.asarray(mean + self._margin(deviation, self._each(samples.shape[-1])))

    def _margin(self, deviation: Array, failing: float) -> Array:
        """Return by how much the bounds lie above the means of samples with this standard ``deviation``."""
        m = self.rollouts
        if self.span is None:
            return np.asarray(-special.stdtrit(m - 1, failing) * deviation / math.sqrt(m))
        width = float(self.span[1]) - float(self.span[0])
        if self.method == "hoeffding":
            return np.full_like(deviation, width * math.sqrt(math.log(1.0 / failing) / (2.0 * m)))
        log = math.log(2.0 / failing)
        return np.asarray(deviation * math.sqrt(2.0 * log / m) + 7.0 * width * log / (3.0 * (m - 1)))


@dataclass(frozen=True, eq=False, kw_only=True)
class Quantile(Sampled):
    """The constraint that each value is safe in a share of the rollouts, by an upper confidence bound on its quantile.

    Each value has its share on its own.  For rollouts that are safe in all values return the largest as the only one.

    The bound is the j-th smallest of m independent values.  j is the least number for which this value lies above the
    quantile with the probability asked for.  The binomial distribution gives j, for every distribution of the values.

    Attributes:
        share: the share of rollouts in which a value must be at most 0.

    Raises:
        ConfigurationError: there are too few rollouts for the share and the level.

    Example:
        >>> uniform = lambda policy, seeds: [[np.random.default_rng(seed).uniform(-1.0, 0.0)] for seed in seeds]
        >>> bool(-0.1 < Quantile(uniform, share=0.9, rollouts=1000)(None) < 0.0)
        True
    """

    share: float = option(0.9, "share of the rollouts in which a value is to be at most 0", gt=0, lt=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.rank(1)

    def rank(self, k: int) -> int:
        """Return j, from 1: the bound on each of k values is the j-th smallest of its m samples.

        Raises:
            ConfigurationError: m is too small for such a j.
        """
        failing = self._each(k)
        # P(at least j of m samples lie below the quantile), for j = 1 ... m
        missed = special.bdtrc(np.arange(self.rollouts, dtype=np.float64), self.rollouts, self.share)
        enough = np.flatnonzero(missed <= failing)
        if enough.size == 0:
            least = math.ceil(math.log(failing) / math.log(self.share))
            raise ConfigurationError(
                f"rollouts: {self.rollouts} cannot bound the {self.share:g}-quantile of {k} values at level "
                f"{self.level:g}; it takes {least}"
            )
        return int(enough[0]) + 1

    def bound(self, samples: Array) -> Array:
        """Return the upper confidence bounds (..., k) on the quantiles of samples (..., m, k)."""
        place = self.rank(samples.shape[-1]) - 1
        return np.asarray(np.partition(samples, place, axis=-2)[..., place, :])
