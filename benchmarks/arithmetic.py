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


def activate(name: str, h: Tensor) -> Tensor:
    """Return the activation of ``h``, in place."""
    return torch.relu_(h) if name == "relu" else h.mul_(2.0).sigmoid_().mul_(2.0).sub_(1.0)


def network(layers: list[tuple[Tensor, Tensor]], activation: str, columns: Tensor) -> Tensor:
    """Return the outputs (m, output, S) of m networks, weights (m, out, in) and biases (m, out, 1)."""
    for index, (weight, bias) in enumerate(layers):
        columns = torch.baddbmm(bias, weight, columns)
        if index < len(layers) - 1:
            columns = activate(activation, columns)
    return columns


def evaluations(measured: Measured, sets: int) -> Callable[[], Tensor]:
    """Return a function that evaluates ``sets`` networks wherever the task's metrics look at them."""
    policy, problem = measured.run.policy, measured.problem
    activation = "relu" if measured.task == "regression" else "tanh"
    layers = [
        (weight.detach().T.expand(sets, -1, -1).contiguous(), bias.detach()[:, None].expand(sets, -1, -1).contiguous())
        for weight, bias in zip(policy.weights, policy.biases, strict=True)
    ]
    if measured.task == "regression":
        grid = problem.grid.T.expand(sets, -1, -1)
        return lambda: network(layers, activation, grid)
    from scpo.tasks.double_integrator.system import A, B

    starts = problem.starts.T.expand(sets, -1, -1)
    drift, push, gain = torch.tensor(A), torch.tensor(B), policy.backup.weight.detach()

    def roll_out() -> Tensor:
        states = starts
        for _ in range(problem.horizon):
            origin = network(layers, activation, states.new_zeros(sets, 2, 1))
            inputs = gain @ states + network(layers, activation, states) - origin
            states = drift @ states + push @ inputs
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
    samples = measured.settings.scpo.samples
    probes, verification = evaluations(measured, samples), evaluations(measured, 1)
    dimension = sum(parameter.numel() for parameter in measured.run.policy.parameters() if parameter.requires_grad)

    @torch.no_grad()
    def evaluate() -> None:
        probes()
        verification()

    ways = orthonormalisations(dimension, samples)
    return {"gradient": measured.gradient, "QR": ways["QR"], "Gram": ways["Gram"], "evaluations": evaluate}
