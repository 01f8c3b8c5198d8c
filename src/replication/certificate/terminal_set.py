"""The terminal set: an ellipsoid in which a quadratic Lyapunov function proves convergence to the origin.

Let E = {x : V(x) <= c} with V(x) = x^T P x.  Suppose that over E the constraints hold and every Jacobian J of the
closed loop f satisfies J^T P J < P.  E is convex and f(0) = 0 (the residual is anchored), so
f(x) = (int_0^1 f'(t x) dt) x.  In the norm |x|_P = V(x)^(1/2) this mean matrix is at most as large as the largest
f'(y), y in E.  Therefore V(f(x)) <= q V(x) with q < 1: E is invariant, the constraints hold for all time, and every
trajectory converges to the origin exponentially.

The condition is checked over cells that cover E.  Over a cell f' = A + B pi' depends affinely on the gain pi', which
lies in an interval box.  The P-norm is convex, so the corners of that box suffice.  At a corner J^T P J < P says that
the leading minors of a 2 x 2 matrix are positive, which is evaluated in interval arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.linalg import solve_discrete_lyapunov

from replication.certificate.cells import ClosedLoop, Enclosure, enclose
from replication.certificate.fixpoints import Grid, Mask
from replication.certificate.intervals import Interval, matmul, point
from scpo.arrays import Array

WINDOWS = 8
"""Number of windows that are tried: the state box halved up to seven times."""
CELLS = 64
"""Cells along each axis of a window."""
STABLE = 1.0 - 1e-6
"""Largest spectral radius for which a Lyapunov equation is solved; closer to 1 it is ill-conditioned."""
SHARES = (1.0, 0.8, 0.6, 0.45)
"""Shares of the gain at the origin; their Lyapunov equations give candidates for P."""
WEIGHT = 0.01
"""Weight of |x|^2 beside |gain x|^2 in half of those equations."""
SHRINK = 1.0 - 2.0**-10
"""The level is this share of the lowest value of V on a cell that is not proven."""


@dataclass(frozen=True)
class Ellipsoid:
    """The ellipsoid {x : x^T shape x <= level} in the plane.

    Args:
        shape: P (2, 2), proven positive definite.
        level: c, positive.
    """

    shape: Array
    level: float

    @property
    def area(self) -> float:
        """Area, up to rounding."""
        return float(np.pi * self.level / np.sqrt(np.linalg.det(self.shape)))

    def contains(self, box: Interval) -> Mask:
        """Return True for each box (N, 2) that is proven to lie inside; V is convex, so its corners suffice."""
        inside = np.ones(len(box.lo), dtype=bool)
        for ends in product((box.lo, box.hi), repeat=2):
            corner = np.stack([ends[0][:, 0], ends[1][:, 1]], axis=-1)
            inside &= _quadratic(self.shape, point(corner)).hi <= self.level
        return inside


def terminal_set(loop: ClosedLoop) -> tuple[Ellipsoid | None, str]:
    """Return the largest proven ellipsoid among a few windows around the origin and a few shapes.

    Args:
        loop: closed loop with two states.

    Returns:
        The ellipsoid and an empty string, or None and the reason why there is none.
    """
    gain = enclose(loop, point(np.zeros((1, 2)))).gain
    middle = (0.5 * (gain.lo + gain.hi))[0]
    radius = _spectral_radius(loop.a + loop.b @ middle)
    if not radius < STABLE:
        return None, f"the origin is not clearly stable: spectral radius {radius:.9g} of the Jacobian"
    shapes = [shape for shape in _shapes(loop, middle) if contracting(loop, shape, gain).all()]
    if not shapes:
        return None, f"no quadratic Lyapunov function is proven at the origin: spectral radius {radius:.6g}"
    best = Ellipsoid(shapes[0], 0.0)
    for window in range(WINDOWS):
        grid = Grid.over(loop.state_limit * 0.5**window, CELLS)
        known = enclose(loop, grid.boxes())
        found = (Ellipsoid(shape, _level(loop, shape, grid, known)) for shape in shapes)
        best = max(best, *found, key=lambda ellipsoid: ellipsoid.area)
        if best.area >= np.pi * np.prod(loop.state_limit) * 0.25 ** (window + 1):
            break  # no ellipse in the next window is larger
    if not best.level > 0.0:
        return None, "no window around the origin was fine enough for the local certificate"
    return best, ""


def _spectral_radius(matrix: Array) -> float:
    return float(np.abs(np.linalg.eigvals(matrix)).max()) if np.isfinite(matrix).all() else np.inf


def _shapes(loop: ClosedLoop, gain: Array) -> list[Array]:
    """Return candidates for P: Lyapunov solutions for the gain at the origin, and for weaker gains (saturation)."""
    shapes = []
    for share in SHARES:
        jacobian = loop.a + share * loop.b @ gain
        if _spectral_radius(jacobian) < STABLE:
            for weight in (np.eye(2), gain.T @ gain + WEIGHT * np.eye(2)):
                shape = solve_discrete_lyapunov(jacobian.T, weight)
                shape = 0.5 * (shape + shape.T)
                if _positive(point(shape[None])).all():
                    shapes.append(shape)
    return shapes


def contracting(loop: ClosedLoop, shape: Array, gain: Interval) -> Mask:
    """Return True for each of N gain boxes (m, 2) with J^T P J < P proven for all J = A + B g, g in the box."""
    flat_lo, flat_hi = gain.lo.reshape(len(gain.lo), -1), gain.hi.reshape(len(gain.hi), -1)
    proven = np.ones(len(gain.lo), dtype=bool)
    for corner in product((False, True), repeat=flat_lo.shape[1]):
        vertex = np.where(np.array(corner), flat_hi, flat_lo).reshape(gain.lo.shape)
        transition = matmul(point(vertex.swapaxes(1, 2)), loop.b.T) + point(loop.a.T)  # J^T
        columns = [transition[:, state, :] for state in range(2)]
        weighted = [matmul(column, shape) for column in columns]
        entries = [[_dot(weighted[i], columns[j]) for j in range(2)] for i in range(2)]
        image = Interval(
            np.stack([np.stack([e.lo for e in row], axis=-1) for row in entries], axis=-2),
            np.stack([np.stack([e.hi for e in row], axis=-1) for row in entries], axis=-2),
        )
        proven &= _positive(point(np.broadcast_to(shape, image.lo.shape)) - image)
    return proven


def _level(loop: ClosedLoop, shape: Array, window: Grid, known: Enclosure) -> float:
    """Return a level c such that E lies in the window and meets only proven cells; a value <= 0 if there is none."""
    boxes = window.boxes()
    proven = contracting(loop, shape, known.gain) & admissible(loop, known.inputs)
    edge = Interval(
        np.array([[w[0], v[0]] for w, v in _frame(window)]), np.array([[w[1], v[1]] for w, v in _frame(window)])
    )
    refused = Interval(
        np.concatenate([boxes.lo[~proven], edge.lo]),
        np.concatenate([boxes.hi[~proven], edge.hi]),
    )
    return float(SHRINK * lowest(shape, refused).min())


def _frame(window: Grid) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Return the four sides of the window, which E must not meet: it is connected and contains the origin."""
    first, second = ((float(edges[0]), float(edges[-1])) for edges in window.edges)
    sides = [((end, end), second) for end in first]
    return sides + [(first, (end, end)) for end in second]


def admissible(loop: ClosedLoop, inputs: Interval) -> Mask:
    """Return True for each enclosure (N, m) of inputs that proves |u| <= input_limit."""
    proven: Mask = np.all((inputs.lo >= -loop.input_limit) & (inputs.hi <= loop.input_limit), axis=1)
    return proven


def violating(loop: ClosedLoop, inputs: Interval) -> Mask:
    """Return True for each enclosure (N, m) of inputs that proves |u| > input_limit."""
    proven: Mask = np.any((inputs.lo > loop.input_limit) | (inputs.hi < -loop.input_limit), axis=1)
    return proven


def lowest(shape: Array, box: Interval) -> Array:
    """Return a lower bound of V over each box (N, 2).

    V is convex, so V(x) >= V(y) + 2 y^T P (x - y) for every y.  The bound is this expression in interval arithmetic, at
    the minimiser y over the box up to rounding: the origin, or the best point of the four sides.
    """
    p, q = shape, box
    candidates = [np.clip(0.0, q.lo, q.hi)]
    for side in (q.lo, q.hi):
        other = np.clip(-p[0, 1] * side[:, ::-1] / np.diag(p), q.lo, q.hi)  # free coordinate i, the other on its side
        candidates.append(np.stack([other[:, 0], side[:, 1]], axis=-1))
        candidates.append(np.stack([side[:, 0], other[:, 1]], axis=-1))
    values = np.stack([np.einsum("ni,ij,nj->n", y, p, y) for y in candidates])
    best = np.stack(candidates)[values.argmin(axis=0), np.arange(len(q.lo))]
    slope = matmul(point(best), 2.0 * p)
    return (_quadratic(p, point(best)) + _dot(slope, q - point(best))).lo


def _quadratic(shape: Array, x: Interval) -> Interval:
    """Return the enclosure of V over intervals (N, 2); it is sharp for points."""
    return _dot(matmul(x, shape), x)


def _dot(x: Interval, y: Interval) -> Interval:
    """Return the enclosure of the inner products of rows (N, 2)."""
    terms = x * y
    return terms[:, 0] + terms[:, 1]


def _positive(matrix: Interval) -> Mask:
    """Return True for each symmetric matrix in (N, 2, 2) that is proven positive definite (Sylvester)."""
    minor = matrix[:, 0, 0] * matrix[:, 1, 1] - matrix[:, 0, 1] * matrix[:, 1, 0]
    return (matrix.lo[:, 0, 0] > 0.0) & (minor.lo > 0.0)
