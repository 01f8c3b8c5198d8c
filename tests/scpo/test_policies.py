"""Residual policies: start, anchoring, stacked evaluation, analytic Jacobian."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune

from scpo.errors import ConfigurationError
from scpo.policies import ACTIVATIONS, ResidualPolicy

CASES = list(itertools.product(ACTIVATIONS, [(1, 4, 1), (2, 5, 3, 2), (3, 2)], [False, True]))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def policy(
    activation: str, sizes: tuple[int, ...], anchored: bool, dtype: torch.dtype = torch.float64
) -> ResidualPolicy:
    backup = nn.Linear(sizes[0], sizes[-1], dtype=dtype)
    made = ResidualPolicy(sizes, activation, backup=backup, anchored=anchored, generator=generator(), dtype=dtype)
    with torch.no_grad():
        for parameter in (*made.weights, *made.biases):
            parameter.add_(torch.randn(parameter.shape, generator=generator(1), dtype=dtype))
    return made


def states(count: int, width: int) -> Tensor:
    return torch.randn(count, width, generator=generator(2), dtype=torch.float64)


@pytest.mark.parametrize("anchored", [False, True])
def test_initial_policy_is_the_backup(anchored: bool) -> None:
    backup = nn.Linear(2, 3, dtype=torch.float64)
    made = ResidualPolicy((2, 8, 3), "relu", backup=backup, anchored=anchored)
    x = states(9, 2)
    assert torch.equal(made(x), backup(x))
    assert not any(parameter.requires_grad for parameter in backup.parameters())
    assert torch.equal(ResidualPolicy((2, 8, 3), "tanh")(x), torch.zeros(9, 3, dtype=torch.float64))
    assert not made.weights[-1].any()
    assert not made.biases[-1].any()
    assert float(made.weights[0].detach().abs().max()) <= 2**-0.5


def test_same_generator_same_policy_and_dtype() -> None:
    first, second, third = (ResidualPolicy((2, 4, 1), "tanh", generator=generator(seed)) for seed in (3, 3, 4))
    assert torch.equal(first.weights[0], second.weights[0])
    assert not torch.equal(first.weights[0], third.weights[0])
    assert ResidualPolicy((2, 4, 1), "tanh", dtype=torch.float32).biases[0].dtype == torch.float32


@pytest.mark.parametrize(("activation", "sizes", "anchored"), CASES)
def test_forward_is_the_network_written_out(activation: str, sizes: tuple[int, ...], anchored: bool) -> None:
    made = policy(activation, sizes, anchored)

    def phi(x: Tensor) -> Tensor:
        for layer, (weight, bias) in enumerate(zip(made.weights, made.biases, strict=True)):
            x = x @ weight + bias
            x = ACTIVATIONS[activation](x) if layer < len(sizes) - 2 else x
        return x

    x = states(6, sizes[0])
    expected = made.backup(x) + phi(x) - (phi(torch.zeros_like(x)) if anchored else 0.0)
    assert torch.allclose(made(x), expected, rtol=1e-13, atol=1e-14)
    batch = states(12, sizes[0]).reshape(3, 4, sizes[0])
    assert torch.allclose(made(batch)[1], made(batch[1]), rtol=1e-13, atol=1e-14)
    if anchored:
        origin = torch.zeros(1, sizes[0], dtype=torch.float64)
        assert torch.allclose(made(origin), made.backup(origin), rtol=0, atol=1e-15)


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize(("activation", "sizes", "anchored"), CASES)
def test_stacked_evaluates_each_parameter_set(
    activation: str, sizes: tuple[int, ...], anchored: bool, grad: bool
) -> None:
    made = policy(activation, sizes, anchored)
    sets = {
        name: torch.stack([value.detach() + 0.1 * index for index in range(4)])
        for name, value in made.named_parameters()
        if not name.startswith("backup")
    }
    shared, own = states(5, sizes[0]), states(20, sizes[0]).reshape(4, 5, sizes[0])
    kept = {name: value.clone() for name, value in sets.items()}
    with torch.set_grad_enabled(grad):
        together = made.stacked(sets, shared), made.stacked(sets, own)
    assert all(torch.equal(value, kept[name]) for name, value in sets.items())
    for index in range(4):
        with torch.no_grad():
            for name, value in sets.items():
                made.get_parameter(name).copy_(value[index])
        for found, x in zip(together, (shared, own[index]), strict=True):
            assert torch.allclose(found[index], made(x), rtol=1e-12, atol=1e-13)


def test_a_pruned_or_parametrised_layer_is_used_as_it_is() -> None:
    made, x = policy("tanh", (2, 5, 3, 2), False), states(6, 2)
    expected = made(x)
    prune.random_unstructured(made.weights, "1", amount=0.0)
    parametrize.register_parametrization(made.biases, "1", nn.Identity())
    assert torch.equal(made(x), expected)


@pytest.mark.parametrize(("activation", "sizes", "anchored"), CASES)
def test_output_jacobian_is_autograds(activation: str, sizes: tuple[int, ...], anchored: bool) -> None:
    made = policy(activation, sizes, anchored)
    x = states(6, sizes[0])
    names = [name for name, parameter in made.named_parameters() if parameter.requires_grad]
    found = made.output_jacobian(x)
    assert sorted(found) == sorted(names)

    def outputs(*values: Tensor) -> Tensor:
        return torch.func.functional_call(made, dict(zip(names, values, strict=True)), (x,))

    wanted = torch.autograd.functional.jacobian(outputs, tuple(made.get_parameter(name).detach() for name in names))
    for name, expected in zip(names, wanted, strict=True):
        assert found[name].shape == expected.shape
        assert torch.allclose(found[name], expected, rtol=1e-12, atol=1e-14)
        assert not found[name].requires_grad
    with torch.no_grad():
        again = made.output_jacobian(x)
    assert all(torch.equal(again[name], found[name]) for name in names)
    assert all(parameter.grad is None for parameter in made.parameters())


def test_what_is_refused() -> None:
    for sizes in ((3,), (), (2, 0, 1)):
        with pytest.raises(ConfigurationError, match="sizes"):
            ResidualPolicy(sizes, "tanh")
    with pytest.raises(ConfigurationError, match=r"'gelu'.*relu, tanh, softplus"):
        ResidualPolicy((1, 1), "gelu")


class Clamped(nn.Linear):
    """A backup that is more than its gain."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).clamp(-0.1, 0.1)


def hooked(inputs: int, outputs: int) -> nn.Linear:
    module = nn.Linear(inputs, outputs, bias=False, dtype=torch.float64)
    module.register_forward_hook(lambda _module, _inputs, output: 2.0 * output)
    return module


@pytest.mark.parametrize("make", [lambda: Clamped(2, 1, bias=False, dtype=torch.float64), lambda: hooked(2, 1)])
def test_a_backup_that_is_more_than_a_gain_is_called(make: Callable[[], nn.Module]) -> None:
    made = ResidualPolicy((2, 4, 1), "tanh", backup=make(), anchored=True, generator=generator())
    x = states(9, 2)
    with torch.no_grad():
        stacked = made.stacked({name: p.unsqueeze(0) for name, p in made.named_parameters()}, x)
        assert torch.allclose(stacked[0], made(x), rtol=0.0, atol=1e-14)
