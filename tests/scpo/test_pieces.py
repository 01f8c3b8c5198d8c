"""Planes of constraints with kinks: what is kept, what is dropped, and how near to an optimum they lead."""

from __future__ import annotations

from dataclasses import replace
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


def planes(gradients: Tensor, offsets: list[float]) -> Pieces:
    """Return planes of the first constraint."""
    return Pieces(np.zeros(len(offsets), dtype=int), gradients, np.array(offsets), np.array([], dtype=int))


def test_a_plane_above_a_value_is_dropped_and_one_that_touches_it_stays() -> None:
    found = planes(torch.eye(3).double(), [0.0, -1.0, 1e-12])
    theta = torch.tensor([1.0, 1.0, 1.0], dtype=torch.float64)
    assert found.standing(theta, np.array([1.0])).offsets.tolist() == [0.0, -1.0, 1e-12]
    assert found.standing(theta, np.array([0.5])).offsets.tolist() == [-1.0]
    assert found.standing(theta, np.array([-0.5])).indices.size == 0


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
    [
        ("gradients", torch.zeros(2, 4)),
        ("indices", torch.tensor([0, 9])),
        ("offsets", torch.zeros(3)),
        ("concave", torch.tensor([1])),
    ],
)
def test_planes_of_other_parameters_or_constraints_are_refused(name: str, damaged: Tensor) -> None:
    memory = Memory(np.array([0]), torch.ones(1, 3).double(), planes(torch.ones(2, 3).double(), [0.0, 1.0]))
    state, theta = memory.state_dict(), torch.zeros(3, dtype=torch.float64)
    assert Memory.of_state(state, 1, theta).pieces is not None
    state["pieces"][name] = damaged
    with pytest.raises(ConfigurationError, match=r"^state: "):
        Memory.of_state(state, 1, theta)


def trained(problem: Problem, updates: int, optimizer: str = "SGD", **directions: Any) -> SafeOptimizer:
    safe = begin(problem, optimizer, directions=Isotropic(**directions))
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


@pytest.mark.parametrize("none", [{"pieces": 0}, {"recycled": 0}])
def test_without_them_nothing_is_kept(none: dict[str, int]) -> None:
    assert pieces_of(trained(KINKED[0], 40, **none)) is None


def concave_constraint() -> tuple[torch.nn.Linear, Constraint]:
    """Return a policy at 0 and a constraint whose slope falls at kinks."""
    policy = torch.nn.Linear(3, 1, bias=False).double()
    torch.nn.init.zeros_(policy.weight)

    def constraint(given: torch.nn.Linear) -> list[float]:
        return [float((0.2 * given.weight.clamp(max=0.2) + 0.1 * given.weight).sum()) - 0.2]

    return policy, Constraint(constraint)


def test_a_constraint_that_is_not_convex_gets_no_planes() -> None:
    policy, constraint = concave_constraint()
    safe = SafeOptimizer(torch.optim.SGD(policy.parameters(), lr=0.1), policy, constraint, directions=Isotropic())
    for _ in range(40):
        safe.zero_grad()
        (policy.weight - 1.0).square().sum().backward()
        safe.step()
    kept = pieces_of(safe)
    assert kept is not None
    assert kept.concave.tolist() == [0]
    assert kept.indices.size == 0


def test_a_probe_beyond_a_kink_does_not_make_a_constraint_concave() -> None:
    """max(x, -x) at -1e-9: a probe ends where the slope is 1, and a step to the left rises by less than that."""
    theta, end = torch.tensor([-1e-9], dtype=torch.float64), torch.tensor([-0.1], dtype=torch.float64)
    values, rise = np.array([1e-9]), np.array([0.1])
    found = planes(torch.tensor([[-1.0]]).double(), [0.0])
    assert found.explain(theta, values, 1e-8, end, rise).tolist() == [True]
    assert found.explain(theta, values, 1e-8, end, 0.5 * rise).tolist() == [False]  # below this plane, too
    assert found.explain(theta, values + 1e-6, 1e-8, end, rise).tolist() == [False]  # it does not touch g there


def test_wrong_planes_cost_no_safety() -> None:
    policy, constraint = concave_constraint()
    safe = SafeOptimizer(torch.optim.SGD(policy.parameters(), lr=0.1), policy, constraint, directions=Isotropic())
    generator = torch.Generator().manual_seed(0)
    for _ in range(40):
        gradients = torch.randn(4, 3, generator=generator).double()
        safe._memory = Memory.nothing(safe.vector.read())
        safe._memory = replace(safe._memory, pieces=planes(gradients, [-1.0, -0.2, -0.1, 5.0]))
        safe.zero_grad()
        (policy.weight - 1.0).square().sum().backward()
        assert safe.step().slack >= 0.0
    assert safe.vector.read().norm() > 0.0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the last 50 steps")
@pytest.mark.parametrize("name", ["SGD", "Adam"])
@pytest.mark.parametrize("problem", KINKED, ids=lambda one: one.name.split()[0])
def test_kinks_leave_less_than_five_percent(name: str, problem: Problem) -> None:
    found = follow(problem, begin(problem, name), 600, until=0.05)
    assert found["unsafe"] == 0
    assert found["gap"] <= 0.05


def test_constants_that_are_given_keep_no_planes() -> None:
    """They say that there is no kink, however much they let a slope turn."""
    safe = begin(KINKED[0], "SGD", smoothness=1000.0)
    advance(KINKED[0], safe, 20)
    assert pieces_of(safe) is None
