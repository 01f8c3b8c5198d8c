"""Projection of a step onto the local safe region, solved and then checked.

    z* = argmin { |z - target|^2 : z in S }          (docs/method.md, projection)

Every backend's point passes the same exact pull-back, and every solve is judged on its own numbers: the point is
feasible in floating point, and either the relative KKT residual or (where Slater's condition is too weak for
multipliers to be meaningful) the relative gap between the distance reached and a dual lower bound is small.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from scpo.arrays import Array, length_of, real_array
from scpo.errors import ConfigurationError, ShapeError, SolverError
from scpo.projection import solvers
from scpo.projection.region import LocalSafeRegion

KKT_TOLERANCE = 1e-7
GAP_TOLERANCE = 1e-6
SLATER_SLACK = 1e-6
#: Rows are tightened by these shares of their scale in turn, so that a solver's inexact point needs no pulling back:
#: shrinking towards 0 is lossy where the slack is small, and impossible where it is 0 (the descent row).
TIGHTENINGS = (1e-9, 1e-12, 0.0)
#: Backends from the quickest to the last resort.
FALLBACKS = ("sqp", "clarabel", "cvxpy-scs")


@dataclass(frozen=True)
class Projection:
    """The projected point and what is known about it.

    Attributes:
        point: z*, shape (n,), certainly in S.
        status: "inside" (the target lay in S), "projected", or "pinned" (0 is the only point that is
            certainly in S).
        active: which of the k rows hold with equality up to 1e-6 of scale, shape (k,).
        duals: multipliers of the rows for the objective |z - target|^2 / 2, shape (k,).
        backend: what solved it: "none", "root", "sqp", "clarabel" or "cvxpy-scs".
        kkt_residual: relative residual of the KKT conditions at the returned point.
        gap: relative gap between |z* - target| and its dual lower bound.
        retries: backends that missed the tolerances before this one.
    """

    point: Array
    status: str
    active: np.ndarray
    duals: Array
    backend: str
    kkt_residual: float = 0.0
    gap: float = 0.0
    retries: tuple[str, ...] = ()


def project(
    target: ArrayLike,
    values: ArrayLike,
    slopes: ArrayLike,
    smoothness: ArrayLike,
    *,
    probe_error: ArrayLike = 0.0,
    radius: float = np.inf,
    kappa: float = 1.0,
    backend: str = "auto",
) -> Projection:
    """Project ``target`` onto S = { z : |z| <= radius, u_i(z) <= (1 - kappa) values_i }.

    Here u_i(z) = values_i + slopes_i^T z + probe_error_i |z| + (smoothness_i / 2) |z|^2.

    Args:
        target: shape (n,), the nominal step in z coordinates.
        values: shape (k,), g_i(theta) <= 0.
        slopes: shape (k, n), a_i.
        smoothness: scalar or shape (k,), L_i >= 0.
        probe_error: scalar or shape (k,), e_i >= 0; 0.0 for exact slopes.
        radius: r > 0.
        kappa: share of the slack that may be used, in (0, 1].
        backend: "auto" (one row: a root in one dimension; otherwise "sqp"; a miss is retried with the next), "root",
            "sqp" (dense QPs in sequence, DAQP), "clarabel" (interior point, two small cones) or "cvxpy-scs" (the
            literal reading: k cones, rebuilt at each call).

    Returns:
        A :class:`Projection`.

    Raises:
        ShapeError, NonFiniteError, ConfigurationError, UnsafeStartError: unusable arguments.
        SolverError: no backend reached the tolerances.

    Example:
        >>> import numpy as np
        >>> # one metric with slack 1 and slope (1, 0): the step may go to 1 along the first axis
        >>> project([2.0, 1.0], [-1.0], [[1.0, 0.0]], 0.0).point.round(6).tolist()
        [1.0, 1.0]
    """
    region = LocalSafeRegion.build(values, slopes, smoothness, probe_error, radius, kappa)
    t = real_array("target", target)
    if t.shape != (region.slopes.shape[1],):
        raise ShapeError(f"target: expected shape ({region.slopes.shape[1]},), got {t.shape}")
    return project_onto(region, t, backend=backend)


def project_onto(region: LocalSafeRegion, target: Array, *, backend: str = "auto") -> Projection:
    """Project onto a region that is already built; see :func:`project`."""
    if backend not in ("auto", *solvers.BACKENDS):
        raise ConfigurationError(f"backend: no {backend!r}; there are auto, {', '.join(solvers.BACKENDS)}")
    k = region.values.size
    if region.contains(target):
        return Projection(target.copy(), "inside", np.zeros(k, bool), np.zeros(k), "none")
    scale = length_of(target)
    kept = np.flatnonzero(_may_be_active(region, target))
    reduced = replace(
        region,
        values=region.values[kept],
        slopes=region.slopes[kept],
        smoothness=region.smoothness[kept],
        probe_error=region.probe_error[kept],
    )
    longest = solvers.reach(region, target)
    if longest == 0.0 or _only_origin(reduced):
        return Projection(np.zeros_like(target), "pinned", region.values == 0, np.zeros(k), "none")
    if scale > region.radius:
        capped = region.radius * (1 - 4 * region.roundoff) / scale * target
        if region.contains(capped):
            return Projection(capped, "projected", np.zeros(k, bool), np.zeros(k), "none")
    weight = row_scale(region, longest)
    failures: list[str] = []
    missed: list[str] = []
    nearest, proof = np.zeros_like(target), np.zeros(k)  # the best feasible point and the best lower bound so far
    for name in _names(backend, kept.size):
        for solution in _solutions(name, reduced, target, weight[kept]):
            point = region.pull_back(solution.point, target)
            duals = np.zeros(k)
            duals[kept] = solution.duals
            answers = [(point, duals)]
            for z, multipliers in answers:
                kkt, gap, slater = residuals(region, target, z, multipliers)
                if kkt <= KKT_TOLERANCE or (slater < SLATER_SLACK and gap <= GAP_TOLERANCE):
                    active = (region.rows(z) >= -1e-6 * weight) & (weight > 0)
                    return Projection(z, "projected", active, multipliers, name, kkt, gap, tuple(missed))
                if len(answers) == 1:  # the point may be good without its multipliers, or these without it
                    nearest = min(nearest, point, key=lambda z: length_of(z - target))
                    proof = max(proof, duals, key=lambda given: solvers.dual_distance(region, target, given))
                    if not nearest.any():
                        at_origin = np.zeros(k)
                        at_origin[kept] = solvers.duals_at_origin(reduced, target)
                        proof = max(proof, at_origin, key=lambda given: solvers.dual_distance(region, target, given))
                    answers.append((nearest, proof))
        missed.append(name)
        kkt, gap, slater = residuals(region, target, nearest, proof)
        failures.append(f"{name}: KKT residual {kkt:.1e}, gap {gap:.1e}, Slater slack {slater:.1e}")
    raise SolverError(
        f"projection onto {kept.size} of {k} rows in {target.size} dimensions missed its tolerances "
        f"({'; '.join(failures)}); check the scaling of the metrics, or try another backend"
    )


def residuals(region: LocalSafeRegion, target: Array, point: Array, duals: Array) -> tuple[float, float, float]:
    """Return (relative KKT residual, relative distance gap, relative Slater slack) of a feasible point.

    The gap compares |point - target| with the Lagrange dual's value at ``duals``, a lower bound for any duals >= 0.
    Lengths are relative to the longest step that S may hold, not to |target|, which can be far longer.
    """
    scale, longest = length_of(target), solvers.reach(region, target)
    duals = np.maximum(duals, 0.0)
    rows = region.rows(point)
    length = length_of(point)
    pull = target - duals @ region.slopes
    error = float(duals @ region.probe_error)
    curvature = float(duals @ region.smoothness)
    noise = solvers.pull_noise(region, target, duals)
    if length > 0:
        outward = point / length
        stationarity = pull - error * outward - (1 + curvature) * point
        at_radius = length >= region.radius * (1 - 1e-9)
        multiplier = max(0.0, float(stationarity @ outward)) if at_radius else 0.0
        residual = length_of(stationarity - multiplier * outward)
    else:
        residual = max(0.0, length_of(pull) - error + noise)
    kkt = max(residual / scale, float(duals @ np.abs(rows)) / (scale * longest))
    gap = solvers.distance_gap(region, target, point, duals) / longest
    weight = row_scale(region, longest)
    matters = weight > 0
    slack = max(
        float((-region.rows(z)[matters] / weight[matters]).min(initial=np.inf)) for z in (0.0 * point, 0.5 * point)
    )
    return kkt, gap, slack


def _may_be_active(region: LocalSafeRegion, target: Array) -> np.ndarray:
    """Rows that can be violated in the ball that holds the solution; the others are dropped, provably.

    |z*|^2 <= z*^T target puts z* into the ball with diameter [0, target].  A row that is negative there (and within
    reach) is negative around z*, so z* stays a local, hence the global, solution without it.
    """
    scale = length_of(target)
    reach = solvers.reach(region, target)
    norms = region.norms
    ball = 0.5 * (region.slopes @ target + norms * scale)
    highest = (
        region.kappa * region.values
        + np.minimum(ball, norms * reach)
        + region.probe_error * reach
        + 0.5 * region.smoothness * reach**2
    )
    return np.asarray(highest >= -1e-9 * (norms * scale + np.abs(region.kappa * region.values)))


def _only_origin(region: LocalSafeRegion) -> bool:
    """A row without slack whose error bound outweighs its slope, to rounding, leaves no certain room anywhere."""
    norms = region.norms
    sized = norms + region.probe_error > 0
    return bool((sized & (region.values == 0) & (region.probe_error >= norms * (1 - region.roundoff))).any())


def row_scale(region: LocalSafeRegion, scale: float) -> Array:
    """Size (k,) of each row over steps of length ``scale``; the unit of its tolerances."""
    return np.asarray((region.norms + region.probe_error + 0.5 * region.smoothness * scale) * scale)


def _names(backend: str, rows: int) -> list[str]:
    """Backends in the order in which they are tried."""
    if backend == "auto":
        return ["root", *FALLBACKS] if rows <= 1 else list(FALLBACKS)
    if backend == "root" and rows > 1:
        raise ConfigurationError(f"backend 'root' solves one row, and {rows} can be active here; use 'auto'")
    return [backend, *(name for name in FALLBACKS if name != backend)]


def _solutions(name: str, region: LocalSafeRegion, target: Array, weight: Array) -> Iterator[solvers.Solution]:
    """One backend's answers, likeliest first: rows tightened less and less, polished and as the solver gave them."""
    for share in TIGHTENINGS:
        yield from solvers.solve(name, region, target, share * weight)
