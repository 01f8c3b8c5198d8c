"""Sources of directions: rank, exactness, captured energy, recycling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from scpo.basis import WORTH_A_PASS, captured_energy, orthonormal_basis
from scpo.directions import Isotropic, Mixed, Tangent
from scpo.errors import ConfigurationError, NonFiniteError
from scpo.optimizer import SafeOptimizer
from scpo.parameters import ParameterVector
from scpo.policies import ResidualPolicy
from scpo.sampling import Context, Directions, Sample

from .small_networks import STATES, assemble, loss, outputs_within, residual, train, wrap


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def context(policy: nn.Module) -> Context:
    return Context(policy, ParameterVector(policy, policy.parameters()))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def perturbed(sizes: tuple[int, ...], seed: int = 0, **options: Any) -> ResidualPolicy:
    policy = ResidualPolicy(sizes, "tanh", generator=generator(seed), **options)
    with torch.no_grad():
        for index, parameter in enumerate(policy.parameters()):
            parameter.add_(0.3 * noise(100 * seed + index, *parameter.shape))
    return policy


def test_isotropic_is_gaussian_and_from_its_generator_alone() -> None:
    policy = residual()
    found = Isotropic().draw(context(policy), 200, generator(1))
    again = Isotropic().draw(context(policy), 200, generator(1))
    assert torch.equal(found.vectors, again.vectors)
    assert found.vectors.shape == (13, 200)
    assert (found.checks, found.exact) == (None, False)
    covariance = found.vectors @ found.vectors.T / 200
    assert float((covariance - torch.eye(13)).abs().max()) < 0.5


class Plain(nn.Module):
    """The same map as a residual policy, without a Jacobian of its own."""

    def __init__(self, inner: ResidualPolicy) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


@pytest.mark.parametrize("anchored", [False, True])
@pytest.mark.parametrize("sizes", [(1, 4, 1), (2, 5, 3), (3, 4, 4, 2), (2, 2)])
def test_tangent_rows_are_the_policys_derivatives(sizes: tuple[int, ...], anchored: bool) -> None:
    policy = perturbed(sizes, anchored=anchored)
    states = noise(7, 4, sizes[0])
    count = 4 * sizes[-1]
    own = Tangent(states).draw(context(policy), count, generator())
    autograd = Tangent(states).draw(context(Plain(policy)), count, generator())
    assert own.exact
    assert autograd.exact
    assert own.vectors.shape == (sum(p.numel() for p in policy.parameters()), count)
    assert torch.allclose(own.vectors, autograd.vectors, rtol=1e-12, atol=1e-14)
    # and of finite differences
    vector = ParameterVector(policy, policy.parameters())
    theta, direction = vector.read(), noise(8, vector.dimension)
    with torch.no_grad():
        vector.write(theta + 1e-6 * direction)
        ahead = policy(states)
        vector.write(theta - 1e-6 * direction)
        slope = (ahead - policy(states)) / 2e-6
    assert torch.allclose(own.vectors.T @ direction, slope.reshape(-1), rtol=1e-6, atol=1e-8)


def test_sketch_takes_strata_and_keeps_checks_out() -> None:
    policy = perturbed((1, 6, 1))
    states = torch.linspace(-2, 2, 100, dtype=torch.float64)[:, None]
    found = Tangent(states, checks=5).draw(context(policy), 10, generator())
    assert found.vectors.shape == (19, 10)
    assert found.checks is not None
    assert found.checks.shape == (19, 5)
    assert not found.exact
    # bias of the last layer has derivative 1; the weight of the first layer is proportional to the state
    everything = Tangent(states).draw(context(policy), 100, generator()).vectors
    where = [int((everything - column[:, None]).abs().sum(dim=0).argmin()) for column in found.vectors.T]
    assert [index // 10 for index in where] == list(range(10))
    assert Tangent(states, checks=0).draw(context(policy), 10, generator()).checks is None


def test_few_states_use_all_their_directions() -> None:
    policy = perturbed((2, 6, 5))
    found = Tangent(noise(1, 4, 2)).draw(context(policy), 12, generator())
    assert found.vectors.shape[1] == 12
    assert found.checks is not None
    assert not found.exact
    many = Tangent(noise(1, 40, 2)).draw(context(policy), 12, generator())
    assert many.vectors.shape[1] == 12
    assert orthonormal_basis(many.vectors[:, :1], many.vectors[:, 1:]).shape[1] == 12


@pytest.mark.parametrize("seed", range(3))
def test_span_is_exact_once_the_samples_reach_the_rank(seed: int) -> None:
    # a network of d = 25 whose tangent space at 6 states has rank 6: every gradient of g lies in it
    policy = perturbed((1, 8, 1), seed)
    vector = ParameterVector(policy, policy.parameters())
    found = Tangent(STATES).draw(context(policy), 6, generator(seed))
    basis = orthonormal_basis(noise(seed, vector.dimension, 1), found.vectors)
    assert basis.shape[1] == 7
    value = torch.logsumexp(3.0 * policy(STATES).square(), dim=0).sum()
    gradient = torch.cat([g.reshape(-1) for g in torch.autograd.grad(value, vector.parameters)])
    assert captured_energy(basis, gradient[:, None]) == pytest.approx(1.0, abs=1e-12)
    partial = orthonormal_basis(noise(seed, vector.dimension, 1), found.vectors[:, :2])
    assert captured_energy(partial, gradient[:, None]) < 1 - 1e-6


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**31), d=st.integers(2, 20), n=st.integers(0, 20), c=st.integers(1, 6))
def test_captured_energy_agrees_with_least_squares(seed: int, d: int, n: int, c: int) -> None:
    basis = orthonormal_basis(noise(seed, d, 1), noise(seed + 1, d, min(n, d)))
    checks = noise(seed + 2, d, c)
    share = captured_energy(basis, checks)
    assert -1e-15 <= share <= 1 + 1e-12
    fit = np.linalg.lstsq(basis.numpy(), checks.numpy(), rcond=None)[0]
    left = np.linalg.norm(checks.numpy() - basis.numpy() @ fit) ** 2
    assert share == pytest.approx(1 - left / np.linalg.norm(checks.numpy()) ** 2, abs=1e-10)
    assert captured_energy(basis, 0 * checks) == 1.0


def test_captured_energy_is_reported_and_rises_with_the_samples() -> None:
    states = torch.linspace(-2, 2, 60, dtype=torch.float64)[:, None]
    energies = {}
    for samples in (2, 5, 12):
        safe = wrap(perturbed((1, 8, 1)), states=states, count=samples, constraint=outputs_within(5.0))
        safe.zero_grad()
        (safe.policy(STATES) ** 2).mean().backward()
        energies[samples] = safe.step().captured_energy
    assert 0 <= energies[2] < energies[12] <= 1 + 1e-12
    assert energies[12] > 0.99
    assert np.isnan(_energy(directions="isotropic"))
    assert _energy(directions="tangent", count=13) == 1.0
    assert np.isnan(_energy(directions="tangent", count=1))


def _energy(**options: Any) -> float:
    safe = wrap(residual(), **options)
    safe.zero_grad()
    ((safe.policy(STATES) - 1.0) ** 2).mean().backward()
    return safe.step().captured_energy


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("count", [1, 2, 9])
def test_mixed_has_both_kinds(share: float, count: int) -> None:
    states = torch.linspace(-2, 2, 30, dtype=torch.float64)[:, None]
    policy = perturbed((1, 8, 1))
    found = Mixed(states, share=share).draw(context(policy), count, generator())
    assert found.vectors.shape == (25, count)
    inside = round(share * count)
    everything = Tangent(states).draw(context(policy), 30, generator()).vectors
    tangent = orthonormal_basis(everything[:, :1], everything[:, 1:])
    for index, column in enumerate(found.vectors.T):
        energy = captured_energy(tangent, column[:, None])
        assert (energy > 1 - 1e-6) == (index < inside)
    with pytest.raises(ConfigurationError, match="share"):
        Mixed(states, share=1.5)


def test_few_tangent_directions_are_filled_up_by_isotropic_ones() -> None:
    found = Mixed(STATES, share=1.0).draw(context(perturbed((1, 8, 1))), 10, generator())
    assert found.vectors.shape == (25, 10)
    assert not found.exact
    assert captured_energy(orthonormal_basis(found.vectors), found.checks) == pytest.approx(1.0)
    assert Mixed(STATES, share=1.0).draw(context(perturbed((1, 8, 1))), STATES.shape[0], generator()).exact


def test_isotropic_directions_beside_all_tangent_ones_keep_memory_and_number() -> None:
    """More could be drawn, so the gradients are remembered; the derivatives are all held, so fewer directions do."""
    first, second = used(wrap(residual(), directions=Mixed(STATES, count=13, recycled=0)), 2)
    assert second == first - 1
    safe = wrap(residual(), directions=Mixed(STATES, count=13, recycled=2))
    train(safe, 1)
    assert safe.state_dict()["memory"] is not None


def used(safe: SafeOptimizer, updates: int) -> list[int]:
    """Return how many directions each update used."""
    numbers = []
    for _ in range(updates):
        safe.zero_grad()
        loss(safe.policy).backward()
        numbers.append(safe.step().directions)
    return numbers


@pytest.mark.parametrize("checks", [0, 4])
def test_mixed_without_a_tangent_direction(checks: int) -> None:
    """As many isotropic directions as are asked for; with checks, these measure what the directions miss."""
    states = torch.linspace(-2, 2, 30, dtype=torch.float64)[:, None]
    mixed = Mixed(states, share=0.0, checks=checks)
    found = mixed.draw(context(perturbed((1, 8, 1))), 6, generator())
    assert found.vectors.shape == (25, 6)
    assert not found.exact
    assert (found.checks is None) == (checks == 0)
    assert used(wrap(residual(), directions=mixed), 2)[0] == mixed.count


def test_users_own_directions() -> None:
    class Coordinates(Directions):
        """Coordinate directions, in turn."""

        def __init__(self) -> None:
            super().__init__(count=6, recycled=0)
            self.asked: list[int] = []

        def draw(self, context: Context, count: int, generator: torch.Generator) -> Sample:
            assert context.policy is policy
            self.asked.append(count)
            chosen = torch.randperm(context.vector.dimension, generator=generator)[:count]
            return Sample(torch.eye(context.vector.dimension, dtype=torch.float32)[:, chosen])

    policy, own = residual(), Coordinates()
    safe = wrap(policy, "sgd", directions=own)
    train(safe, 3)
    assert own.asked == [5, 5, 5]  # the nominal step takes one of six
    other = wrap(residual(), "adam", directions=own)
    policy = other.policy
    train(other, 1)
    assert own.asked[-1] == 4  # and the loss gradient another, where the two differ


def test_unusable_policies_are_named() -> None:
    policy = residual()
    with torch.no_grad():
        policy.weights[0][0, 0] = torch.nan
    with pytest.raises(NonFiniteError, match="derivative"):
        Tangent(STATES).draw(context(policy), 6, generator())

    class Deaf(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2))

        def forward(self, x: Tensor) -> Tensor:
            return x

    with pytest.raises(ConfigurationError, match="does not depend"):
        Tangent(STATES).draw(context(Deaf()), 3, generator())

    class Wider(ResidualPolicy):
        def __init__(self) -> None:
            super().__init__((1, 3, 1), "tanh")
            self.log_std = nn.Parameter(torch.zeros(1, dtype=torch.float64))

    with pytest.raises(ConfigurationError, match="log_std"):
        Tangent(STATES).draw(context(Wider()), 3, generator())


def test_unused_parameters_have_zero_rows() -> None:
    class Spare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.spare = nn.Linear(1, 1).double(), nn.Linear(1, 1).double()

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)

    rows = Tangent(STATES).draw(context(Spare()), 6, generator()).vectors
    assert rows.shape == (4, 6)
    assert torch.equal(rows[:2], torch.cat([STATES.T, torch.ones(1, 6, dtype=torch.float64)]))
    assert not rows[2:].any()


def test_recycled_directions_close_in_on_gradients() -> None:
    """Isotropic samples see n / d of a gradient; handed on from update to update they see most of it."""
    dimension, samples = 400, 12
    normal = torch.from_numpy(np.random.default_rng(5).standard_normal(dimension)) / np.sqrt(dimension)

    def seen(recycle: int) -> float:
        policy = torch.nn.Linear(dimension, 1, bias=False, dtype=torch.float64)
        torch.nn.init.zeros_(policy.weight)
        safe = assemble(
            torch.optim.SGD(policy.parameters(), lr=1e-3),
            policy,
            lambda policy: [float(policy.weight[0] @ normal) - 1.0],
            directions="isotropic",
            count=samples,
            recycled=recycle,
            smoothness=0.0,
        )
        for _ in range(60):
            safe.zero_grad()
            (policy.weight[0, ::2].sum()).backward()
            safe.step()
        memory = safe.state_dict()["memory"]
        if memory is None:
            return 0.0
        gradient = memory["gradients"][0]
        return float((gradient @ normal) ** 2 / (gradient.square().sum() * normal.square().sum()))

    assert seen(0) == 0.0
    assert seen(1) > 0.7


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_recycling_costs_no_probes_and_keeps_new_directions(optimizer: str) -> None:
    safe = wrap(residual(), optimizer, directions="isotropic", count=6, recycled=50, look=False)
    train(safe, 1)
    rollouts = [safe.evaluate.rollouts]
    for _ in range(4):
        train(safe, 1)
        rollouts.append(safe.evaluate.rollouts)
    costs = np.diff(rollouts)
    assert (costs <= 6 + 1).all()  # six probes and the new iterate
    assert (costs >= (1.0 - WORTH_A_PASS) * 6 + 1).all()  # of which few may be missing
    assert safe.state_dict()["memory"]["gradients"].shape[0] > 6


def test_fresh_directions_fill_up_recycled_ones() -> None:
    asked = []

    class Counting(Isotropic):
        def draw(self, context: Context, count: int, generator: torch.Generator) -> Sample:
            asked.append(count)
            return super().draw(context, count, generator)

    train(wrap(residual(), "sgd", directions=Counting(count=6, recycled=3)), 3)
    assert asked == [5, 2, 2]  # beside the nominal step


def test_exact_samples_are_not_displaced_by_recycled_directions() -> None:
    safe = wrap(residual(), "sgd", count=len(STATES) + 2, recycled=8)
    for _ in range(5):
        safe.zero_grad()
        loss(safe.policy).backward()
        assert safe.step().captured_energy == 1.0
