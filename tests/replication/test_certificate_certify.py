"""The whole certificate: what is certified must be true, planted unsafe policies must be refused."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from replication.certificate import Certificate, ClosedLoop, certify
from replication.certificate.intervals import point
from replication.planted_faults.loops import (
    AGGRESSIVE,
    build,
    cancel_backup,
    cycling,
    good,
    pocket,
    pocketed,
    policy,
    saturating,
    simulate,
)
from scpo.errors import ConfigurationError, ShapeError

A = np.array([[1.0, 1.0], [0.0, 1.0]])
B = np.array([[0.0], [1.0]])
K = np.array([[0.0794552458, 0.4481415435]])  # LQR, Q = I, R = 100


def without_idle_units(loop: ClosedLoop) -> ClosedLoop:
    """Return the same policy without the units that nothing reads: most of those of a network built by hand."""
    weights, biases = list(loop.weights), list(loop.biases)
    for layer in range(len(weights) - 2, -1, -1):
        read = weights[layer + 1].any(axis=1)
        weights[layer + 1] = weights[layer + 1][read]
        weights[layer], biases[layer] = weights[layer][:, read], biases[layer][read]
    same = replace(loop, weights=tuple(weights), biases=tuple(biases))
    x = np.random.default_rng(3).uniform(-5, 5, (100, 2))
    np.testing.assert_allclose(policy(same, x), policy(loop, x), rtol=0, atol=1e-12)
    return same


def check_by_simulation(loop: ClosedLoop, certificate: Certificate, starts: int = 2_000, steps: int = 150) -> None:
    """Simulate from certified cells: corners, where enclosures are tight, and random points."""
    boxes = certificate.grid.boxes()[certificate.mask.ravel()]
    if len(boxes.lo) == 0:
        return
    rng = np.random.default_rng(0)
    picked = rng.integers(0, len(boxes.lo), starts)
    share = rng.uniform(0, 1, (starts, 2))
    inner = boxes.lo[picked] + share * (boxes.hi - boxes.lo)[picked]
    x = np.concatenate([boxes.lo[picked], boxes.hi[picked], inner])
    assert certificate.contains(x).all()
    same = without_idle_units(loop)
    unsafe, last = simulate(same, x, steps)
    assert not unsafe.any()
    assert certificate.terminal is not None
    assert certificate.terminal.contains(point(last)).all()
    assert np.abs(simulate(same, last, 200)[1]).max() < 1e-6


@cache
def backup_safe_set() -> tuple[np.ndarray, np.ndarray]:
    """Return O_inf of the backup as rows h_j and vertices."""
    rows, power = [], np.eye(2)
    for _ in range(12):
        rows += [*(power / 5.0), *(-power / 5.0), K[0] @ power, -K[0] @ power]
        power = power @ (A - B @ K)
    halfspaces = np.array(rows)
    corners = []
    for i in range(len(rows)):
        for j in range(i):
            pair = halfspaces[[i, j]]
            if abs(np.linalg.det(pair)) > 1e-9:
                corner = np.linalg.solve(pair, np.ones(2))
                if (halfspaces @ corner <= 1.0 + 1e-9).all():
                    corners.append(corner)
    return halfspaces, np.array(corners)


def braking_limits(x: np.ndarray) -> np.ndarray:
    """Return by how much states miss C_inf: after j - 1 full brakes x_1 has moved j x_2 - j (j - 1) / 2."""
    misses = [np.abs(x).max(axis=1) - 5.0]
    for j in range(1, 8):
        misses.append(np.abs(x[:, 0] + j * x[:, 1]) - 5.0 - j * (j - 1) / 2)
    return np.max(misses, axis=0)


@cache
def certificate_of(name: str, cells: int = 100) -> tuple[ClosedLoop, Certificate]:
    loop = {"backup": build, "good": good, "cycling": cycling}[name]()
    return loop, certify(loop, cells)


def test_backup_is_certified_on_nearly_its_maximal_safe_set() -> None:
    loop, certificate = certificate_of("backup")
    halfspaces, _ = backup_safe_set()
    boxes = certificate.grid.boxes()[certificate.mask.ravel()]
    for corners in (boxes.lo, boxes.hi, np.c_[boxes.lo[:, 0], boxes.hi[:, 1]], np.c_[boxes.hi[:, 0], boxes.lo[:, 1]]):
        assert (corners @ halfspaces.T).max() <= 1.0 + 1e-9
    assert 39.0 <= certificate.area <= 41.58
    assert certificate.covers(halfspaces, 0.85)
    assert not certificate.covers(halfspaces, 1.0)
    check_by_simulation(loop, certificate)


def test_a_finer_grid_proves_more() -> None:
    areas = [certificate_of("backup", cells)[1].area for cells in (50, 100, 200)]
    assert areas[0] < areas[1] < areas[2] <= 41.58
    assert areas[2] >= 40.3


def test_a_saturated_controller_is_certified_nearly_everywhere() -> None:
    loop, certificate = certificate_of("good")
    assert certificate.certified
    assert certificate.reasons == ()
    assert certificate.area >= 44.0
    boxes = certificate.grid.boxes()[certificate.mask.ravel()]
    assert braking_limits(np.concatenate([boxes.lo, boxes.hi])).max() <= 1e-9  # within C_inf, area 50
    assert certificate.covers(backup_safe_set()[0], 0.85)
    check_by_simulation(loop, certificate)


@pytest.mark.parametrize("name", ["backup", "good", "cycling"])
def test_every_trajectory_from_refuted_cells_is_unsafe(name: str) -> None:
    loop, certificate = certificate_of(name, 200)
    assert not (certificate.refuted & (certificate.mask | certificate.invariant)).any()
    assert certificate.grid.area(certificate.refuted) >= 45.0  # C_inf has 50 of the box's 100
    boxes = certificate.grid.boxes()[certificate.refuted.ravel()]
    picked = np.random.default_rng(2).integers(0, len(boxes.lo), 2_000)
    starts = np.concatenate([boxes.lo[picked], boxes.hi[picked]])
    assert simulate(without_idle_units(loop), starts, 100)[0].all()


def test_refinement_decides_what_coarser_cells_leave_open() -> None:
    coarse, fine = (certificate_of("good", cells)[1] for cells in (100, 200))
    halves = np.kron(coarse.mask, np.ones((2, 2), dtype=bool))
    assert not (halves & ~fine.mask).any()
    open_cells = [one.grid.area(~(one.mask | one.refuted)) for one in (coarse, fine)]
    assert open_cells[1] < 0.7 * open_cells[0]


def refused(loop: ClosedLoop, rho: float, cells: int = 100) -> Certificate:
    """Certify, check all that is claimed by simulation, and demand that rho O_inf is not covered."""
    certificate = certify(loop, cells)
    check_by_simulation(loop, certificate)
    assert not certificate.covers(backup_safe_set()[0], rho)
    states = np.random.default_rng(1).uniform(-5, 5, (5_000, 2))
    unsafe, _ = simulate(without_idle_units(loop), states, 150)
    assert not (unsafe & certificate.contains(states)).any()
    return certificate


@pytest.mark.parametrize("half", [0.3, 0.06, 0.01])
def test_a_policy_unsafe_in_a_small_pocket_is_refused(half: float) -> None:
    at = (0.62, -0.27)
    loop = pocketed(at, half)
    inside = np.array([at])
    assert abs(policy(loop, inside)[0, 0]) > 1.0
    certificate = refused(loop, 0.85)
    assert not certificate.contains(inside)[0]
    assert not certificate.input_proven.all()


def test_a_policy_that_leaves_the_box_in_a_pocket_is_refused() -> None:
    at = (3.0, 0.4)  # inputs stay within bounds; the push outwards is what is unsafe
    loop = build(cancel_backup(), saturating(-AGGRESSIVE * 0.5, 0.45), pocket(at, 0.4, 1.2))
    control = policy(loop, np.array([at]))
    assert 0.5 < control[0, 0] <= 1.0
    unsafe, _ = simulate(loop, np.array([at]), 100)
    assert unsafe[0]
    certificate = refused(loop, 0.8)
    assert not certificate.contains(np.array([at]))[0]


def test_a_limit_cycle_around_an_unstable_origin_is_refused() -> None:
    loop = cycling()
    unsafe, last = simulate(loop, np.array([[0.01, 0.0], [1.0, 0.0]]), 3000)
    assert not unsafe.any()
    assert (np.abs(last).max(axis=1) > 0.01).all()  # safe, but neither start converges
    assert np.abs(last).max() < 1.0
    certificate = refused(loop, 0.01)
    assert not certificate.certified
    assert certificate.grid.area(certificate.invariant) > 30.0  # safe for all time is still proven
    assert "spectral radius" in certificate.reasons[0]


def test_a_limit_cycle_around_a_stable_origin_is_refused() -> None:
    loop = build(saturating(np.array([0.0, 0.9]), 0.2), saturating(np.array([0.0, -0.9]), 0.02))
    _, last = simulate(loop, np.array([[0.005, 0.0], [1.0, 0.0]]), 3000)
    assert np.abs(last[0]).max() < 1e-6  # the origin attracts what is near,
    assert np.abs(last[1]).max() > 0.05  # and nothing else
    certificate = refused(loop, 0.2)
    assert certificate.area < 0.5
    assert certificate.grid.area(certificate.invariant) > 30.0


def test_a_policy_unstable_at_the_origin_is_refused() -> None:
    loop = build(saturating(np.array([0.4, 0.2]), 0.5))
    assert np.abs(simulate(loop, np.array([[1e-6, 0.0]]), 300)[1]).max() > 0.1
    certificate = refused(loop, 0.01)
    assert not certificate.certified
    assert certificate.reasons[0].startswith("terminal set")


def test_an_unsafe_input_in_a_corner_is_refused() -> None:
    halfspaces, vertices = backup_safe_set()
    corner = 0.9 * vertices[(vertices @ np.array([-1.0, 1.0])).argmax()]
    loop = build(pocket((float(corner[0]), float(corner[1])), 0.25, -0.8))
    assert abs(policy(loop, corner[None])[0, 0]) > 1.0
    certificate = refused(loop, 0.9, cells=200)
    assert certificate_of("backup", 200)[1].covers(halfspaces, 0.9)  # the corner is all that is wrong
    assert not certificate.contains(corner[None])[0]
    assert certificate.covers(halfspaces, 0.5)


@pytest.mark.parametrize("seed", range(4))
def test_random_policies_keep_what_is_certified(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = [rng.standard_normal((2, 32)), rng.standard_normal((32, 32)) / 4, rng.standard_normal((32, 1)) * 0.04]
    biases = [rng.standard_normal(32), rng.standard_normal(32), rng.standard_normal(1)]
    loop = ClosedLoop.of(A, B, K, weights, biases, 5.0, 1.0)
    certificate = certify(loop, 60)
    check_by_simulation(loop, certificate, 2_000)
    states = rng.uniform(-5, 5, (5_000, 2))
    assert not (simulate(loop, states, 100)[0] & certificate.contains(states)).any()


def test_a_set_is_covered_if_all_its_cells_are_certified() -> None:
    _, certificate = certificate_of("backup")
    square = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    assert certificate.covers(square, 0.5)
    mask = certificate.mask.copy()
    mask[54, 45] = False  # [0.4, 0.5] x [-0.5, -0.4]
    holed = replace(certificate, mask=mask)
    assert not holed.covers(square, 0.5)
    assert holed.covers(square, 0.39)
    full = replace(certificate, mask=np.ones_like(mask))
    assert full.covers(square, 4.99)
    assert not full.covers(square, 5.2)  # leaves the state box
    assert not full.covers(square[:3], 0.5)  # unbounded
    with pytest.raises(ShapeError, match="covers"):
        certificate.covers(np.ones((3, 3)))
    with pytest.raises(ConfigurationError, match="level"):
        certificate.covers(square, 0.0)


def test_a_state_on_an_edge_belongs_to_both_cells() -> None:
    certificate = certificate_of("backup")[1]
    mask = np.zeros_like(certificate.mask)
    mask[0, 50] = mask[40, 99] = True
    single = replace(certificate, mask=mask)
    edges = certificate.grid.edges
    corners = np.array([[edges[0][i], edges[1][j]] for i, j in ((0, 50), (1, 50), (0, 51), (1, 51), (40, 100))])
    assert single.contains(corners).all()
    outside = np.array([[np.nan, 0.0], [-5.1, 0.05], [-4.8, 0.05], [-0.95, 5.01], [9.0, 9.0]])
    assert not single.contains(outside).any()


def test_summary_is_json_and_repeats_exactly() -> None:
    loop, certificate = certificate_of("good")
    text = json.dumps(certificate.summary())
    assert json.loads(text) == certify(loop, 100).summary()
    assert certificate.summary()["cells"] == 10_000


def test_numbers_that_overflow_prove_nothing() -> None:
    loop = good()
    weights = [loop.weights[0], loop.weights[1] * 1e200, loop.weights[2] * 1e200]
    certificate = certify(replace(loop, weights=tuple(weights)), 20)
    assert not certificate.certified
    assert not certificate.invariant.any()
    assert len(certificate.reasons) == 2


def test_only_two_states_are_accepted() -> None:
    loop = ClosedLoop.of(np.eye(1), np.ones(1), np.ones((1, 1)), [np.ones((1, 1))], [np.zeros(1)], 1.0, 1.0)
    with pytest.raises(ConfigurationError, match="two states"):
        certify(loop)
