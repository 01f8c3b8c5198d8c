"""How far a point of S is from being the projection: measured from the point and multipliers, whoever proposes them.

For rows c_i(z) = kappa g_i + a_i^T z + e_i |z| + (L_i / 2) |z|^2 the projection z* of t solves

    minimise |z - t|^2 / 2   subject to   c(z) <= 0,  |z| <= r.

Any multipliers lambda >= 0 prove a lower bound on |z* - t| (the Lagrange dual function, docs/method.md, section 6).
"""

from __future__ import annotations

import math

import numpy as np

from scpo.arrays import UNIT_ROUNDOFF, Array, length_of
from scpo.projection.region import LocalSafeRegion


def kkt_residual(region: LocalSafeRegion, target: Array, point: Array, duals: Array) -> float:
    """Return the largest relative violation of the KKT conditions at a point of S.

    Forces are relative to |target|.  Lengths are relative to the longest step that S may hold, not to |target|, which
    can be far longer.  The multiplier of |z| <= r is not an argument: the best one has a closed form.
    """
    duals = np.maximum(duals, 0.0)
    scale, length = length_of(target), length_of(point)
    pull = target - duals @ region.slopes
    error = float(duals @ region.probe_error)
    if length > 0:
        outward = point / length
        left = pull - error * outward - (1 + float(duals @ region.smoothness)) * point
        if length >= region.radius * (1 - 1e-9):
            left = left - max(0.0, float(left @ outward)) * outward
        stationarity = length_of(left)
    else:  # at 0 the term e |z| takes up any force that is not larger than lambda^T e
        stationarity = max(0.0, length_of(pull) - error + _pull_noise(region, target, duals))
    complementarity = float(duals @ np.abs(region.rows(point))) / region.reach(target)
    return max(stationarity, complementarity) / scale


def distance_gap(region: LocalSafeRegion, target: Array, point: Array, duals: Array) -> float:
    """Return |point - target| minus the lower bound of :func:`dual_distance`; negative multipliers count as 0.

    The difference of two nearly equal lengths is computed from their squares, without cancellation.
    """
    duals = np.maximum(duals, 0.0)
    distance = length_of(point - target)
    if distance == 0.0:
        return 0.0
    difference = float(point @ point - 2.0 * (point @ target)) - 2.0 * dual_value(region, target, duals)
    return min(difference, distance**2) / (distance + dual_distance(region, target, duals))


def dual_distance(region: LocalSafeRegion, target: Array, duals: Array) -> float:
    """Return a lower bound on the distance from ``target`` to S, for any multipliers ``duals`` >= 0 of shape (k,)."""
    return math.sqrt(max(0.0, float(target @ target) + 2.0 * dual_value(region, target, duals)))


def dual_value(region: LocalSafeRegion, target: Array, duals: Array) -> float:
    """Return a lower bound on (|z - target|^2 - |target|^2) / 2 over S, for any ``duals`` >= 0: the dual function.

    It is lambda^T kappa g plus the minimum over 0 <= s <= r of (1 + lambda^T L) s^2 / 2 - h s, where
    h = |target - A^T lambda| - lambda^T e.  The largest h that its rounding error allows is used.
    """
    pull = length_of(target - duals @ region.slopes) - float(duals @ region.probe_error)
    pull = max(0.0, pull + _pull_noise(region, target, duals))
    curvature = 1.0 + float(duals @ region.smoothness)
    length = min(pull / curvature, region.radius)
    return region.kappa * float(duals @ region.values) + (0.5 * curvature * length - pull) * length


def _pull_noise(region: LocalSafeRegion, target: Array, duals: Array) -> float:
    """Return a bound on the rounding error of |target - A^T lambda| - lambda^T e.  Huge multipliers make it large."""
    sizes = region.norms + region.probe_error
    return 2.0 * (region.roundoff + duals.size * UNIT_ROUNDOFF) * float(length_of(target) + duals @ sizes)
