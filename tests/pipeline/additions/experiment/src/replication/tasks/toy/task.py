"""The toy task."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from replication.tasks.base import Batch
from scpo.policies import ResidualPolicy


class ToyTask:
    """Follow y = 2 x while |pi(x)| <= 1 on 9 points of [-1, 1]."""

    def __init__(self, inputs: NDArray[np.float64]) -> None:
        self.inputs = torch.from_numpy(np.asarray(inputs))[:, None]
        self.grid = torch.linspace(-1.0, 1.0, 9, dtype=torch.float64)[:, None]
        self.shape = self.initial_policy(torch.Generator().manual_seed(0))

    def initial_policy(self, generator: torch.Generator) -> ResidualPolicy:
        """Return the zero policy, which is safe."""
        return ResidualPolicy((1, 4, 1), "tanh", generator=generator)

    def sample_batch(self, size: int, generator: torch.Generator) -> Batch:
        """Return inputs (size, 1), labels (size, 1) and whether each label is unsafe (size,)."""
        x = self.inputs[torch.randint(len(self.inputs), (size,), generator=generator)]
        return x, 2.0 * x, (2.0 * x[:, 0]).abs() > 1.0

    def loss(self, policy: ResidualPolicy, batch: Batch) -> Tensor:
        """Return the mean squared error."""
        error: Tensor = policy(batch[0]) - batch[1]
        return error.square().mean()

    def constraint(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Return |pi(x)| - 1 at the 9 points, (m, 9)."""
        return self.shape.stacked(parameters, self.grid)[..., 0].abs() - 1.0

    def states(self) -> Tensor:
        """Return the 9 points."""
        return self.grid

    def evaluate(self, policy: ResidualPolicy) -> dict[str, float]:
        """Return the loss on the 9 points and the worst constraint there."""
        with torch.no_grad():
            outputs = policy(self.grid)
        excess = outputs.abs() - 1.0
        return {
            "loss": float((outputs - 2.0 * self.grid).square().mean()),
            "heldout_max_g": float(excess.max()),
            "heldout_unsafe": float((excess > 0).double().mean()),
        }

    def exhibits(self, policy: ResidualPolicy) -> dict[str, dict[str, NDArray[np.generic]]]:
        """Return ``curve``: the policy at the 9 points."""
        with torch.no_grad():
            return {"curve": {"x": self.grid[:, 0].numpy(), "pi": policy(self.grid)[:, 0].numpy()}}
