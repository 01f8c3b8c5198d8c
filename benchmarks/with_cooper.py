"""Cooper, a library for Lagrangian methods in PyTorch, on the same terms: it knows g by rollouts alone.

Cooper differentiates constraints.  Here g is a black box, so each update probes it along random directions, as the
other methods do, and hands Cooper the linear model of g with these slopes.
"""

from __future__ import annotations

from typing import Any

import cooper
import numpy as np
import torch
from torch import Tensor

from benchmarks.problems import Problem
from replication.planted_faults.smooth import Vector
from scpo.records import StepInfo

#: length of a probe
PROBE = 1e-5


class _Lagrangian(cooper.ConstrainedMinimizationProblem):  # type: ignore[misc]
    """Minimise the loss subject to the linear model of g at the present theta."""

    def __init__(self, problem: Problem, theta: Tensor, constraints: int) -> None:
        super().__init__()
        self.problem, self.theta = problem, theta
        self.model: tuple[Tensor, Tensor, Tensor] | None = None
        multiplier = cooper.multipliers.DenseMultiplier(num_constraints=constraints, dtype=torch.float64)
        kind = cooper.ConstraintType.INEQUALITY
        self.limits = cooper.Constraint(constraint_type=kind, multiplier=multiplier)

    def compute_cmp_state(self) -> cooper.CMPState:
        """Return the loss, and g as the linear model says it."""
        assert self.model is not None
        values, slopes, here = self.model
        state = cooper.ConstraintState(violation=values + slopes @ (self.theta - here))
        return cooper.CMPState(loss=self.problem.loss(self.theta), observed_constraints={self.limits: state})


class WithCooper:
    """Gradient descent on theta and ascent on the multipliers, at once.

    Args:
        problem: what is solved, from 0.
        rate: learning rate of the multipliers; that of theta is the problem's.
        directions: probes of an update.
    """

    def __init__(self, problem: Problem, rate: float, directions: int) -> None:
        self.policy, self.problem = Vector(np.zeros(problem.dimension)), problem
        self.theta: Tensor = self.policy.theta
        self.directions, self.rollouts, self.updates = min(directions, problem.dimension), 0, 0
        self._values = self._evaluate(self.theta.detach()[None])[0]
        self._cmp = _Lagrangian(problem, self.theta, len(self._values))
        self._generator = torch.Generator().manual_seed(0)
        self._optimizer = cooper.optim.SimultaneousOptimizer(
            cmp=self._cmp,
            primal_optimizers=torch.optim.SGD([self.theta], lr=problem.learning_rate),
            dual_optimizers=torch.optim.SGD(self._cmp.dual_parameters(), lr=rate, maximize=True),
        )

    def zero_grad(self) -> None:
        """Clear the gradients."""
        self.policy.zero_grad()

    def step(self) -> Any:
        """Probe g, let Cooper take one update, and evaluate g after it."""
        here = self.theta.detach().clone()
        drawn = torch.randn(len(here), self.directions, generator=self._generator, dtype=torch.float64)
        basis = torch.linalg.qr(drawn).Q.T
        slopes = (self._evaluate(here + PROBE * basis) - self._values) / PROBE
        self._cmp.model = (torch.from_numpy(self._values), torch.from_numpy(slopes.T) @ basis, here)
        self._optimizer.roll()
        self.updates += 1
        self._values = self._evaluate(self.theta.detach()[None])[0]
        return StepInfo(update=self.updates, slack=-float(self._values.max()), rollouts=self.rollouts)

    def _evaluate(self, thetas: Tensor) -> np.ndarray:
        self.rollouts += len(thetas)
        return np.asarray(self.problem.values(thetas.numpy()))
