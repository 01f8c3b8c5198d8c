"""Policies of every kind: what they return, what they take, how they are compiled, and how they store parameters."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, distributions, nn

import scpo
from scpo.directions import _policy_rows
from scpo.errors import ConfigurationError, ScpoError, ShapeError
from scpo.outputs import uncompiled
from scpo.parameters import ParameterVector
from scpo.sampling import Context

from .small_networks import STATES, outputs_within, residual

X = torch.linspace(-1.0, 1.0, 5, dtype=torch.float64)[:, None]


class Head(nn.Module):
    """A linear layer whose output is packed in some way."""

    def __init__(self, pack: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 2).double()
        self.pack = pack

    def forward(self, x: Tensor) -> Any:
        return self.pack(self.layer(x))


PACKED: dict[str, Callable[[Tensor], Any]] = {
    "tuple": lambda y: (y, torch.zeros(3)),
    "nested": lambda y: [None, {"action": y}],
    "dict": lambda y: {"name": "policy", "action": y, "value": torch.zeros(3)},
    "normal": lambda y: distributions.Normal(y, 1.0),
    "independent": lambda y: distributions.Independent(distributions.Normal(y, 1.0), 1),
    "squashed": lambda y: distributions.TransformedDistribution(
        distributions.Normal(y, 1.0), distributions.TanhTransform()
    ),
}


def rows(policy: nn.Module, states: Any, output: Any = None) -> Tensor:
    return _policy_rows(Context(policy, ParameterVector(policy, policy.parameters())), states, output)


@pytest.mark.parametrize("kind", PACKED)
def test_what_counts_of_an_output(kind: str) -> None:
    assert torch.equal(rows(Head(PACKED[kind]), X), rows(Head(lambda y: y), X))


def test_of_a_choice_the_logits_count() -> None:
    """They are those of the layer minus the logarithm of a sum, so the derivative of the first is p_2 (y_1 - y_2)'."""
    policy = Head(lambda y: distributions.Categorical(logits=y))
    found = rows(policy, X).view(5, 2, -1)
    share = torch.softmax(policy.layer(X).detach(), dim=1)
    plain = rows(Head(lambda y: y), X).view(5, 2, -1)
    assert torch.allclose(found[:, 0], share[:, 1:] * (plain[:, 0] - plain[:, 1]))


def test_another_output_may_count() -> None:
    found = rows(Head(lambda y: (y[:, :1], y[:, 1:])), X, lambda policy, states: policy(states)[1])
    assert torch.equal(found, rows(Head(lambda y: y[:, 1:]), X))
    policy = residual()
    assert torch.allclose(rows(policy, X, lambda policy, states: policy(states)), rows(policy, X))  # not its own rows


@pytest.mark.parametrize(
    ("pack", "message"),
    [
        (lambda y: None, "returns NoneType at the states, without a tensor"),
        (lambda y: ("text", 3), "returns tuple"),
        (lambda y: (torch.zeros(3), y), "if it has several outputs, say which counts"),
    ],
)
def test_outputs_that_cannot_be_used(pack: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        rows(Head(pack), X)


class Actor(nn.Module):
    """A policy without a forward method."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1).double()

    def act(self, x: Tensor) -> Tensor:
        result: Tensor = self.layer(x)
        return result


def test_policies_without_forward() -> None:
    policy = Actor()
    with pytest.raises(ConfigurationError, match=r"Actor has no forward method; .*policy\.act"):
        rows(policy, X)
    assert torch.equal(rows(policy, X, lambda policy, states: policy.act(states)), rows(policy.layer, X))


class Several(nn.Module):
    """A policy of states of two kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1).double()

    def forward(self, states: dict[str, Tensor]) -> Tensor:
        result: Tensor = self.layer(torch.cat([states["position"], states["goal"]], dim=1))
        return result


def states_of(position: int, goal: int) -> dict[str, Tensor]:
    return {"position": torch.ones(position, 1).double(), "goal": torch.ones(goal, 2).double()}


@pytest.mark.parametrize("number", [3, 40])
def test_states_may_be_a_dictionary(number: int) -> None:
    policy = Several()
    nn.init.zeros_(policy.layer.weight)
    nn.init.zeros_(policy.layer.bias)
    states = states_of(number, number)
    safe = scpo.SafeOptimizer(
        torch.optim.SGD(policy.parameters(), lr=0.1),
        policy,
        lambda policy: policy(states)[:, 0] - 1.0,
        directions=scpo.Tangent(lambda: states, count=5),
    )
    for _ in range(5):
        safe.zero_grad()
        (policy(states) - 3.0).square().mean().backward()
        assert safe.step().slack >= 0
    assert policy(states).max() > 0.5


@pytest.mark.parametrize("states", [{}, states_of(3, 4), states_of(0, 0), {"position": 1.0}])
def test_dictionaries_that_are_no_states(states: Any) -> None:
    policy = Several()
    context = Context(policy, ParameterVector(policy, policy.parameters()))
    with pytest.raises(ShapeError, match="states: expected"):
        scpo.Tangent(states).draw(context, 3, torch.Generator())


@pytest.mark.parametrize("tied", [False, True])
def test_sparse_gradients_and_tied_parameters(tied: bool) -> None:
    """Rows of an embedding with sparse gradients are those of one with dense gradients; a tied weight has one place."""
    sets = []
    for sparse in (False, True):
        policy = nn.Sequential(nn.Embedding(4, 3, sparse=sparse), nn.Linear(3, 4, bias=False)).double()
        if tied:
            policy[1].weight = policy[0].weight
        for index, parameter in enumerate(policy.parameters()):
            parameter.data = torch.linspace(-1.0 + index, 1.0, 12, dtype=torch.float64).view_as(parameter)
        sets.append(rows(policy, torch.tensor([0, 2, 2])))
    assert sets[0].shape == (12, 12 if tied else 24)
    assert torch.allclose(*sets)


@pytest.mark.parametrize("inner", [torch.optim.SGD, torch.optim.SparseAdam, torch.optim.Adagrad])
@pytest.mark.filterwarnings("ignore:Sparse invariant checks")  # torch's Adagrad
def test_sparse_gradients_are_trained_safely(inner: Any) -> None:
    policy = nn.Embedding(4, 1, sparse=True).double()
    nn.init.zeros_(policy.weight)
    seen = torch.tensor([0, 2])
    safe = scpo.SafeOptimizer(
        inner(policy.parameters(), lr=0.2),
        policy,
        lambda policy: policy.weight[:, 0] - 1.0,
        directions=scpo.Tangent(torch.arange(4), count=4),
    )
    for _ in range(20):
        safe.zero_grad()
        (policy(seen) - 3.0).square().sum().backward()
        assert safe.step().slack >= 0
    assert policy.weight[seen].min() > 0.5
    assert policy.weight[[1, 3]].abs().max() < 1e-6


def compiled(policy: nn.Module, how: str) -> nn.Module:
    if how == "whole":
        return torch.compile(policy)  # type: ignore[return-value]
    if how == "in place":
        policy.compile()
    else:
        policy[0] = torch.compile(policy[0])  # type: ignore[operator,index]
    return policy


def network() -> nn.Sequential:
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Linear(1, 4), nn.LayerNorm(4), nn.GELU(), nn.Linear(4, 4), nn.GELU())
    policy = nn.Sequential(inner, nn.Linear(4, 1)).double()
    nn.init.zeros_(policy[1].weight)
    nn.init.zeros_(policy[1].bias)
    return policy


def trained(policy: nn.Module) -> Tensor:
    """Three iterates of a policy; the name of the first parameter does not matter."""
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.05)
    safe = scpo.SafeOptimizer(optimizer, policy, outputs_within(), directions=scpo.Tangent(STATES, count=5))
    for _ in range(3):
        safe.zero_grad()
        (policy(STATES) - 2.0).square().mean().backward()
        assert safe.step().slack >= 0
    return safe.vector.read()


@pytest.mark.slow
@pytest.mark.skipif(not any(map(shutil.which, ("g++", "c++", "clang++"))), reason="torch.compile needs a C++ compiler")
@pytest.mark.parametrize("how", ["whole", "in place", "nested"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside torch's compiler
def test_compiled_policies(how: str) -> None:
    torch._dynamo.reset()
    assert torch.allclose(trained(compiled(network(), how)), trained(network()), atol=1e-6)


def test_a_policy_is_taken_out_of_its_compiled_form() -> None:
    policy = residual()
    assert uncompiled(torch.compile(policy, backend="eager")) is policy  # type: ignore[arg-type]
    assert uncompiled(policy) is policy


def test_rows_that_a_compiled_policy_computes_itself() -> None:
    policy = residual()
    assert torch.equal(rows(torch.compile(policy, backend="eager"), X), rows(policy, X))  # type: ignore[arg-type]


def test_errors_name_the_remedy_in_a_step() -> None:
    policy = Head(lambda y: distributions.Normal(y.detach(), 1.0))
    safe = scpo.SafeOptimizer(
        torch.optim.SGD(policy.parameters(), lr=0.1), policy, lambda policy: [-1.0], directions=scpo.Tangent(X)
    )
    policy.layer(X).sum().backward()
    with pytest.raises(ScpoError, match=r"does not depend on its parameters.*scpo\.Tangent\(states, output="):
        safe.step()
