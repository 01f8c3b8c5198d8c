"""SafeOptimizer from outside: a black-box constraint, any policy, any optimiser, checkpoints."""

from __future__ import annotations

import io
import itertools
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import scpo
from replication.planted_faults.smooth import Vector
from scpo.errors import ConfigurationError
from scpo.optimizer import SafeOptimizer

from .small_networks import (
    OPTIMIZERS,
    STATES,
    assemble,
    fingerprint,
    loss,
    outputs_within,
    outputs_within_batched,
    residual,
    train,
    wrap,
)


class NeverBackward(torch.autograd.Function):
    """Identity whose derivative must not be asked for."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        raise AssertionError("the constraint was differentiated")


@pytest.mark.parametrize(("kind", "verify"), list(itertools.product(["tangent", "isotropic", "mixed"], [True, False])))
def test_constraint_is_never_differentiated(kind: str, verify: bool) -> None:
    def constraint(policy: nn.Module) -> Tensor:
        assert not torch.is_grad_enabled()
        outputs = NeverBackward.apply(policy(STATES))
        assert not outputs.requires_grad
        return outputs[:, 0] - 0.4

    policy = residual()
    train(wrap(policy, constraint=constraint, directions=kind, verify=verify), 4)

    def batched(stacked: dict[str, Tensor]) -> Tensor:
        assert not torch.is_grad_enabled()
        assert not any(value.requires_grad for value in stacked.values())
        return NeverBackward.apply(policy.stacked(stacked, STATES))[..., 0] - 0.4

    policy = residual()
    train(wrap(policy, constraint=batched, batched=True, directions=kind, verify=verify), 4)


def test_spy_would_notice() -> None:
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(AssertionError, match="differentiated"):
        NeverBackward.apply(x).sum().backward()


def test_constraint_from_numpy_alone_and_from_a_subprocess() -> None:
    script = "import sys; print(float(sys.argv[1]) - 1.0)"

    def simulator(policy: Vector) -> list[float]:
        weight = repr(float(policy.theta[0]))
        done = subprocess.run([sys.executable, "-S", "-c", script, weight], capture_output=True, text=True, check=True)
        return [float(done.stdout)]

    iterates = []
    for constraint in (simulator, lambda policy: np.asarray(policy.theta.numpy()) - 1.0):
        policy = Vector([0.0])
        safe = assemble(
            torch.optim.SGD(policy.parameters(), lr=0.5), policy, constraint, smoothness=0.0, directions="isotropic"
        )
        for _ in range(2):
            safe.zero_grad()
            ((policy.theta - 3.0) ** 2).sum().backward()
            safe.step()
        iterates.append(policy.theta.item())
    assert iterates[0] == iterates[1] == pytest.approx(0.75)  # kappa = 1/2 of the slack, twice


def test_batched_and_single_constraint_give_the_same_run() -> None:
    runs = []
    for batched in (False, True):
        policy = residual()
        pi = outputs_within_batched(policy)

        def one(module: nn.Module, pi: Any = pi, policy: Any = policy) -> Tensor:
            return pi({name: value.detach()[None] for name, value in policy.named_parameters()})[0]

        options = {"constraint": pi, "batched": True} if batched else {"constraint": one}
        runs.append(train(wrap(policy, **options), 6)[-1])
    assert torch.allclose(*runs, rtol=0, atol=1e-7)  # products of another shape round differently


CHECKPOINTED = [
    *itertools.product(["momentum"], ["tangent", "isotropic", "mixed"], ["estimated", "fixed"], [True, False]),
    *itertools.product(["sgd", "adam", "amsgrad"], ["tangent"], ["estimated"], [True, False]),
]


@pytest.mark.parametrize(("inner", "kind", "smoothness", "verify"), CHECKPOINTED)
def test_resumed_run_is_bit_identical(inner: str, kind: str, smoothness: str, verify: bool) -> None:
    options: dict[str, Any] = {
        "directions": kind,
        "verify": verify,
        "safe_probes": kind == "mixed",
        "smoothness": None if smoothness == "estimated" else 1.0,
    }
    whole = wrap(residual(), inner, **options)
    expected = train(whole, 10)
    half = wrap(residual(), inner, **options)
    train(half, 5)
    disk = io.BytesIO()
    torch.save({"policy": half.policy.state_dict(), "safe": half.state_dict()}, disk)
    disk.seek(0)
    stored = torch.load(disk, weights_only=True)
    resumed = wrap(residual(), inner, seed=99, **options)
    resumed.policy.load_state_dict(stored["policy"])
    resumed.load_state_dict(stored["safe"])
    assert torch.equal(torch.stack(train(resumed, 5)), torch.stack(expected[5:]))
    assert fingerprint(resumed) == fingerprint(whole)
    assert resumed.evaluate.rollouts == whole.evaluate.rollouts


def test_another_seed_gives_another_run() -> None:
    first, second = (train(wrap(residual(), seed=seed), 6)[-1] for seed in (0, 1))
    assert not torch.equal(first, second)


def test_foreign_state_is_refused_as_a_whole() -> None:
    safe = wrap(residual())
    before = fingerprint(safe)
    with pytest.raises(ConfigurationError, match="values"):
        safe.load_state_dict({key: value for key, value in safe.state_dict().items() if key != "values"})
    other = wrap(residual(), constraint=lambda policy: [-1.0])
    with pytest.raises(ConfigurationError, match="constraint values"):
        safe.load_state_dict(other.state_dict())
    assert fingerprint(safe) == before


def test_several_parameter_groups_each_with_its_options() -> None:
    policy = residual()
    groups = [{"params": list(policy.weights), "lr": 0.0}, {"params": list(policy.biases), "lr": 0.2}]
    inner = torch.optim.SGD(groups, momentum=0.5)
    start = [weight.detach().clone() for weight in policy.weights]
    flat = {"may_be_flat": True, "directions": "isotropic", "smoothness": 0.0}
    safe = assemble(inner, policy, lambda policy: [-1.0], count=5, **flat)
    losses = []
    for _ in range(3):
        safe.zero_grad()
        losses.append(((policy(STATES) - 1.0) ** 2).mean())
        losses[-1].backward()
        assert not safe.step().projected
    for weight, first in zip(policy.weights, start, strict=True):
        assert torch.allclose(weight, first, rtol=0, atol=1e-15)
    assert float(losses[-1].detach()) < float(losses[0].detach())
    assert [group["lr"] for group in inner.param_groups] == [0.0, 0.2]


def test_frozen_and_left_out_parameters_stay() -> None:
    policy = residual()
    policy.biases[0].requires_grad_(False)
    inner = torch.optim.SGD([*policy.weights, policy.biases[0]], lr=0.1)  # biases[1] is left out
    kept = [policy.biases[0].detach().clone(), policy.biases[1].detach().clone()]
    safe = assemble(inner, policy, outputs_within(), count=5, states=STATES, smoothness=1.0)
    assert safe.vector.names == ("weights.0", "weights.1")
    iterates = train(safe, 5)
    assert not torch.equal(iterates[0], iterates[-1])
    assert torch.equal(policy.biases[0], kept[0])
    assert torch.equal(policy.biases[1], kept[1])


class Tied(nn.Module):
    """pi(x) = W^T tanh(W x), one weight used twice, with a normalisation that keeps running statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(1, 3, dtype=torch.float64)
        self.second = nn.Linear(1, 3, dtype=torch.float64)
        self.second.weight = self.first.weight
        self.norm = nn.BatchNorm1d(3, dtype=torch.float64)
        with torch.no_grad():
            self.first.weight.copy_(torch.tensor([[0.1], [-0.2], [0.15]]))
            self.first.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.norm(self.first(x))) @ self.second.weight


@pytest.mark.usefixtures("unwatched")
@pytest.mark.parametrize("kind", ["tangent", "isotropic"])
def test_tied_weights_and_running_statistics(kind: str) -> None:
    policy = Tied()

    def constraint(policy: nn.Module) -> Tensor:
        policy.train()  # updates the running statistics at each probe
        values = policy(STATES)[:, 0] - 1.0
        policy.eval()
        return values

    policy.train()
    inner = torch.optim.SGD(policy.parameters(), lr=0.1)
    safe = assemble(inner, policy, constraint, count=5, states=STATES, directions=kind, smoothness=5.0, look=False)
    assert sum(name.endswith("weight") for name in safe.vector.names) == 2  # the tied one, once, and norm.weight
    safe.zero_grad()
    loss(policy).backward()
    statistics = {name: buffer.clone() for name, buffer in policy.named_buffers()}
    rollouts = safe.evaluate.rollouts
    info = safe.step()
    assert policy.training
    assert policy.second.weight is policy.first.weight
    assert info.step_norm > 0
    assert int(statistics["norm.num_batches_tracked"]) == 1
    for name, buffer in policy.named_buffers():
        assert torch.equal(buffer, statistics[name]), name
    # the forward pass of the loss moved the statistics, hence perhaps g: one more rollout
    directions = 5 if kind == "isotropic" else 3
    assert safe.evaluate.rollouts - rollouts == directions + 1 + 1


def test_lbfgs_closures_are_differentiated_at_theta() -> None:
    policy = Vector(np.ones(3))
    inner = torch.optim.LBFGS(policy.parameters(), lr=0.3, max_iter=4)
    # kappa |slack| binds along the first axis, so that the descent row matters
    safe = assemble(
        inner, policy, lambda p: [p.theta[0].item() - 1.01], smoothness=0.0, directions="isotropic", count=3
    )
    curvature = torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64)

    def value() -> Tensor:
        return 0.5 * (curvature * (policy.theta - 2.0) ** 2).sum()

    def closure() -> Tensor:
        inner.zero_grad()
        found = value()
        found.backward()
        return found

    for _ in range(4):
        theta = policy.theta.detach().clone()
        gradient = curvature * (theta - 2.0)
        safe.step(closure)
        assert float(gradient @ (policy.theta.detach() - theta)) <= 1e-12
        assert float(policy.theta[0].detach()) <= 1.01


def test_optimiser_state_follows_the_gradients_alone() -> None:
    policy = residual()
    safe = wrap(policy, "momentum", constraint=outputs_within(0.005))
    buffer = [torch.zeros_like(parameter) for parameter in policy.parameters()]
    projected = 0
    for update in range(6):
        safe.zero_grad()
        loss(policy).backward()
        buffer = [
            parameter.grad.clone() if update == 0 else 0.9 * b + parameter.grad
            for b, parameter in zip(buffer, policy.parameters(), strict=True)
        ]
        projected += safe.step().projected
    assert projected >= 5
    for parameter, expected in zip(policy.parameters(), buffer, strict=True):
        assert torch.allclose(safe.optimizer.state[parameter]["momentum_buffer"], expected, rtol=1e-14, atol=0)


@pytest.mark.parametrize("inner", OPTIMIZERS)
def test_float32_policies_work_with_all_directions(inner: str) -> None:
    for kind in ("tangent", "isotropic", "mixed"):
        policy = residual(dtype=torch.float32)
        safe = wrap(policy, inner, states=STATES.float(), directions=kind)
        train(safe, 4)
        assert policy.weights[0].dtype == torch.float32
        assert safe.values.max() <= 0
        assert np.array_equal(safe.values, outputs_within()(policy.requires_grad_(False)))


def test_public_names() -> None:
    assert scpo.SafeOptimizer is SafeOptimizer
    assert set(scpo.__all__) <= set(dir(scpo))


def test_a_failing_optimiser_leaves_the_parameters() -> None:
    class Stumbling(torch.optim.SGD):
        def step(self, closure: Any = None) -> None:
            super().step(closure)
            raise RuntimeError("half way")

    policy = residual()
    safe = assemble(Stumbling(policy.parameters(), lr=0.1), policy, outputs_within(), states=STATES)
    before = safe.vector.read()
    loss(policy).backward()
    with pytest.raises(RuntimeError, match="half way"):
        safe.step()
    assert torch.equal(safe.vector.read(), before)
