"""Statistics over seeds, by name and as functions.

The seed is the statistical unit: the updates of one run are not independent samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, betaincinv  # scipy.stats takes a second to import

from scpo.errors import ConfigurationError, NonFiniteError, ShapeError

#: the confidence of intervals and bounds that are called 95 %
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A two-sided confidence interval and a lower bound on its coverage."""

    low: float
    high: float
    coverage: float


def _one_per_seed(values: ArrayLike) -> NDArray[np.float64]:
    """Return ``values`` as an array (n,); other shapes, an empty array and values that are not finite are refused."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ShapeError(f"expected one number per seed, at least one; got shape {array.shape}")
    if not np.isfinite(array).all():
        raise NonFiniteError(f"seed number {int(np.flatnonzero(~np.isfinite(array))[0])} of {array.size} is not finite")
    return array


def _check(level: float, least: float = 0.0) -> None:
    """Refuse a confidence level that is not between ``least`` and 1."""
    if not least < level < 1.0:
        raise ConfigurationError(f"level: expected a number between {least:g} and 1; got {level}")


def median_interval(values: ArrayLike, level: float = LEVEL) -> Interval:
    """Return the exact distribution-free confidence interval of the median of ``values`` (n,), one per seed.

    The interval [x_(j), x_(n+1-j)] between two order statistics covers the median with probability 1 - 2 P(B < j),
    where B ~ Bin(n, 1/2).  The largest j with a coverage of at least ``level`` is taken.  With too few seeds for any j,
    the whole range is returned with its own coverage, 1 - 2^(1-n).

    Raises:
        ShapeError: ``values`` is empty or not one-dimensional.
        NonFiniteError: a value is NaN or infinite.
        ConfigurationError: a level outside (0, 1).
    """
    _check(level)
    array = np.sort(_one_per_seed(values))
    n = array.size
    ranks = np.arange(1, n // 2 + 1)
    coverage = 1.0 - 2.0 * bdtr(ranks - 1, n, 0.5)
    reached = ranks[coverage >= level]
    rank = int(reached[-1]) if reached.size else 1
    sure = float(coverage[rank - 1]) if n > 1 else 0.0
    return Interval(float(array[rank - 1]), float(array[n - rank]), sure)


def prediction_interval(values: ArrayLike, level: float = LEVEL) -> Interval:
    """Return the exact distribution-free prediction interval for the value of one more seed, given ``values`` (n,).

    The next value has each rank among n + 1 exchangeable values with the same probability.  So it lies in
    [x_(j), x_(n+1-j)] with probability 1 - 2 j / (n + 1).  The largest j with a coverage of at least ``level`` is
    taken.  Fewer than 39 values give no interval of 95 %; then the whole range is returned with its own coverage.

    Raises:
        ShapeError: ``values`` is empty or not one-dimensional.
        NonFiniteError: a value is NaN or infinite.
        ConfigurationError: a level outside (0, 1).
    """
    _check(level)
    array = np.sort(_one_per_seed(values))
    n = array.size
    rank = max(1, int((1.0 - level) / 2.0 * (n + 1) + 1e-9))
    return Interval(float(array[rank - 1]), float(array[n - rank]), max(0.0, 1.0 - 2.0 * rank / (n + 1)))


def proportion_interval(successes: int, trials: int, level: float = LEVEL) -> Interval:
    """Return the Clopper-Pearson interval of a proportion, such as the share of seeds with an unsafe iterate.

    It is exact, hence conservative: 0 of 10 gives [0, 0.308] at 95 %.

    Raises:
        ConfigurationError: not 0 <= successes <= trials, no trials, or a level outside (0, 1).
    """
    if not 0 <= successes <= trials or trials < 1:
        raise ConfigurationError(f"expected 0 <= successes <= trials and trials >= 1; got {successes} of {trials}")
    _check(level)
    tail = (1.0 - level) / 2.0
    low = 0.0 if successes == 0 else float(betaincinv(successes, trials - successes + 1, tail))
    high = 1.0 if successes == trials else float(betaincinv(successes + 1, trials - successes, 1.0 - tail))
    return Interval(low, high, level)


def upper_bound(successes: int, trials: int, level: float = LEVEL) -> float:
    """Return the one-sided exact (Clopper-Pearson) upper bound of a proportion: 0 of 100 gives 0.0295 at 95 %.

    Raises:
        ConfigurationError: as for :func:`proportion_interval`, or a level of 0.5 or less.
    """
    _check(level, 0.5)
    return proportion_interval(successes, trials, 2.0 * level - 1.0).high


def nonzero(values: ArrayLike) -> int:
    """Return the number of seeds with a value above 0."""
    return int((_one_per_seed(values) > 0).sum())


#: Name -> statistic over seeds with one number as its value.
SINGLE: Mapping[str, Callable[[ArrayLike], float]] = {
    "sum": lambda values: float(_one_per_seed(values).sum()),
    "max": lambda values: float(_one_per_seed(values).max()),
    "min": lambda values: float(_one_per_seed(values).min()),
    "median": lambda values: float(np.median(_one_per_seed(values))),
    "mean": lambda values: float(_one_per_seed(values).mean()),
    "seeds": lambda values: float(np.size(np.asarray(values))),
    "nonzero": lambda values: float(nonzero(values)),
    "coverage": lambda values: median_interval(values).coverage,
    "upper-bound": lambda values: upper_bound(nonzero(values), np.size(np.asarray(values))),
}
#: Name -> statistic over seeds with a pair of numbers as its value, the lower one first.
PAIRS: Mapping[str, Callable[[ArrayLike], tuple[float, float]]] = {
    "range": lambda values: (SINGLE["min"](values), SINGLE["max"](values)),
    "interval": lambda values: _ends(median_interval(values)),
    "share-interval": lambda values: _ends(proportion_interval(nonzero(values), np.size(np.asarray(values)))),
}


def single(name: str, values: ArrayLike) -> float:
    """Return the statistic ``name`` of :data:`SINGLE` over ``values`` (n,), one per seed.

    Raises:
        ConfigurationError: there is no such statistic.
        NonFiniteError: a value is NaN or infinite.
    """
    if name not in SINGLE:
        raise ConfigurationError(f"no statistic {name!r} that is one number; there are {', '.join(SINGLE)}")
    return SINGLE[name](values)


def pair(name: str, values: ArrayLike) -> tuple[float, float]:
    """Return the statistic ``name`` of :data:`PAIRS` over ``values`` (n,), one per seed.

    Raises:
        ConfigurationError: there is no such statistic.
        NonFiniteError: a value is NaN or infinite.
    """
    if name not in PAIRS:
        raise ConfigurationError(f"no statistic {name!r} that is a pair; there are {', '.join(PAIRS)}")
    return PAIRS[name](values)


def _ends(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high
