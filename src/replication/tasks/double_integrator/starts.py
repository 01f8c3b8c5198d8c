"""Starts of rollouts: a fixed, dense set for training, and random ones for held-out tests."""

from __future__ import annotations

import numpy as np

from replication.tasks.double_integrator.sets import Polygon
from scpo.arrays import Array
from scpo.errors import ConfigurationError

#: gauges of the scaled vertices among the training starts, relative to the region; the most important ones come first
RINGS = (1e-3, 0.1, 0.6, 0.2, 0.45, 0.05, 0.3, 0.8)


def uniform(region: Polygon, count: int, rng: np.random.Generator) -> Array:
    """Return random points (count, 2), uniform in ``region``."""
    # Choose a triangle (0, v_i, v_i+1) with a probability proportional to its area, then a point in it.
    first, second = region.vertices, np.roll(region.vertices, -1, axis=0)
    areas = np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])
    chosen = rng.choice(len(areas), size=count, p=areas / areas.sum())
    along, across = np.sqrt(rng.random((count, 1))), rng.random((count, 1))
    return np.asarray(along * ((1.0 - across) * first[chosen] + across * second[chosen]))


def boundary(region: Polygon, count: int) -> Array:
    """Return points (count, 2) evenly spaced along the boundary; none is the first vertex or the one opposite."""
    corners = np.vstack([region.vertices, region.vertices[:1]])
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))])
    at = (np.arange(count) + 0.25) / count * length[-1]
    return np.column_stack([np.interp(at, length, corners[:, i]) for i in range(2)])


def halton(first: int, count: int) -> Array:
    """Return points ``first`` ... ``first + count - 1`` of the Halton sequence in bases 2 and 3 (count, 2)."""
    points = np.zeros((count, 2))
    for column, base in enumerate((2, 3)):
        left, weight = np.arange(first, first + count), 1.0 / base
        while left.any():  # mirror the digits of the index at the point
            points[:, column] += left % base * weight
            left, weight = left // base, weight / base
    return points


def interior(region: Polygon, count: int) -> Array:
    """Return points (count, 2) inside ``region``: the first ones of the Halton sequence on its bounding box."""
    low, high = region.vertices.min(axis=0), region.vertices.max(axis=0)
    points, drawn = np.empty((0, 2)), 0
    while len(points) < count:
        candidates = low + (high - low) * halton(drawn, 2 * count)
        drawn += 2 * count
        points = np.vstack([points, candidates[region.gauge(candidates) < 1.0]])
    return points[:count]


def scaled_vertices(region: Polygon, count: int) -> Array:
    """Return vertices moved towards the origin (count, 2): all of them times RINGS[0], then times RINGS[1], and so on.

    Raises:
        ConfigurationError: ``count`` is more than all vertices times all of RINGS.
    """
    rings = np.vstack([gauge * region.vertices for gauge in RINGS])
    if count > len(rings):
        raise ConfigurationError(f"starts: there are {len(rings)} scaled vertices, asked for {count}")
    return rings[:count]


def training_starts(region: Polygon, count: int) -> Array:
    """Return fixed training starts (count, 2): the vertices of ``region``, and points inside it and on its boundary.

    Three eighths of the further points are vertices moved towards the origin, because of the linear case.  There the
    state and input constraints are convex functions of the start, and the contraction is constant along rays with a
    convex numerator.  So over {Psi <= r} each one has its maximum at a vertex.

    Raises:
        ConfigurationError: ``count`` is too small for the vertices and one point of each other kind.
    """
    corners = len(region.vertices)
    small = min(max(4, 3 * (count - corners) // 8), len(RINGS) * corners)
    rest = count - corners - small
    if rest < 2:
        raise ConfigurationError(f"starts: expected at least {corners + 6}, got {count}")
    edge = rest // 2
    return np.vstack(
        [region.vertices, boundary(region, edge), interior(region, rest - edge), scaled_vertices(region, small)]
    )
