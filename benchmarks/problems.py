"""Ten problems with known optima, for benchmarks and tests.

The optima come from other solvers: cvxpy where the problem is convex, SciPy and a cubic's roots elsewhere.
Everything is drawn from fixed seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from scpo.arrays import Array

#: half the width of the corridor
WIDTH = 0.01


@dataclass(frozen=True)
class Problem:
    """A loss and a constraint that 0 satisfies.

    Attributes:
        name: what the tables call it.
        dimension: d.
        loss: theta (d,) -> its loss.
        values: g, (m, d) -> (m, k).
        solve: -> the least loss under the constraint, by another solver.
        learning_rate: of SGD: 1 over the largest curvature of the loss.
        smoothness: L (k,) of g; None where g has kinks.
    """

    name: str
    dimension: int
    loss: Callable[[Tensor], Tensor]
    values: Callable[[Array], Array]
    solve: Callable[[], float]
    learning_rate: float
    smoothness: Array | None = None

    @property
    def smooth(self) -> bool:
        """True if g has no kinks."""
        return self.smoothness is not None

    @cached_property
    def optimum(self) -> float:
        """The least loss under the constraint."""
        return self.solve()

    @cached_property
    def first(self) -> float:
        """The loss at 0."""
        return float(self.loss(torch.zeros(self.dimension, dtype=torch.float64)))

    def gap(self, loss: float) -> float:
        """Return the share of the way from 0 to the optimum that is left at this ``loss``."""
        return (loss - self.optimum) / (self.first - self.optimum)


@dataclass(frozen=True)
class Quadratic:
    """The loss (theta - t)^T H (theta - t) / 2 with eigenvalues from 1 to 10, and its least value by cvxpy."""

    hessian: Array
    target: Array

    @classmethod
    def drawn(cls, dimension: int, distance: float, rng: np.random.Generator) -> Quadratic:
        """Return one with a random basis of eigenvectors, and with t at this ``distance`` in the mean of squares."""
        basis = np.linalg.qr(rng.normal(size=(dimension, dimension)))[0]
        return cls((basis * np.geomspace(1.0, 10.0, dimension)) @ basis.T, distance * rng.normal(size=dimension))

    def loss(self, theta: Tensor) -> Tensor:
        """Return the loss at theta (d,)."""
        away = theta - torch.from_numpy(self.target)
        return 0.5 * away @ torch.from_numpy(self.hessian) @ away

    def least(self, limits: Callable[[Any], list[Any]]) -> float:
        """Return the least loss under the ``limits`` that are made of a cvxpy variable (d,)."""
        import cvxpy as cp

        theta = cp.Variable(self.target.size)
        loss = 0.5 * cp.quad_form(theta - self.target, cp.psd_wrap(self.hessian))
        return float(cp.Problem(cp.Minimize(loss), limits(theta)).solve(solver="CLARABEL"))

    def problem(
        self,
        name: str,
        values: Callable[[Array], Array],
        limits: Callable[[Any], list[Any]],
        smoothness: Array | None = None,
    ) -> Problem:
        """Return the problem of this loss under g <= 0, which ``limits`` say to cvxpy."""
        return Problem(name, self.target.size, self.loss, values, lambda: self.least(limits), 0.1, smoothness)


def _box(dimension: int) -> Problem:
    quadratic = Quadratic.drawn(dimension, 1.5, np.random.default_rng([1, dimension]))
    return quadratic.problem(
        f"box, {dimension}-d",
        lambda theta: np.hstack([theta - 1.0, -theta - 1.0]),
        lambda theta: [theta <= 1.0, theta >= -1.0],
        np.zeros(2 * dimension),
    )


def _ball(dimension: int) -> Problem:
    quadratic = Quadratic.drawn(dimension, 2.0 / np.sqrt(dimension), np.random.default_rng([2, dimension]))

    def limits(theta: Any) -> list[Any]:
        return [(theta**2).sum() <= 1.0]

    return quadratic.problem(
        f"ball, {dimension}-d", lambda theta: (theta**2).sum(axis=1, keepdims=True) - 1.0, limits, np.full(1, 2.0)
    )


def _halfspaces(rng: np.random.Generator, dimension: int = 20, count: int = 1000) -> tuple[Array, Array]:
    """Return rows (k, d) of length 1 and limits (k,) of a^T theta <= b."""
    rows = rng.normal(size=(count, dimension))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True), rng.uniform(0.5, 1.0, count)


def _polytope() -> Problem:
    rng = np.random.default_rng(3)
    quadratic, (rows, limits) = Quadratic.drawn(20, 1.0, rng), _halfspaces(rng)
    return quadratic.problem(
        "polytope, 1,000 rows",
        lambda theta: theta @ rows.T - limits,
        lambda theta: [rows @ theta <= limits],
        np.zeros(limits.size),
    )


def _maximum() -> Problem:
    rng = np.random.default_rng(3)  # the same polytope
    quadratic, (rows, limits) = Quadratic.drawn(20, 1.0, rng), _halfspaces(rng)
    return quadratic.problem(
        "max of 1,000 rows",
        lambda theta: (theta @ rows.T - limits).max(axis=1, keepdims=True),
        lambda theta: [rows @ theta <= limits],
    )


def _curved() -> Problem:
    rng = np.random.default_rng(4)
    quadratic, (rows, limits) = Quadratic.drawn(20, 1.0, rng), _halfspaces(rng)
    curvature = rng.uniform(0.0, 2.0, limits.size)

    def convex(theta: Any) -> list[Any]:
        import cvxpy as cp

        square = cp.Variable()
        return [square >= cp.sum_squares(theta), rows @ theta + 0.5 * curvature * square <= limits]

    return quadratic.problem(
        "curved, 1,000 rows",
        lambda theta: theta @ rows.T + 0.5 * curvature * (theta**2).sum(axis=1, keepdims=True) - limits,
        convex,
        curvature,
    )


def _l1_ball() -> Problem:
    quadratic = Quadratic.drawn(20, 0.5, np.random.default_rng(5))

    def limits(theta: Any) -> list[Any]:
        import cvxpy as cp

        return [cp.norm1(theta) <= 1.0]

    return quadratic.problem("l1 ball", lambda theta: np.abs(theta).sum(axis=1, keepdims=True) - 1.0, limits)


def _rosenbrock() -> Problem:
    """Return Rosenbrock's valley in a disc, cut off by a line."""

    def loss(theta: Any) -> Any:
        return (1.0 - theta[0]) ** 2 + 100.0 * (theta[1] - theta[0] ** 2) ** 2

    def values(theta: Array) -> Array:
        return np.stack([(theta**2).sum(axis=1) - 0.5, theta.sum(axis=1) - 1.0], axis=1)

    def least() -> float:
        limit = {"type": "ineq", "fun": lambda theta: -values(theta[None])[0]}
        starts = [(x, y) for x in (-0.5, 0.0, 0.5) for y in (0.0, 0.4)]
        found = [minimize(loss, start, method="SLSQP", constraints=limit, tol=1e-12) for start in starts]
        return min(float(one.fun) for one in found if one.success and values(one.x[None]).max() <= 1e-9)

    return Problem("Rosenbrock, disc and line", 2, loss, values, least, 2e-3, np.array([2.0, 0.0]))


def _corridor() -> Problem:
    """Return a way along the parabola y = x^2, between two walls, to the point nearest to (1, 2)."""

    def loss(theta: Any) -> Any:
        return 0.5 * ((theta[0] - 1.0) ** 2 + (theta[1] - 2.0) ** 2)

    def values(theta: Array) -> Array:
        above = theta[:, 1] - theta[:, 0] ** 2
        return np.stack([above - WIDTH, -above - WIDTH], axis=1)

    def least() -> float:  # on the upper wall (x, x^2 + w) the derivative of the loss is a cubic
        roots = np.roots([2.0, 0.0, 2.0 * WIDTH - 3.0, -1.0])
        x = float(roots[(abs(roots.imag) < 1e-9) & (roots.real > 0)].real.max())
        return float(loss(np.array([x, x**2 + WIDTH])))

    return Problem("corridor", 2, loss, values, least, 1.0, np.full(2, 2.0))


PROBLEMS = (
    _box(20),
    _ball(20),
    _polytope(),
    _curved(),
    _rosenbrock(),
    _corridor(),
    _box(200),
    _ball(200),
    _maximum(),
    _l1_ball(),
)
