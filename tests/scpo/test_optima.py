"""Problems with known optima: default settings reach them without an unsafe iterate, on the bound alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from benchmarks.optima import OPTIMIZERS, REACHED, UPDATES, begin, begin_barrier, follow
from benchmarks.problems import PROBLEMS, Problem

pytestmark = pytest.mark.slow

SMOOTH = [problem for problem in PROBLEMS if problem.smooth]
PAIRS = [(name, problem) for name in ("SGD", "Adam") for problem in SMOOTH]


def named(given: object) -> str | None:
    return given.name.replace(", ", " ") if isinstance(given, Problem) else None


def test_problems_start_safe_and_have_unsafe_optima() -> None:
    assert len({problem.name for problem in PROBLEMS}) == len(PROBLEMS)
    for problem in PROBLEMS:
        origin = np.zeros((1, problem.dimension))
        assert problem.values(origin).max() < 0.0
        theta = torch.zeros(problem.dimension, dtype=torch.float64, requires_grad=True)
        free = torch.optim.LBFGS([theta], max_iter=200, line_search_fn="strong_wolfe")

        def closure(problem: Problem = problem, theta: torch.Tensor = theta, free: Any = free) -> torch.Tensor:
            free.zero_grad()
            loss = problem.loss(theta)
            loss.backward()
            return loss

        free.step(closure)
        assert problem.values(theta.detach().numpy()[None]).max() > 0.0, problem.name
        assert float(problem.loss(theta.detach())) < problem.optimum < problem.first


@pytest.mark.parametrize("problem", [p for p in PROBLEMS if p.dimension <= 20], ids=named)
def test_another_solver_agrees_about_the_optimum(problem: Problem) -> None:
    """SLSQP sees values only."""
    limit = {"type": "ineq", "fun": lambda theta: -problem.values(theta[None])[0]}

    def loss(theta: np.ndarray) -> float:
        return float(problem.loss(torch.from_numpy(theta)))

    found = minimize(loss, np.zeros(problem.dimension), method="SLSQP", constraints=limit, options={"maxiter": 500})
    assert problem.values(found.x[None]).max() <= 1e-5
    assert found.fun >= problem.optimum - 1e-4 * (problem.first - problem.optimum)
    if problem.smooth:
        assert problem.gap(found.fun) < 1e-4


@pytest.mark.parametrize("problem", SMOOTH, ids=named)
def test_smoothness_constants_are_right(problem: Problem) -> None:
    """Second differences of g along a direction are between -L and L, and somewhere near L."""
    rng = np.random.default_rng(0)
    points, moves = rng.normal(size=(2, 50, problem.dimension))
    moves /= np.linalg.norm(moves, axis=1, keepdims=True)
    bend = problem.values(points + moves) + problem.values(points - moves) - 2.0 * problem.values(points)
    assert problem.smoothness is not None
    assert (abs(bend) <= problem.smoothness + 1e-10).all()
    assert (abs(bend).max(axis=0) >= 0.9 * problem.smoothness - 1e-10).all()


@pytest.mark.parametrize(("name", "problem"), PAIRS, ids=named)
def test_default_settings_come_near_the_optimum(name: str, problem: Problem) -> None:
    found = follow(problem, begin(problem, name, verify=False), UPDATES, until=REACHED)
    assert -1e-6 <= found["gap"] <= REACHED
    assert found["unsafe"] == found["missed"] == 0


@pytest.mark.filterwarnings("ignore:the last 50 steps")  # a kink ends them, and the warning says so
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("problem", [p for p in PROBLEMS if not p.smooth], ids=named)
def test_kinks_cost_progress_and_in_verified_mode_no_safety(name: str, problem: Problem) -> None:
    found = follow(problem, begin(problem, name), 200)
    assert found["unsafe"] == 0
    assert -1e-6 <= found["gap"] < 0.6


@pytest.mark.parametrize("problem", SMOOTH[:6], ids=named)
def test_the_log_barrier_is_safe_and_comes_near(problem: Problem) -> None:
    method = begin_barrier(problem, (0.1, 1e-5), UPDATES)
    found = follow(problem, method, UPDATES)
    assert found["unsafe"] == found["missed"] == 0
    assert -1e-6 <= found["gap"] <= 0.02
