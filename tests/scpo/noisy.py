"""Samples of known distributions, their true means and quantiles, and how often a bound on them holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from scpo.chance import Quantile, Sampled, UpperMean


@dataclass(frozen=True)
class Known:
    """A distribution, and the interval that holds it, if there is one."""

    distribution: Any
    span: tuple[float, float] | None = None

    def __call__(self, policy: Any, seeds: tuple[int, ...]) -> np.ndarray:
        """Return (m, 1) values of a simulator without a policy."""
        drawn = np.random.default_rng(seeds).random(len(seeds))
        return np.asarray(self.distribution.ppf(drawn), dtype=np.float64)[:, None]


KNOWN = {
    "normal": Known(stats.norm(-1.0, 2.0)),
    "uniform": Known(stats.uniform(-1.0, 1.0), (-1.0, 0.0)),
    "rare accident": Known(stats.bernoulli(0.03), (0.0, 1.0)),
    "even coin": Known(stats.bernoulli(0.5), (0.0, 1.0)),
    "two humps": Known(stats.beta(0.3, 0.6), (0.0, 1.0)),
    "exponential": Known(stats.expon()),
    "heavy tail": Known(stats.t(1.5)),
    "counts": Known(stats.poisson(2.0)),
}

#: what is bounded: of a distribution, its rollouts and a level
BOUNDS: dict[str, Callable[[Known, int, float], Sampled]] = {
    "bernstein": lambda known, m, level: UpperMean(known, rollouts=m, level=level, span=known.span),
    "hoeffding": lambda known, m, level: UpperMean(known, rollouts=m, level=level, span=known.span, method="hoeffding"),
    "student": lambda known, m, level: UpperMean(known, rollouts=m, level=level, method="student"),
    "quantile": lambda known, m, level: Quantile(known, rollouts=m, level=level, share=0.8),
}


def truth(bound: Sampled, known: Known) -> float:
    """Return the mean or the quantile that ``bound`` bounds: the least value that this share does not exceed."""
    return float(known.distribution.ppf(bound.share) if isinstance(bound, Quantile) else known.distribution.mean())


def suits(name: str, known: Known) -> bool:
    """Return True if the assumption of a bound holds for a distribution."""
    if name == "student":
        return bool(known.distribution.dist.name == "norm")
    return name == "quantile" or known.span is not None


def held(bound: Sampled, known: Known, seeds: int) -> float:
    """Return the share of ``seeds`` phases in which the bound lies above the truth."""
    wanted = truth(bound, known)
    return float(np.mean([bound.in_phase(phase)(None)[0] >= wanted for phase in range(seeds)]))


def promised(bound: Sampled, known: Known) -> tuple[float, float]:
    """Return the least and the largest share of phases in which the bound may hold, but for chance.

    Order statistics of continuous values and Student's t hold with a known probability; the others with more.
    """
    if isinstance(bound, Quantile) and hasattr(known.distribution.dist, "pdf"):
        exact = float(stats.binom.cdf(bound.rank(1) - 1, bound.rollouts, bound.share))
        return exact, exact
    exact = isinstance(bound, UpperMean) and bound.method == "student"
    return bound.level, bound.level if exact else 1.0
