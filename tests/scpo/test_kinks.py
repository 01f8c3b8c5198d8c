"""Kink constants: what (1') of docs/method.md promises where they are known, and what they change where estimated."""

from __future__ import annotations

import numpy as np
import pytest

from replication.planted_faults.smooth import Smooth
from scpo.arrays import Array
from scpo.smoothness import FixedSmoothness

from .small_networks import follow

pytestmark = pytest.mark.slow


class Known(FixedSmoothness):
    """L and c that are known."""

    def __init__(self, constants: Array, jumps: Array, radius: float = np.inf) -> None:
        super().__init__(constants, radius)
        self.jumps = jumps

    def kinks(self) -> Array:
        return self.jumps


def polyhedral(seed: int, d: int = 4, k: int = 3, faces: int = 3) -> tuple[Smooth, Array]:
    """g_i = max_j a_ij^T theta - b_i, and the largest jump of its slope: (1') holds with L = 0."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(k, faces, d)), rng.uniform(0.2, 1.0, k)
    jumps = np.linalg.norm(a[:, :, None] - a[:, None], axis=3).max(axis=(1, 2))

    def values(theta: Array) -> Array:
        return np.asarray(np.einsum("kjd,md->mkj", a, theta).max(axis=2) - b)

    return Smooth(d, values, np.zeros(k), lambda theta: np.zeros((k, d))), jumps


@pytest.mark.parametrize("seed", range(8))
def test_polyhedral_constraints_need_their_kink_constants(seed: int) -> None:
    problem, jumps = polyhedral(seed)
    push = 0.1 * (np.random.default_rng(seed + 100).normal(size=(60, 4)) + np.random.default_rng(seed).normal(size=4))
    _, known = follow(problem, Known(problem.constants, jumps), push, 60)
    assert all(step.slack >= 0.0 and step.bound_misses == 0 for step in known)
    assert all(step.kink_max == jumps.max() for step in known)
    assert max(step.step_norm for step in known) > 0.0
    _, ignored = follow(problem, Known(problem.constants, 0.0 * jumps), push, 60)
    assert any(step.bound_misses for step in ignored)


def test_the_bound_promises_each_of_its_terms() -> None:
    problem = Smooth(3, lambda theta: theta - 1.0, np.zeros(3), lambda theta: np.eye(3))
    length, step = 0.01, 0.1
    push = np.array([[length, 0.0, 0.0]])
    for curvature, jump in ((0.0, 0.0), (0.0, 2.0), (2.0, 0.0), (2.0, 2.0)):
        known = Known(np.full(3, curvature), np.full(3, jump))
        _, (info,) = follow(problem, known, push, 1, probe_length=step)
        assert info.step_norm == pytest.approx(length)
        error = np.sqrt(3) * 0.5 * curvature * step + jump  # three directions
        assert info.step_bound + 1.0 == pytest.approx(length + error * length + 0.5 * curvature * length**2)


@pytest.mark.parametrize(("jump", "needed"), [(0.0, 200.0), (0.5, 100.0), (2.0, 0.0)])
def test_what_was_needed_is_beside_the_kink_constants_in_use(jump: float, needed: float) -> None:
    """|x| from -0.005 to 0.005: the slope -1 turns, so the residual is 0.01 over a length of 0.01."""
    problem = Smooth(
        2, lambda theta: np.abs(theta[:, :1] - 0.005) - 1.0, np.zeros(1), lambda theta: np.array([[-1.0, 0.0]])
    )
    _, (info,) = follow(problem, Known(np.zeros(1), np.full(1, jump)), np.array([[0.01, 0.0]]), 1)
    assert info.required_max == pytest.approx(needed, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize(
    ("jump", "curvature", "longest"), [(0.0, 0.0, 0.01), (3.0, 0.0, 0.0025), (0.0, 100.0, (np.sqrt(3.0) - 1.0) / 100)]
)
def test_safe_probes_allow_for_slope_kinks_and_curvature(jump: float, curvature: float, longest: float) -> None:
    """Probes of +-x <= 0.01 from 0, with |grad g| <= 1: (1 + c) nu + (L / 2) nu^2 is at most 0.01."""
    looked: list[float] = []

    def values(theta: Array) -> Array:
        if len(theta) > 1:
            looked.append(float(np.linalg.norm(theta, axis=1).max()))
        return np.stack([theta[:, 0] - 0.01, -theta[:, 0] - 0.01], axis=1)

    problem = Smooth(2, values, np.zeros(2), lambda theta: np.array([[1.0, 0.0], [-1.0, 0.0]]))
    known = Known(np.full(2, curvature), np.full(2, jump))
    options = {"safe_probes": True, "gradient_bound": 1.0, "probe_length": 0.1}
    follow(problem, known, np.full((1, 2), 0.001), 1, **options)
    assert looked == [pytest.approx(longest, rel=1e-6)]


def test_the_carried_gradient_bound_counts_kinks_and_curvature() -> None:
    """After a step z it is G + 2 sqrt(2) c + L |z|, or what the probes saw of the whole gradient if that is less."""
    problem = Smooth(3, lambda theta: theta[:, :1] - 1.0, np.zeros(1), lambda theta: np.array([[1.0, 0.0, 0.0]]))
    options = {"count": 1, "recycled": 0, "safe_probes": True, "gradient_bound": 1.0, "probe_length": None}
    known = Known(np.full(1, 2.0), np.full(1, 3.0))
    safe, (info,) = follow(problem, known, np.array([[-0.1, 0.0, 0.0]]), 1, **options)
    assert info.step_norm == pytest.approx(0.1)
    assert safe.state_dict()["gradient_bound"].tolist() == [pytest.approx(1.0 + np.sqrt(8.0) * 3.0 + 2.0 * 0.1)]


def test_a_gradient_may_turn_beyond_the_kink_constant() -> None:
    """(1') holds at x = 0 and at y = (1, 0) with L = 0, c = 1 and r = 1; the gradients there are 2.3 apart."""
    x, y, slope = np.zeros(2), np.array([1.0, 0.0]), np.array([0.0, 2.3])

    def values(theta: Array) -> Array:
        """Halfway between what (1') allows: at x around 0, at y around slope^T (theta - y)."""
        planes = np.stack([np.zeros(len(theta)), (theta - y) @ slope])
        far = np.stack([np.linalg.norm(theta - x, axis=1), np.linalg.norm(theta - y, axis=1)])
        room = np.where(far <= 1.0 + 1e-9, far, 1e6)
        low, high = (planes - room).max(axis=0), (planes + room).min(axis=0)
        return 0.5 * (low + high)[:, None] - 5.0

    points = np.random.default_rng(0).uniform(-1.0, 2.0, (20_000, 2))
    for centre, gradient in ((x, 0.0 * slope), (y, slope)):
        moves = points - centre
        near = np.linalg.norm(moves, axis=1) <= 1.0
        rest = values(points)[:, 0] - values(centre[None])[0, 0] - moves @ gradient
        assert (np.abs(rest) <= np.linalg.norm(moves, axis=1) + 1e-12)[near].all()
    problem = Smooth(2, values, np.zeros(1), lambda theta: np.zeros((1, 2)))
    options = {
        "count": 1,
        "recycled": 0,
        "safe_probes": True,
        "gradient_bound": 0.0,
        "probe_length": None,
        "may_be_flat": True,
    }
    safe, _ = follow(problem, Known(np.zeros(1), np.ones(1), 1.0), np.array([[1.0 - 1e-9, 0.0]]), 1, **options)
    assert safe.vector.read().numpy() == pytest.approx(y, abs=1e-8)
    assert safe.state_dict()["gradient_bound"].item() >= np.linalg.norm(slope)
