"""The checks of the projection can fail: wrong backends and wrong screening are planted and caught."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from scpo.errors import SolverError
from scpo.projection import project as projection
from scpo.projection import solvers, sqp
from scpo.projection.project import project, project_onto
from scpo.projection.region import LocalSafeRegion
from scpo.projection.sqp import Solution

WRONG: dict[str, Callable[[Solution], list[Solution]]] = {
    "nothing": lambda right: [],
    "zero": lambda right: [Solution(0 * right.point, right.duals)],
    "slightly short": lambda right: [Solution((1 - 1e-5) * right.point, right.duals)],
    "too short": lambda right: [Solution(0.9 * right.point, right.duals)],
    "too far": lambda right: [Solution(3.0 * right.point, 0 * right.duals)],
    "turned": lambda right: [Solution(right.point[::-1].copy(), right.duals)],
    "no multipliers": lambda right: [Solution(right.point, 0 * right.duals)],
    "huge multipliers": lambda right: [Solution(0 * right.point, 1e40 * (1 + right.duals))],
}


def plant(patch: pytest.MonkeyPatch, name: str, wrong: Callable[[Solution], list[Solution]]) -> None:
    """Replace a backend by one that answers ``wrong(right answer)``."""
    right = solvers.BACKENDS[name]
    patch.setitem(solvers.BACKENDS, name, lambda *given: wrong(right(*given)[0]))


@pytest.mark.parametrize(
    ("length", "curvature", "radius"),
    [(1.0, 0.0, np.inf), (1e1, 0.0, np.inf), (1e8, 0.0, 2.0), (1.0, 2.0, np.inf), (1e8, 2.0, np.inf)],
)
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_backend_is_caught_and_counted(
    monkeypatch: pytest.MonkeyPatch, wrong: str, length: float, curvature: float, radius: float
) -> None:
    """Whatever is wrong with the answer, also where the target is far longer than any step in S.

    (Without curvature and radius nothing bounds S beforehand, and the tolerances are relative to the target.)
    """
    region = LocalSafeRegion.build([-1.0, -0.3], [[1.0, 0.2], [0.1, 1.0]], curvature, 0.05, radius)
    target = length * np.array([3.0, 2.0])
    right = project_onto(region, target)
    assert (right.backend, right.retries) == ("sqp", ())
    plant(monkeypatch, "sqp", WRONG[wrong])
    found = project_onto(region, target)
    assert (found.backend, found.retries) == ("clarabel", ("sqp",))
    assert found.point == pytest.approx(right.point, rel=1e-6)
    plant(monkeypatch, "clarabel", WRONG[wrong])
    if wrong == "slightly short" and length == 10.0:  # its multipliers prove that it is nearly as near as the answer
        assert 1e-8 < project_onto(region, target).gap <= projection.GAP_TOLERANCE
        return
    with pytest.raises(SolverError, match=r"2 of 2 rows in 2 dimensions missed .*sqp: .*clarabel: KKT residual .*gap"):
        project_onto(region, target)


def test_the_fallback_hands_its_point_to_the_sqp(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interior point's multipliers are too inaccurate for the KKT conditions; the SQP repairs them."""
    region = LocalSafeRegion.build([-1.0, -0.3], [[1.0, 0.2], [0.1, 1.0]], 2.0, 0.05)
    target = np.array([3.0, 2.0])
    offset = region.kappa * region.values
    rough = solvers.interior_point(region, target, offset)
    assert rough is not None
    spoiled = Solution(1.01 * rough.point, 0.99 * rough.duals)
    monkeypatch.setattr(solvers, "interior_point", lambda *given: spoiled)
    starts = []
    solve = sqp.solve
    monkeypatch.setattr(sqp, "solve", lambda *given: starts.append(given[3]) or solve(*given))
    found = project_onto(region, target, backend="clarabel")
    assert starts == [spoiled]
    assert (found.backend, found.retries) == ("clarabel", ())
    assert found.kkt_residual <= projection.KKT_TOLERANCE


def test_a_proven_point_is_accepted_without_kkt(monkeypatch: pytest.MonkeyPatch) -> None:
    """A point that is almost as near as a proven lower bound is an answer, though its own multipliers are useless.

    The first backend gives the multipliers and the second one the point; neither gives a KKT point.
    """
    region = LocalSafeRegion.build([-1.0], [[1.0, 0.2]], 2.0)
    target = np.array([3.0, 2.0])
    right = project_onto(region, target)
    plant(monkeypatch, "sqp", lambda answer: [Solution(0 * answer.point, (1 + 1e-6) * answer.duals)])
    plant(monkeypatch, "clarabel", lambda answer: [Solution(answer.point, 0 * answer.duals)])
    found = project_onto(region, target)
    assert found.kkt_residual > projection.KKT_TOLERANCE
    assert found.gap <= projection.GAP_TOLERANCE
    assert (found.backend, found.retries) == ("clarabel", ("sqp",))
    assert found.point == pytest.approx(right.point, rel=1e-7)
    monkeypatch.setattr(projection, "GAP_TOLERANCE", 0.0)
    with pytest.raises(SolverError):
        project_onto(region, target)


def test_unscreened_violation_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Screening that drops an active row is caught, because every answer is measured on all rows."""
    monkeypatch.setattr(projection, "_may_be_active", lambda *given: np.array([True, False]))
    with pytest.raises(SolverError):
        project([3.0, 2.0], [-1.0, -0.3], [[1.0, 0.0], [0.0, 1.0]], 0.0)
