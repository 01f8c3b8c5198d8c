"""Rollouts and their constraint values against naive loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from replication.tasks.double_integrator import sets, starts, system
from replication.tasks.double_integrator.constraints import RolloutConstraint
from replication.tasks.double_integrator.rollout import Rollout, rollout, rollout_policy
from replication.tasks.double_integrator.task import backup_module
from scpo.errors import ConfigurationError, ShapeError
from scpo.policies import ResidualPolicy

FACETS = torch.from_numpy(sets.backup_invariant_set().facets.copy())
STARTS = torch.from_numpy(starts.training_starts(sets.backup_invariant_set().scaled(0.95), 24))
CONTRACTION = 0.5


def make_policy(seed: int = 0) -> ResidualPolicy:
    generator = torch.Generator().manual_seed(seed)
    return ResidualPolicy((2, 8, 8, 1), "tanh", backup=backup_module(), anchored=True, generator=generator)


def perturbed(policy: ResidualPolicy, count: int, scale: float, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: value.detach() + scale * torch.randn(count, *value.shape, generator=generator, dtype=torch.float64)
        for name, value in policy.named_parameters()
        if value.requires_grad
    }


def naive(parameters: dict[str, Tensor], index: int, start: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """One trajectory, state by state, from the weights alone."""
    weights = [parameters[f"weights.{layer}"][index].numpy() for layer in range(3)]
    biases = [parameters[f"biases.{layer}"][index].numpy() for layer in range(3)]

    def phi(x: np.ndarray) -> float:
        hidden = np.tanh(np.tanh(x @ weights[0] + biases[0]) @ weights[1] + biases[1])
        return float((hidden @ weights[2] + biases[2])[0])

    states, inputs = [start], []
    for _ in range(steps):
        x = states[-1]
        u = -float(system.backup_gain()[0] @ x) + phi(x) - phi(np.zeros(2))
        inputs.append([u])
        states.append(np.array([x[0] + x[1], x[1] + u]))
    return np.array(states), np.array(inputs)


def test_rollouts_agree_with_a_naive_loop() -> None:
    policy = make_policy()
    parameters = perturbed(policy, 3, 0.3, 1)
    result = rollout(policy, parameters, STARTS, 20)
    assert result.states.shape == (3, 21, 24, 2) and result.inputs.shape == (3, 20, 24, 1)
    assert result.states.dtype == torch.float64 and not result.states.requires_grad
    costs = result.cost()
    for index in range(3):
        for which, start in enumerate(STARTS.numpy()):
            states, inputs = naive(parameters, index, start, 20)
            np.testing.assert_allclose(result.states[index, :, which].numpy(), states, atol=1e-10)
            np.testing.assert_allclose(result.inputs[index, :, which].numpy(), inputs, atol=1e-10)
            expected = (states[:-1] ** 2).sum() + 0.1 * (inputs**2).sum()
            assert float(costs[index, which]) == pytest.approx(expected, rel=1e-10)


def test_single_and_stacked_rollouts_agree() -> None:
    policy = make_policy()
    parameters = perturbed(policy, 5, 0.1, 2)
    with torch.no_grad():
        for name, value in policy.named_parameters():
            if name in parameters:
                value.copy_(parameters[name][4])
    alone, stacked = rollout_policy(policy, STARTS, 20), rollout(policy, parameters, STARTS, 20)
    torch.testing.assert_close(alone.states[0], stacked.states[4], atol=1e-13, rtol=0.0)
    again = rollout(policy, parameters, STARTS, 20)
    assert torch.equal(again.states, stacked.states) and torch.equal(again.inputs, stacked.inputs)


def test_the_origin_stays_an_equilibrium() -> None:
    policy = make_policy()
    result = rollout(policy, perturbed(policy, 4, 1.0, 3), torch.zeros(1, 2, dtype=torch.float64), 20)
    assert result.states.abs().max() < 1e-14 and result.inputs.abs().max() < 1e-14


def test_inputs_are_not_clipped() -> None:
    policy = make_policy()
    assert rollout(policy, perturbed(policy, 2, 2.0, 4), STARTS, 20).inputs.abs().max() > 1.5


def test_bad_rollouts_are_refused() -> None:
    policy = make_policy()
    with pytest.raises(ShapeError, match="starts"):
        rollout_policy(policy, torch.zeros(2, dtype=torch.float64), 5)
    with pytest.raises(ConfigurationError, match="horizon"):
        rollout_policy(policy, STARTS, 0)


def naive_constraint(result: Rollout, contraction: float) -> np.ndarray:
    states, inputs = result.states.numpy(), result.inputs.numpy()
    sets_, _, count, _ = states.shape
    g = np.empty((sets_, 3 * count))
    for m in range(sets_):
        for i in range(count):
            g[m, i] = max(abs(x) for state in states[m, :, i] for x in state) / 5.0 - 1.0
            g[m, count + i] = max(abs(u[0]) for u in inputs[m, :, i]) - 1.0
            initial = max(float(h @ states[m, 0, i]) for h in FACETS.numpy())
            final = max(float(h @ states[m, -1, i]) for h in FACETS.numpy())
            g[m, 2 * count + i] = (final - contraction * initial) / initial
    return g


@pytest.mark.parametrize("contraction", [0.5, 0.9])
def test_constraints_agree_with_naive_loops(contraction: float) -> None:
    policy = make_policy()
    result = rollout(policy, perturbed(policy, 3, 0.3, 5), STARTS, 20)
    g = RolloutConstraint(FACETS, contraction, "max")(result)
    assert g.shape == (3, 72)
    np.testing.assert_allclose(g.numpy(), naive_constraint(result, contraction), rtol=1e-12, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 1.0), st.floats(10.0, 2000.0))
def test_logsumexp_is_a_smooth_upper_bound(seed: int, scale: float, sharpness: float) -> None:
    policy = make_policy()
    result = rollout(policy, perturbed(policy, 2, scale, seed), STARTS, 20)
    hard = RolloutConstraint(FACETS, CONTRACTION, "max")(result)
    smooth = RolloutConstraint(FACETS, CONTRACTION, "logsumexp", sharpness)(result)
    rounding = 1e-13 * hard.abs().clamp(min=1.0)  # an unstable policy's g is in the thousands
    assert (smooth >= hard - rounding).all()
    count = torch.tensor([4.0 * 21, 2.0 * 20, len(FACETS)], dtype=torch.float64).log().repeat_interleave(24) / sharpness
    assert (smooth <= hard + count + rounding).all()


def test_the_soft_maximum_is_logsumexp_of_both_signs() -> None:
    policy, beta = make_policy(), 200.0
    result = rollout(policy, perturbed(policy, 3, 0.3, 5), STARTS, 20)
    found = RolloutConstraint(FACETS, CONTRACTION, "logsumexp", beta)(result)
    for block, values in ((0, result.states / 5.0), (1, result.inputs)):
        expected = torch.logsumexp(beta * torch.cat([values, -values], dim=-1), dim=(1, 3)) / beta - 1.0
        torch.testing.assert_close(found[:, 24 * block : 24 * (block + 1)], expected, rtol=0.0, atol=1e-14)


def test_the_soft_maximum_of_infinity_is_infinite() -> None:
    states = torch.ones(1, 2, 1, 2, dtype=torch.float64)
    constraint = RolloutConstraint(FACETS, CONTRACTION, "logsumexp")
    assert constraint(Rollout(states, torch.full((1, 1, 1, 1), -math.inf).double()))[0, 1] == math.inf
    assert constraint(Rollout(states, torch.full((1, 1, 1, 1), math.nan).double()))[0, 1].isnan()


def test_logsumexp_has_no_kinks_where_the_maximum_has() -> None:
    """|u| of two equal inputs: the maximum's slope jumps from -1 to 1 at zero, the smooth one's does not."""
    states = torch.ones(1, 2, 1, 2, dtype=torch.float64)

    def slope(constraint: RolloutConstraint, at: float) -> float:
        values = [
            constraint(Rollout(states, torch.full((1, 1, 1, 1), u).double()))[0, 1] for u in (at - 1e-6, at + 1e-6)
        ]
        return float(values[1] - values[0]) / 2e-6

    hard = RolloutConstraint(FACETS, CONTRACTION, "max")
    smooth = RolloutConstraint(FACETS, CONTRACTION, "logsumexp", sharpness=50.0)
    assert slope(hard, 1e-3) - slope(hard, -1e-3) == pytest.approx(2.0, abs=1e-3)
    assert slope(smooth, 1e-3) - slope(smooth, -1e-3) == pytest.approx(2.0 * math.tanh(0.05), abs=2e-2)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"aggregation": "mean"}, "aggregation"), ({"contraction": 1.0}, "contraction"), ({"sharpness": 0.0}, "sharp")],
)
def test_bad_constraints_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        RolloutConstraint(FACETS, **{"contraction": CONTRACTION, "aggregation": "max"} | change)  # type: ignore[arg-type]
