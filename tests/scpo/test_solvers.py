"""The backends' parts: dual bound, reach, QR reduction, multipliers at 0, polish, and no memory of earlier calls."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scpo.arrays import Array
from scpo.projection import solvers
from scpo.projection.polish import polish
from scpo.projection.project import project_onto
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
    lower = solvers.dual_distance(region, target, duals)
    points = [region.pull_back(z, target) for z in target + size * rng.normal(size=(20, target.size))]
    points += [project_onto(region, target).point]
    for z in points:
        distance = float(np.linalg.norm(z - target))
        assert lower <= distance * (1 + 1e-12)
        gap = solvers.distance_gap(region, target, z, duals)
        assert gap == pytest.approx(distance - lower, abs=1e-9 * size)
        assert gap >= -1e-13 * size


def test_dual_distance_survives_rounding() -> None:
    """S is the ray along (1, 0), at distance 1; multipliers of 1e40 drown the target in rounding."""
    region = LocalSafeRegion.build([0.0], [[-1.0, 0.0]], 0.0, 1.0)
    target = np.array([1.0, 1.0])
    for size in 10.0 ** np.arange(0, 41):
        assert solvers.dual_distance(region, target, np.array([size])) <= 1.0
    assert solvers.dual_distance(region, target, np.array([1e4])) >= 0.999


def test_dual_distance_is_tight_at_the_solution() -> None:
    region = LocalSafeRegion.build([-1.0], [[3.0, 4.0]], 0.0)
    assert solvers.dual_distance(region, np.array([6.0, 8.0]), np.array([49 / 25])) == pytest.approx(49 / 5)


@EXAMPLES
@given(SEEDS)
def test_the_lagrangian_is_least_where_it_says(seed: int) -> None:
    instance = draw("plain", seed, n=3, k=4)
    region, target = instance.region, instance.target
    rng = np.random.default_rng(seed)
    duals = rng.random(4)

    def lagrangian(z: Array) -> float:
        return 0.5 * float((z - target) @ (z - target)) + float(duals @ region.rows(z))

    least = solvers.lagrangian_minimiser(region, target, duals)
    assert np.linalg.norm(least) <= region.radius * (1 + 1e-12)
    value = lagrangian(least)
    assert value >= 0.5 * float(target @ target) + solvers.dual_value(region, target, duals) - 1e-12
    for _ in range(30):
        z = least + 10.0 ** rng.uniform(-6, 0) * rng.normal(size=3)
        z *= min(1.0, region.radius / np.linalg.norm(z))
        assert lagrangian(z) >= value - 1e-12


@EXAMPLES
@given(SEEDS, st.sampled_from(sorted(KINDS)))
def test_reach_bounds_every_member(seed: int, kind: str) -> None:
    instance = draw(kind, seed, n=3, k=4)
    region, target = instance.region, instance.target
    rng = np.random.default_rng(seed)
    limit = solvers.reach(region, target)
    assert limit <= np.linalg.norm(target)
    for z in rng.normal(size=(20, target.size)):
        member = region.pull_back(1e3 * np.linalg.norm(target) * z, 1e9 * target * np.sign(z @ target))
        shortest = min(float(np.linalg.norm(member)), float(np.linalg.norm(target)))
        assert shortest <= limit * (1 + 1e-12)


def test_reach_by_hand() -> None:
    region = LocalSafeRegion.build([-2.0, -1.0], [[0.0, 0.0], [3.0, 4.0]], [4.0, 0.0])
    assert solvers.reach(region, np.array([9.0, 0.0])) == pytest.approx(1.0)  # -2 + 2 s^2 <= 0
    assert solvers.reach(replace(region, radius=0.5), np.array([9.0, 0.0])) == 0.5
    assert solvers.reach(region, np.array([0.3, 0.0])) == 0.3
    assert solvers.reach(LocalSafeRegion.build([0.0], [[3.0, 4.0]], 2.0, 1.0), np.array([9.0, 9.0])) == 4.0
    assert solvers.reach(LocalSafeRegion.build([-1.0], [[1.0]], 1e-310), np.array([9.0])) == 9.0


@EXAMPLES
@given(SEEDS, st.sampled_from(["plain", "zero slope", "duplicate rows", "L = 0", "mixed g"]))
def test_the_reduction_by_qr_is_exact(seed: int, kind: str) -> None:
    """With fewer rows than directions the answer lies in the span of target and slopes, and equals the full solve's."""
    instance = draw(kind, seed, n=24, k=3)
    region, target = instance.region, instance.target
    found = project_onto(region, target, backend="clarabel")
    span = np.vstack([target, region.slopes]).T
    scales = np.linalg.norm(span, axis=0)
    span = span / np.where(scales > 0, scales, 1.0)
    outside = found.point - span @ np.linalg.lstsq(span, found.point, rcond=1e-12)[0]
    assert np.linalg.norm(outside) <= 1e-8 * np.linalg.norm(target)
    rows = np.r_[np.arange(3), np.zeros(22, int)]  # 25 rows, most of them repeated: too many for a reduction
    full = LocalSafeRegion.build(
        region.values[rows], region.slopes[rows], region.smoothness[rows], region.probe_error[rows], region.radius,
        region.kappa,
    )  # fmt: skip
    whole = project_onto(full, target, backend="clarabel")
    assert whole.point == pytest.approx(found.point, abs=1e-6 * np.linalg.norm(target))


def test_the_reduction_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = []
    right = solvers._clarabel_solver
    monkeypatch.setattr(solvers, "_clarabel_solver", lambda k, n: shapes.append((k, n)) or right(k, n))
    project_onto(draw("plain", 0, n=24, k=3).region, 10 * np.ones(24), backend="clarabel")
    project_onto(draw("k = 500", 0, n=2).region, 10 * np.ones(2), backend="clarabel")
    assert shapes[0][0] in solvers.ROW_COUNTS
    assert shapes[0][1] <= 4 < 24  # the target and at most three rows
    assert shapes[-1][1] == 2


def test_filling_up_rows_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    instance = draw("plain", 3, n=6, k=11)
    filled = project_onto(instance.region, instance.target, backend="clarabel")
    monkeypatch.setattr(solvers, "ROW_COUNTS", tuple(range(1, 30)))
    exact = project_onto(instance.region, instance.target, backend="clarabel")
    assert exact.point == pytest.approx(filled.point, rel=1e-9)


# --- no memory of earlier calls --------------------------------------------------------------------------------------


def fingerprint(instance: Instance) -> tuple[object, ...]:
    found = project_onto(instance.region, instance.target)
    return found.point.tobytes(), found.duals.tobytes(), found.kkt_residual, found.gap, found.backend, found.retries


@pytest.mark.parametrize("kind", ["plain", "zero slack", "some zero slack", "huge z", "mixed g", "L = 1e8", "k = 1"])
def test_answers_do_not_depend_on_earlier_calls(kind: str) -> None:
    """Bit for bit: the persistent solver of a shape may have solved anything before, or nothing."""
    for seed in range(8):
        instance = draw(kind, seed, n=4, k=6)
        solvers._clarabel_solver.cache_clear()
        first = fingerprint(instance)
        assert fingerprint(instance) == first
        for other in ("plain", "tiny z", "huge g", "zero slack", "opposite rows"):
            fingerprint(draw(other, 100 + seed, n=4, k=6))
        assert fingerprint(instance) == first
        solvers._clarabel_solver.cache_clear()
        fingerprint(draw("huge z", seed, n=4, k=6))
        assert fingerprint(instance) == first


def test_arguments_are_left_alone() -> None:
    instance = draw("plain", 5, n=4, k=6)
    region = instance.region
    arrays = (region.values, region.slopes, region.smoothness, region.probe_error, instance.target)
    before = [array.tobytes() for array in arrays]
    for backend in ("clarabel", "cvxpy-scs"):
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
        lower = solvers.dual_distance(instance.region, instance.target, duals)
        point = project_onto(instance.region, instance.target).point
        assert lower <= np.linalg.norm(point - instance.target) * (1 + 1e-9)


@EXAMPLES
@given(SEEDS, st.floats(-8, -2))
def test_polish_repairs_an_approximate_answer(seed: int, error: float) -> None:
    """From an answer off by up to 1 per cent, Newton steps give the KKT point to rounding, or leave it no worse."""
    instance = draw("plain", seed, n=4, k=5)
    region, target = instance.region, instance.target
    found = project_onto(region, target, backend="clarabel")
    if found.backend != "clarabel":
        return
    rng = np.random.default_rng(seed)
    noise = 10.0**error
    rough = found.point + noise * np.linalg.norm(found.point) * rng.normal(size=4) / 2
    duals = found.duals * (1 + noise * rng.normal(size=5))
    point, _ = polish(region, target, region.kappa * region.values, rough, np.maximum(duals, 0.0))
    size = np.linalg.norm(found.point)
    assert np.linalg.norm(point - found.point) <= max(1e-6 * size, np.linalg.norm(rough - found.point))


def test_root_gives_up_where_no_multiplier_exists() -> None:
    """No slack and e = |a|: the multiplier would be infinite."""
    region = LocalSafeRegion.build([0.0], [[-1.0, 0.0]], 0.0, 1.0)
    solution = solvers.BACKENDS["root"](region, np.array([1.0, 1.0]), np.array([1e-9]))
    assert solution is None


def test_scs_runs_beside_torch_in_one_process() -> None:
    """SCS's automatic choice of a linear solver can load a second MKL, which ends the process."""
    program = (
        "import torch; torch.linalg.qr(torch.randn(50, 50)); import scpo; "
        "print(scpo.project([2.0, 1.0], [-1.0], [[1.0, 0.0]], 0.0, backend='cvxpy-scs').backend)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100)
    assert done.stdout.strip() == "cvxpy-scs", done.stderr
