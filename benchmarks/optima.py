"""How near each optimiser comes to the known optima of :mod:`benchmarks.problems`, at default settings.

Beside it others at as many rollouts.  LB-SGD has the true constants where there are any, and the better of two
schedules; one with unsafe iterates counts only where both have some.  The primal-dual baseline, and Cooper
(:mod:`benchmarks.with_cooper`), have of three rates of their multipliers the one that ends nearest to the optimum.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.problems import PROBLEMS, Problem
from replication.planted_faults.smooth import Vector
from scpo import Constraint, Isotropic, SafeOptimizer
from scpo.baselines._options import Barrier, Multipliers
from scpo.baselines.lb_sgd import LbSgd
from scpo.baselines.primal_dual import PrimalDual
from scpo.errors import NonFiniteError
from scpo.sampling import Directions

UPDATES = 600
#: the share of the way that may be left where an optimum counts as reached
REACHED = 0.01

#: name -> (parameters, the problem's learning rate for SGD) -> the optimiser
OPTIMIZERS: dict[str, Callable[[Any, float], torch.optim.Optimizer]] = {
    "SGD": lambda parameters, rate: torch.optim.SGD(parameters, lr=rate),
    "Adam": lambda parameters, _: torch.optim.Adam(parameters, lr=0.02),
    "RMSprop": lambda parameters, _: torch.optim.RMSprop(parameters, lr=0.02),
}

#: the first and the last weight of LB-SGD's barrier
SCHEDULES = ((0.1, 1e-5), (1.0, 1e-3))
#: the rates of the multipliers of the primal-dual methods
RATES = (0.01, 0.1, 1.0)


def black_box(problem: Problem) -> Constraint:
    """Return g for stacked parameters."""
    return Constraint(lambda stacked: problem.values(stacked["theta"].numpy()), batched=True)


def begin(problem: Problem, optimizer: str, **options: Any) -> SafeOptimizer:
    """Return a safe optimiser of ``problem`` at 0, at default settings but for ``options``."""
    policy = Vector(np.zeros(problem.dimension))
    inner = OPTIMIZERS[optimizer](policy.parameters(), problem.learning_rate)
    return SafeOptimizer(inner, policy, black_box(problem), **{"directions": Isotropic(), **options})


def begin_barrier(problem: Problem, schedule: tuple[float, float], updates: int, **options: Any) -> LbSgd:
    """Return LB-SGD on ``problem`` at 0, with a barrier whose weight falls as ``schedule`` says within the updates."""
    policy, (first, last) = Vector(np.zeros(problem.dimension)), schedule
    barrier = Barrier(first=first, decay=(last / first) ** (1.0 / updates), least=last)
    inner = OPTIMIZERS["SGD"](policy.parameters(), problem.learning_rate)
    usual = {"directions": Isotropic(), "smoothness": problem.smoothness, "barrier": barrier}
    return LbSgd(inner, policy, black_box(problem), **{**usual, **options})


def begin_primal_dual(problem: Problem, rate: float) -> PrimalDual:
    """Return the primal-dual baseline on ``problem`` at 0, without a penalty beside the multipliers."""
    policy = Vector(np.zeros(problem.dimension))
    inner = OPTIMIZERS["SGD"](policy.parameters(), problem.learning_rate)
    options = Multipliers(weight=0.0, rate=rate)
    return PrimalDual(inner, policy, black_box(problem), directions=Isotropic(), multipliers=options)


def follow(problem: Problem, method: Any, updates: int = UPDATES, until: float = -np.inf) -> dict[str, Any]:
    """Take updates and return the gap at the end, what went wrong, and what it cost.

    Args:
        problem: what is solved.
        method: a method that begins at 0.
        updates: at most so many are taken.
        until: no more are taken once the gap is this small.
    """
    began, theta = time.process_time(), method.policy.theta
    unsafe, missed, reached = 0, 0, None
    for _ in range(updates):
        method.zero_grad()
        problem.loss(theta).backward()
        try:
            info = method.step()
        except NonFiniteError:  # a method without a bound may diverge
            gap = np.inf
            break
        unsafe += info.slack < 0
        missed += info.bound_misses > 0
        gap = problem.gap(float(problem.loss(theta.detach())))
        if reached is None and gap <= REACHED:
            reached = info.rollouts
        if gap <= until:
            break
    return {
        "gap": gap,
        "unsafe": unsafe,
        "missed": missed,
        "rollouts": info.rollouts,
        "reached": reached,
        "seconds": time.process_time() - began,
    }


def measure(updates: int = UPDATES) -> list[dict[str, Any]]:
    """Return the rows of the table: each problem by each optimiser, verified and on the bound alone; LB-SGD."""
    from benchmarks.with_cooper import WithCooper  # here, since tests without Cooper import this module

    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for problem in PROBLEMS:
        rows += _ours(problem, problem.name, updates)
        alike = round(rows[-1]["rollouts"] / (min(problem.dimension, Directions.count) + 1))
        barriers = [follow(problem, begin_barrier(problem, schedule, alike), alike) for schedule in SCHEDULES]
        better = min(barriers, key=lambda one: (one["unsafe"] > 0, one["gap"]))
        rows.append({"problem": problem.name, "method": "LB-SGD"} | better)
        others = {
            "primal-dual": [follow(problem, begin_primal_dual(problem, rate), alike) for rate in RATES],
            "Cooper": [follow(problem, WithCooper(problem, rate, Directions.count), alike) for rate in RATES],
        }
        for name, found in others.items():
            nearest = min(found, key=lambda one: abs(one["gap"]) if np.isfinite(one["gap"]) else np.inf)
            rows.append({"problem": problem.name, "method": name, "passes": True} | nearest)
        if not problem.smooth:
            rows += _ours(problem, f"{problem.name}, no planes", updates, directions=Isotropic(pieces=0))
    return rows


def _ours(problem: Problem, called: str, updates: int, **options: Any) -> list[dict[str, Any]]:
    """Return a row for each optimiser, verified and on the bound alone, at default settings but for ``options``."""
    return [
        {"problem": called, "method": name, "verify": verify}
        | follow(problem, begin(problem, name, verify=verify, **options), updates)
        for name in OPTIMIZERS
        for verify in (True, False)
    ]
