"""The parts of the projection: lower bound, reach, reduction to a span, multipliers at 0, calls in threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scpo.arrays import Array
from scpo.projection import project as projection
from scpo.projection import solvers, sqp
from scpo.projection.optimality import distance_gap, dual_distance, dual_value
from scpo.projection.project import KKT_TOLERANCE, project, project_onto
from scpo.projection.region import LocalSafeRegion

from .instances import KINDS, Instance, draw

EXAMPLES = settings(derandomize=True, deadline=None, max_examples=60)
SEEDS = st.integers(0, 10**6)


@EXAMPLES
@given(SEEDS, st.sampled_from(sorted(KINDS)), st.floats(-8, 40))
def test_dual_distance_is_a_lower_bound_for_any_duals(seed: int, kind: str, magnitude: float) -> None:
    """Feasible points are never nearer than it says: random multipliers, also absurdly large ones."""
    instance = draw(kind, seed, n=3, k=5)
    region, target = instance.region, instance.target
    rng = np.random.default_rng(seed)
    size = float(np.linalg.norm(target))
    units = np.linalg.norm(region.slopes, axis=1) + region.probe_error + region.smoothness * size
    duals = rng.random(region.values.size) * size / np.where(units > 0, units, 1.0) * 10.0**magnitude
    duals[rng.random(duals.size) < 0.3] = 0.0
    lower = dual_distance(region, target, duals)
    points = [region.pull_back(z, target) for z in target + size * rng.normal(size=(20, target.size))]
    points += [project_onto(region, target).point]
    for z in points:
        distance = float(np.linalg.norm(z - target))
        assert lower <= distance * (1 + 1e-12)
        gap = distance_gap(region, target, z, duals)
        assert gap == pytest.approx(distance - lower, abs=1e-9 * size)
        assert gap >= -1e-13 * size


def test_dual_distance_survives_rounding() -> None:
    """S is the ray along (1, 0), at distance 1; multipliers of 1e40 drown the target in rounding."""
    region = LocalSafeRegion.build([0.0], [[-1.0, 0.0]], 0.0, 1.0)
    target = np.array([1.0, 1.0])
    for size in 10.0 ** np.arange(0, 41):
        assert dual_distance(region, target, np.array([size])) <= 1.0
    assert dual_distance(region, target, np.array([1e4])) >= 0.999


def test_dual_distance_is_tight_at_the_solution() -> None:
    region = LocalSafeRegion.build([-1.0], [[3.0, 4.0]], 0.0)
    assert dual_distance(region, np.array([6.0, 8.0]), np.array([49 / 25])) == pytest.approx(49 / 5)


@EXAMPLES
@given(SEEDS)
def test_the_dual_value_is_the_least_lagrangian(seed: int) -> None:
    """No step within the radius has a smaller Lagrangian, and a step along target - A^T lambda attains it."""
    instance = draw("plain", seed, n=3, k=4)
    region, target = instance.region, instance.target
    rng = np.random.default_rng(seed)
    duals = rng.random(4)

    def lagrangian(z: Array) -> float:
        return 0.5 * float((z - target) @ (z - target)) + float(duals @ region.rows(z))

    least = 0.5 * float(target @ target) + dual_value(region, target, duals)
    pull = target - duals @ region.slopes
    length = max(0.0, float(np.linalg.norm(pull) - duals @ region.probe_error)) / (1 + duals @ region.smoothness)
    best = min(length, region.radius) * pull / np.linalg.norm(pull)
    assert lagrangian(best) == pytest.approx(least, rel=1e-9, abs=1e-12)
    for _ in range(30):
        z = best + 10.0 ** rng.uniform(-6, 0) * rng.normal(size=3)
        z *= min(1.0, region.radius / np.linalg.norm(z))
        assert lagrangian(z) >= least - 1e-12


@EXAMPLES
@given(SEEDS, st.sampled_from(sorted(KINDS)))
def test_reach_bounds_every_member(seed: int, kind: str) -> None:
    instance = draw(kind, seed, n=3, k=4)
    region, target = instance.region, instance.target
    rng = np.random.default_rng(seed)
    limit = region.reach(target)
    assert limit <= np.linalg.norm(target)
    for z in rng.normal(size=(20, target.size)):
        member = region.pull_back(1e3 * np.linalg.norm(target) * z, 1e9 * target * np.sign(z @ target))
        shortest = min(float(np.linalg.norm(member)), float(np.linalg.norm(target)))
        assert shortest <= limit * (1 + 1e-12)


def test_reach_by_hand() -> None:
    region = LocalSafeRegion.build([-2.0, -1.0], [[0.0, 0.0], [3.0, 4.0]], [4.0, 0.0])
    assert region.reach(np.array([9.0, 0.0])) == pytest.approx(1.0)  # -2 + 2 s^2 <= 0
    assert replace(region, radius=0.5).reach(np.array([9.0, 0.0])) == 0.5
    assert region.reach(np.array([0.3, 0.0])) == 0.3
    assert LocalSafeRegion.build([0.0], [[3.0, 4.0]], 2.0, 1.0).reach(np.array([9.0, 9.0])) == 4.0
    assert LocalSafeRegion.build([-1.0], [[1.0]], 1e-310).reach(np.array([9.0])) == 9.0


@EXAMPLES
@given(SEEDS, st.sampled_from(["plain", "zero slope", "duplicate rows", "L = 0", "mixed g"]))
def test_the_reduction_to_a_span_is_exact(seed: int, kind: str) -> None:
    """With fewer rows than directions the answer is the same as in all directions, where the span is not used."""
    instance = draw(kind, seed, n=24, k=3)
    region, target = instance.region, instance.target
    found = project_onto(region, target)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(projection, "_in_span", lambda region, target: (region, target, None))
        whole = project_onto(region, target)
    assert whole.point == pytest.approx(found.point, abs=1e-9 * np.linalg.norm(target))


def test_the_reduction_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = []
    right = solvers.BACKENDS["sqp"]
    monkeypatch.setitem(
        solvers.BACKENDS, "sqp", lambda region, *given: shapes.append(region.slopes.shape) or right(region, *given)
    )
    project_onto(draw("plain", 0, n=24, k=3).region, 10 * np.ones(24))
    project_onto(draw("k = 500", 0, n=2).region, 10 * np.ones(2))
    assert shapes[0][1] <= 4  # the target and at most three rows
    assert shapes[-1][1] == 2


# --- no memory of earlier calls, nothing shared by threads -----------------------------------------------------------


def fingerprint(instance: Instance, backend: str = "auto") -> tuple[object, ...]:
    found = project_onto(instance.region, instance.target, backend=backend)
    return found.point.tobytes(), found.duals.tobytes(), found.kkt_residual, found.gap, found.backend, found.retries


@pytest.mark.parametrize("backend", solvers.BACKENDS)
@pytest.mark.parametrize("kind", ["plain", "zero slack", "some zero slack", "huge z", "mixed g", "L = 1e8", "k = 1"])
def test_answers_do_not_depend_on_earlier_calls(kind: str, backend: str) -> None:
    """Bit for bit, whatever was solved before."""
    for seed in range(8):
        instance = draw(kind, seed, n=4, k=6)
        first = fingerprint(instance, backend)
        assert fingerprint(instance, backend) == first
        for other in ("plain", "tiny z", "huge g", "zero slack", "opposite rows"):
            fingerprint(draw(other, 100 + seed, n=4, k=6), backend)
        assert fingerprint(instance, backend) == first


@pytest.mark.parametrize("backend", solvers.BACKENDS)
def test_threads_do_not_disturb_each_other(backend: str) -> None:
    """Four threads that solve problems of the same shape get the answers of a single one, bit for bit."""
    instances = [draw("plain", seed, n=4, k=6) for seed in range(200)]
    alone = [fingerprint(instance, backend) for instance in instances]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda instance: fingerprint(instance, backend), 4 * instances))
    assert together == 4 * alone


def test_arguments_are_left_alone() -> None:
    instance = draw("plain", 5, n=4, k=6)
    region = instance.region
    arrays = (region.values, region.slopes, region.smoothness, region.probe_error, instance.target)
    before = [array.tobytes() for array in arrays]
    for backend in solvers.BACKENDS:
        project_onto(region, instance.target, backend=backend)
    assert [array.tobytes() for array in arrays] == before


# --- parts -----------------------------------------------------------------------------------------------------------


def test_multipliers_at_the_origin_by_hand() -> None:
    """target = (1, 2) against the rows z_1 <= 0 and z_2 <= 0: multipliers (1, 2); a row with slack has none."""
    region = LocalSafeRegion.build([0.0, 0.0, -1.0], [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], 0.0)
    assert solvers.duals_at_origin(region, np.array([1.0, 2.0])) == pytest.approx([1.0, 2.0, 0.0], abs=1e-5)
    assert not solvers.duals_at_origin(LocalSafeRegion.build([-1.0], [[1.0]], 0.0), np.array([1.0])).any()


@pytest.mark.parametrize("kind", ["zero slack", "plain"])
def test_multipliers_at_the_origin_only_prove_what_is_true(kind: str) -> None:
    for seed in range(30):
        instance = draw(kind, seed, n=3, k=3)
        duals = solvers.duals_at_origin(instance.region, instance.target)
        lower = dual_distance(instance.region, instance.target, duals)
        point = project_onto(instance.region, instance.target).point
        assert lower <= np.linalg.norm(point - instance.target) * (1 + 1e-9)


@EXAMPLES
@given(SEEDS, st.floats(-8, -2))
def test_the_sqp_repairs_an_approximate_answer(seed: int, error: float) -> None:
    """From an answer that is off by up to 1 per cent it reaches the KKT point to rounding."""
    instance = draw("plain", seed, n=4, k=5)
    region, target = instance.region, instance.target
    found = project_onto(region, target)
    if found.backend == "none":
        return
    rng = np.random.default_rng(seed)
    noise = 10.0**error
    size = float(np.linalg.norm(found.point))
    rough = sqp.Solution(
        found.point + noise * size * rng.normal(size=4) / 2,
        np.maximum(found.duals * (1 + noise * rng.normal(size=5)), 0.0),
    )
    repaired = sqp.solve(region, target, region.kappa * region.values, rough)
    assert repaired is not None
    assert np.linalg.norm(repaired.point - found.point) <= 1e-6 * size


def test_a_short_answer_beside_a_row_without_slack() -> None:
    """1e-9 of the rows' sizes is too much of a tightening here, and 0 too little; no backend solved it so.

    It comes from a run of the study with Adam in the Euclidean norm.
    """
    found = project(
        [0.05523, 0.01426, 0.008508, 0.000369],
        [-0.001081, -0.007856, -0.0003669, 0.0],
        [
            [-5.946, 43.65, -35.16, 8.47],
            [56.67, -221.0, -13.44, 21.04],
            [13.1, -57.89, 12.05, -7.085],
            [-8.315, 33.14, 0, 0],
        ],
        [1.006, 18.76, 1.768, 0.0],
        probe_error=[9.281e-07, 1.676e-05, 1.597e-06, 0.0],
        radius=0.3413,
        kappa=0.9,
    )
    assert found.kkt_residual <= KKT_TOLERANCE
    assert found.point.any()
