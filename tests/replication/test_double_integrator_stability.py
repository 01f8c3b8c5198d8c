"""The residual condition: what it admits converges, and what it must refuse it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.tasks.double_integrator import stability, system
from replication.tasks.double_integrator.rollout import rollout_policy
from replication.tasks.double_integrator.task import backup_module
from scpo.errors import ConfigurationError
from scpo.policies import ResidualPolicy

LOOP = system.closed_loop(system.backup_gain())
CONDITIONS = [stability.lyapunov_condition(LOOP, system.B), stability.tightest_condition(LOOP, system.B)]
EITHER = pytest.mark.parametrize("condition", CONDITIONS, ids=["lyapunov", "tightest"])


def make_policy(seed: int, gain: float, activation: str = "tanh", anchored: bool = True) -> ResidualPolicy:
    """Return a random policy whose residual has Lipschitz bound ``gain``."""
    generator = torch.Generator().manual_seed(seed)
    policy = ResidualPolicy((2, 8, 8, 1), activation, backup=backup_module(), anchored=anchored, generator=generator)
    with torch.no_grad():
        policy.weights[-1].copy_(torch.randn(8, 1, generator=generator, dtype=torch.float64))
        policy.weights[-1].mul_(gain / stability.residual_lipschitz(policy))
    return policy


def test_bounds_have_the_derived_values() -> None:
    weak, tight = CONDITIONS
    assert weak.bound == pytest.approx(0.026663, abs=1e-6)
    k1 = system.backup_gain()[0, 0]
    assert tight.bound == pytest.approx(k1, rel=2e-5) and tight.bound < k1
    frequencies = np.exp(1j * np.linspace(0.0, np.pi, 2001))
    norms = [np.linalg.norm(np.linalg.solve(z * np.eye(2) - LOOP, system.B)) for z in frequencies]
    assert tight.bound <= 1.0 / max(norms)


def test_a_residual_above_the_tightest_bound_can_destabilise() -> None:
    """r(x) = c x_1 with c just above K_1: no condition on |r| / |x| alone could admit it."""
    bound = CONDITIONS[1].bound
    for factor, stable in ((0.999, True), (1.001, False)):
        matrix = LOOP + system.B @ np.array([[factor * bound, 0.0]])
        assert (system.spectral_radius(matrix) < 1.0) is stable


@EITHER
@settings(max_examples=200, deadline=None)
@given(st.floats(-3.2, 3.2), st.floats(0.0, 1.0), st.sampled_from([-1.0, 1.0]))
def test_v_decreases_by_the_promised_share(
    condition: stability.ResidualCondition, angle: float, share: float, sign: float
) -> None:
    """For every state and every residual value within the gain, not only for networks."""
    x = np.array([np.cos(angle), np.sin(angle)])
    gain = share * condition.bound
    following = LOOP @ x + system.B[:, 0] * sign * gain
    before, after = (y @ condition.lyapunov @ y for y in (x, following))
    assert after <= condition.decay(gain) * before + 1e-12
    assert condition.decay(gain) < 1.0
    assert np.linalg.eigvalsh(condition.lyapunov)[0] > 0.0


@EITHER
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 100_000), st.sampled_from(["tanh", "relu", "softplus"]))
def test_admitted_policies_converge_from_everywhere(
    condition: stability.ResidualCondition, seed: int, activation: str
) -> None:
    policy = make_policy(seed, 0.9 * condition.bound, activation)
    assert condition.holds(policy)
    starts = 100.0 * torch.randn(32, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    states = rollout_policy(policy, starts, 400).states[0]
    values = torch.einsum("tmi,ij,tmj->tm", states, torch.tensor(condition.lyapunov), states)
    assert (values[1:] <= values[:-1] * condition.decay(0.9 * condition.bound) + 1e-18).all()
    assert states[-1].norm(dim=1).max() < 1e-1 * starts.norm(dim=1).max()
    assert system.spectral_radius(stability.equilibrium_jacobian(policy, system.A, system.B)) < 1.0


@EITHER
def test_violating_policies_are_refused(condition: stability.ResidualCondition) -> None:
    assert condition.holds(make_policy(0, 0.999 * condition.bound))
    assert not condition.holds(make_policy(0, 1.001 * condition.bound))
    assert not condition.holds(make_policy(0, 0.5 * condition.bound, anchored=False))  # moves the equilibrium


def test_an_unstable_policy_is_refused() -> None:
    """tanh(c x_1) / c times a gain above K_1: the origin is unstable, and the certificate says no."""
    policy = ResidualPolicy((2, 1, 1), "tanh", backup=backup_module(), anchored=True)
    with torch.no_grad():
        policy.weights[0].copy_(torch.tensor([[1.0], [0.0]]))
        policy.weights[1].fill_(0.1)
        policy.biases[0].zero_()
    assert system.spectral_radius(stability.equilibrium_jacobian(policy, system.A, system.B)) > 1.0
    assert not any(condition.holds(policy) for condition in CONDITIONS)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 100_000), st.sampled_from(["tanh", "relu", "softplus"]))
def test_lipschitz_bound_holds(seed: int, activation: str) -> None:
    policy = make_policy(seed, 2.0, activation)
    x = 3.0 * torch.randn(200, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    with torch.no_grad():
        residual = policy(x) - policy.backup(x)  # type: ignore[misc]
    ratios = torch.cdist(residual, residual) / (torch.cdist(x, x) + torch.eye(200))
    assert float(ratios.max()) <= stability.residual_lipschitz(policy) * (1.0 + 1e-6)


def test_jacobian_agrees_with_differences() -> None:
    policy = make_policy(1, 1.0)
    jacobian = stability.equilibrium_jacobian(policy, system.A, system.B)
    step = 1e-6
    pairs = torch.cat([step * torch.eye(2), -step * torch.eye(2)]).double()
    after = rollout_policy(policy, pairs, 1).states[0, 1].numpy()
    np.testing.assert_allclose(jacobian, ((after[:2] - after[2:]) / (2 * step)).T, atol=1e-8)


def test_weighted_lyapunov_condition_and_bad_arguments() -> None:
    weighted = stability.lyapunov_condition(LOOP, system.B, np.diag([1.0, 10.0]))
    assert 0.0 < weighted.bound <= CONDITIONS[1].bound
    with pytest.raises(ConfigurationError, match="positive definite"):
        stability.lyapunov_condition(LOOP, system.B, np.diag([1.0, 0.0]))
    for condition in (stability.lyapunov_condition, stability.tightest_condition):
        with pytest.raises(ConfigurationError, match="not stable"):
            condition(system.A, system.B)
