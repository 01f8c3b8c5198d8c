"""The projection in a norm of one's own: against an independent solver, its descent, its certificate, its errors."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from scpo.arrays import Array
from scpo.errors import ConfigurationError, NonFiniteError, ShapeError
from scpo.projection import project as projection
from scpo.projection.norm import Norm
from scpo.projection.optimality import dual_value
from scpo.projection.project import GAP_TOLERANCE, KKT_TOLERANCE, project, project_onto
from scpo.projection.region import LocalSafeRegion
from tests.trials.fuzz_projection import case

from .instances import KINDS, draw

#: ordinary and degenerate kinds that another solver can solve, and how many instances of each
SOLVED = ("plain", "some zero slack", "duplicate rows", "L = 0", "k = 1", "n = 1", "k = 500", "steep probe error")
EACH = 125


def drawn(rng: np.random.Generator, n: int, width: float, *, diagonal: bool) -> Array:
    """Return a random metric with eigenvalues in 10^-width ... 10^width."""
    values = 10.0 ** rng.uniform(-width, width, n)
    if diagonal:
        return values
    axes = np.linalg.qr(rng.normal(size=(n, n)))[0]
    return np.asarray((axes * values) @ axes.T)


def matrix(metric: Array) -> Array:
    return np.diag(metric) if metric.ndim == 1 else metric


def solved_by_cvxpy(region: LocalSafeRegion, target: Array, metric: Array, unit: float) -> Array | None:
    """Return the projection as cvxpy and Clarabel find it, in units of ``unit``; None where they give up."""
    import cvxpy as cp

    values, axes = np.linalg.eigh(matrix(metric))
    roots = np.sqrt(values)[:, None] * axes.T
    goal = roots @ target / unit
    roots, goal = roots / np.linalg.norm(goal), goal / np.linalg.norm(goal)
    sizes = np.maximum(region.sizes(unit), 1e-300)
    z, s, tau = cp.Variable(target.size), cp.Variable(), cp.Variable()
    rows = (
        region.kappa * region.values / sizes
        + (region.slopes * unit / sizes[:, None]) @ z
        + (region.probe_error * unit / sizes) * s
        + (0.5 * region.smoothness * unit**2 / sizes) * tau
    )
    limits = [rows <= 0, cp.norm(z, 2) <= s, cp.sum_squares(z) <= tau]
    if np.isfinite(region.radius):
        limits.append(s <= region.radius / unit)
    problem = cp.Problem(cp.Minimize(cp.sum_squares(roots @ z - goal)), limits)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            problem.solve(cp.CLARABEL, tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10, max_iter=200)
        except cp.SolverError:
            return None
    return None if z.value is None or problem.status != cp.OPTIMAL else unit * np.asarray(z.value)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SOLVED)
def test_another_solver_finds_the_same_point(kind: str) -> None:
    """1,000 instances in all.  A solver that stops short proves nothing, so its status must say "optimal"."""
    compared, worst = 0, 0.0
    for seed in range(EACH):
        n, k = ((None, None), (4, 60), (33, 3), (8, 8))[seed % 4]
        rng, width = np.random.default_rng(seed), (1, 3, 6, 8)[seed // 4 % 4]
        instance = draw(kind, seed, n=n, k=k)
        region, target = instance.region, instance.target
        metric = drawn(rng, target.size, width, diagonal=width > 6 or bool(rng.random() < 0.5))
        found = project_onto(region, target, metric=metric)
        norm = Norm.build(metric, target.size)
        assert region.contains(found.point)
        image, goal = norm.image(found.point), norm.image(target)
        assert image @ image <= image @ goal
        if found.status != "projected":
            continue
        other = solved_by_cvxpy(region, target, metric, norm.reach(region, target))
        if other is not None:
            compared += 1
            worst = max(worst, float(np.linalg.norm(norm.image(found.point - other)) / np.linalg.norm(goal)))
    assert compared > EACH // 4
    assert worst < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_degenerate_instances_have_no_point_that_is_much_nearer(kind: str) -> None:
    for seed in range(4):
        instance = draw(kind, seed)
        region, target = instance.region, instance.target
        metric = drawn(np.random.default_rng(seed), target.size, 3, diagonal=seed % 2 == 0)
        found = project_onto(region, target, metric=metric)
        assert region.contains(found.point)
        if found.status == "projected":
            assert -1e-9 <= found.gap <= 2e-6


@pytest.mark.parametrize("kind", ["plain", "k = 500", "target huge", "steep probe error"])
def test_any_multipliers_give_a_bound_that_no_point_beats(kind: str) -> None:
    rng = np.random.default_rng(1)
    for seed in range(10):
        instance = draw(kind, seed)
        region, target = instance.region, instance.target
        norm = Norm.build(drawn(rng, target.size, 2, diagonal=seed % 2 == 0), target.size)
        goal = norm.image(target)
        for _ in range(5):
            duals = np.exp(rng.normal(-4, 3, region.values.size)) * (rng.random(region.values.size) < 0.5)
            point = region.pull_back(rng.normal(size=target.size) * np.exp(rng.normal(-2, 2)), target, norm.image)
            y = norm.image(point)
            assert 0.5 * (y @ y) - y @ goal >= dual_value(region, target, duals, norm) - 1e-12 * (goal @ goal)


def test_the_identity_is_the_euclidean_norm() -> None:
    for kind in ("plain", "some zero slack", "target huge"):
        instance = draw(kind, 3)
        plain = project_onto(instance.region, instance.target)
        scaled = project_onto(instance.region, instance.target, metric=np.full(instance.target.size, 4.0))
        assert np.array_equal(plain.point, scaled.point)
        assert np.array_equal(4.0 * plain.duals, scaled.duals)


def test_rotated_problems_have_rotated_answers() -> None:
    rng = np.random.default_rng(5)
    instance = draw("plain", 8, n=8, k=20)
    region, target = instance.region, instance.target
    axes = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    weights = 10.0 ** rng.uniform(-2, 2, 8)
    straight = project_onto(region, target, metric=weights)
    turned = project(
        axes @ target, region.values, region.slopes @ axes.T, region.smoothness, probe_error=region.probe_error,
        radius=region.radius, kappa=region.kappa, metric=(axes * weights) @ axes.T,
    )  # fmt: skip
    assert straight.status == turned.status == "projected"
    assert turned.point == pytest.approx(axes @ straight.point, rel=1e-6, abs=1e-9)


def test_a_wide_target_within_the_radius_is_not_just_shortened() -> None:
    """In the Euclidean norm a target beyond the radius is shortened; with H the nearest point lies elsewhere."""
    found = project([3.0, 3.0], [-100.0], [[1.0, 0.0]], 0.0, radius=1.0, metric=[100.0, 1.0])
    assert found.point[0] > 2.0 * found.point[1] > 0
    assert np.linalg.norm(found.point) == pytest.approx(1.0)
    left = np.array([100.0, 1.0]) * (3.0 - found.point)
    assert left[0] * found.point[1] == pytest.approx(left[1] * found.point[0], rel=1e-6)  # along z


@pytest.mark.parametrize(
    ("metric", "error", "message"),
    [
        ([1.0, 0.0], ConfigurationError, "positive definite"),
        ([1.0, 1e-20], ConfigurationError, "positive definite"),
        ([[1.0, 2.0], [2.0, 1.0]], ConfigurationError, "positive definite"),
        ([[1.0, 0.5], [0.4, 1.0]], ShapeError, "symmetric"),
        ([1.0, 1.0, 1.0], ShapeError, "expected shape"),
        ([1.0, np.nan], NonFiniteError, "NaN"),
    ],
)
def test_unusable_metrics(metric: list[float], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"metric: .*{message}"):
        project([1.0, 1.0], [-1.0], [[1.0, 0.0]], 0.0, metric=metric)


def test_tight_rows_can_leave_nothing_of_a_target() -> None:
    """Where H t = A^T lambda with lambda >= 0 on rows without slack, 0 is the projection; elsewhere it is not."""
    for seed in range(30):
        rng = np.random.default_rng(seed)
        n, k = 6, 4
        metric = drawn(rng, n, 2, diagonal=seed % 2 == 0)
        values, slopes = np.where(np.arange(k) < 3, 0.0, -1.0), rng.normal(size=(k, n))
        duals = np.append(rng.uniform(0.1, 1.0, 3), 0.0)
        target = np.linalg.solve(matrix(metric), slopes.T @ duals)
        held = project(target, values, slopes, 1.0, metric=metric)
        assert np.linalg.norm(held.point) <= 1e-6 * np.linalg.norm(target)
        free = np.linalg.solve(matrix(metric), slopes.T @ np.array([-0.5, *duals[1:]]))
        assert project(free, values, slopes, 1.0, metric=metric).point.any()


@pytest.mark.parametrize("seed", range(60))
def test_unlike_directions_with_a_row_that_leaves_no_slack(seed: int) -> None:
    """Rows as steep as H is large, and one that must not rise, as the loss may not with an adaptive optimiser.

    The answer is short against what these rows can vary by within the radius.
    """
    rng = np.random.default_rng([7, seed])
    roots = np.array([1e-4, 1e-2, 0.1, 1.0])
    axes = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    metric = (axes * roots**2) @ axes.T
    target = axes @ (rng.normal(size=4) * 0.002 / roots * np.array([0.0, 1.0, 1.0, 1.0]))
    steep = 20.0 * (rng.normal(size=(20, 4)) * roots) @ axes.T
    flat = 3.0 * (rng.normal(size=4) * roots) @ axes.T
    flat *= np.copysign(1.0, flat @ target)
    region = LocalSafeRegion.build(
        np.append(-np.exp(rng.normal(-7, 1, 20)), 0.0),
        np.vstack([steep, flat]),
        np.append(np.full(20, 0.25), 0.0),
        radius=5.0,
    )
    found = project_onto(region, target, metric=0.5 * (metric + metric.T))
    assert region.contains(found.point)
    assert found.kkt_residual <= KKT_TOLERANCE or found.gap <= GAP_TOLERANCE
    assert found.backend != "clarabel"


def test_opposite_rows_that_leave_far_less_than_each_of_them() -> None:
    """Number 9379 of the trial fuzz_projection: the region is 8 orders shorter than the reach, which is its unit."""
    one = case(9379)
    least = one.region.longest_by_pairs()
    assert least < 1e-7 * one.region.reach(one.target)
    found = one.solve()
    assert one.region.contains(found.point)
    assert np.linalg.norm(found.point) < least
    assert found.kkt_residual <= KKT_TOLERANCE
    assert found.retries == ("sqp", "clarabel")
    assert found.point == pytest.approx(one.solve("clarabel").point, rel=1e-6, abs=1e-6 * least)


def test_opposite_rows_with_errors_and_no_slack_leave_only_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pair proves it where no backend does."""
    monkeypatch.setattr(projection, "BACKENDS", dict.fromkeys(projection.BACKENDS, lambda *given: []))
    slope = np.array([1.0, 0.3])
    found = project([1.0, 1.0], [0.0, 0.0], [slope, -slope], 0.0, probe_error=0.1, metric=[1.0, 2.0])
    assert (found.status, found.retries) == ("pinned", ("sqp", "clarabel"))
    assert not found.point.any()
