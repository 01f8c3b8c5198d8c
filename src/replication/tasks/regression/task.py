"""The task of the regression experiment: fit a function within output limits, with harmful labels.

The policy fits f(x) = sin x + sin 3x + sin 7x and must keep |pi(x)| <= bound on a fixed grid.  f and the limit are read
off the published figure, the grid is our reconstruction.  |f| reaches about 1.95, so some labels are unsafe to follow.
A share of the labels may be adversarial as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from replication.tasks.base import Batch
from replication.tasks.regression.data import target
from replication.tasks.regression.proof import OneLayerSmoothness
from replication.tasks.regression.settings import require_one_layer
from scpo.policies import ResidualPolicy

#: points at which a final policy is recorded
CURVE_POINTS = 400


class RegressionTask:
    """Regression within output limits; implements :class:`replication.tasks.base.Task`.

    A sample is harmful if its label is adversarial or, in data without such labels, lies outside the limits.

    Args:
        data: arrays of :func:`replication.tasks.regression.data.generate_dataset`.
        bound: the limit: |pi(x)| <= bound is safe.
        grid_size: points of the constraint's grid, linspace(-pi, pi); k = 2 * grid_size.
        hidden: widths of the residual network.
        activation: the activation of the residual network.
    """

    def __init__(
        self,
        data: Mapping[str, NDArray[np.generic]],
        *,
        bound: float,
        grid_size: int,
        hidden: Sequence[int],
        activation: str,
    ) -> None:
        self.bound, self.hidden, self.activation = bound, tuple(hidden), activation
        self.inputs = torch.from_numpy(np.asarray(data["inputs"], dtype=np.float64))[:, None]
        self.labels = torch.from_numpy(np.asarray(data["labels"], dtype=np.float64))[:, None]
        adversarial = torch.from_numpy(np.array(data["harmful"], dtype=bool))
        self.harmful = adversarial if adversarial.any() else self.labels[:, 0].abs() > bound
        self.heldout = torch.from_numpy(np.asarray(data["heldout"], dtype=np.float64))[:, None]
        self.grid = torch.linspace(-torch.pi, torch.pi, grid_size, dtype=torch.float64)[:, None]
        self.fine_grid = torch.linspace(-torch.pi, torch.pi, 1000, dtype=torch.float64)[:, None]
        # held-out points, equally spaced, which are not on the constraint's grid
        count = self.heldout.shape[0]
        self.dense = -torch.pi + 2 * torch.pi * (torch.arange(count, dtype=torch.float64)[:, None] + 0.5) / count
        self._shape: ResidualPolicy | None = None

    def initial_policy(self, generator: torch.Generator) -> ResidualPolicy:
        """Return the policy pi = phi; its last layer is zero, so pi = 0, which is safe."""
        return ResidualPolicy((1, *self.hidden, 1), self.activation, generator=generator)

    def sample_batch(self, size: int, generator: torch.Generator) -> Batch:
        """Return ``size`` random samples: inputs (size, 1), labels (size, 1), harmful (size,)."""
        index = torch.randint(self.inputs.shape[0], (size,), generator=generator)
        return self.inputs[index], self.labels[index], self.harmful[index]

    def loss(self, policy: ResidualPolicy, batch: Batch) -> Tensor:
        """Return the mean squared error on a batch."""
        inputs, labels = batch[:2]
        error: Tensor = policy(inputs) - labels
        return error.square().mean()

    def constraint(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Return g (m, 2 * grid_size) = (pi(x_i) - bound, -pi(x_i) - bound) of m stacked parameter sets."""
        if self._shape is None:
            self._shape = self.initial_policy(torch.Generator().manual_seed(0))
        outputs = self._shape.stacked(parameters, self.grid)[..., 0]
        return torch.cat([outputs - self.bound, -outputs - self.bound], dim=1)

    def states(self) -> Tensor:
        """Return the grid (grid_size, 1) on which the constraint evaluates the policy."""
        return self.grid

    def proven_smoothness(self, radius: float) -> OneLayerSmoothness:
        """Return a smoothness model whose constants are proven at each iterate, for steps up to ``radius``.

        Raises:
            ConfigurationError: the network is not one hidden layer of tanh, or the radius is not finite.
        """
        require_one_layer(self.hidden, self.activation)
        return OneLayerSmoothness(self.grid[:, 0].numpy(), self.bound, self.hidden[0], radius)

    def evaluate(self, policy: ResidualPolicy) -> dict[str, float]:
        """Return losses against f, and the largest g and the unsafe share on held-out points."""
        with torch.no_grad():
            fresh, f = policy(self.heldout), torch.from_numpy(target(self.heldout.numpy()))
            fine, f_fine = policy(self.fine_grid), torch.from_numpy(target(self.fine_grid.numpy()))
            excess = policy(self.dense).abs() - self.bound
        return {
            "fresh_loss": float((fresh - f).square().mean()),
            "clipped_loss": float((fresh - f.clamp(-self.bound, self.bound)).square().mean()),
            "uniform_loss": float((fine - f_fine).square().mean()),
            "heldout_max_g": float(excess.max()),
            "heldout_unsafe": float((excess > 0).double().mean()),
        }

    def exhibits(self, policy: ResidualPolicy) -> dict[str, dict[str, NDArray[np.generic]]]:
        """Return the table ``curve``: the policy ``pi`` at ``x`` on linspace(-pi, pi)."""
        x = torch.linspace(-torch.pi, torch.pi, CURVE_POINTS, dtype=torch.float64)[:, None]
        with torch.no_grad():
            return {"curve": {"x": x[:, 0].numpy(), "pi": policy(x)[:, 0].numpy()}}
