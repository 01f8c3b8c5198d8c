"""Wrapped optimisers of every kind, and states that are saved, loaded, and refused whole."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from scpo.errors import ConfigurationError, ConstraintError, NonFiniteError
from scpo.optimizer import SafeOptimizer
from scpo.sampling import Directions, Sample
from scpo.smoothness import EstimatedSmoothness, FixedSmoothness

from .small_networks import STATES, assemble, fingerprint, loss, outputs_within, residual, train, wrap


@pytest.mark.parametrize("inner", [torch.optim.SGD, torch.optim.Adam])
def test_optimisers_that_maximise_ascend(inner: Any) -> None:
    """The reward 1 w_0 + 0.5 w_1 over |w| <= 1 is sqrt(1.25) at most."""
    policy = nn.Linear(2, 1, bias=False).double()
    nn.init.zeros_(policy.weight)
    safe = assemble(
        inner(policy.parameters(), lr=0.1, maximize=True),
        policy,
        lambda given: [float(given.weight.detach().square().sum()) - 1.0],
        directions="isotropic",
        smoothness=2.0,
    )
    rewards = []
    for _ in range(40):
        safe.zero_grad()
        reward = (policy.weight * torch.tensor([[1.0, 0.5]]).double()).sum()
        rewards.append(reward.item())
        reward.backward()
        assert safe.step().slack >= 0
    assert (np.diff(rewards) >= -1e-12).all()
    assert rewards[-1] > 0.9 * np.sqrt(1.25)


def test_a_state_can_be_loaded_more_than_once() -> None:
    safe = wrap(residual(), "adam")
    train(safe, 3)
    weights, state = copy.deepcopy(safe.policy.state_dict()), safe.state_dict()
    runs = []
    for _ in range(2):
        again = wrap(residual(), "adam")
        again.policy.load_state_dict(weights)
        again.load_state_dict(state)
        runs.append(torch.stack(train(again, 4)))
    assert torch.equal(runs[0], runs[1])


def _other_groups() -> SafeOptimizer:
    policy = residual()
    halves = [{"params": list(policy.weights)}, {"params": list(policy.biases)}]
    return assemble(torch.optim.SGD(halves, lr=0.1), policy, lambda given: np.full(12, -1.0), directions="isotropic")


@pytest.mark.parametrize(
    "build",
    [
        lambda: wrap(residual(), "momentum", smoothness=None),
        _other_groups,
        lambda: wrap(residual(), "adam"),
        lambda: wrap(residual(), "momentum", smoothness=EstimatedSmoothness()),
    ],
    ids=["estimated", "groups", "adam", "object"],
)
def test_states_of_something_else_are_refused_whole(build: Any) -> None:
    foreign = wrap(residual(), "momentum", smoothness=1.0)
    train(foreign, 2)
    state = foreign.state_dict()
    safe = build()
    before = fingerprint(safe)
    with pytest.raises(ConfigurationError, match="state: of another optimiser or smoothness"):
        safe.load_state_dict(state)
    assert fingerprint(safe) == before


def test_wrong_lengths_of_learned_constants_are_refused() -> None:
    safe = wrap(residual(), smoothness=None)
    state = safe.state_dict()
    state["smoothness"]["observed"] = torch.zeros(5, dtype=torch.float64)
    before = fingerprint(safe)
    with pytest.raises(ConfigurationError, match="smoothness"):
        safe.load_state_dict(state)
    assert fingerprint(safe) == before


class Deaf(torch.optim.SGD):
    """An optimiser that takes a closure and does not call it."""

    def step(self, closure: Any = None) -> None:
        super().step()


def test_a_closure_that_is_never_called() -> None:
    policy = residual()
    safe = assemble(Deaf(policy.parameters(), lr=0.1), policy, lambda given: [-1.0], directions="isotropic")
    loss(policy).backward()
    with pytest.raises(ConfigurationError, match="Deaf did not call the closure"):
        safe.step(lambda: 0.0)


def test_steps_too_long_to_be_squared() -> None:
    policy = residual()
    safe = wrap(policy, "sgd")
    before = fingerprint(safe)
    loss(policy).backward()
    for parameter in policy.parameters():
        parameter.grad.fill_(1e200)
    with pytest.raises(NonFiniteError, match="too long to be squared"):
        safe.step()
    assert fingerprint(safe) == before


def test_sampling_leaves_the_global_random_numbers_alone() -> None:
    policy = nn.Sequential(nn.Linear(1, 8), nn.Dropout(0.5), nn.Linear(8, 1)).double()
    weights = list(policy.parameters())
    safe = wrap(
        policy, "sgd", constraint=lambda given: [float(sum(w.square().sum() for w in weights)) - 100.0], smoothness=2.0
    )
    loss(policy).backward()
    torch.manual_seed(3)
    safe.step()
    drawn = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(1))


class Bare(Directions):
    """A user's source that returns something else than a sample, or fails."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer

    def draw(self, context: Any, count: int, generator: torch.Generator) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (
            RuntimeError("expected Float"),
            ConfigurationError,
            "Bare cannot draw directions, RuntimeError: expected Float",
        ),
        (torch.ones(13, 2), ConfigurationError, "returned Tensor, expected scpo.sampling.Sample"),
        (Sample(torch.full((13, 2), 1e200, dtype=torch.float64)), NonFiniteError, "too long to be squared"),
    ],
)
def test_directions_that_fail(answer: Any, error: type[Exception], message: str) -> None:
    safe = wrap(residual(), directions=Bare(answer))
    before = fingerprint(safe)
    loss(safe.policy).backward()
    with pytest.raises(error, match=message):
        safe.step()
    assert fingerprint(safe) == before


class Fading(Directions):
    """Gaussian directions at first, and later none."""

    def __init__(self) -> None:
        super().__init__(count=5, recycled=2)
        self.calls = 0

    def draw(self, context: Any, count: int, generator: torch.Generator) -> Sample:
        self.calls += 1
        columns = count if self.calls == 1 else 0
        return Sample(torch.randn(context.vector.dimension, columns, generator=generator, dtype=torch.float64))


def test_an_update_without_any_direction_keeps_the_memory() -> None:
    safe = wrap(residual(), "sgd", directions=Fading())
    train(safe, 1)
    kept = safe.state_dict()["memory"]["gradients"]
    object.__setattr__(safe.directions, "count", 1)  # no place for what is remembered either
    safe.zero_grad()
    for parameter in safe.policy.parameters():
        parameter.grad = torch.zeros_like(parameter)
    assert safe.step().step_norm == 0.0
    assert torch.equal(safe.state_dict()["memory"]["gradients"], kept)


def test_states_of_another_type_than_the_policy() -> None:
    safe = wrap(residual(), states=STATES.float())
    loss(safe.policy).backward()
    with pytest.raises(ConfigurationError, match="the states must suit the policy"):
        safe.step()


def test_lists_from_a_users_model_will_do() -> None:
    model = FixedSmoothness(1.0)
    safe = wrap(residual(), smoothness=model)
    model.constants = lambda: [1.0] * 12  # type: ignore[assignment,return-value]
    model.kinks = lambda: [0.0] * 12  # type: ignore[assignment,return-value]
    twin = wrap(residual())
    assert torch.equal(torch.stack(train(safe, 3)), torch.stack(train(twin, 3)))


def test_refresh_measures_rounding_again() -> None:
    scale = [1.0]
    policy = nn.Linear(1, 1, bias=False).double()
    nn.init.zeros_(policy.weight)

    def safe_one() -> SafeOptimizer:
        inner = torch.optim.SGD(policy.parameters(), lr=0.1)
        return assemble(inner, policy, lambda given: [scale[0] * (float(given.weight) - 1.0)], directions="isotropic")

    safe = safe_one()
    scale[0] = 1e8
    safe.refresh()
    assert safe.rounding[0] > 0.1 * safe_one().rounding[0] > 1e-9


class ThirdParty(torch.optim.SGD):
    """An optimiser that counts its steps in its groups."""

    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            group["step"] = group.get("step", 0) + 1
        return super().step(closure)


@pytest.mark.parametrize("taken", [0, 3])
def test_what_an_optimiser_writes_elsewhere_is_taken_back(taken: int) -> None:
    def build() -> tuple[SafeOptimizer, list[bool]]:
        policy, failing = residual(), [False]

        def constraint(policy: nn.Module) -> np.ndarray:
            if failing[0]:
                raise RuntimeError("no rollout")
            return outputs_within()(policy)

        # Nesterov's step over all tensors at once writes to the gradients
        inner = ThirdParty(policy.parameters(), lr=0.1, momentum=0.9, nesterov=True, foreach=True)
        return assemble(inner, policy, constraint, states=STATES, count=5), failing

    safe, failing = build()
    train(safe, taken)
    safe.zero_grad()
    loss(safe.policy).backward()
    gradients = [parameter.grad for parameter in safe.vector.parameters]
    numbers = [gradient.clone() for gradient in gradients]
    before, failing[0] = fingerprint(safe), True
    with pytest.raises(ConstraintError):
        safe.step()
    assert fingerprint(safe) == before
    assert safe.param_groups[0].get("step", 0) == taken
    for parameter, gradient, kept in zip(safe.vector.parameters, gradients, numbers, strict=True):
        assert parameter.grad is gradient
        assert torch.equal(gradient, kept)
    failing[0] = False
    safe.step()
    twin, _ = build()
    assert torch.equal(safe.vector.read(), train(twin, taken + 1)[-1])
