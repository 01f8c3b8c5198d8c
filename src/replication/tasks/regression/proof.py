"""Proven smoothness constants L_i of the regression's constraint, for a network with one hidden layer of tanh.

The constraint g_i = +-pi(x_i) - bound with pi(x) = sum_j psi_j tanh(omega_j x + omega'_j) + psi_0 is smooth in theta.
A bound on the Hessian of pi(x_i) over the ball of radius r is therefore a valid L_i, not an estimate.  The derivation
is in docs/method/estimates.md, "Proven constants".
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scpo.arrays import UNIT_ROUNDOFF, Array
from scpo.errors import ConfigurationError, ShapeError
from scpo.smoothness import Smoothness

#: eps_g as the method gets it; :meth:`OneLayerSmoothness.visit` proves at each iterate that rounding is smaller
ROUNDING = 1e-10
#: largest error of tanh, or of 2 sigmoid - 1 in its place, in units of roundoff (a test checks it)
TANH_ROUNDOFFS = 16.0
#: covers the rounding of the constants themselves, and a basis with |Q^T Q - I| up to 1e-6
INFLATION = 1.0 + 1e-6
#: the argument at which |tanh''| is largest
PEAK = float(np.arctanh(1.0 / np.sqrt(3.0)))


def split(theta: Array, hidden: int) -> tuple[Array, Array, Array, float]:
    """Return (omega, psi, omega', psi_0) of ``theta`` (3 * hidden + 1,), as a ResidualPolicy orders its parameters."""
    omega, psi, offsets = theta[:-1].reshape(3, hidden)
    return omega, psi, offsets, float(theta[-1])


def curvature_bound(theta: Array, x: Array, hidden: int, radius: float) -> Array:
    """Return bounds (S,) on the spectral norm of the Hessian of pi(x) in theta in the ball of ``radius``.

    The Hessian has one block for each hidden unit.  On (omega, omega', psi), with y = (x, 1), the block is
    [[psi tanh'' y y^T, tanh' y], [tanh' y^T, 0]] at omega x + omega'.  Its norm is (C + sqrt(C^2 + 4 D^2)) / 2 with
    C = |psi tanh''| |y|^2 and D = tanh' |y|.  In the ball |psi| grows by at most r and omega x + omega' moves by at
    most r |y|.

    Args:
        theta: (d,).
        x: inputs (S,).
        hidden: number of hidden units.
        radius: r.
    """
    omega, psi, offsets, _ = split(theta, hidden)
    size = np.sqrt(1.0 + x**2)[:, None]
    before = np.abs(x[:, None] * omega + offsets)
    nearest, farthest = np.maximum(before - radius * size, 0.0), before + radius * size
    first = np.cosh(np.minimum(nearest, 300.0)) ** -2.0
    steepest = np.clip(PEAK, nearest, farthest)  # |tanh''| rises up to PEAK and falls beyond
    second = 2.0 * np.tanh(steepest) * np.cosh(np.minimum(steepest, 300.0)) ** -2.0
    C, D = (np.abs(psi) + radius) * second * size**2, first * size
    return np.asarray(((C + np.sqrt(C**2 + 4.0 * D**2)) / 2.0).max(axis=1))


def rounding_bound(theta: Array, x: Array, bound: float, hidden: int, radius: float) -> float:
    """Return a bound on the rounding of g within ``radius`` of ``theta``, including that of writing theta + Q z.

    The analysis holds for every order of summation, with an error of TANH_ROUNDOFFS units in tanh.  It covers both
    forms, sum psi tanh + psi_0 and sum 2 psi sigmoid + (psi_0 - sum psi).  A factor 2 covers all terms of second order.
    """
    omega, psi, offsets, psi_0 = split(theta, hidden)
    dimension, reach = theta.size, float(np.abs(x).max(initial=0.0))
    outgoing = float(np.abs(psi).sum()) + np.sqrt(hidden) * radius
    inner = float((np.abs(omega) * reach + np.abs(offsets)).max(initial=0.0)) + radius * np.sqrt(1.0 + reach**2)
    sums = (hidden + 3.0) * (4.0 * outgoing + 2.0 * (abs(psi_0) + radius) + bound)
    forward = sums + outgoing * (2.0 * inner + TANH_ROUNDOFFS)
    slope = np.sqrt((1.0 + reach**2) * (np.linalg.norm(psi) + radius) ** 2 + hidden + 1.0)
    written = float(np.linalg.norm(theta)) + radius + dimension**1.5 * radius
    return float(2.0 * UNIT_ROUNDOFF * (forward + slope * written))


class OneLayerSmoothness(Smoothness):
    """A smoothness model for +-pi(x_i) - bound with an L that is proven again at each iterate.

    Args:
        x: inputs x_i (S,) of the constraints (pi(x_i) - bound, -pi(x_i) - bound), k = 2 S.
        bound: the limit of |pi|.
        hidden: number of units in the one hidden layer.
        radius: r, the longest step; the constants grow with it.
    """

    #: eps_g, proven too
    rounding = ROUNDING

    def __init__(self, x: NDArray[np.float64], bound: float, hidden: int, radius: float) -> None:
        if not 0 < radius < np.inf:
            raise ConfigurationError(f"radius: proven constants need a finite one, got {radius}")
        self._x, self._bound, self._hidden, self._radius = np.asarray(x, np.float64), bound, hidden, float(radius)
        self._constants = np.full(2 * self._x.size, np.inf)

    def start(self, length: int) -> None:
        """Check that there are two constraints for each input; raise ShapeError otherwise."""
        if length != self._constants.size:
            raise ShapeError(f"smoothness: proven for {self._constants.size} constraints, there are {length}")

    def visit(self, theta: Any) -> None:
        """Prove the constants at ``theta`` (d,).

        Raises:
            ShapeError: theta does not fit the network.
            ConfigurationError: rounding may exceed ROUNDING, which the method relies on.
        """
        at = np.asarray(theta, dtype=np.float64)
        if at.shape != (3 * self._hidden + 1,):
            raise ShapeError(f"theta: expected {3 * self._hidden + 1} parameters of one hidden layer, got {at.shape}")
        radius = self._radius * INFLATION
        rounding = rounding_bound(at, self._x, self._bound, self._hidden, radius)
        if not rounding <= self.rounding:
            raise ConfigurationError(
                f"smoothness: rounding of up to {rounding:.1e} is possible at |theta| = {np.linalg.norm(at):.1e}, and "
                f"the proof allows {self.rounding:.1e}; lower the learning rate"
            )
        self._constants = np.tile(INFLATION * curvature_bound(at, self._x, self._hidden, radius), 2)

    def constants(self) -> Array:
        """Return L (k,), proven within r of the last theta visited; infinite before the first visit."""
        return self._constants

    def radius(self) -> float:
        """Return r."""
        return self._radius
