"""The yardstick: what an update cannot do without, in plain torch, and nothing else.

One gradient of the batch loss, one orthonormalisation of d x n, and the network evaluations: n probes in one batch
and the new policy by itself.  Nothing is checked, recorded or decided.  The evaluations use the fastest plain form
that we know: states as columns, one fused product a layer, activations in place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.runs import Measured


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


def yardstick(measured: Measured) -> dict[str, Callable[[], Any]]:
    """Return the parts of the yardstick by name."""
    samples = measured.settings.scpo.directions.count
    probes, verification = evaluations(measured, samples), evaluations(measured, 1)
    dimension = sum(parameter.numel() for parameter in measured.run.policy.parameters() if parameter.requires_grad)

    @torch.no_grad()
    def evaluate() -> None:
        probes()
        verification()

    ways = orthonormalisations(dimension, samples)
    return {"gradient": measured.gradient, "QR": ways["QR"], "Gram": ways["Gram"], "evaluations": evaluate}
