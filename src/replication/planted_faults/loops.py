"""Closed loops of the double integrator with policies built by hand: good ones, and ones with a known fault."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from replication.certificate import ClosedLoop
from replication.tasks.double_integrator.system import INPUT_LIMIT, STATE_LIMIT, A, B, backup_gain
from scpo.arrays import Array

K = backup_gain()
#: a fast gain u = -(k_1 x_1 + k_2 x_2); without saturation it exceeds the input's limit
AGGRESSIVE: Array = np.array([0.6167, 1.2703])
#: units per hidden layer of the networks
WIDTH = 32


@dataclass(frozen=True)
class Part:
    """One summand of a hand-built network: out * tanh(sum_j mix_j tanh(a_j^T x + b_j) + bias).

    Attributes:
        units: (a_j, b_j) of the units in the first layer, a_j of shape (2,).
        mix: their weights in the second layer.
        bias: the bias of the unit in the second layer.
        out: its weight in the last layer.
    """

    units: Sequence[tuple[Array, float]]
    mix: Sequence[float]
    bias: float
    out: float


def saturating(gain: Array, limit: float, width: float = 0.02) -> Part:
    """Return the part limit tanh(gain^T x / limit).

    Its first-layer unit has the slope ``width``; the smaller that is, the more exactly the unit is linear.
    """
    return Part([(width * gain / limit, 0.0)], [1.0 / width], 0.0, limit)


def pocket(at: tuple[float, float], half: float, height: float) -> Part:
    """Return a part that is higher by ``height`` within the distance ``half`` of the state ``at`` than elsewhere."""
    steep = 4.0 / half
    units = []
    for axis in range(2):
        for sign in (1.0, -1.0):
            row = np.zeros(2)
            row[axis] = steep
            units.append((row, -steep * (at[axis] - sign * half)))
    return Part(units, [4.0, -4.0, 4.0, -4.0], -12.0, height / 2.0)


def build(*parts: Part) -> ClosedLoop:
    """Return the closed loop with u = -K x + phi(x) - phi(0), where phi, a tanh network 2-32-32-1, sums the parts."""
    first, offset = np.zeros((2, WIDTH)), np.zeros(WIDTH)
    second, second_bias, last = np.zeros((WIDTH, WIDTH)), np.zeros(WIDTH), np.zeros((WIDTH, 1))
    unit = 0
    for index, part in enumerate(parts):
        for (row, bias), weight in zip(part.units, part.mix, strict=True):
            first[:, unit], offset[unit], second[unit, index] = row, bias, weight
            unit += 1
        second_bias[index], last[index, 0] = part.bias, part.out
    layers, biases = [first, second, last], [offset, second_bias, np.zeros(1)]
    return ClosedLoop.of(A, B, K, layers, biases, np.full(2, STATE_LIMIT), INPUT_LIMIT)


def cancel_backup() -> Part:
    """Return the part +K x, which cancels the backup: the other parts then are the whole policy."""
    return saturating(K[0], 200.0, 1.0)


def good() -> ClosedLoop:
    """Return the closed loop with the fast gain, saturated within the input's limit."""
    return build(cancel_backup(), saturating(-AGGRESSIVE, 0.97))


def pocketed(at: tuple[float, float] = (0.62, -0.27), half: float = 0.06) -> ClosedLoop:
    """Return the loop of :func:`good`, with a pocket around ``at`` where the input exceeds its limit."""
    return build(cancel_backup(), saturating(-AGGRESSIVE, 0.97), pocket(at, half, -2.5))


def cycling() -> ClosedLoop:
    """Return the backup without damping at small |x_2|: it is safe for all time, but no start converges."""
    return build(saturating(np.array([0.0, 0.9]), 0.03))


def policy(loop: ClosedLoop, x: Array) -> Array:
    """Return the inputs (S, 1) at states (S, 2), in floating point."""
    value = np.concatenate([x, np.zeros((1, 2))])
    for layer, (weight, bias) in enumerate(zip(loop.weights, loop.biases, strict=True)):
        value = value @ weight + bias
        value = np.tanh(value) if layer < len(loop.weights) - 1 else value
    return np.asarray(value[:-1] - value[-1] - x @ loop.k.T)


def simulate(loop: ClosedLoop, x: Array, steps: int) -> tuple[NDArray[np.bool_], Array]:
    """Simulate from starts (S, 2); return which ones violate a constraint (S,), and the last states (S, 2)."""
    unsafe = np.zeros(len(x), dtype=bool)
    for _ in range(steps):
        control = policy(loop, x)
        unsafe |= (np.abs(x) > STATE_LIMIT).any(axis=1) | (np.abs(control) > INPUT_LIMIT).any(axis=1)
        x = np.clip(x @ A.T + control @ B.T, -50.0, 50.0)
    return unsafe, x
