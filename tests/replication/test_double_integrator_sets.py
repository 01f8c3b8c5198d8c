"""System, gains and invariant sets of the double integrator: known values, invariance, maximality, a second library."""

from __future__ import annotations

import numpy as np
import polytope
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linprog

from replication.tasks.double_integrator import sets, starts, system
from replication.tasks.double_integrator.settings import DoubleIntegratorConfig
from scpo.errors import ConfigurationError, ShapeError

AREAS = [(100.0, 41.573, 10), (10.0, 25.526, 4), (1.0, 16.078, 4), (0.1, 11.796, 6)]


def test_gains_have_the_known_values() -> None:
    np.testing.assert_allclose(system.backup_gain(), [[0.0795, 0.4481]], atol=1e-4)
    np.testing.assert_allclose(system.lqr(10.0)[0], [[0.2054, 0.7835]], atol=1e-4)
    assert system.spectral_radius(system.closed_loop(system.backup_gain())) == pytest.approx(0.7946, abs=1e-4)


def test_gain_minimises_the_cost_to_go() -> None:
    gain, cost = system.lqr(100.0)
    matrix = system.closed_loop(gain)
    np.testing.assert_allclose(np.eye(2) + 100.0 * gain.T @ gain + matrix.T @ cost @ matrix, cost, rtol=1e-10)
    for change in ([[0.01, 0.0]], [[0.0, -0.01]]):
        other = gain + np.array(change)
        matrix = system.closed_loop(other)
        worse = np.eye(2) + 100.0 * other.T @ other + matrix.T @ cost @ matrix - cost
        assert np.linalg.eigvalsh(worse)[0] >= -1e-10 and np.linalg.eigvalsh(worse)[1] > 1e-4


def test_cached_arrays_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        system.backup_gain()[0, 0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        sets.backup_invariant_set().facets[0, 0] = 1.0


def test_step_refuses_wrong_shapes() -> None:
    np.testing.assert_array_equal(system.step(np.array([[1.0, 2.0]]), np.array([[0.5]])), [[3.0, 2.5]])
    with pytest.raises(ShapeError, match="step"):
        system.step(np.zeros((3, 2)), np.zeros(3))


@pytest.mark.parametrize(("weight", "area", "facets"), AREAS)
def test_areas_have_the_known_values(weight: float, area: float, facets: int) -> None:
    region = sets.maximal_invariant_set(system.lqr(weight)[0])
    assert region.area == pytest.approx(area, abs=1e-3)
    assert len(region.facets) == len(region.vertices) == facets


def test_control_invariant_set_is_the_known_polygon() -> None:
    region = sets.maximal_control_invariant_set()
    assert region.area == pytest.approx(50.0, abs=1e-9)
    corners = [[5, 0], [4, 1], [2, 2], [-1, 3], [-5, 4], [-5, 0], [-4, -1], [-2, -2], [1, -3], [5, -4]]
    assert sorted(np.round(region.vertices, 9).tolist()) == sorted(corners)


@pytest.mark.parametrize("weight", [100.0, 10.0, 1.0, 0.1])
def test_invariant_set_is_invariant_and_safe(weight: float) -> None:
    gain = system.lqr(weight)[0]
    region = sets.maximal_invariant_set(gain)
    assert np.abs(region.vertices).max() <= system.STATE_LIMIT + 1e-12
    assert np.abs(region.vertices @ gain.T).max() <= system.INPUT_LIMIT + 1e-12
    assert region.gauge(region.vertices @ system.closed_loop(gain).T).max() <= 1.0 + 1e-12


def test_invariant_set_is_maximal() -> None:
    """Trajectories from inside never violate a constraint; from just outside every one does at some time."""
    gain = system.backup_gain()
    region = sets.maximal_invariant_set(gain)
    matrix = system.closed_loop(gain)
    edge = starts.boundary(region, 2000)
    for factor, safe in ((1.0 - 1e-9, True), (1.0 + 1e-6, False)):
        states, worst = factor * edge, np.zeros(len(edge))
        for _ in range(60):
            worst = np.maximum(worst, np.abs(states).max(axis=1) / system.STATE_LIMIT)
            worst = np.maximum(worst, np.abs(states @ gain.T)[:, 0] / system.INPUT_LIMIT)
            states = states @ matrix.T
        assert ((worst <= 1.0) == safe).all()


def test_control_invariant_set_is_invariant_and_maximal() -> None:
    """A linear program per start asks for an admissible input sequence of 20 steps."""
    region = sets.maximal_control_invariant_set()
    inside = sets.backup_invariant_set()
    assert region.gauge(inside.vertices).max() <= 1.0 + 1e-12

    def admissible(state: np.ndarray, steps: int = 20) -> bool:
        effect, rows, limits = np.zeros((2, steps)), [], []
        for t in range(steps):
            effect = system.A @ effect
            effect[:, t] += system.B[:, 0]
            state = system.A @ state
            rows += [effect, -effect]
            limits += [5.0 - state, 5.0 + state]
        found = linprog(np.zeros(steps), np.vstack(rows), np.concatenate(limits), bounds=(-1.0, 1.0))
        return bool(found.status == 0)

    for vertex in region.vertices:
        assert admissible(vertex * (1.0 - 1e-6))
        assert np.abs(vertex * 1.001).max() > 5.0 or not admissible(vertex * 1.001)


def test_polytope_library_agrees() -> None:
    gain = system.backup_gain()
    matrix = system.closed_loop(gain)
    rows = np.vstack([np.eye(2) / 5.0, -np.eye(2) / 5.0, gain, -gain])
    stacked = np.vstack([rows @ np.linalg.matrix_power(matrix, t) for t in range(12)])
    other = polytope.reduce(polytope.Polytope(stacked, np.ones(len(stacked))))
    region = sets.maximal_invariant_set(gain)
    assert len(other.A) == len(region.facets)
    ours, theirs = region.vertices, polytope.extreme(other)
    distances = np.linalg.norm(ours[:, None] - theirs[None], axis=-1)
    assert distances.min(axis=1).max() < 1e-9 and distances.min(axis=0).max() < 1e-9


def test_unstable_gain_has_no_invariant_set() -> None:
    with pytest.raises(ConfigurationError, match="not stable"):
        sets.maximal_invariant_set(np.array([[-0.1, 0.0]]))
    with pytest.raises(ConfigurationError, match="finitely determined"):
        sets.maximal_invariant_set(np.array([[1e-9, 1e-6]]))


points = arrays(np.float64, (12, 2), elements=st.floats(-3.0, 3.0))


@settings(max_examples=60, deadline=None)
@given(points, st.floats(0.1, 10.0))
def test_polygon_of_points(cloud: np.ndarray, factor: float) -> None:
    cloud = np.vstack([cloud, [[1, 0], [-1, 1], [-1, -1]]])
    region = sets.Polygon.from_points(cloud)
    assert region.gauge(cloud).max() <= 1.0 + 1e-9
    np.testing.assert_allclose(region.gauge(region.vertices), 1.0, atol=1e-9)
    np.testing.assert_allclose(region.gauge(factor * cloud), factor * region.gauge(cloud), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(region.scaled(factor).area, factor**2 * region.area, rtol=1e-9)
    following = np.roll(region.vertices, -1, axis=0)
    crossed = region.vertices[:, 0] * following[:, 1] - region.vertices[:, 1] * following[:, 0]
    assert (crossed > 0).all() and 0.5 * crossed.sum() == pytest.approx(region.area, rel=1e-9)


def test_redundant_rows_are_dropped() -> None:
    rows = np.vstack([np.eye(2), -np.eye(2), [[0.4, 0.4], [0.5, 0.0]]])
    region = sets.Polygon.from_facets(rows)
    assert len(region.facets) == 4 and region.area == pytest.approx(4.0)


@pytest.mark.parametrize("rows", [[[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]], [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]])
def test_unbounded_sets_are_refused(rows: list[list[float]]) -> None:
    with pytest.raises(ConfigurationError, match="bounded"):
        sets.Polygon.from_facets(np.array(rows))


def test_bad_polygons_are_refused() -> None:
    with pytest.raises(ShapeError, match="polygon"):
        sets.Polygon.from_facets(np.ones((4, 3)))
    with pytest.raises(ConfigurationError, match="factor"):
        sets.state_box().scaled(0.0)


def test_uniform_starts_have_the_polygons_moments() -> None:
    region = sets.backup_invariant_set().scaled(0.95)
    sample = starts.uniform(region, 200_000, np.random.default_rng(5))
    assert region.gauge(sample).max() <= 1.0 + 1e-12
    first, second = region.vertices, np.roll(region.vertices, -1, axis=0)
    areas = np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])
    moments = sum(
        area / 12.0 * (np.outer(v, v) + np.outer(w, w) + np.outer(v + w, v + w))
        for area, v, w in zip(areas / areas.sum(), first, second, strict=True)
    )
    np.testing.assert_allclose(sample.T @ sample / len(sample), moments, atol=0.03)
    np.testing.assert_allclose(sample.mean(axis=0), 0.0, atol=0.02)


@pytest.mark.parametrize("count", [16, 48, 168, 224, 448])
def test_training_starts_cover_boundary_interior_and_origin(count: int) -> None:
    region = sets.backup_invariant_set().scaled(0.95)
    chosen = starts.training_starts(region, count)
    gauge = region.gauge(chosen)
    distances = np.linalg.norm(chosen[:, None] - chosen, axis=2)[np.triu_indices(count, 1)]
    assert chosen.shape == (count, 2)
    assert distances.min() > 1e-4
    assert gauge.max() <= 1.0 + 1e-12
    assert gauge.min() == pytest.approx(1e-3)
    assert (gauge > 1.0 - 1e-9).sum() >= 10 + (count - 10) // 4
    np.testing.assert_array_equal(chosen[:10], region.vertices)
    np.testing.assert_array_equal(chosen, starts.training_starts(region, count))


def test_training_starts_hold_the_vertices_of_every_ring() -> None:
    region = sets.backup_invariant_set().scaled(0.95)
    chosen = starts.training_starts(region, DoubleIntegratorConfig().starts)
    for gauge in starts.RINGS:
        distances = np.linalg.norm(chosen[:, None] - gauge * region.vertices, axis=2)
        assert distances.min(axis=0).max() == 0.0


def test_too_few_training_starts_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least 16"):
        starts.training_starts(sets.backup_invariant_set(), 15)
