"""The literal formulation of the projection: answers by hand, its tolerance, and its use beside torch."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from replication import literal
from replication.planted_faults.method import wrapped
from replication.planted_faults.smooth import Vector, away, run, waves
from scpo.errors import SolverError
from scpo.projection.project import Projection, project_onto
from scpo.projection.region import LocalSafeRegion

REGION = LocalSafeRegion.build([-1.0, -0.3], [[3.0, 4.0], [0.1, -1.0]], [2.0, 0.0], 0.05, 5.0, 0.5)
TARGET = np.array([6.0, 8.0])


def test_a_half_space_by_hand() -> None:
    """Slack 1 and slope (3, 4): the target (6, 8) is 50 along it, so 49/25 of the slope is taken off."""
    region = LocalSafeRegion.build([-1.0], [[3.0, 4.0]], 0.0)
    for accuracy, error in ((None, 1e-2), (1e-10, 1e-7)):
        found = literal.project(region, TARGET, accuracy=accuracy)
        assert found.point == pytest.approx([3 / 25, 4 / 25], abs=error)
        assert found.duals == pytest.approx([49 / 25], abs=error)
        assert found.active.tolist() == [True] or accuracy is None


@pytest.mark.parametrize("metric", [None, [4.0, 0.5], [[3.0, -1.0], [-1.0, 2.0]]])
def test_all_terms_and_the_radius(metric: list[float] | None) -> None:
    """With every term in play it finds the library's projection, multipliers included."""
    found = literal.project(REGION, TARGET, metric=metric, accuracy=1e-10)
    ours = project_onto(REGION, TARGET, metric=metric)
    assert found.point == pytest.approx(ours.point, abs=1e-7)
    assert found.duals == pytest.approx(ours.duals, abs=1e-5)
    assert found.kkt_residual <= 1e-7
    assert abs(found.gap) <= 1e-6


def test_without_an_accuracy_it_is_rougher() -> None:
    ours = project_onto(REGION, TARGET).point
    rough, fine = (np.linalg.norm(literal.project(REGION, TARGET, accuracy=a).point - ours) for a in (None, 1e-10))
    assert fine < rough < 1e-2


def test_no_point_is_an_error() -> None:
    """A radius that contradicts the row: the row asks for z_1 <= -1, which build() would refuse as an unsafe start."""
    empty = LocalSafeRegion(np.array([1.0]), np.array([[1.0, 0.0]]), np.zeros(1), np.zeros(1), 0.1, 1.0)
    with pytest.raises(SolverError, match="SCS found no point of the 1 rows"):
        literal.project(empty, TARGET)


@pytest.mark.parametrize(("accuracy", "apart"), [(1e-10, 1e-7), (None, 1e-3)])
def test_it_stands_in_for_the_ladder_in_training(monkeypatch, accuracy: float | None, apart: float) -> None:
    """A run with the literal projection takes the same steps, as far as SCS's tolerance lets it."""

    def literally(region: LocalSafeRegion, target: np.ndarray, *, metric: np.ndarray | None = None) -> Projection:
        solved.append(target)
        return literal.project(region, target, metric=metric, accuracy=accuracy)

    def trained() -> np.ndarray:
        problem, policy = waves(0), Vector(np.zeros(6))
        safe = wrapped(problem, policy)
        run(safe, away(0, policy), 8)
        return safe.vector.read().numpy()

    solved: list[np.ndarray] = []
    ours = trained()
    monkeypatch.setattr("scpo.proposals.project_onto", literally)
    theirs = trained()
    assert len(solved) == 8
    assert np.linalg.norm(ours) > 0.1
    assert np.linalg.norm(theirs - ours) <= apart * np.linalg.norm(ours)


def test_scs_runs_beside_torch_in_one_process() -> None:
    """SCS's automatic choice of a linear solver can load a second MKL, which ends the process."""
    program = (
        "import numpy as np, torch; torch.linalg.qr(torch.randn(50, 50)); from replication import literal; "
        "from scpo import LocalSafeRegion; "
        "print(literal.project(LocalSafeRegion.build([-1.0], [[1.0, 0.0]], 0.0), np.array([2.0, 1.0])).backend)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100)
    assert done.stdout.strip() == "cvxpy-scs", done.stderr
