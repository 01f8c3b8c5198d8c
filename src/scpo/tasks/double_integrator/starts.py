"""Starts of the rollouts: a fixed, dense set for training, and random ones held out."""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import qmc

from scpo.errors import ConfigurationError
from scpo.tasks.double_integrator.sets import Polygon
from scpo.tasks.double_integrator.system import Array

_SMALLEST_RADIUS = 1e-3  # of the gauge, relative to the region


def uniform(region: Polygon, count: int, rng: np.random.Generator) -> Array:
    """Return points (count, 2) uniform in ``region``: a triangle (0, v_i, v_i+1) by area, then uniform in it."""
    first, second = region.vertices, np.roll(region.vertices, -1, axis=0)
    areas = np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])
    chosen = rng.choice(len(areas), size=count, p=areas / areas.sum())
    along, across = np.sqrt(rng.random((count, 1))), rng.random((count, 1))
    return np.asarray(along * ((1.0 - across) * first[chosen] + across * second[chosen]))


def boundary(region: Polygon, count: int) -> Array:
    """Return points (count, 2) evenly spaced along the boundary, none of them the first vertex."""
    corners = np.vstack([region.vertices, region.vertices[:1]])
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))])
    at = (np.arange(count) + 0.5) / count * length[-1]
    return np.column_stack([np.interp(at, length, corners[:, i]) for i in range(2)])


def interior(region: Polygon, count: int) -> Array:
    """Return the first ``count`` points (count, 2) of the Halton sequence on the bounding box that lie inside."""
    low, high = region.vertices.min(axis=0), region.vertices.max(axis=0)
    sequence = qmc.Halton(d=2, scramble=False)
    points = np.empty((0, 2))
    while len(points) < count:
        candidates = low + (high - low) * sequence.random(2 * count)
        points = np.vstack([points, candidates[region.gauge(candidates) < 1.0]])
    return points[:count]


def near_origin(region: Polygon, count: int) -> Array:
    """Return points (count, 2) with gauges from 1e-3 to 0.3, evenly in the logarithm, in all directions."""
    angles = np.arange(count) * math.pi * (3.0 - math.sqrt(5.0))  # golden angle
    directions = np.column_stack([np.cos(angles), np.sin(angles)])
    radii = np.geomspace(_SMALLEST_RADIUS, 0.3, count)
    return np.asarray(directions * (radii / region.gauge(directions))[:, None])


def training_starts(region: Polygon, count: int = 168) -> Array:
    """Return fixed training starts (count, 2): all vertices, most others on the boundary, then inside it.

    One in twelve lies near the origin; of the rest two thirds lie on the boundary and one third inside.

    Raises:
        ConfigurationError: too few for the vertices and one point of each other kind.
    """
    corners = len(region.vertices)
    small = max(4, count // 12)
    rest = count - corners - small
    if rest < 2:
        raise ConfigurationError(f"starts: expected at least {corners + 6}, got {count}")
    edge = max(1, 2 * rest // 3)
    return np.vstack(
        [region.vertices, boundary(region, edge), interior(region, rest - edge), near_origin(region, small)]
    )
