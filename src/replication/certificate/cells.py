"""Enclosures of the policy and of the closed loop over boxes of states.

The closed loop is x+ = f(x) = A x + B pi(x) with pi(x) = -K x + phi(x) - phi(0) and a tanh network phi.  The given
float64 numbers are taken as exact reals.  Over a box X with centre c and half widths r the mean value theorem gives
f(X) in f(c) + [f'(X)] [-r, r] for any enclosure [f'(X)] of the Jacobian over X.  The Jacobian is enclosed layer by
layer together with the values, and the values of each layer are intersected with their own mean-value form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from replication.certificate.intervals import Interval, centre, matmul, point, scale, spread, tanh, tanh_slope
from scpo.arrays import Array
from scpo.errors import ConfigurationError, NonFiniteError, ShapeError

CHUNK = 2048
"""Boxes that are enclosed at once: the working arrays then fit the processor's cache."""


@dataclass(frozen=True)
class ClosedLoop:
    """A linear system with a residual policy and the constraints |x_i| <= state_limit_i and |u| <= input_limit.

    Args:
        a: A (n, n).
        b: B (n, m).
        k: backup gain K (m, n).
        weights: the weights of phi, each (fan-in, fan-out) as in x @ W + b; the last fan-out is m.
        biases: the biases of phi, each (fan-out,).
        state_limit: limits of the states (n,), positive.
        input_limit: limit of every input, positive.

    Raises:
        ShapeError: shapes do not fit together.
        NonFiniteError: a number is NaN or infinite.
        ConfigurationError: a limit is not positive.
    """

    a: Array
    b: Array
    k: Array
    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    state_limit: Array
    input_limit: float

    @classmethod
    def of(
        cls,
        a: Array,
        b: Array,
        k: Array,
        weights: Sequence[Array],
        biases: Sequence[Array],
        state_limit: Array,
        input_limit: float,
    ) -> ClosedLoop:
        """Return the closed loop; the arguments are turned into arrays, and B may be a vector (n,) and K a row (n,)."""
        a, b = np.atleast_2d(np.asarray(a, dtype=np.float64)), np.asarray(b, dtype=np.float64)
        return cls(
            a,
            b if b.ndim == 2 else b.reshape(-1, 1),
            np.atleast_2d(np.asarray(k, dtype=np.float64)),
            tuple(np.asarray(w, dtype=np.float64) for w in weights),
            tuple(np.asarray(w, dtype=np.float64) for w in biases),
            np.broadcast_to(np.asarray(state_limit, dtype=np.float64), (len(a),)),
            float(input_limit),
        )

    def __post_init__(self) -> None:
        """Check shapes and values."""
        n, m = self.b.shape
        if self.a.shape != (n, n) or self.k.shape != (m, n) or self.state_limit.shape != (n,):
            shapes = (self.a.shape, self.b.shape, self.k.shape, self.state_limit.shape)
            raise ShapeError(f"closed loop: A, B, K and the state bound do not fit: {shapes}")
        if not self.weights or len(self.weights) != len(self.biases):
            raise ShapeError(f"closed loop: {len(self.weights)} weights and {len(self.biases)} biases")
        width = n
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if weight.ndim != 2 or weight.shape[0] != width or bias.shape != weight.shape[1:]:
                raise ShapeError(f"closed loop: layer {layer} has {weight.shape}, {bias.shape} after width {width}")
            width = weight.shape[1]
        if width != m:
            raise ShapeError(f"closed loop: the network has {width} outputs, the system {m} inputs")
        if not all(np.isfinite(part).all() for part in (self.a, self.b, self.k, *self.weights, *self.biases)):
            raise NonFiniteError("closed loop: a matrix, weight or bias is not finite")
        limits = np.append(self.state_limit, self.input_limit)
        if not (np.isfinite(limits).all() and (limits > 0).all()):
            raise ConfigurationError(f"closed loop: the limits must be positive and finite, got {limits}")


@dataclass(frozen=True)
class Enclosure:
    """Enclosures of the closed loop over N boxes.

    Args:
        inputs: encloses pi, (N, m).
        gain: encloses the Jacobian of pi, (N, m, n).
        successor: encloses A x + B pi(x), (N, n).
    """

    inputs: Interval
    gain: Interval
    successor: Interval


def residual(loop: ClosedLoop, box: Interval) -> tuple[Interval, Interval, Interval]:
    """Return enclosures of the network phi.

    Args:
        loop: the closed loop with the network.
        box: boxes (N, n).

    Returns:
        Enclosures of phi over the boxes (N, m), of phi at their centres (N, m), and of its derivatives over the boxes
        (N, n, m); row j holds the derivative with respect to state j.
    """
    middle, radius = centre(box)
    over, at = box, point(middle)
    slopes = point(np.broadcast_to(np.eye(box.lo.shape[1]), (*box.lo.shape, box.lo.shape[1])))
    last = len(loop.weights) - 1
    for layer, (weight, bias) in enumerate(zip(loop.weights, loop.biases, strict=True)):
        offset = point(bias)
        over, at = matmul(over, weight) + offset, matmul(at, weight) + offset
        if layer == 0:  # the identity times the weight is the weight, exactly
            slopes = point(np.broadcast_to(weight, (len(middle), *weight.shape)))
        else:
            slopes = matmul(slopes, weight)
            over = over.meet(at + spread(slopes, radius))
        if layer < last:
            over, at = tanh(over), tanh(at)
            slopes = scale(slopes, tanh_slope(over)[:, None, :])
    return over, at, slopes


def enclose(loop: ClosedLoop, box: Interval) -> Enclosure:
    """Return enclosures of inputs, gains and successors over boxes (N, n)."""
    parts = [_enclose(loop, box[start : start + CHUNK]) for start in range(0, max(len(box.lo), 1), CHUNK)]
    return Enclosure(
        _join([part.inputs for part in parts]),
        _join([part.gain for part in parts]),
        _join([part.successor for part in parts]),
    )


def _join(parts: list[Interval]) -> Interval:
    return Interval(np.concatenate([part.lo for part in parts]), np.concatenate([part.hi for part in parts]))


def _enclose(loop: ClosedLoop, box: Interval) -> Enclosure:
    with np.errstate(over="ignore", invalid="ignore"):  # overflow ends in NaN, which proves nothing
        middle, radius = centre(box)
        over, at, slopes = residual(loop, box)
        origin = residual(loop, point(np.zeros((1, box.lo.shape[1]))))[1]
        slopes = slopes - point(loop.k.T)
        at_centre = at - origin - matmul(point(middle), loop.k.T)
        over_box = over - origin - matmul(box, loop.k.T)
        inputs = over_box.meet(at_centre + spread(slopes, radius))
        # f' = A + B pi'; row j holds the derivative with respect to state j
        transition = matmul(slopes, loop.b.T) + point(loop.a.T)
        successor = matmul(point(middle), loop.a.T) + matmul(at_centre, loop.b.T) + spread(transition, radius)
        successor = successor.meet(matmul(box, loop.a.T) + matmul(inputs, loop.b.T))
        gain = Interval(slopes.lo.swapaxes(1, 2), slopes.hi.swapaxes(1, 2))
    return Enclosure(inputs, gain, successor)
