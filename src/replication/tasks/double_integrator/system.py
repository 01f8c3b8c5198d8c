"""The double integrator of Borrelli, Bemporad and Morari with its constraints, costs and LQR gains.

x+ = A x + B u with |x_i| <= 5 and |u| <= 1, without units.  The paper gives only the system's name; the numbers are
this project's own choice.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.linalg import solve_discrete_are

from scpo.arrays import Array
from scpo.errors import ShapeError

A: Array = np.array([[1.0, 1.0], [0.0, 1.0]])
B: Array = np.array([[0.0], [1.0]])
A.setflags(write=False)
B.setflags(write=False)
STATE_LIMIT = 5.0
INPUT_LIMIT = 1.0
#: in the stage cost |x|^2 + 0.1 u^2 of the reported costs and of the good expert
STAGE_INPUT_WEIGHT = 0.1
#: in the cost |x|^2 + 100 u^2 of the backup, an LQR that is slow and has a large invariant set
BACKUP_INPUT_WEIGHT = 100.0


@cache
def lqr(input_weight: float) -> tuple[Array, Array]:
    """Return the LQR for the cost |x|^2 + input_weight u^2: the gain K (1, 2) of u = -K x, the cost matrix P (2, 2)."""
    cost = solve_discrete_are(A, B, np.eye(2), np.array([[input_weight]]))
    gain = np.linalg.solve(input_weight + B.T @ cost @ B, B.T @ cost @ A)
    for result in (gain, cost):
        result.setflags(write=False)  # all callers share the cached arrays
    return gain, cost


def backup_gain() -> Array:
    """Return the gain K (1, 2) of the backup u = -K x."""
    return lqr(BACKUP_INPUT_WEIGHT)[0]


def closed_loop(gain: Array) -> Array:
    """Return A - B K (2, 2)."""
    return A - B @ gain


def spectral_radius(matrix: Array) -> float:
    """Return the largest modulus of an eigenvalue; below 1 the matrix is asymptotically stable."""
    return float(np.abs(np.linalg.eigvals(matrix)).max())


def step(states: Array, inputs: Array) -> Array:
    """Return the successors (S, 2) of states (S, 2) under inputs (S, 1)."""
    if states.shape[-1] != 2 or inputs.shape[-1] != 1:
        raise ShapeError(f"step: expected states (..., 2) and inputs (..., 1), got {states.shape} and {inputs.shape}")
    return states @ A.T + inputs @ B.T
