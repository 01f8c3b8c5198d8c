"""Remembered gradients and the step that they let one foresee; how many directions an update uses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from replication.planted_faults.smooth import Vector
from scpo import Constraint, Isotropic, SafeOptimizer, Tangent
from scpo.basis import FEWEST, Basis, next_count, orthonormal_basis
from scpo.memory import NUMBERS, Memory, foreseen, renewed

from .small_networks import STATES, assemble, residual, train, wrap


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_the_foreseen_step_is_the_projection_of_the_nominal_one(seed: int, weighted: bool) -> None:
    d, m = 12, 1 + seed % 8
    rows, nominal = noise(seed, m, d), noise(seed + 100, d)
    rng = np.random.default_rng(seed)
    slack, metric = rng.uniform(-0.2, 1.0, m), torch.from_numpy(rng.uniform(0.1, 10.0, d)) if weighted else None
    found = foreseen(Memory(np.arange(m), rows), nominal, slack, metric)
    allowed, weights = np.maximum(slack, 0.0), np.ones(d) if metric is None else metric.numpy()
    target, gradients = nominal.numpy(), rows.numpy()
    reference = minimize(
        lambda v: 0.5 * (weights * (v - target) ** 2).sum(),
        np.zeros(d),
        jac=lambda v: weights * (v - target),
        constraints={"type": "ineq", "fun": lambda v: allowed - gradients @ v, "jac": lambda v: -gradients},
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-14},
    )
    step = target if found is None else found.numpy()
    assert (gradients @ step <= allowed + 1e-8).all()
    assert np.allclose(step, reference.x, atol=1e-5)
    assert (found is None) == bool((gradients @ target <= allowed).all())


def test_a_gradient_that_uses_its_slack_up_to_rounding_asks_for_nothing() -> None:
    """The step goes along the gradient, and a^T p is above the slack where |a| |p| is not: by the last bit."""
    tried = 0
    for seed in range(200):
        row = noise(seed, 1, 5)
        nominal = 0.37 * row[0]
        most = float(np.sqrt((row @ row.T).item()) * torch.linalg.vector_norm(nominal))
        if float(row[0] @ nominal) > most:
            tried += 1
            assert foreseen(Memory(np.arange(1), row), nominal, np.array([most]), None) is None
    assert tried > 10


def test_parallel_gradients_do_no_harm() -> None:
    row, nominal = noise(0, 1, 6), noise(1, 6)
    row = row * torch.sign(row[0] @ nominal)
    once = foreseen(Memory(np.arange(1), row), nominal, np.zeros(1), None)
    thrice = foreseen(Memory(np.arange(3), torch.cat([row, row, 5.0 * row])), nominal, np.zeros(3), None)
    assert once is not None
    assert thrice is not None
    assert torch.allclose(once, thrice, atol=1e-12)


def test_probes_along_changing_directions_complete_a_gradient() -> None:
    gradients, memory = noise(0, 3, 20), None
    for update in range(80):
        basis = orthonormal_basis(noise(update + 1, 20, 4))
        slopes = (gradients @ basis).numpy()
        memory = renewed(memory, np.array([-1.0, -0.5, -2.0]), slopes, None, basis, 3)
    assert memory is not None
    assert torch.allclose(memory.gradients, gradients[torch.from_numpy(memory.indices)], atol=1e-3)


def test_constraints_that_held_the_step_back_are_kept_first() -> None:
    basis = orthonormal_basis(noise(0, NUMBERS, 2))
    slopes, active = np.ones((4, 2)), np.array([False, False, True, False])
    memory = renewed(None, np.array([-3.0, -1.0, -9.0, -2.0]), slopes, active, basis, 3)
    assert memory.indices.tolist() == [2, 1, 3]


@pytest.mark.parametrize(("dimension", "kept"), [(10, 20), (40, 50), (NUMBERS // 5, 5), (NUMBERS, 2)])
def test_a_memory_is_small(dimension: int, kept: int) -> None:
    basis = torch.zeros(dimension, 1, dtype=torch.float64)
    basis[0] = 1.0
    memory = renewed(None, -np.arange(1.0, 51.0), np.ones((50, 1)), None, basis, 2)
    assert memory.gradients.shape == (kept, dimension)


class Box(torch.nn.Module):
    """A vector theta (d,)."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.theta = torch.nn.Parameter(torch.zeros(dimension, dtype=torch.float64))


def gap(recycled: int) -> tuple[float, int]:
    """Return what is left of the way to the point of |theta_i| <= 1 nearest to a target, and the unsafe iterates."""
    dimension = 60
    target = 3.0 * noise(3, dimension)
    policy, unsafe = Box(dimension), 0

    def limits(stacked: dict[str, Tensor]) -> np.ndarray:
        return torch.hstack([stacked["theta"] - 1.0, -stacked["theta"] - 1.0]).numpy()

    safe = SafeOptimizer(
        torch.optim.SGD(policy.parameters(), lr=0.2),
        policy,
        Constraint(
            lambda stacked: torch.hstack([stacked["theta"] - 1.0, -stacked["theta"] - 1.0]).numpy(), batched=True
        ),
        directions=Isotropic(count=8, recycled=recycled),
        kappa=0.9,
    )
    for _ in range(250):
        safe.zero_grad()
        (policy.theta - target).square().sum().backward()
        unsafe += safe.step().slack < 0
    least, start = float((target.clamp(-1.0, 1.0) - target).square().sum()), float(target.square().sum())
    return (float((policy.theta.detach() - target).square().sum()) - least) / (start - least), unsafe


@pytest.mark.slow
def test_more_constraints_than_directions_do_not_stop_the_policy() -> None:
    """About forty limits hold at the optimum, and each update has eight directions."""
    left, unsafe = gap(recycled=4)
    assert left < 1e-3
    assert unsafe == 0
    assert gap(recycled=0)[0] > 0.02  # without a memory they do


def basis_with(energy: float, size: int = 8, complete: bool = False) -> Basis:
    return Basis(torch.eye(40, size, dtype=torch.float64), energy, complete)


@pytest.mark.parametrize(
    ("energy", "size", "expected"),
    [(0.99, 8, 7), (0.5, 8, 11), (0.5, 12, 12), (0.99, FEWEST, FEWEST), (float("nan"), 8, 12)],
)
def test_the_number_of_directions_follows_the_captured_energy(energy: float, size: int, expected: int) -> None:
    assert next_count(basis_with(energy, size), Tangent(STATES, count=12)) == expected


def test_all_directions_are_used_where_that_is_asked_for() -> None:
    assert next_count(basis_with(0.999), Tangent(STATES, count=12, energy=1.0)) == 12
    assert next_count(basis_with(1.0, complete=True), Tangent(STATES, count=12)) == 12


def test_fewer_directions_are_used_where_few_hold_the_energy() -> None:
    states = torch.linspace(-1.0, 1.0, 200, dtype=torch.float64)[:, None]
    safe = wrap(residual(), directions=Tangent(states, count=40), look=False)
    train(safe, 60)
    before = safe.evaluate.rollouts
    train(safe, 1)
    assert safe.evaluate.rollouts - before < 20


def test_nothing_is_remembered_where_the_nominal_step_spans_all_directions() -> None:
    policy = Vector(np.zeros(1))
    inner = torch.optim.SGD(policy.parameters(), lr=0.1)
    safe = assemble(inner, policy, lambda policy: policy.theta.numpy() - 1.0)
    for _ in range(3):
        policy.theta.grad = -torch.ones_like(policy.theta)
        assert safe.step().directions == 1
    assert safe.state_dict()["memory"] is None
