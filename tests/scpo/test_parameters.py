"""Parameters as one vector in float64, and what stays out of it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from scpo.errors import ConfigurationError, NonFiniteError
from scpo.parameters import ParameterVector
from scpo.rest import Keeper, read_rest, undisturbed, write_rest

from .small_networks import residual


class Mixed(nn.Module):
    """Parameters of several shapes and precisions, a scalar among them."""

    def __init__(self) -> None:
        super().__init__()
        self.scalar = nn.Parameter(torch.tensor(0.25, dtype=torch.float64))
        self.matrix = nn.Parameter(torch.arange(6, dtype=torch.float32).reshape(2, 3).T)  # not contiguous
        self.frozen = nn.Parameter(torch.ones(4), requires_grad=False)
        self.low = nn.Parameter(torch.tensor([0.5, -1.0], dtype=torch.float16))
        self.register_buffer("count", torch.tensor(3))


def vector(policy: nn.Module) -> ParameterVector:
    return ParameterVector(policy, policy.parameters())


def test_layout() -> None:
    policy = Mixed()
    flat = vector(policy)
    assert flat.names == ("scalar", "matrix", "low")
    assert (flat.sizes, flat.dimension) == ((1, 6, 2), 9)
    assert flat.read().tolist() == [0.25, 0.0, 3.0, 1.0, 4.0, 2.0, 5.0, 0.5, -1.0]
    assert flat.read().dtype == torch.float64
    assert flat.roundoff == torch.finfo(torch.float16).eps
    assert vector(residual()).roundoff == torch.finfo(torch.float64).eps


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.floats(-100, 100), min_size=9, max_size=9))
def test_writing_rounds_to_each_dtype_once(values: list[float]) -> None:
    policy = Mixed()
    flat = vector(policy)
    theta = torch.tensor(values, dtype=torch.float64)
    flat.write(theta)
    assert policy.scalar.item() == values[0]
    assert torch.equal(policy.matrix, theta[1:7].float().reshape(3, 2))
    assert torch.equal(policy.low, theta[7:].half())
    assert torch.equal(policy.frozen, torch.ones(4))
    written = flat.read()
    flat.write(written)
    assert torch.equal(flat.read(), written)
    stacked = flat.stack(torch.stack([theta, written]))
    assert stacked["matrix"].shape == (2, 3, 2)
    assert all(torch.equal(value[0], value[1]) for value in stacked.values())
    assert torch.equal(stacked["matrix"][0], policy.matrix)
    assert stacked["low"].dtype == torch.float16


def test_read_is_a_copy_and_write_needs_no_graph() -> None:
    policy = residual()
    flat = vector(policy)
    theta = flat.read()
    flat.write(theta + 1.0)
    assert not torch.equal(theta, flat.read())
    assert not flat.read().requires_grad
    assert all(parameter.is_leaf and parameter.requires_grad for parameter in policy.parameters())


def test_gradient() -> None:
    policy = Mixed()
    flat = vector(policy)
    with pytest.raises(ConfigurationError, match=r"loss\.backward"):
        flat.gradient()
    policy.matrix.sum().backward()
    assert flat.gradient().tolist() == [0.0] + [1.0] * 6 + [0.0, 0.0]
    policy.low.grad = torch.tensor([1.0, torch.inf], dtype=torch.float16)
    with pytest.raises(NonFiniteError, match="'low'"):
        flat.gradient()


def test_sparse_gradients_are_read() -> None:
    policy = nn.Embedding(4, 2, sparse=True)
    policy(torch.tensor([1, 3, 3])).sum().backward()
    assert vector(policy).gradient().tolist() == [0, 0, 1, 1, 0, 0, 2, 2]


def test_tied_parameters_count_once() -> None:
    policy = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    policy[1].weight = policy[0].weight
    flat = vector(policy)
    assert flat.names == ("0.weight", "0.bias", "1.bias")
    assert flat.dimension == 8


def test_what_is_refused() -> None:
    policy = residual()
    with pytest.raises(ConfigurationError, match="frozen or empty"):
        ParameterVector(policy, [])
    with pytest.raises(ConfigurationError, match="another model's"):
        ParameterVector(policy, [nn.Parameter(torch.ones(1))])
    sparse = nn.Module()
    sparse.table = nn.Parameter(torch.eye(2).to_sparse())
    with pytest.raises(ConfigurationError, match=r"'table'.*store it densely"):
        vector(sparse)
    empty = nn.Module()
    empty.nothing = nn.Parameter(torch.zeros(0))
    with pytest.raises(ConfigurationError, match="frozen or empty"):
        vector(empty)
    complex_one = nn.Module()
    complex_one.phase = nn.Parameter(torch.zeros(2, dtype=torch.complex128))
    with pytest.raises(ConfigurationError, match=r"'phase'.*complex128"):
        vector(complex_one)
    split = nn.Module()
    split.here, split.there = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1, device="meta"))
    with pytest.raises(ConfigurationError, match="several devices"):
        vector(split)


def test_changes_of_what_the_optimiser_would_move_are_refused() -> None:
    policy = residual()
    policy.biases[0].requires_grad_(False)
    flat, held = vector(policy), list(policy.parameters())
    flat.refuse_change(policy, held)
    policy.biases[0].grad = torch.zeros_like(policy.biases[0])  # an optimiser moves whatever has a gradient
    with pytest.raises(ConfigurationError, match="1 tensors that the optimiser would move are new"):
        flat.refuse_change(policy, held)
    policy.biases[0].grad = None
    with pytest.raises(ConfigurationError, match="changed since the start"):
        flat.refuse_change(policy, held[1:])
    policy.weights[1].requires_grad_(False)
    with pytest.raises(ConfigurationError, match=r"frozen: weights\.1"):
        flat.refuse_change(policy, held)


def test_undisturbed_gives_buffers_and_modes_back() -> None:
    policy = nn.Sequential(nn.Linear(1, 2), nn.BatchNorm1d(2), nn.Dropout())
    policy[2].eval()
    before = read_rest(policy)
    with pytest.raises(KeyError), undisturbed(policy, Keeper(policy)):
        policy.eval()
        policy[1].running_mean += 1.0
        raise KeyError
    assert [module.training for module in policy.modules()] == [True, True, True, False]
    assert all(torch.equal(buffer, before[name]) for name, buffer in policy.named_buffers())
    policy[1].running_var.fill_(9.0)
    assert float(before["1.running_var"][0]) == 1.0
    write_rest(policy, before)
    assert float(policy[1].running_var[0]) == 1.0


@pytest.mark.parametrize("part", [nn.LazyLinear(1), nn.LazyBatchNorm1d(affine=False)], ids=["parameters", "buffers"])
def test_lazy_modules_are_refused_until_they_have_shapes(part: nn.Module) -> None:
    policy = nn.ModuleDict({"lazy": part, "plain": nn.Linear(2, 1)})
    with pytest.raises(ConfigurationError, match=r"'lazy\..*run the policy on an input"):
        vector(policy)
    policy["lazy"](torch.ones(3, 2))
    assert vector(policy).dimension == (6 if isinstance(part, nn.LazyLinear) or hasattr(part, "in_features") else 3)


def test_expanded_parameters_are_refused() -> None:
    policy = nn.Module()
    policy.shared = nn.Parameter(torch.zeros(1).expand(3))
    with pytest.raises(ConfigurationError, match="'shared': is an expanded tensor"):
        vector(policy)
