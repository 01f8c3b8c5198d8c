"""Tables from which a final policy of the double integrator is plotted: trajectories, and its surface."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from replication.tasks.double_integrator.rollout import rollout_policy
from replication.tasks.double_integrator.sets import Polygon
from replication.tasks.double_integrator.starts import boundary
from replication.tasks.double_integrator.system import STATE_LIMIT
from scpo.arrays import Array
from scpo.policies import ResidualPolicy

#: steps of a plotted trajectory
STEPS = 40
#: points along each axis of the surface
GRID = 41

Table = dict[str, NDArray[Any]]


def common_starts(region: Polygon) -> Array:
    """Return the starts (12, 2) of plotted trajectories: 8 on the boundary of ``region``, 4 half-way to the origin."""
    return np.vstack([boundary(region, 8), 0.5 * boundary(region, 4)])


def trajectory_table(region: Polygon, states: Array, inputs: Array) -> Table:
    """Return a table of trajectories in long form, with the gauge Psi of ``region`` at every state.

    Args:
        region: O_inf.
        states: x_0 ... x_T (T + 1, S, 2).
        inputs: u_0 ... u_T (T + 1, S, 1).
    """
    steps, starts = states.shape[:2]
    order = states.transpose(1, 0, 2).reshape(-1, 2)  # start by start
    return {
        "start": np.repeat(np.arange(starts), steps),
        "t": np.tile(np.arange(steps), starts),
        "x1": order[:, 0],
        "x2": order[:, 1],
        "u": inputs[..., 0].T.reshape(-1),
        "psi": region.gauge(order),
    }


def trajectories(policy: ResidualPolicy, region: Polygon, starts: Array, steps: int = STEPS) -> Table:
    """Return a table of closed-loop trajectories over ``steps`` steps from ``starts`` (S, 2)."""
    found = rollout_policy(policy, torch.from_numpy(starts), steps + 1)  # one more, for the input at the last state
    return trajectory_table(region, found.states[0, :-1].numpy(), found.inputs[0].numpy())


def surface(policy: ResidualPolicy, points: int = GRID) -> Table:
    """Return a table of the input u on a ``points`` x ``points`` grid over the state box; x1 changes slowest."""
    axis = np.linspace(-STATE_LIMIT, STATE_LIMIT, points)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    with torch.no_grad():
        inputs = policy(torch.from_numpy(grid))[:, 0].numpy()
    return {"x1": grid[:, 0], "x2": grid[:, 1], "u": inputs}
