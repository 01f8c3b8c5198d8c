"""The two experts, both our reconstruction: a model predictive controller, and a malicious one that thrusts outward."""

from __future__ import annotations

import clarabel
import numpy as np
from scipy import sparse

from replication.tasks.double_integrator.sets import maximal_invariant_set, state_box
from replication.tasks.double_integrator.system import INPUT_LIMIT, STAGE_INPUT_WEIGHT, A, B, backup_gain, lqr
from scpo.arrays import Array
from scpo.errors import ConfigurationError, ShapeError


def malicious(states: Array) -> Array:
    """Return full thrust outwards at states (S, 2): u = sign(x_1 + x_2), shape (S, 1)."""
    return np.asarray(np.sign(states.sum(axis=-1, keepdims=True)))


class PredictiveController:
    """Model predictive controller with the stage cost |x|^2 + 0.1 u^2 and the constraints of the system.

    It minimises sum_t (|x_t|^2 + 0.1 u_t^2) + x_N^T P x_N over u_0 ... u_{N-1} subject to |x_t|_inf <= 5, |u_t| <= 1
    and x_N in O_f.  P is the cost matrix and O_f the maximal invariant set of the LQR with the same stage cost.  The
    states are eliminated, which leaves a quadratic program in the N inputs; only its vectors depend on the state.

    In O_f the program is not solved: the LQR satisfies all constraints for all time and is optimal without them, so it
    is the solution.  Where the program is infeasible, the backup is used, clipped to |u| <= 1.

    Args:
        horizon: N.

    Raises:
        ConfigurationError: the horizon is below 1.
    """

    def __init__(self, horizon: int = 10) -> None:
        if horizon < 1:
            raise ConfigurationError(f"horizon: expected at least 1, got {horizon}")
        self.gain, terminal_cost = lqr(STAGE_INPUT_WEIGHT)
        self.terminal_set = maximal_invariant_set(self.gain)
        # x_t = powers[t] x_0 + effects[t] u for t = 0 ... N
        powers = [np.linalg.matrix_power(A, t) for t in range(horizon + 1)]
        effects = [np.zeros((2, horizon))]
        for t in range(horizon):
            effects.append(A @ effects[t])
            effects[-1][:, t] += B[:, 0]
        weights = [np.eye(2)] * horizon + [terminal_cost]
        self._hessian = 2.0 * STAGE_INPUT_WEIGHT * np.eye(horizon)
        self._gradient = np.zeros((horizon, 2))  # of the cost at u = 0, as a map of x_0
        for power, effect, weight in zip(powers, effects, weights, strict=True):
            self._hessian += 2.0 * effect.T @ weight @ effect
            self._gradient += 2.0 * effect.T @ weight @ power
        rows = [state_box().facets] * (horizon - 1) + [self.terminal_set.facets]
        self._limits_of_state = np.vstack(
            [np.zeros((2 * horizon, 2))] + [facet @ power for facet, power in zip(rows, powers[1:], strict=True)]
        )
        self._constraints = np.vstack(
            [np.eye(horizon) / INPUT_LIMIT, -np.eye(horizon) / INPUT_LIMIT]
            + [facet @ effect for facet, effect in zip(rows, effects[1:], strict=True)]
        )
        settings = clarabel.DefaultSettings()
        settings.verbose = False
        # The default 1e-8 leaves errors of 3e-4 in the inputs, 1e-11 of 3e-7; below 1e-12 the solver sometimes stalls.
        settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-11
        settings.reduced_tol_gap_abs = settings.reduced_tol_gap_rel = settings.reduced_tol_feas = 1e-9
        settings.presolve_enable = False  # presolve would forbid updating the vectors
        count = len(self._constraints)
        self._solver = clarabel.DefaultSolver(
            sparse.csc_matrix(np.triu(self._hessian)),
            np.zeros(horizon),
            sparse.csc_matrix(self._constraints),
            np.ones(count),
            [clarabel.NonnegativeConeT(count)],
            settings,
        )

    def plan(self, state: Array) -> Array | None:
        """Return the optimal inputs (N,) from a state (2,), or None if the quadratic program is infeasible."""
        self._solver.update(q=self._gradient @ state, b=1.0 - self._limits_of_state @ state)
        solution = self._solver.solve()
        if solution.status not in (clarabel.SolverStatus.Solved, clarabel.SolverStatus.AlmostSolved):
            return None
        return np.array(solution.x)

    def __call__(self, states: Array) -> tuple[Array, int]:
        """Return the inputs (S, 1) at states (S, 2), within |u| <= 1, and how many of them are the backup's.

        Raises:
            ShapeError: the states are not (S, 2).
        """
        if states.ndim != 2 or states.shape[1] != 2:
            raise ShapeError(f"states: expected (S, 2), got {states.shape}")
        inputs = -states @ self.gain.T
        box = state_box()
        fallbacks = 0
        for index in np.flatnonzero(self.terminal_set.gauge(states) > 1.0):
            plan = self.plan(states[index]) if box.gauge(states[index]) <= 1.0 else None
            if plan is None:
                fallbacks += 1
                inputs[index] = -backup_gain() @ states[index]
            else:
                inputs[index] = plan[0]
        # The solver's tolerance, or rounding at the boundary of O_f, may exceed the limit by 1e-9.
        return np.clip(inputs, -INPUT_LIMIT, INPUT_LIMIT), fallbacks
