"""What a task offers.  Tasks know nothing of methods, training or files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scpo.policies import ResidualPolicy

#: inputs (S, input) and labels (S, output), and in a drawn batch which samples are harmful (S,) bool
Batch = tuple[Tensor, ...]


class Task(Protocol):
    """A learning problem with safety metrics g(theta) <= 0 that are a black box to the method."""

    def initial_policy(self, generator: torch.Generator) -> ResidualPolicy:
        """Return the safe initial policy theta_0 (the backup: the residual's last layer is zero)."""
        ...

    def sample_batch(self, size: int, generator: torch.Generator) -> Batch:
        """Draw (inputs, labels, harmful) of a training batch; ``harmful`` is for the records, not for training."""
        ...

    def loss(self, policy: ResidualPolicy, batch: Batch) -> Tensor:
        """Return the differentiable task loss of a batch, a scalar."""
        ...

    def constraint(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Return the safety metrics g (m, k) of m stacked parameter sets; no gradient is recorded."""
        ...

    def states(self) -> Tensor:
        """Return the states (S, input) visited by the latest rollouts of the first parameter set given."""
        ...

    def evaluate(self, policy: ResidualPolicy) -> dict[str, float]:
        """Return held-out figures of merit and raw maxima of the held-out safety metrics."""
        ...

    def exhibits(self, policy: ResidualPolicy) -> Mapping[str, Mapping[str, NDArray[np.generic]]]:
        """Return what a final policy is shown by: tables by name, each of named columns of one length."""
        ...
