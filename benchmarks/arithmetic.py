"""The yardstick: what an update cannot do without, in plain torch, and nothing else.

One gradient of the batch loss, one orthonormalisation of d x n, and the network evaluations: n probes in one batch, the
looks and the new policy one by one.  Nothing is checked, recorded or decided.  n is what the measured updates use.  The
evaluations use the fastest plain form that we know: states as columns, one fused product a layer, activations in place.

The limit is less still: the floating-point operations of all this, over the rate of a large product on one thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.runs import Measured
from benchmarks.timing import seconds


def network(layers: list[tuple[Tensor, Tensor]], activate: Callable[[Tensor], Tensor], columns: Tensor) -> Tensor:
    """Return the outputs (m, output, S) of m networks, weights (m, out, in) and biases (m, out, 1)."""
    for index, (weight, bias) in enumerate(layers):
        columns = torch.baddbmm(bias, weight, columns)
        if index < len(layers) - 1:
            columns = activate(columns)
    return columns


def evaluations(measured: Measured, sets: int) -> Callable[[], Tensor]:
    """Return a function that evaluates ``sets`` networks at every input that the constraints of the task use."""
    policy, problem = measured.run.policy, measured.problem
    pairs = zip(policy.weights, policy.biases, strict=True)
    layers = [(weight.detach().T, bias.detach()[:, None]) for weight, bias in pairs]
    activate = torch.relu_
    if measured.task != "regression":  # tanh h = 2 sigmoid(2 h) - 1, taken into the layers
        layers[1:] = [(2.0 * weight, bias - weight.sum(dim=1, keepdim=True)) for weight, bias in layers[1:]]
        layers[:-1] = [(2.0 * weight, 2.0 * bias) for weight, bias in layers[:-1]]
        activate = torch.sigmoid_

    def spread(matrix: Tensor) -> Tensor:
        return matrix.expand(sets, -1, -1).contiguous()

    layers = [(spread(weight), spread(bias)) for weight, bias in layers]
    if measured.task == "regression":
        grid = problem.grid.T.expand(sets, -1, -1)
        return lambda: network(layers, activate, grid)
    from replication.tasks.double_integrator.system import A, B

    drift, push, gain = spread(torch.tensor(A)), torch.tensor(B), spread(policy.backup.weight.detach())
    starts = spread(problem.starts.T)

    def roll_out() -> Tensor:
        states, origin = starts, network(layers, activate, starts.new_zeros(sets, 2, 1))
        for _ in range(problem.horizon):
            inputs = torch.baddbmm(network(layers, activate, states) - origin, gain, states)
            states = torch.baddbmm(push * inputs, drift, states)
        return states

    return roll_out


def orthonormalisations(dimension: int, count: int) -> dict[str, Callable[[], Tensor]]:
    """Return two ways to orthonormalise d x n: Householder's QR, and Gram's matrix with Cholesky's factor."""
    columns = torch.randn(dimension, count, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows = columns.T.contiguous()
    return {
        "QR": lambda: torch.linalg.qr(columns)[0],
        "Gram": lambda: torch.linalg.solve_triangular(torch.linalg.cholesky(rows @ rows.T), rows, upper=False),
    }


def yardstick(measured: Measured, directions: int, singles: int) -> dict[str, Callable[[], Any]]:
    """Return the parts of the yardstick by name.

    Args:
        measured: the run.
        directions: n, the probes of an update.
        singles: policies that an update evaluates one by one: the looks, and the new policy.
    """
    probes, single = evaluations(measured, directions), evaluations(measured, 1)

    @torch.no_grad()
    def evaluate() -> None:
        probes()
        for _ in range(singles):
            single()

    ways = orthonormalisations(dimension_of(measured), directions)
    return {"gradient": measured.gradient, "QR": ways["QR"], "Gram": ways["Gram"], "evaluations": evaluate}


def dimension_of(measured: Measured) -> int:
    """Return d, the number of trained parameters."""
    return sum(parameter.numel() for parameter in measured.run.policy.parameters() if parameter.requires_grad)


def operations(measured: Measured, directions: int, singles: int) -> float:
    """Return the floating-point operations of an update: gradient, Gram with its factor, and evaluations."""
    d, n, problem = dimension_of(measured), directions, measured.problem
    inputs = len(problem.grid) if measured.task == "regression" else len(problem.starts) * problem.horizon
    gradient = 6.0 * measured.settings.schedule.batch_size * d  # forward, and twice as much backward
    return gradient + 2.0 * n**2 * d + 2.0 * (n + singles) * inputs * d


def rate(size: int = 512, rounds: int = 20) -> float:
    """Return operations a second: the better of torch's and NumPy's products of two square matrices."""
    left = torch.randn(size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    array = left.numpy()
    ways: list[Callable[[], object]] = [lambda: left @ left, lambda: array @ array]
    best = min(min(seconds(way) for _ in range(rounds)) for way in ways)
    return 2.0 * size**3 / best
