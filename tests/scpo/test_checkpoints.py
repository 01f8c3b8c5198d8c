"""Saved states: every optimiser goes on alike, damaged states are refused whole, and tensors may lie on a GPU."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import scpo
from scpo.errors import ConfigurationError

from .small_networks import STATES, fingerprint, outputs_within, residual, train, wrap

INNER: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1),
    "foreach Nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, foreach=True),
    "Adam": lambda p: torch.optim.Adam(p, lr=0.05),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.05, amsgrad=True),
    "NAdam": lambda p: torch.optim.NAdam(p, lr=0.05, decoupled_weight_decay=True, weight_decay=0.1),
    "RAdam": lambda p: torch.optim.RAdam(p, lr=0.05),
    "Adamax": lambda p: torch.optim.Adamax(p, lr=0.05),
    "Adagrad": lambda p: torch.optim.Adagrad(p, lr=0.05),
    "Adadelta": torch.optim.Adadelta,
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=0.02, centered=True, momentum=0.5),
    "Rprop": lambda p: torch.optim.Rprop(p, lr=0.02),
    "ASGD": lambda p: torch.optim.ASGD(p, lr=0.05),
}


def safe_one(inner: str, dtype: torch.dtype = torch.float64) -> scpo.SafeOptimizer:
    policy = residual(dtype=dtype)
    directions = scpo.Tangent(STATES.to(dtype), count=5)
    return scpo.SafeOptimizer(INNER[inner](policy.parameters()), policy, outputs_within(0.1), directions=directions)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("inner", INNER)
def test_every_optimiser_goes_on_alike(inner: str, dtype: torch.dtype) -> None:
    safe, disk = safe_one(inner, dtype), io.BytesIO()
    train(safe, 4)
    torch.save({"policy": safe.policy.state_dict(), "safe": safe.state_dict()}, disk)
    disk.seek(0)
    stored, twin = torch.load(disk, weights_only=True), safe_one(inner, dtype)
    twin.policy.load_state_dict(stored["policy"])
    twin.load_state_dict(stored["safe"])
    assert torch.equal(torch.stack(train(safe, 4)), torch.stack(train(twin, 4)))
    assert fingerprint(safe) == fingerprint(twin)


DAMAGE: dict[str, Callable[[Any], Any]] = {
    "missing": lambda value: None,
    "text": lambda value: "spoilt",
    "list": lambda value: [1, 2],
    "another shape": lambda value: torch.full((5,), 0.5),
    "cut": lambda value: value[:-1] if isinstance(value, Tensor) else object(),
    "zeroed": lambda value: torch.zeros_like(value)[None] if isinstance(value, Tensor) else torch.zeros(3),
}
#: None says that there is none, and any text is another digest
HARMLESS = [("missing", name) for name in ("gradient_bound", "memory", "count", "refuge", "raised")]
HARMLESS += [(damage, "rest") for damage in DAMAGE]


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_states_are_refused_whole(damage: str) -> None:
    safe, twin = wrap(residual(), "adam", smoothness=None), wrap(residual(), "adam", smoothness=None)
    train(safe, 3)
    train(twin, 3)
    before, rest = fingerprint(safe), safe._rest
    for name in safe.state_dict():
        if (damage, name) in HARMLESS:
            continue
        state = safe.state_dict()
        state[name] = DAMAGE[damage](state[name])
        with pytest.raises(ConfigurationError, match="state: "):
            safe.load_state_dict(state)
        assert fingerprint(safe) == before, name
        assert safe._rest is rest
    assert torch.equal(torch.stack(train(safe, 3)), torch.stack(train(twin, 3)))


class OnAnotherDevice(Tensor):
    """A tensor that NumPy cannot read before it is copied to the CPU, as one on a GPU."""

    def cpu(self, *given: Any, **options: Any) -> Tensor:  # type: ignore[override]
        return self.as_subclass(Tensor).clone()

    def to(self, *given: Any, **options: Any) -> Tensor:  # type: ignore[override]
        return self.as_subclass(Tensor).to(*given, **options).clone()

    def clone(self, *given: Any, **options: Any) -> Tensor:  # type: ignore[override]
        return self.as_subclass(Tensor).clone().as_subclass(OnAnotherDevice)

    def numpy(self, *given: Any, **options: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu()")


def moved(state: Any) -> Any:
    """Return a state with all its tensors elsewhere, as ``torch.load(..., map_location="cuda")`` leaves them."""
    if isinstance(state, Tensor):
        return state.as_subclass(OnAnotherDevice)
    if isinstance(state, dict):
        return {key: moved(one) for key, one in state.items()}
    return [moved(one) for one in state] if isinstance(state, list) else state


@pytest.mark.parametrize("inner", ["momentum", "adam"])
def test_a_state_that_was_loaded_to_a_gpu(inner: str) -> None:
    def build() -> scpo.SafeOptimizer:
        return wrap(residual(), inner, smoothness=None, verify=False)

    safe, twin = build(), build()
    train(safe, 3)
    with pytest.raises(TypeError):
        moved(safe.state_dict())["values"].numpy()
    twin.policy.load_state_dict(safe.policy.state_dict())
    state = safe.state_dict()
    twin.load_state_dict(moved(state) | {"optimizer": state["optimizer"]})  # torch itself sees to the latter
    assert torch.equal(torch.stack(train(safe, 3)), torch.stack(train(twin, 3)))
    assert type(twin._theta) is Tensor


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_run_on_a_gpu_goes_on_alike() -> None:
    def build() -> scpo.SafeOptimizer:
        policy = residual().cuda()

        def constraint(policy: Any) -> Tensor:
            outputs = policy(STATES.cuda())[:, 0]
            return torch.cat([outputs, -outputs]) - 0.1

        inner = torch.optim.Adam(policy.parameters(), lr=0.05)
        return scpo.SafeOptimizer(inner, policy, constraint, directions=scpo.Tangent(STATES.cuda(), count=5))

    def push(safe: scpo.SafeOptimizer) -> list[Tensor]:
        iterates = []
        for _ in range(4):
            safe.zero_grad()
            (safe.policy(STATES.cuda()) - 1.0).square().mean().backward()
            safe.step()
            iterates.append(safe.vector.read())
        return iterates

    for place in ("cpu", "cuda"):
        safe, twin, disk = build(), build(), io.BytesIO()
        push(safe)
        torch.save({"policy": safe.policy.state_dict(), "safe": safe.state_dict()}, disk)
        disk.seek(0)
        stored = torch.load(disk, weights_only=True, map_location=place)
        twin.policy.load_state_dict(stored["policy"])
        twin.load_state_dict(stored["safe"])
        assert torch.equal(torch.stack(push(safe)), torch.stack(push(twin)))
