"""Projections that no solver proves: the error holds the nearest point; an update takes it, counts it and says so."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from scpo.arrays import Array
from scpo.errors import SolverError
from scpo.projection import project as projection
from scpo.projection.project import Projection, project, project_onto
from scpo.projection.region import LocalSafeRegion
from scpo.projection.solvers import BACKENDS, solve_by_sqp
from scpo.projection.sqp import Solution

from .small_networks import loss, outputs_within, residual, train, wrap

ARGUMENTS = [3.0, 2.0], [-1.0, -0.3], [[1.0, 0.2], [0.1, 1.0]], 2.0
SAID = "no solver reached the tolerances"


@pytest.fixture
def unproven(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing reaches the tolerances."""
    monkeypatch.setattr(projection, "KKT_TOLERANCE", -1.0)
    monkeypatch.setattr(projection, "GAP_TOLERANCE", -1.0)


def plant(patch: pytest.MonkeyPatch, wrong: Callable[[Solution], list[Solution]]) -> None:
    """Let every backend answer ``wrong(right answer)``."""
    for name in BACKENDS:
        patch.setitem(BACKENDS, name, lambda *given: wrong(solve_by_sqp(*given)[0]))


@pytest.mark.parametrize("metric", [None, [3.0, 7.0]])
def test_the_error_holds_the_nearest_point(metric: list[float] | None, request: pytest.FixtureRequest) -> None:
    right = project(*ARGUMENTS, metric=metric)
    request.getfixturevalue("unproven")
    with pytest.raises(SolverError, match="missed its tolerances") as caught:
        project(*ARGUMENTS, metric=metric)
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):  # noqa: S301  # our own
        assert str(error) == str(caught.value)
        assert LocalSafeRegion.build(*ARGUMENTS[1:]).contains(error.best.point)
        assert error.best.point == pytest.approx(right.point, rel=1e-6)
        assert error.best.duals == pytest.approx(right.duals, rel=1e-4)


def test_the_nearest_point_comes_from_any_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """Points are ever worse; the first one is kept, pulled back with the descent inequality."""
    shares = iter(0.9 ** np.arange(1, 50))
    region, target = LocalSafeRegion.build(*ARGUMENTS[1:]), np.array(ARGUMENTS[0])
    right = project_onto(region, target)
    plant(monkeypatch, lambda answer: [Solution(next(shares) * answer.point, 0 * answer.duals)])
    with pytest.raises(SolverError) as caught:
        project_onto(region, target)
    best = caught.value.best.point
    assert best == pytest.approx(0.9 * right.point, rel=1e-6)
    assert best @ best <= best @ target


@pytest.mark.usefixtures("unproven")
def test_without_any_point_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, lambda answer: [])
    with pytest.raises(SolverError) as caught:
        project(*ARGUMENTS)
    assert caught.value.best is None
    assert SolverError("planted").best is None


@pytest.mark.parametrize("inner", ["momentum", "adam"])
@pytest.mark.parametrize("verify", [True, False])
def test_an_update_takes_the_nearest_point(inner: str, verify: bool, request: pytest.FixtureRequest) -> None:
    """The solvers' points are the projections here, so the iterates are the same; the warning is given once."""
    options = {"inner": inner, "verify": verify, "constraint": outputs_within(0.02)}
    usual = wrap(residual(), **options)
    right = train(usual, 12)[-1]
    request.getfixturevalue("unproven")
    safe = wrap(residual(), **options)
    infos = []
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for _ in range(12):
            safe.zero_grad()
            loss(safe.policy).backward()
            infos.append(safe.step())
    assert [SAID in str(one.message) for one in said] == [True]
    assert {info.solver_misses for info in infos} <= {0, 1}
    for info in infos:
        assert info.solver_misses <= info.projected
        assert (SAID in str(info)) == info.solver_misses
        assert info.slack >= 0
    assert (safe.vector.read() - right).norm() <= 1e-5 * right.norm()


@pytest.mark.parametrize("missed", [False, True])
def test_only_a_step_that_l_forbids_lowers_l(missed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A solver that finds nothing but 0 does not make the maxima of L decay; a region that holds nothing else does."""
    safe = wrap(residual(), smoothness=None, constraint=outputs_within(0.05))
    train(safe, 8)
    theta, blocked = safe.vector.read(), []

    def nothing(region: LocalSafeRegion, target: Array, metric: Array | None) -> Projection:
        error = SolverError("planted")
        k = region.values.size
        error.best = Projection(np.zeros_like(target), "projected", np.zeros(k, bool), np.zeros(k), "sqp")
        if missed:
            raise error
        return error.best

    monkeypatch.setattr("scpo.proposals.project_onto", nothing)
    monkeypatch.setattr(safe.smoothness, "blocked", lambda: blocked.append(1))
    safe.zero_grad()
    loss(safe.policy).backward()
    with pytest.warns(UserWarning, match=SAID) if missed else nullcontext():
        info = safe.step()
    assert (info.solver_misses, info.step_norm, info.proposals) == (int(missed), 0.0, 0)
    assert len(blocked) == 1 - missed
    assert torch.equal(safe.vector.read(), theta)
