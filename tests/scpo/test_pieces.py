"""Planes of constraints with kinks: what is kept, what is dropped, and how near to an optimum they lead."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.optima import begin, follow
from benchmarks.problems import PROBLEMS, Problem
from scpo import Constraint, Isotropic, SafeOptimizer
from scpo.errors import ConfigurationError
from scpo.memory import Memory
from scpo.pieces import Pieces

KINKED = [problem for problem in PROBLEMS if not problem.smooth]


def planes(gradients: Tensor, offsets: list[float], indices: list[int] | None = None) -> Pieces:
    return Pieces(np.array(indices or [0] * len(offsets)), gradients, np.array(offsets))


def test_a_plane_above_a_value_is_dropped_and_one_that_touches_it_stays() -> None:
    found = planes(torch.eye(3).double(), [0.0, -1.0, 1e-12])
    theta = torch.tensor([1.0, 1.0, 1.0], dtype=torch.float64)
    standing = found.standing(theta, np.array([1.0]))
    assert standing is not None
    assert standing.offsets.tolist() == [0.0, -1.0, 1e-12]
    standing = found.standing(theta, np.array([0.5]))
    assert standing is not None
    assert standing.offsets.tolist() == [-1.0]
    assert found.standing(theta, np.array([-0.5])) is None


def test_rows_lie_below_the_value_and_leave_out_what_the_probes_show() -> None:
    found = planes(torch.eye(3).double(), [-1.0, -2.0, 0.0])
    theta, basis = torch.zeros(3, dtype=torch.float64), torch.eye(3).double()[:, :2]
    rows = found.rows(theta, basis, np.array([-0.5]), np.array([[1.0, 0.0]]))
    assert rows is not None
    assert rows.slopes.tolist() == [[0.0, 1.0], [0.0, 0.0]]
    assert rows.below.tolist() == [1.5, 0.0]  # a plane above the value counts as one through it
    assert found.some(np.array([0])).rows(theta, basis, np.array([-0.5]), np.array([[1.0, 0.0]])) is None


def test_the_latest_are_kept_and_one_may_replace_another() -> None:
    found = planes(torch.eye(3).double(), [1.0, 2.0, 3.0])
    new = torch.full((3,), 0.5, dtype=torch.float64)
    assert found.extended([(0, new, 4.0, 1), (0, new, 5.0, None)], 9).offsets.tolist() == [1.0, 3.0, 4.0, 5.0]
    assert found.extended([(0, new, 4.0, None)], 2).offsets.tolist() == [3.0, 4.0]


def test_a_gradient_starts_from_the_plane_that_fits_the_slopes() -> None:
    pieces = planes(torch.tensor([[1.0, 0.0, 7.0], [0.0, 1.0, 8.0]]).double(), [0.0, 0.0])
    memory = Memory(np.array([0]), torch.tensor([[1.0, 0.0, 7.0]]).double(), pieces)
    basis = torch.eye(3).double()[:, :2]
    assert memory.at_pieces(basis, np.array([[0.0, 1.0]])).gradients.tolist() == [[0.0, 1.0, 8.0]]
    assert memory.at_pieces(basis, np.array([[1.0, 0.0]])).gradients.tolist() == [[1.0, 0.0, 7.0]]


@pytest.mark.parametrize(
    ("name", "damaged"),
    [("gradients", torch.zeros(2, 4)), ("indices", torch.tensor([0, 9])), ("offsets", torch.zeros(3))],
)
def test_planes_of_other_parameters_or_constraints_are_refused(name: str, damaged: Tensor) -> None:
    memory = Memory(np.array([0]), torch.ones(1, 3).double(), planes(torch.ones(2, 3).double(), [0.0, 1.0]))
    state, theta = memory.state_dict(), torch.zeros(3, dtype=torch.float64)
    assert Memory.of_state(state, 1, theta).pieces is not None
    state["pieces"][name] = damaged
    with pytest.raises(ConfigurationError, match=r"^state: "):
        Memory.of_state(state, 1, theta)


def trained(problem: Problem, updates: int, optimizer: str = "SGD", **directions: Any) -> SafeOptimizer:
    safe = begin(problem, optimizer, directions=Isotropic(**{"pieces": 128, **directions}))
    advance(problem, safe, updates)
    return safe


def advance(problem: Problem, safe: SafeOptimizer, updates: int) -> None:
    for _ in range(updates):
        safe.zero_grad()
        problem.loss(safe.policy.theta).backward()
        safe.step()


def pieces_of(safe: SafeOptimizer) -> Pieces | None:
    return None if safe._memory is None else safe._memory.pieces


def test_kinks_leave_planes_that_a_saved_state_holds_and_refresh_forgets() -> None:
    problem = KINKED[0]
    safe, other = trained(problem, 40), trained(problem, 1)
    kept = pieces_of(safe)
    assert kept is not None
    assert 2 <= kept.indices.size <= 40
    other.policy.load_state_dict(safe.policy.state_dict())
    other.load_state_dict(safe.state_dict())
    for one in (safe, other):
        advance(problem, one, 5)
    assert torch.equal(safe.vector.read(), other.vector.read())
    safe.refresh()
    assert pieces_of(safe) is None


@pytest.mark.parametrize("name", ["box, 20-d", "polytope, 1,000 rows", "curved, 1,000 rows", "ball, 200-d"])
def test_smooth_constraints_leave_no_planes(name: str) -> None:
    """The ball is flat at the start, where a curvature of any size looks like that of a kink."""
    (problem,) = (one for one in PROBLEMS if one.name == name)
    safe = trained(problem, 30)
    assert pieces_of(safe) is None


def test_planes_are_few() -> None:
    kept = pieces_of(trained(KINKED[0], 40, pieces=3))
    assert kept is not None
    assert kept.indices.size == 3


@pytest.mark.parametrize("none", [{"pieces": Isotropic.pieces}, {"recycled": 0}])
def test_without_them_nothing_is_kept(none: dict[str, int]) -> None:
    assert pieces_of(trained(KINKED[0], 40, **none)) is None


def test_wrong_planes_cost_no_safety() -> None:
    """A concave constraint lies below the planes of its iterates."""
    policy = torch.nn.Linear(3, 1, bias=False).double()
    torch.nn.init.zeros_(policy.weight)
    constraint = Constraint(lambda given: [0.5 - 50.0 * float((given.weight - 0.2).abs().min()) - 0.6])
    safe = SafeOptimizer(
        torch.optim.SGD(policy.parameters(), lr=0.1), policy, constraint, directions=Isotropic(count=2, pieces=128)
    )
    kept = 0
    for _ in range(60):
        safe.zero_grad()
        (policy.weight - 1.0).square().sum().backward()
        assert safe.step().slack >= 0.0
        kept += pieces_of(safe) is not None
    assert kept > 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the last 50 steps")
@pytest.mark.parametrize("name", ["SGD", "Adam"])
@pytest.mark.parametrize("problem", KINKED, ids=lambda one: one.name.split()[0])
def test_kinks_leave_less_than_five_percent(name: str, problem: Problem) -> None:
    found = follow(problem, begin(problem, name, directions=Isotropic(pieces=128)), 600, until=0.05)
    assert found["unsafe"] == 0
    assert found["gap"] <= 0.05


def test_constants_that_are_given_keep_no_planes() -> None:
    """They say that there is no kink, however much they let a slope turn."""
    safe = begin(KINKED[0], "SGD", smoothness=1000.0, directions=Isotropic(pieces=128))
    advance(KINKED[0], safe, 20)
    assert pieces_of(safe) is None
