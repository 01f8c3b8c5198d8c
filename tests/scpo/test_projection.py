"""The projection: hand-computed answers, optimality by independent formulas, invariances, errors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scpo.arrays import Array
from scpo.errors import ConfigurationError, NonFiniteError, ScpoError, ShapeError, SolverError, UnsafeStartError
from scpo.projection import project as projection
from scpo.projection.optimality import distance_gap
from scpo.projection.optimality import kkt_residual as library_residual
from scpo.projection.project import project, project_onto
from scpo.projection.region import LocalSafeRegion

from .instances import KINDS, draw

EXAMPLES = settings(derandomize=True, deadline=None, max_examples=60)
SEEDS = st.integers(0, 10**6)
REGULAR = ("plain", "zero slope", "duplicate rows", "L = 0", "L = 1e8", "n = 1", "k = 1", "tiny z", "huge z", "mixed g")
BACKENDS = ("auto", "sqp", "clarabel")


# --- k = 1 by hand ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_half_space_by_hand(backend: str) -> None:
    """Slack 1, slope (3, 4): the target (6, 8) is 50 along it, so 49/25 of the slope is taken off."""
    found = project([6.0, 8.0], [-1.0], [[3.0, 4.0]], 0.0, backend=backend)
    assert found.point == pytest.approx([3 / 25, 4 / 25], rel=1e-7)
    assert found.duals == pytest.approx([49 / 25], rel=1e-7)
    assert found.active.tolist() == [True]
    assert (found.status, found.retries) == ("projected", ())


@pytest.mark.parametrize("backend", BACKENDS)
def test_half_space_without_slack_by_hand(backend: str) -> None:
    found = project([1.0, 1.0], [0.0], [[0.0, 2.0]], 0.0, backend=backend)
    assert found.point == pytest.approx([1.0, 0.0], abs=1e-7)
    assert found.point[1] < 0  # certainly inside


@pytest.mark.parametrize("backend", BACKENDS)
def test_ball_by_hand(backend: str) -> None:
    """-2 + |z|^2 / 2 * 4 <= 0 is the unit ball, also round another centre: |z + a/L|^2 <= 2 slack/L + |a|^2/L^2."""
    assert project([3.0, 4.0], [-2.0], [[0.0, 0.0]], 4.0, backend=backend).point == pytest.approx([0.6, 0.8], rel=1e-7)
    found = project([0.0, 5.0], [-1.0], [[0.0, 2.0]], 2.0, backend=backend)  # |z + (0, 1)|^2 <= 2
    assert found.point == pytest.approx([0.0, np.sqrt(2) - 1], rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
def test_cone_by_hand(backend: str) -> None:
    """No slack, slope (-1, 0), e = 1/2: the cone |z| <= 2 z_1, half-angle 60 degrees; (0, 1) goes to its edge."""
    found = project([0.0, 1.0], [0.0], [[-1.0, 0.0]], 0.0, probe_error=0.5, backend=backend)
    edge = np.array([0.5, np.sqrt(0.75)])
    assert found.point == pytest.approx(edge[1] * edge, rel=1e-7)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kappa", [1.0, 0.5])
def test_all_terms_by_hand(backend: str, kappa: float) -> None:
    """Along the slope everything is one-dimensional: -kappa + (2 + 1) s + s^2 <= 0."""
    found = project([0.0, 7.0], [-1.0], [[0.0, 2.0]], 2.0, probe_error=1.0, kappa=kappa, backend=backend)
    length = (np.sqrt(9 + 4 * kappa) - 3) / 2
    assert found.point == pytest.approx([0.0, length], rel=1e-7, abs=1e-9)
    assert found.duals[0] == pytest.approx((7 - length) / (3 + 2 * length), rel=1e-6)  # stationarity


@pytest.mark.parametrize("backend", BACKENDS)
def test_all_terms_off_the_axis(backend: str) -> None:
    """k = 1 against a scan of the boundary in polar coordinates."""
    target, slope, slack, error, curvature = np.array([1.0, 1.5]), np.array([0.3, 2.0]), 0.4, 0.2, 3.0
    found = project(target, [-slack], [slope], curvature, probe_error=error, backend=backend).point
    angles = np.linspace(0, np.pi, 200_001)
    rays = np.stack([np.cos(angles), np.sin(angles)])
    linear = slope @ rays + error
    lengths = (np.sqrt(linear**2 + 2 * curvature * slack) - linear) / curvature
    boundary = lengths * rays
    nearest = boundary[:, np.linalg.norm(boundary - target[:, None], axis=0).argmin()]
    assert found == pytest.approx(nearest, abs=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_constraint_and_the_radius(backend: str) -> None:
    free = project([3.0, 4.0], [], np.zeros((0, 2)), 0.0, backend=backend)
    assert (free.status, free.point.tolist(), free.duals.size, free.active.size) == ("inside", [3.0, 4.0], 0, 0)
    capped = project([3.0, 4.0], [], np.zeros((0, 2)), 0.0, radius=1.0, backend=backend)
    assert capped.point == pytest.approx([0.6, 0.8], rel=1e-12)
    both = project([3.0, 4.0], [-0.1], [[0.0, 1.0]], 0.0, radius=1.0, backend=backend)
    assert both.point == pytest.approx([np.sqrt(0.99), 0.1], rel=1e-7)


def test_one_direction() -> None:
    """n = 1: the least of the rows' own limits, whichever the sign."""
    found = project([5.0], [-1.0, -1.0, -4.0], [[1.0], [2.0], [-9.0]], [0.0, 2.0, 0.0])
    assert found.point == pytest.approx([np.sqrt(2) - 1], rel=1e-7)
    assert found.active.tolist() == [False, True, False]
    assert project([-5.0], [-1.0, -4.0], [[1.0], [-2.0]], 0.0).point == pytest.approx([-2.0], rel=1e-7)


def test_two_rows_by_hand() -> None:
    found = project([2.0, 3.0, 4.0], [-1.0, -0.5], [[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]], 0.0)
    assert found.point == pytest.approx([1.0, 0.25, 4.0], rel=1e-7)
    assert found.duals == pytest.approx([1.0, 2.75 / 2], rel=1e-7)


# --- status ----------------------------------------------------------------------------------------------------------


@EXAMPLES
@given(SEEDS)
def test_a_target_inside_is_returned_as_it_is(seed: int) -> None:
    instance = draw("target inside", seed)
    found = project_onto(instance.region, instance.target)
    assert (found.status, found.backend) == ("inside", "none")
    assert found.point.tobytes() == instance.target.tobytes()
    assert found.point is not instance.target
    assert not found.duals.any() and not found.active.any()


@pytest.mark.parametrize(
    ("slopes", "smoothness", "error"),
    [
        ([[-1.0, 0.0]], 0.0, 1.5),  # the probe error outweighs the slope
        ([[-1.0, 0.0]], 0.0, 1.0),  # only a ray is left, which floating point cannot certify
        ([[-1.0, 0.0]], 2.0, 1.0),  # not even a ray
        ([[0.0, 0.0]], 2.0, 0.0),  # no slope, curvature only
        ([[0.0, 0.0]], 0.0, 0.1),
        ([[1e-9, 0.0]], 1e8, 1e-3),
    ],
)
def test_pinned(slopes: list[list[float]], smoothness: float, error: float) -> None:
    found = project([1.0, 2.0], [0.0], slopes, smoothness, probe_error=error)
    assert found.status == "pinned"
    assert (found.point == 0).all()


def test_a_row_without_any_terms_is_no_obstacle() -> None:
    assert project([1.0, 2.0], [0.0], [[0.0, 0.0]], 0.0).status == "inside"
    assert project([1.0, 2.0], [0.0, -1.0], [[0.0, 0.0], [0.0, 1.0]], 0.0).point == pytest.approx([1.0, 1.0], rel=1e-7)


def test_a_lens_without_slack_holds_only_zero() -> None:
    """Two opposite rows with curvature and no slack: S = {0}, multipliers only in the limit; the gap proves it."""
    found = project([1.0, 1.0], [0.0, 0.0], [[1.0, 0.3], [-1.0, -0.3]], 1.0)
    assert (found.point == 0).all()
    assert found.gap <= projection.GAP_TOLERANCE


def test_a_set_too_thin_for_floating_point_is_an_error() -> None:
    """Two opposite half-spaces without slack leave a line, of which only 0 is certain: no answer, and no wrong one."""
    with pytest.raises(SolverError, match="missed its tolerances"):
        project([1.0, 1.0], [0.0, 0.0], [[1.0, 0.3], [-1.0, -0.3]], 0.0)


# --- optimality, by formulas of this file's own ----------------------------------------------------------------------


def kkt_residual(region: LocalSafeRegion, target: Array, z: Array, duals: Array) -> float:
    """Largest relative violation of the four KKT conditions, written row by row."""
    pull, length, n = np.linalg.norm(target), np.sqrt(sum(x * x for x in z)), len(z)
    force = [target[j] - z[j] for j in range(n)]
    worst = max(0.0, float(-duals.min(initial=0.0)))
    for i, weight in enumerate(duals):
        a, e, curvature = region.slopes[i], region.probe_error[i], region.smoothness[i]
        value = region.kappa * region.values[i] + sum(a * z) + e * length + 0.5 * curvature * length**2
        size = np.linalg.norm(a) + e + 0.5 * curvature * length
        worst = max(worst, value / (size * length) if size > 0 else 0.0)
        worst = max(worst, abs(weight * value) / (pull * length))
        for j in range(n):
            force[j] -= weight * (a[j] + e * z[j] / length + curvature * z[j])
    outward = sum(f * x for f, x in zip(force, z, strict=True)) / length
    if length >= region.radius * (1 - 1e-8) and outward > 0:  # the radius takes a multiplier of its own
        force = [f - outward * x / length for f, x in zip(force, z, strict=True)]
    return max(worst, float(np.linalg.norm(force) / pull))


@EXAMPLES
@given(SEEDS, st.sampled_from(REGULAR))
def test_kkt_conditions(seed: int, kind: str) -> None:
    instance = draw(kind, seed)
    found = project_onto(instance.region, instance.target)
    if found.status == "projected":
        assert kkt_residual(instance.region, instance.target, found.point, found.duals) <= 1e-6
        inactive = found.duals[~found.active] * row_sizes(instance.region, instance.target)[~found.active]
        assert inactive.max(initial=0.0) <= 1e-5 * np.linalg.norm(instance.target)


def row_sizes(region: LocalSafeRegion, target: Array) -> Array:
    return np.asarray(np.linalg.norm(region.slopes, axis=1) + region.probe_error)


def test_the_kkt_formula_can_fail() -> None:
    instance = draw("plain", 3, n=4, k=5)
    found = project_onto(instance.region, instance.target)
    assert found.status == "projected"
    assert kkt_residual(instance.region, instance.target, 0.999 * found.point, found.duals) > 1e-6
    assert kkt_residual(instance.region, instance.target, found.point, 1.001 * found.duals) > 1e-6


def feasible_points(region: LocalSafeRegion, target: Array, rng: np.random.Generator, count: int) -> Array:
    """Random points of S, most of them on its boundary: rays cut by bisection with plain arithmetic."""
    points = []
    for _ in range(count):
        ray = rng.normal(size=target.size) + rng.choice([0.0, 3.0]) * target / np.linalg.norm(target)
        ray *= np.linalg.norm(target) / np.linalg.norm(ray)
        low, high = 0.0, 2.0
        for _ in range(60):
            middle = 0.5 * (low + high)
            z = middle * ray
            inside = (region.rows(z) <= 0).all() and np.linalg.norm(z) <= region.radius
            low, high = (middle, high) if inside else (low, middle)
        points.append(low * ray)
    return np.array(points)


@EXAMPLES
@given(SEEDS, st.sampled_from(sorted(KINDS)))
def test_no_feasible_point_is_nearer(seed: int, kind: str) -> None:
    """Optimality, also in its variational form: (target - z*)^T (z - z*) <= 0 for every z in S."""
    instance = draw(kind, seed, n=3, k=4)
    region, target = instance.region, instance.target
    found = project_onto(region, target)
    assert region.contains(found.point)
    assert found.point @ found.point <= found.point @ target
    unit = np.linalg.norm(target) * max(region.reach(target), 1e-300)
    if found.status == "pinned":
        return
    for z in feasible_points(region, target, np.random.default_rng(seed), 20):
        assert (target - found.point) @ (z - found.point) <= 1e-5 * unit


@EXAMPLES
@given(SEEDS, st.sampled_from(REGULAR))
def test_non_expansive(seed: int, kind: str) -> None:
    """|P(s) - P(t)| <= |s - t|, and projecting twice changes nothing that matters."""
    instance = draw(kind, seed, n=4, k=6)
    region, target = instance.region, instance.target
    size = np.linalg.norm(target)
    other = target + 0.3 * size * np.random.default_rng(seed).normal(size=target.size)
    first, second = project_onto(region, target).point, project_onto(region, other).point
    assert np.linalg.norm(first - second) <= np.linalg.norm(target - other) + 1e-6 * size
    assert project_onto(region, first).point == pytest.approx(first, abs=1e-7 * size)


@EXAMPLES
@given(SEEDS, st.sampled_from(sorted(KINDS)))
def test_every_answer_meets_its_tolerances(seed: int, kind: str) -> None:
    instance = draw(kind, seed)
    found = project_onto(instance.region, instance.target)
    assert instance.region.contains(found.point)
    assert found.point @ found.point <= found.point @ instance.target
    if found.backend != "none":
        region, target = instance.region, instance.target
        kkt = library_residual(region, target, found.point, found.duals)
        gap = distance_gap(region, target, found.point, found.duals) / region.reach(target)
        assert (kkt, gap) == (found.kkt_residual, found.gap)
        assert kkt <= projection.KKT_TOLERANCE or gap <= projection.GAP_TOLERANCE
    assert (found.duals >= 0).all()


# --- invariance ------------------------------------------------------------------------------------------------------


def rebuilt(region: LocalSafeRegion, rows: np.ndarray, factors: Array | float = 1.0) -> LocalSafeRegion:
    return replace(
        region,
        values=region.values[rows] * factors,
        slopes=region.slopes[rows] * np.reshape(factors, (-1, 1)),
        smoothness=region.smoothness[rows] * factors,
        probe_error=region.probe_error[rows] * factors,
    )


@EXAMPLES
@given(SEEDS, st.sampled_from(REGULAR))
def test_invariance(seed: int, kind: str) -> None:
    """Permuting, duplicating or scaling rows and rotating the directions change the answer as they must, only."""
    instance = draw(kind, seed)
    region, target = instance.region, instance.target
    k, n = region.slopes.shape
    rng = np.random.default_rng(seed)
    found = project_onto(region, target).point
    near = 1e-6 * np.linalg.norm(target)
    permutation = rng.permutation(k)
    assert project_onto(rebuilt(region, permutation), target).point == pytest.approx(found, abs=near)
    twice = np.concatenate([np.arange(k), permutation])
    assert project_onto(rebuilt(region, twice), target).point == pytest.approx(found, abs=near)
    factors = 10.0 ** rng.uniform(-6, 6, k)
    assert project_onto(rebuilt(region, np.arange(k), factors), target).point == pytest.approx(found, abs=near)
    rotation = np.linalg.qr(rng.normal(size=(n, n)))[0]
    rotated = replace(region, slopes=region.slopes @ rotation.T)
    assert project_onto(rotated, rotation @ target).point == pytest.approx(rotation @ found, abs=near)
    padded = replace(region, slopes=np.hstack([region.slopes, np.zeros((k, 3))]))
    longer = project_onto(padded, np.append(target, [0.0, 0.0, 0.0])).point
    assert longer == pytest.approx(np.append(found, [0.0, 0.0, 0.0]), abs=near)


@EXAMPLES
@given(SEEDS, st.integers(-20, 20))
def test_units_of_the_step(seed: int, power: int) -> None:
    """Steps measured in another unit: z, 1/a, 1/e, 1/L^2 and r scale along."""
    instance = draw("plain", seed)
    unit, region = 2.0**power, instance.region
    scaled = replace(
        region,
        slopes=region.slopes / unit,
        probe_error=region.probe_error / unit,
        smoothness=region.smoothness / unit**2,
        radius=region.radius * unit,
    )
    found, other = project_onto(region, instance.target), project_onto(scaled, instance.target * unit)
    assert other.point / unit == pytest.approx(found.point, abs=1e-6 * np.linalg.norm(instance.target))


# --- row screening ---------------------------------------------------------------------------------------------------


@EXAMPLES
@given(SEEDS, st.sampled_from([*REGULAR, "some zero slack", "target huge"]))
def test_screening_never_changes_the_answer(seed: int, kind: str) -> None:
    instance = draw(kind, seed)
    region, target = instance.region, instance.target
    found = project_onto(region, target)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(projection, "_may_be_active", lambda region, *given: np.ones(region.values.size, bool))
        whole = project_onto(region, target)
    longest = max(region.reach(target), 1e-300)
    assert np.linalg.norm(whole.point - found.point) <= 1e-6 * longest


@EXAMPLES
@given(SEEDS)
def test_screened_rows_hold_wherever_the_solution_can_be(seed: int) -> None:
    instance = draw("plain", seed, n=3, k=20)
    region, target = instance.region, instance.target
    dropped = ~projection._may_be_active(region, target)
    rng = np.random.default_rng(seed)
    limit = region.reach(target)
    for _ in range(50):
        direction = rng.normal(size=3)
        z = 0.5 * target + 0.5 * np.linalg.norm(target) * direction / np.linalg.norm(direction)
        z *= min(1.0, limit / np.linalg.norm(z))
        assert (region.rows(z)[dropped] < 0).all()


def test_screening_drops_far_rows() -> None:
    region = LocalSafeRegion.build([-1.0, -9.0, -1.0], [[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]], 0.0)
    assert projection._may_be_active(region, np.array([4.0, 0.0])).tolist() == [True, False, False]


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "options", "error", "message"),
    [
        ([1.0], {}, ShapeError, r"target: expected shape \(2,\), got \(1,\)"),
        ([[1.0, 2.0]], {}, ShapeError, r"target: expected shape \(2,\), got \(1, 2\)"),
        (["a", "b"], {}, ShapeError, "target: expected an array of real numbers"),
        ([1j, 0.0], {}, ShapeError, "target: expected an array of real numbers"),
        ([1.0, np.nan], {}, NonFiniteError, "target: 1 entries are NaN"),
        ([1.0, np.inf], {}, NonFiniteError, "target: 1 entries are NaN"),
        ([1.0, 1e200], {}, NonFiniteError, "rescale"),
        ([1.0, 1.0], {"backend": "magic"}, ConfigurationError, "no 'magic'; there are auto, sqp, clarabel"),
        ([1.0, 1.0], {"radius": -1.0}, ConfigurationError, "radius"),
        ([1.0, 1.0], {"radius": "far"}, ConfigurationError, "radius: expected a number"),
        ([1.0, 1.0], {"radius": np.ones(2)}, ConfigurationError, "radius: expected a number"),
        ([1.0, 1.0], {"kappa": 2.0}, ConfigurationError, "kappa"),
        ([1.0, 1.0], {"kappa": "half"}, ConfigurationError, "kappa: expected a number"),
        ([1.0, 1.0], {"backend": ["sqp"]}, ConfigurationError, "backend"),
        ([1.0, 1.0], {"probe_error": -1.0}, ConfigurationError, "probe_error"),
    ],
)
def test_unusable_arguments(target: Any, options: dict[str, Any], error: type[ScpoError], message: str) -> None:
    with pytest.raises(error, match=message):
        project(target, [-1.0, -1.0], [[1.0, 0.0], [0.0, 1.0]], 0.0, **options)


def test_an_unsafe_start_is_refused() -> None:
    with pytest.raises(UnsafeStartError, match=r"values\[0\]"):
        project([1.0], [1e-300], [[1.0]], 0.0)
