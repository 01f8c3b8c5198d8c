"""The part of a policy that theta does not hold: changed from outside, by the constraint, or by another optimiser."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from scpo.errors import ConfigurationError, NonFiniteError
from scpo.optimizer import SafeOptimizer
from scpo.smoothness import FixedSmoothness

from .small_networks import assemble, fingerprint, residual, wrap


class Two(nn.Module):
    """Two parameters of which an optimiser holds one, and two buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.held = nn.Parameter(torch.zeros(2, dtype=torch.float64))
        self.other = nn.Parameter(torch.zeros(2, dtype=torch.float64))
        self.register_buffer("state", torch.zeros(4, 1, dtype=torch.float64))
        self.register_buffer("cache", None)


def squared(policy: Any) -> list[float]:
    return [float((policy.held + policy.other).detach().square().sum()) / 2 - 1.0]


def one_step(safe: SafeOptimizer, goal: float = 3.0) -> Any:
    policy: Any = safe.policy
    safe.zero_grad()
    (policy.held - goal).square().sum().backward()
    return safe.step()


@pytest.mark.parametrize("verify", [True, False])
def test_parameters_outside_theta_that_change_are_noticed(verify: bool) -> None:
    policy = Two()
    inner = torch.optim.SGD([policy.held], lr=0.3)
    safe = assemble(inner, policy, squared, directions="isotropic", smoothness=1.0, verify=verify)
    with torch.no_grad():
        policy.other.fill_(0.5)
    assert one_step(safe).slack == -squared(policy)[0]
    with torch.no_grad():
        policy.other.fill_(5.0)
    info = one_step(safe)
    assert info.restoring
    assert info.slack == -squared(policy)[0]


def test_two_optimisers_of_one_policy_see_each_others_steps() -> None:
    """Each knows its own block only; with the true L no step of either is unsafe."""
    policy = Two()
    pair = [
        assemble(
            torch.optim.SGD([block], lr=0.5), policy, squared, directions="isotropic", smoothness=1.0, verify=False
        )
        for block in (policy.held, policy.other)
    ]
    for turn in range(20):
        safe = pair[turn % 2]
        safe.zero_grad()
        (policy.held + policy.other - 3.0).square().sum().backward()
        policy.held.grad, policy.other.grad = (policy.held.grad, None) if turn % 2 == 0 else (None, policy.other.grad)
        info = safe.step()
        assert info.slack == -squared(policy)[0] >= 0
        assert info.bound_misses == 0
    assert squared(policy)[0] > -0.1


def _reshaped(policy: Any) -> None:
    policy.state = torch.ones(1, 1, dtype=torch.float64)


def _grown(policy: Any) -> None:
    policy.state = torch.ones(9, 2, dtype=torch.float64)


def _filled(policy: Any) -> None:
    policy.cache = torch.ones(3, dtype=torch.float64)


def _overwritten(policy: Any) -> None:
    policy.other.data = torch.full((2,), 7.0, dtype=torch.float64)


def _past_the_marks(policy: Any) -> None:
    policy.other.data += 1.0
    policy.state.numpy()[:] += 1.0


def _under_inference_mode(policy: Any) -> None:
    with torch.inference_mode():
        policy.state = torch.ones(4, 1, dtype=torch.float64)


def _expanded(policy: Any) -> None:
    policy.state = torch.ones(1, 1, dtype=torch.float64).expand(4, 1)


def _narrowed(policy: Any) -> None:
    policy.float()


def _frozen(policy: Any) -> None:
    policy.requires_grad_(False)


def _modes(policy: Any) -> None:
    policy.eval()


VANDALS: dict[str, Callable[[Any], None]] = {
    "buffer of another shape": _reshaped,
    "buffer that grows": _grown,
    "buffer that was None": _filled,
    "frozen parameter": _overwritten,
    "past the marks": _past_the_marks,
    "inference mode": _under_inference_mode,
    "expanded buffer": _expanded,
    "type": _narrowed,
    "flags": _frozen,
    "mode": _modes,
}


@pytest.mark.parametrize("name", VANDALS)
def test_what_a_constraint_does_to_the_policy_is_undone(name: str) -> None:
    policy = Two()

    def constraint(given: Any) -> list[float]:
        values = squared(given)
        VANDALS[name](given)
        return values

    safe = assemble(torch.optim.SGD([policy.held], lr=0.3), policy, constraint, directions="isotropic", smoothness=1.0)
    for _ in range(3):
        one_step(safe)
    assert policy.training
    assert policy.cache is None
    assert torch.equal(policy.state, torch.zeros(4, 1, dtype=torch.float64))
    assert torch.equal(policy.other, torch.zeros(2, dtype=torch.float64))
    assert policy.held.dtype == policy.other.dtype == policy.state.dtype == torch.float64
    assert policy.held.requires_grad
    assert policy.other.requires_grad
    assert squared(policy)[0] == safe.values[0]


@pytest.mark.parametrize("name", ["inference mode", "expanded buffer"])
def test_read_only_buffers_are_the_users_to_assign(name: str) -> None:
    """They stay, steps are taken, and a step that fails leaves everything as it was."""
    policy = Two()
    inner = torch.optim.Adam([policy.held], lr=0.1)
    safe = assemble(inner, policy, squared, directions="isotropic", smoothness=1.0)
    one_step(safe)
    VANDALS[name](policy)
    assigned = policy.state
    one_step(safe)
    before = fingerprint(safe)
    safe.zero_grad()
    (policy.held - torch.nan).square().sum().backward()
    with pytest.raises(NonFiniteError):
        safe.step()
    assert fingerprint(safe) == before
    assert inner.state[policy.held]["step"] == 2
    one_step(safe)
    assert torch.equal(policy.state, torch.ones(4, 1, dtype=torch.float64))
    assert name == "inference mode" or policy.state is assigned


def test_each_probe_sees_the_frozen_parameters_as_they_were() -> None:
    policy, seen = Two(), []

    def constraint(given: Any) -> list[float]:
        seen.append(given.other.clone())
        given.other.data = torch.full((2,), 7.0, dtype=torch.float64)
        return [-1.0]

    safe = assemble(
        torch.optim.SGD([policy.held], lr=0.3), policy, constraint, directions="isotropic", may_be_flat=True
    )
    one_step(safe)
    assert len(seen) > 4
    assert not torch.stack(seen).any()


def test_what_a_batched_constraint_does_is_undone() -> None:
    policy = residual()

    def constraint(stacked: Mapping[str, Tensor]) -> Tensor:
        policy.eval()
        values = torch.stack([part.flatten(1).square().sum(dim=1) for part in stacked.values()]).sum(dim=0)
        for part in stacked.values():
            part.zero_()  # the arrays are the constraint's to spoil
        return values[:, None] - 100.0

    safe = wrap(policy, constraint=constraint, batched=True)
    before = safe.vector.read()
    policy(torch.ones(1, 1, dtype=torch.float64)).sum().backward()
    info = safe.step()
    after = safe.vector.read()
    assert policy.training
    assert info.step_norm > 0
    assert float((after - before).norm()) == pytest.approx(info.step_norm)
    assert info.slack == pytest.approx(100.0 - float(after.square().sum()))


def test_gradients_of_frozen_parameters_are_named() -> None:
    policy = Two()
    inner = torch.optim.SGD(policy.parameters(), lr=0.3)
    policy.other.requires_grad_(False)
    safe = assemble(inner, policy, squared, directions="isotropic", smoothness=1.0)
    policy.other.grad = torch.zeros(2, dtype=torch.float64)
    with pytest.raises(ConfigurationError, match=r"set the \.grad of frozen parameters to None"):
        one_step_keeping(safe)
    policy.other.grad = None
    one_step_keeping(safe)


def one_step_keeping(safe: SafeOptimizer) -> None:
    policy: Any = safe.policy
    (policy.held - 3.0).square().sum().backward()
    safe.step()


def test_a_gradient_bound_survives_outside_changes() -> None:
    """g = 2 w^2 - 1 and L = 4: at w = 0.7 the gradient is 2.8, and a probe of 0.1 along it would be unsafe."""
    policy = Two()
    safe = assemble(
        torch.optim.SGD([policy.held], lr=1e-6),
        policy,
        lambda given: [2.0 * float(given.held[0]) ** 2 - 1.0],
        directions="isotropic",
        count=1,
        smoothness=4.0,
        safe_probes=True,
        gradient_bound=0.0,
        probe_length=0.1,
    )
    with torch.no_grad():
        policy.held[0] = 0.7
    safe.zero_grad()
    (-policy.held[0]).backward()
    assert safe.step().unsafe_probes == 0


def test_a_gradient_bound_ends_at_its_radius() -> None:
    """g is constant around 0 and steep around 1: L = 1 and r = 0.1 hold at both, not between them."""
    policy = Two()
    safe = assemble(
        torch.optim.SGD([policy.held], lr=1e-6),
        policy,
        lambda given: [max(-3.0, 10.0 * (float(given.held[0]) - 1.0) - 0.05)],
        directions="isotropic",
        count=1,
        smoothness=FixedSmoothness(1.0, radius=0.1),
        safe_probes=True,
        gradient_bound=0.0,
        probe_length=0.1,
    )
    with torch.no_grad():
        policy.held[0] = 1.0
    safe.zero_grad()
    (-policy.held[0]).backward()
    assert safe.step().unsafe_probes == 0


def test_a_sample_of_all_states_may_miss_gradients() -> None:
    """The first constraint depends on a weight that no given state sees: its bound on the gradient has to stay."""
    policy = nn.Linear(2, 1, bias=False).double()
    nn.init.zeros_(policy.weight)
    safe = assemble(
        torch.optim.SGD(policy.parameters(), lr=0.1),
        policy,
        lambda given: [10.0 * float(given.weight[0, 1]) - 1e-3, float(given.weight[0, 0]) - 1.0],
        states=torch.tensor([[1.0, 0.0]]).double(),
        smoothness=0.0,
        safe_probes=True,
        gradient_bound=[10.0, 1.0],
        probe_length=1e-2,
    )
    for inputs in ([[1.0, 0.0]], [[1.0, 0.0]], [[0.0, 1.0]], [[0.0, 1.0]]):
        safe.zero_grad()
        (policy(torch.tensor(inputs).double()) - 1.0).square().mean().backward()
        assert safe.step().unsafe_probes == 0


def test_a_constraint_may_exchange_a_submodule() -> None:
    """Buffers of the module that is there at the end are put back, by their names."""
    policy: Any = residual()
    policy.norm = nn.BatchNorm1d(1, dtype=torch.float64).requires_grad_(False)

    def constraint(policy: Any) -> list[float]:
        policy.norm = copy.deepcopy(policy.norm).train()
        policy.norm(torch.arange(4.0, dtype=torch.float64)[:, None])
        return [float(policy.norm.running_mean) - 1.0]

    optimizer = torch.optim.SGD([*policy.weights, *policy.biases], lr=0.1)
    safe = assemble(optimizer, policy, constraint, directions="isotropic")
    assert (
        float(policy.norm.running_mean) == 0.0
        and safe.values.tolist() == safe.evaluate(safe.vector.read()[None])[0].tolist()
    )


class Copies(TorchDispatchMode):
    """Counts the operations that write as many numbers as ``size``."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self.count = size, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.count += isinstance(result, Tensor) and result.numel() == self.size and "detach" not in str(func)
        return result


class Frozen(nn.Module):
    """One number beside a large frozen parameter."""

    def __init__(self, size: int = 10_000) -> None:
        super().__init__()
        self.held = nn.Parameter(torch.zeros(3, dtype=torch.float64))
        self.large = nn.Parameter(torch.zeros(size, dtype=torch.float64), requires_grad=False)


def of_frozen(policy: Any) -> list[float]:
    return [float(policy.held.detach().square().sum()) / 2 + float(policy.large[0]) - 1.0]


def test_what_is_frozen_is_not_copied_at_each_probe() -> None:
    policy = Frozen()
    safe = assemble(torch.optim.SGD([policy.held], lr=0.1), policy, of_frozen, directions="isotropic")
    one_step(safe)
    safe.zero_grad()
    (policy.held - 3.0).square().sum().backward()
    with Copies(policy.large.numel()) as copies:
        info = safe.step()
    assert info.proposals
    assert copies.count == 0
    with torch.no_grad():
        policy.large[0] = 0.1
    safe.zero_grad()
    (policy.held - 3.0).square().sum().backward()
    with Copies(policy.large.numel()) as copies:
        assert safe.step().slack == -of_frozen(policy)[0]
    assert copies.count == 1


def test_a_saved_state_notices_changed_frozen_parts() -> None:
    policy, file = Frozen(), io.BytesIO()
    safe = assemble(torch.optim.SGD([policy.held], lr=0.1), policy, of_frozen, directions="isotropic")
    one_step(safe)
    torch.save(safe.state_dict(), file)
    assert file.tell() < 2 * policy.large.numel()
    saved = safe.state_dict()
    for change in (0.0, 0.1):
        twin = Frozen()
        again = assemble(torch.optim.SGD([twin.held], lr=0.1), twin, of_frozen, directions="isotropic")
        again.load_state_dict(saved)
        assert again.state_dict()["rest"] == saved["rest"]
        twin.load_state_dict(policy.state_dict())
        twin.large.data[0] += change
        rollouts = again.evaluate.rollouts
        info = one_step(again)
        assert info.slack == -of_frozen(twin)[0]
        if change == 0.0:
            unchanged = info.rollouts - rollouts
    assert info.rollouts - rollouts == unchanged + 1


def test_writes_to_large_tensors_past_their_marks_are_undone() -> None:
    policy, seen = Frozen(), []

    def constraint(policy: Any) -> list[float]:
        values = of_frozen(policy)
        seen.append(float(policy.large[0]))
        policy.large.data += 0.01
        return values

    safe = assemble(torch.optim.SGD([policy.held], lr=0.1), policy, constraint, directions="isotropic")
    one_step(safe)
    seen.clear()
    assert one_step(safe).slack == -of_frozen(policy)[0]
    assert not any(seen)
    assert not policy.large.any()
