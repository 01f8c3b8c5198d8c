"""The checks of the projection can fail: planted wrong backends and screening are caught, retried and counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from scpo.errors import SolverError
from scpo.projection import project as projection
from scpo.projection import solvers
from scpo.projection.project import project, project_onto
from scpo.projection.region import LocalSafeRegion


def planted(patch: pytest.MonkeyPatch, name: str, wrong: Any) -> None:
    """Replace a backend by one that answers ``wrong(right answer)``, which no polish repairs."""
    right, solve = solvers.BACKENDS[name], solvers.solve

    def spoiled(used: str, *given: Any) -> list[solvers.Solution]:
        return solve(used, *given)[-1:] if used == name else solve(used, *given)

    patch.setitem(solvers.BACKENDS, name, lambda *given: wrong(right(*given)))
    patch.setattr(solvers, "solve", spoiled)


WRONG = {
    "nothing": lambda right: None,
    "zero": lambda right: solvers.Solution(0 * right.point, right.duals),
    "slightly short": lambda right: solvers.Solution((1 - 1e-5) * right.point, right.duals),
    "too short": lambda right: solvers.Solution(0.9 * right.point, right.duals),
    "too far": lambda right: solvers.Solution(3.0 * right.point, 0 * right.duals),
    "turned": lambda right: solvers.Solution(right.point[::-1].copy(), right.duals),
    "no multipliers": lambda right: solvers.Solution(right.point, 0 * right.duals),
    "huge multipliers": lambda right: solvers.Solution(0 * right.point, 1e40 * (1 + right.duals)),
}


@pytest.mark.parametrize(
    ("length", "curvature", "radius"),
    [(1.0, 0.0, np.inf), (1e1, 0.0, np.inf), (1e8, 0.0, 2.0), (1.0, 2.0, np.inf), (1e8, 2.0, np.inf)],
)
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_backend_is_caught_retried_and_counted(
    monkeypatch: pytest.MonkeyPatch, wrong: str, length: float, curvature: float, radius: float
) -> None:
    """Whatever it answers wrongly, also where the target is far longer than any step in S.

    (Without curvature and radius nothing bounds S beforehand: tolerances are relative to the target there.)
    """
    region = LocalSafeRegion.build([-1.0, -0.3], [[1.0, 0.2], [0.1, 1.0]], curvature, 0.05, radius)
    target = length * np.array([3.0, 2.0])
    right = project_onto(region, target)
    assert (right.backend, right.retries) == ("sqp", ())
    planted(monkeypatch, "sqp", WRONG[wrong])
    found = project_onto(region, target)
    assert (found.backend, found.retries) == ("clarabel", ("sqp",))
    assert found.point == pytest.approx(right.point, rel=1e-6)
    planted(monkeypatch, "clarabel", WRONG[wrong])
    found = project_onto(region, target)
    assert (found.backend, found.retries) == ("cvxpy-scs", ("sqp", "clarabel"))
    assert found.point == pytest.approx(right.point, rel=1e-6)
    planted(monkeypatch, "cvxpy-scs", WRONG[wrong])
    with pytest.raises(
        SolverError, match=r"2 of 2 rows in 2 dimensions missed .*sqp: .*clarabel: .*cvxpy-scs: KKT residual"
    ):
        project_onto(region, target)


def test_a_wrong_root_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(solvers.BACKENDS, "root", lambda *given: None)
    found = project([2.0, 1.0], [-1.0], [[1.0, 0.0]], 0.0)
    assert (found.backend, found.retries) == ("sqp", ("root",))
    assert found.point == pytest.approx([1.0, 1.0], rel=1e-7)


def test_unscreened_violation_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Screening that drops an active row is caught, as every answer is judged on all rows."""
    monkeypatch.setattr(projection, "_may_be_active", lambda region, target: np.array([True, False]))
    with pytest.raises(SolverError):
        project([3.0, 2.0], [-1.0, -0.3], [[1.0, 0.0], [0.0, 1.0]], 0.0)
