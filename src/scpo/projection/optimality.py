"""Measures of how far a point of Z is from being the projection, whatever solver proposed it and its multipliers.

For rows chi_i(z) = kappa g_i + a_i^T z + e_i |z| + (L_i / 2) |z|^2 the projection z* of a target solves

    minimise |z - target|^2 / 2   subject to   chi(z) <= 0,  |z| <= r,

where |z - target| is Euclidean or another norm, which the functions take as their last argument.
Any multipliers lambda >= 0 prove a lower bound on |z* - target| (the Lagrange dual function, docs/method/computing.md).
"""

from __future__ import annotations

import math

import numpy as np

from scpo.arrays import UNIT_ROUNDOFF, Array, length_of
from scpo.projection.norm import Norm
from scpo.projection.region import LocalSafeRegion

#: Newton steps for the length at which the dual function takes its minimum; any number of them gives a valid bound.
SECULAR_STEPS = 40


def kkt_residual(region: LocalSafeRegion, target: Array, point: Array, duals: Array, norm: Norm | None = None) -> float:
    """Return the largest relative violation of the KKT conditions at a point of Z.

    Forces are relative to |target|.  Lengths are relative to the longest step that Z may hold; |target| can be far
    longer.  The multiplier of |z| <= r is not an argument: the best one has a closed form.
    """
    duals = np.maximum(duals, 0.0)
    if norm is not None:
        return _kkt_residual_in(norm, region, target, point, duals)
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


def _kkt_residual_in(norm: Norm, region: LocalSafeRegion, target: Array, point: Array, duals: Array) -> float:
    """Return :func:`kkt_residual` in a norm |z|_H: forces have the norm of H^-1, lengths are relative to |z*|_H."""
    scale, length = length_of(norm.image(target)), length_of(point)
    error = float(duals @ region.probe_error)
    if length > 0:
        outward = point / length
        given = duals @ region.slopes + error * outward + float(duals @ region.smoothness) * point
        force = norm.image(target - point) - norm.effect(given)
        if length >= region.radius * (1 - 1e-9):
            radial = norm.effect(outward)
            force = force - max(0.0, float(force @ radial) / float(radial @ radial)) * radial
        stationarity = length_of(force)
    else:
        pull = norm.image(target) - norm.effect(duals @ region.slopes)
        size = max(length_of(norm.roots * pull), 1e-300)
        noise = length_of(_noise_in(norm, region, target, duals))
        stationarity = min(max(0.0, size - error + noise) / size, 1.0) * length_of(pull)
    complementarity = float(duals @ np.abs(region.rows(point))) / norm.span(region, target)
    return max(stationarity, complementarity) / scale


def distance_gap(region: LocalSafeRegion, target: Array, point: Array, duals: Array, norm: Norm | None = None) -> float:
    """Return |point - target| minus the lower bound of :func:`dual_distance`; it takes negative multipliers as 0.

    The difference of two nearly equal lengths is computed from their squares, without cancellation.
    """
    duals = np.maximum(duals, 0.0)
    seen, imaged = (point, target) if norm is None else (norm.image(point), norm.image(target))
    distance = length_of(seen - imaged)
    if distance == 0.0:
        return 0.0
    difference = float(seen @ seen - 2.0 * (seen @ imaged)) - 2.0 * dual_value(region, target, duals, norm)
    return min(difference, distance**2) / (distance + dual_distance(region, target, duals, norm))


def dual_distance(region: LocalSafeRegion, target: Array, duals: Array, norm: Norm | None = None) -> float:
    """Return a lower bound on the distance from ``target`` to Z, for any multipliers ``duals`` >= 0 of shape (k,)."""
    imaged = target if norm is None else norm.image(target)
    return math.sqrt(max(0.0, float(imaged @ imaged) + 2.0 * dual_value(region, target, duals, norm)))


def dual_value(region: LocalSafeRegion, target: Array, duals: Array, norm: Norm | None = None) -> float:
    """Return a lower bound on (|z - target|^2 - |target|^2) / 2 over Z, for any ``duals`` >= 0: the dual function.

    It is lambda^T kappa g plus the minimum over 0 <= y <= r of (1 + lambda^T L) y^2 / 2 - h y, where
    h = |target - A^T lambda| - lambda^T e.  To be safe, the largest h that rounding allows is used.
    """
    if norm is not None:
        return _dual_value_in(norm, region, target, duals)
    pull = length_of(target - duals @ region.slopes) - float(duals @ region.probe_error)
    pull = max(0.0, pull + _pull_noise(region, target, duals))
    curvature = 1.0 + float(duals @ region.smoothness)
    length = min(pull / curvature, region.radius)
    return region.kappa * float(duals @ region.values) + (0.5 * curvature * length - pull) * length


def _dual_value_in(norm: Norm, region: LocalSafeRegion, target: Array, duals: Array) -> float:
    """Return :func:`dual_value` in a norm |z|_H, with H = diag(w) in its own axes.

    For |v| <= 1 and mu >= 0 replace E |z| by E v^T z, where E = lambda^T e, and add mu (|z|^2 - r^2) / 2.  Neither
    raises the Lagrangian on |z| <= r.  What remains is quadratic, with the minimum
    - sum_i (f_i - E v_i)^2 / (2 (w_i + C + mu)),  f = H target - A^T lambda,  C = lambda^T L.
    The best v is z / |z| at the minimum; it is searched, and any v and mu give a valid bound.
    """
    error, base = float(duals @ region.probe_error), norm.roots**2 + float(duals @ region.smoothness)
    pull = norm.roots * norm.image(target) - norm.turned(duals @ region.slopes)
    noise, value = _noise_in(norm, region, target, duals), region.kappa * float(duals @ region.values)
    size = length_of(pull)
    if size <= error:  # v = f / E
        return value - 0.5 * float((noise**2 / base).sum())
    length, extra = _root(pull, base, np.full_like(pull, error), (size - error) / float(base.max())), 0.0
    if length > region.radius:
        length = region.radius
        extra = _root(pull / length, np.ones_like(pull), base + error / length, 0.0)
    total = base + extra
    outward = pull / (total * length + error)
    outward /= length_of(outward) * (1.0 + 4.0 * UNIT_ROUNDOFF)
    left = np.abs(pull - error * outward) + noise
    return value - 0.5 * float((left**2 / total).sum()) - 0.5 * extra * length**2


def _root(force: Array, steep: Array, flat: Array, start: float) -> float:
    """Return y >= ``start`` with |force / (steep y + flat)| = 1 for vectors steep, flat >= 0.

    1 / |force / (steep y + flat)| is a power mean of linear functions, hence concave, so Newton's method never
    overshoots.
    """
    y = start
    for _ in range(SECULAR_STEPS):
        line = steep * y + flat
        quotient = force / line
        size = length_of(quotient)
        if size <= 1.0 + 4.0 * UNIT_ROUNDOFF:
            break
        y += size**2 * (size - 1.0) / float((quotient * quotient * steep / line).sum())
    return y


def _noise_in(norm: Norm, region: LocalSafeRegion, target: Array, duals: Array) -> Array:
    """Return bounds (n,) on the rounding errors of H target - A^T lambda - lambda^T e v along the axes of H."""
    slopes = duals @ np.abs(region.slopes) if norm.axes is None else np.full(target.size, float(duals @ region.norms))
    sizes = norm.roots * np.abs(norm.image(target)) + slopes + float(duals @ region.probe_error)
    return np.asarray(2.0 * (region.roundoff + duals.size * UNIT_ROUNDOFF) * sizes)


def _pull_noise(region: LocalSafeRegion, target: Array, duals: Array) -> float:
    """Return a bound on the rounding error of |target - A^T lambda| - lambda^T e; it grows with the multipliers."""
    sizes = region.norms + region.probe_error
    return 2.0 * (region.roundoff + duals.size * UNIT_ROUNDOFF) * float(length_of(target) + duals @ sizes)
