"""A primal-dual active-set method on the KKT equations of the projection, from a solver's approximate answer.

An interior-point or splitting method leaves multipliers that are right to about the square root of its gap.  On the
active set the conditions are smooth equations in (z, lambda), so a few Newton steps give them to rounding.
"""

from __future__ import annotations

import numpy as np

from scpo.arrays import Array, length_of
from scpo.projection.region import LocalSafeRegion

STEPS = 30
PATIENCE = 6
GOOD = 1e-15
#: relative to |target|, in units where rows have gradients of length 1
LARGEST_MULTIPLIER = 1e3


def polish(region: LocalSafeRegion, target: Array, offset: Array, point: Array, duals: Array) -> tuple[Array, Array]:
    """Return (point, duals) after semismooth Newton on the rows c(z) = offset + a^T z + e |z| + (L / 2) |z|^2 <= 0.

    Each step takes the rows with lambda + c > 0 (in comparable units) as equalities and drops the other multipliers.
    The radius is one more row, |z| - r <= 0.  The best iterate is returned; the caller measures it.
    """
    pull, length = length_of(target), length_of(point)
    if length == 0.0 or region.values.size == 0:
        return point, duals
    a, e, curvature, weights = region.slopes, region.probe_error, region.smoothness, duals
    bounded = length >= 0.5 * region.radius
    if bounded:
        a = np.vstack([a, np.zeros(a.shape[1])])
        e, curvature = np.append(e, 1.0), np.append(curvature, 0.0)
        offset, weights = np.append(offset, -region.radius), np.append(duals, 0.0)
    units = np.linalg.norm(a, axis=1) + e + 0.5 * curvature * length
    units[units == 0] = 1.0
    if bounded:  # the solver gives no multiplier of the radius: what stationarity leaves outwards
        outward = point / length
        left = target - weights @ (a + e[:, None] * outward + curvature[:, None] * point) - point
        weights[-1] = max(0.0, float(left @ outward))
    best, answer, misses = np.inf, (point, duals), 0
    z = point
    with np.errstate(all="ignore"):  # a diverging iteration is given up, not reported
        for _ in range(STEPS):
            length = length_of(z)
            if not 0.0 < length < 1e100:
                break
            unit = z / length
            values = offset + a @ z + e * length + 0.5 * curvature * length**2
            gradients = a + e[:, None] * unit + curvature[:, None] * z
            stationarity = z - target + weights @ gradients
            gap = np.minimum(weights * units / pull, -values / units / length)
            residual = length_of(stationarity) / pull + float(np.abs(gap).max())
            if residual < best:
                best, answer, misses = residual, (z, weights), 0
            else:
                misses += 1
            if best < GOOD or misses > PATIENCE:
                break
            rows = np.flatnonzero(weights * units / pull + values / units / length > 0)
            z, weights = _step(target, z, unit, rows, weights, gradients, values, units, e, curvature)
            if not np.isfinite(weights).all():
                break
    z, weights = answer
    return z, np.maximum(weights[: duals.size], 0.0)


def _step(
    target: Array,
    z: Array,
    unit: Array,
    rows: np.ndarray,
    weights: Array,
    gradients: Array,
    values: Array,
    units: Array,
    e: Array,
    curvature: Array,
) -> tuple[Array, Array]:
    """One Newton step with ``rows`` as equalities; return the new (z, weights)."""
    n, m, length = z.size, rows.size, length_of(z)
    kept = np.maximum(weights[rows], 0.0)
    bend = float(kept @ e[rows]) / length
    system = np.zeros((n + m, n + m))
    system[:n, :n] = (1.0 + float(kept @ curvature[rows]) + bend) * np.eye(n) - bend * np.outer(unit, unit)
    scaled = gradients[rows] / units[rows, None]
    system[:n, n:], system[n:, :n] = scaled.T, scaled
    right = np.concatenate([target - z, -values[rows] / units[rows]])
    try:
        step = np.linalg.solve(system, right)
        if not np.abs(step[n:]).max(initial=0.0) < LARGEST_MULTIPLIER * length_of(target):
            raise np.linalg.LinAlgError
    except np.linalg.LinAlgError:  # dependent rows (neighbours on one linear piece, say): the least multipliers
        step = np.linalg.lstsq(system, right, rcond=1e-8)[0]
    updated = np.zeros_like(weights)
    updated[rows] = step[n:] / units[rows]
    return z + step[:n], updated
