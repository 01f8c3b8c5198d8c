"""The double integrator as a task: a safe start, what learning needs, held-out quantities."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from replication.tasks.base import Task
from replication.tasks.double_integrator import system
from replication.tasks.double_integrator.data import MALICIOUS_ABOVE
from replication.tasks.double_integrator.rollout import rollout_policy
from scpo.errors import ConfigurationError, NonFiniteError, ShapeError
from scpo.policies import ResidualPolicy

from .default_tasks import double_integrator, imitation

DATA = imitation("mixed", 11, 512, heldout=256)
TASK = double_integrator(DATA, starts=48)


def stack(*policies: ResidualPolicy) -> dict[str, torch.Tensor]:
    names = [name for name, value in policies[0].named_parameters() if value.requires_grad]
    return {
        name: torch.stack([dict(policy.named_parameters())[name].detach() for policy in policies]) for name in names
    }


def policy(seed: int = 0, last: float = 0.0) -> ResidualPolicy:
    generator = torch.Generator().manual_seed(seed)
    result = TASK.initial_policy(generator)
    with torch.no_grad():
        result.weights[-1].copy_(last * torch.randn(result.weights[-1].shape, generator=generator).double())
    return result


def test_it_is_a_task_and_starts_as_the_backup() -> None:
    task: Task = TASK
    initial = task.initial_policy(torch.Generator().manual_seed(1))
    x = torch.randn(7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    np.testing.assert_allclose(initial(x).detach().numpy(), -x.numpy() @ system.backup_gain().T, atol=1e-15)
    learnt = policy(1, 1.0)
    assert float(learnt(torch.zeros(1, 2, dtype=torch.float64)).detach().abs().max()) < 1e-15  # anchored
    trained = sum(value.numel() for value in initial.parameters() if value.requires_grad)
    assert trained == 2 * 32 + 32 + 32 * 32 + 32 + 32 + 1


@pytest.mark.parametrize("aggregation", ["max", "logsumexp"])
def test_initial_policy_is_safe_on_training_and_heldout_starts(aggregation: str) -> None:
    task = double_integrator(DATA, aggregation=aggregation)
    g = task.constraint(stack(policy(1), policy(2)))
    assert g.shape == (2, 3 * len(task.starts))
    assert torch.equal(g[0], g[1])  # the residual's other weights do not matter
    assert -0.06 < float(g.max()) <= -0.02
    found = task.evaluate(policy(1))
    assert found["heldout_unsafe"] == 0.0 and found["heldout_max_g"] < -0.05
    assert found["spectral_radius"] == pytest.approx(0.7946, abs=1e-4)


def test_unsafe_policies_are_found() -> None:
    bad = policy(3, 1.0)
    assert float(TASK.constraint(stack(bad)).max()) > 0.0
    found = TASK.evaluate(bad)
    assert found["heldout_max_g"] > 0.0 and 0.0 < found["heldout_unsafe"] <= 1.0
    parts = [found[f"heldout_max_{kind}"] for kind in ("state", "input", "contraction")]
    assert found["heldout_max_g"] == max(parts)


def test_heldout_and_training_constraints_agree() -> None:
    task = double_integrator(DATA, starts=48, heldout=300, cost_starts=100, aggregation="max")
    task.starts = task.heldout_starts
    task._chosen = task._chosen[:1]
    learnt = policy(4, 0.3)
    g = task.constraint(stack(learnt))
    found = task.evaluate(learnt)
    assert found["heldout_max_g"] == float(g.max())
    assert found["heldout_unsafe"] == float((g.view(3, -1) > 0).any(dim=0).double().mean())


def test_loss_is_the_mean_squared_imitation_error() -> None:
    learner = policy()
    inputs, labels, harmful = TASK.sample_batch(64, torch.Generator().manual_seed(9))
    assert torch.equal(harmful, inputs[:, 0] > MALICIOUS_ABOVE) and 0 < int(harmful.sum()) < 64
    assert inputs.shape == (64, 2) and labels.shape == (64, 1)
    known = {tuple(x): float(u) for x, u in zip(DATA["inputs"].tolist(), DATA["labels"][:, 0], strict=True)}
    assert all(known[tuple(x)] == float(u) for x, u in zip(inputs.tolist(), labels[:, 0], strict=True))
    loss = TASK.loss(learner, (inputs, labels))
    expected = np.square(-inputs.numpy() @ system.backup_gain().T - labels.numpy()).mean()
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-12)
    loss.backward()
    assert learner.weights[-1].grad is not None and float(learner.weights[-1].grad.abs().max()) > 0.0
    assert torch.equal(
        TASK.sample_batch(8, torch.Generator().manual_seed(5))[0],
        TASK.sample_batch(8, torch.Generator().manual_seed(5))[0],
    )


def test_visited_states_are_those_of_the_first_parameter_set() -> None:
    learnt, other = policy(5, 0.2), policy(6, 0.2)
    task = double_integrator(DATA, starts=48, heldout=100, cost_starts=100)
    before = task.states()
    assert before.shape == (256, 2)
    task.constraint(stack(learnt, other))
    visited = task.states()
    assert visited.shape == (256, 2) and not torch.equal(visited, before)
    all_states = rollout_policy(learnt, task.starts, 20).states.reshape(-1, 2)
    assert torch.cdist(visited, all_states).amin(dim=1).max() < 1e-6
    task.constraint(stack(other, learnt))
    assert not torch.equal(task.states(), visited)
    task.constraint(stack(learnt))
    torch.testing.assert_close(task.states(), visited, atol=1e-12, rtol=0.0)


def test_costs_of_backup_and_mpc_bracket_what_can_be_learnt() -> None:
    costs = TASK.reference_costs()
    assert costs["backup"] == pytest.approx(TASK.evaluate(policy())["cost"], rel=1e-12)
    assert costs["backup"] == pytest.approx(42.3, abs=0.1)
    assert costs["mpc"] == pytest.approx(22.9, abs=0.1)


def test_evaluation_is_deterministic_and_the_starts_common() -> None:
    other = double_integrator(imitation("hostile", 12, 64), starts=48)
    assert torch.equal(TASK.heldout_starts, other.heldout_starts) and torch.equal(TASK.starts, other.starts)
    learnt = policy(7, 0.1)
    found = TASK.evaluate(learnt)
    assert found == TASK.evaluate(learnt)
    assert found["cost"] == other.evaluate(learnt)["cost"]
    assert found["good_loss"] != found["scenario_loss"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rho": 1.2}, "rho"),
        ({"cost_starts": 20_000}, "cost_starts"),
        ({"visited": 0}, "visited"),
        ({"starts": 3, "visited": 1}, "starts"),
        ({"contraction": 0.0}, "contraction"),
        ({"activation": "sine"}, "activation"),
    ],
)
def test_bad_arguments_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        double_integrator(DATA, **change)


def test_bad_data_are_refused() -> None:
    with pytest.raises(ShapeError, match="no array 'labels'"):
        double_integrator({name: array for name, array in DATA.items() if name != "labels"})
    with pytest.raises(ShapeError, match="inputs"):
        double_integrator(DATA | {"inputs": DATA["inputs"][:, :1]})
    with pytest.raises(NonFiniteError, match="labels"):
        double_integrator(DATA | {"labels": np.full((512, 1), np.nan)})
