"""Invariant sets of the double integrator, exact up to rounding.

A convex polygon around the origin is stored as {x : h_j^T x <= 1 for all j}.  Its polar is the convex hull of the rows
h_j.  Rows that are no corner of that hull are redundant, and the hull's edges give the polygon's vertices.  So one
convex hull (Qhull, through SciPy) gives redundancy, vertices and area, without linear programs and their tolerances.
The tests compare with the library ``polytope``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.spatial import ConvexHull, QhullError

from replication.tasks.double_integrator.system import (
    INPUT_LIMIT,
    STATE_LIMIT,
    A,
    B,
    backup_gain,
    closed_loop,
    spectral_radius,
)
from scpo.arrays import Array
from scpo.errors import ConfigurationError, ShapeError

#: tolerance of h^T v <= 1 in the test that ends a recursion
_TOLERANCE = 1e-12
_MAX_STEPS = 1000


def _polar(points: Array) -> Array:
    """Return rows f_j (n, 2) such that the hull of points (p, 2) around the origin is {x : f_j^T x <= 1}."""
    try:
        equations = ConvexHull(points).equations
    except QhullError:  # all points lie on a line
        equations = np.zeros((1, 3))
    if (equations[:, -1] >= 0).any():
        raise ConfigurationError("polygon: the origin must lie in its interior, and the set must be bounded")
    return np.asarray(-equations[:, :-1] / equations[:, -1:])


@dataclass(frozen=True, eq=False)
class Polygon:
    """The polygon {x : facets x <= 1} with the origin in its interior and without redundant rows.

    Attributes:
        facets: rows h_j (n, 2).
        vertices: corners (n, 2), counterclockwise.
    """

    facets: Array
    vertices: Array

    def __post_init__(self) -> None:
        """Make the arrays read-only, since sets are cached and shared."""
        self.facets.setflags(write=False)
        self.vertices.setflags(write=False)

    @classmethod
    def from_facets(cls, facets: Array) -> Polygon:
        """Return {x : facets x <= 1} for rows (p, 2), without the redundant rows.

        Raises:
            ShapeError: the rows are not (p, 2).
            ConfigurationError: the set is unbounded.
        """
        facets = np.asarray(facets, dtype=np.float64)
        if facets.ndim != 2 or facets.shape[1] != 2:
            raise ShapeError(f"polygon: expected rows (p, 2), got {facets.shape}")
        vertices = _polar(facets)
        return cls(facets[ConvexHull(facets).vertices], vertices[ConvexHull(vertices).vertices])

    @classmethod
    def from_points(cls, points: Array) -> Polygon:
        """Return the convex hull of points (p, 2); the origin must lie in its interior."""
        return cls.from_facets(_polar(np.asarray(points, dtype=np.float64)))

    @property
    def area(self) -> float:
        """Area of the polygon."""
        return float(ConvexHull(self.vertices).volume)

    def gauge(self, states: Array) -> Array:
        """Return Psi(x) = max_j h_j^T x (S,) of states (S, 2); it is 1 on the boundary and scales with x."""
        return np.asarray((states @ self.facets.T).max(axis=-1))

    def scaled(self, factor: float) -> Polygon:
        """Return this set scaled by ``factor``."""
        if not factor > 0:
            raise ConfigurationError(f"polygon: the factor must be positive, got {factor}")
        return Polygon(self.facets / factor, self.vertices * factor)


def state_box() -> Polygon:
    """Return {x : |x_i| <= 5}."""
    return Polygon.from_facets(np.vstack([np.eye(2), -np.eye(2)]) / STATE_LIMIT)


def maximal_invariant_set(gain: Array) -> Polygon:
    """Return O_inf: all starts from which u = -K x satisfies |x_i| <= 5 and |u| <= 1 for all time.

    It is {x : H (A - BK)^t x <= 1, t = 0, 1, ...} with the rows H of the constraints.  Once the rows of one step are
    redundant, so are those of all later steps (Gilbert and Tan, 1991), which ends the recursion.

    Raises:
        ConfigurationError: the closed loop is not stable, or so slow that the recursion does not end.
    """
    matrix = closed_loop(gain)
    if spectral_radius(matrix) >= 1.0:
        raise ConfigurationError(f"gain {np.asarray(gain).tolist()}: the closed loop is not stable")
    rows = np.vstack([np.eye(2) / STATE_LIMIT, -np.eye(2) / STATE_LIMIT, gain / INPUT_LIMIT, -gain / INPUT_LIMIT])
    region = Polygon.from_facets(rows)
    for _ in range(_MAX_STEPS):
        rows = rows @ matrix
        if (rows @ region.vertices.T).max() <= 1.0 + _TOLERANCE:
            return region
        region = Polygon.from_facets(np.vstack([region.facets, rows]))
    raise ConfigurationError(f"gain {gain.tolist()}: no finitely determined invariant set in {_MAX_STEPS} steps")


@cache
def backup_invariant_set() -> Polygon:
    """Return O_inf of the backup, from which all starts of the double integrator are taken."""
    return maximal_invariant_set(backup_gain())


@cache
def maximal_control_invariant_set() -> Polygon:
    """Return C_inf: all starts from which some inputs |u| <= 1 satisfy the constraints for all time.

    It is the fixed point of C <- X intersected with A^-1 (C + B [-1, 1]), started at C = X.
    """
    box = state_box()
    region = box
    inverse = np.linalg.inv(A)
    push = INPUT_LIMIT * B.T
    for _ in range(_MAX_STEPS):
        reachable = np.vstack([region.vertices + push, region.vertices - push]) @ inverse.T
        smaller = Polygon.from_facets(np.vstack([box.facets, Polygon.from_points(reachable).facets]))
        if smaller.gauge(region.vertices).max() <= 1.0 + _TOLERANCE:
            return region
        region = smaller
    raise ConfigurationError(f"the control invariant set did not settle in {_MAX_STEPS} steps")
