"""The interface of a task.  Tasks know nothing of methods, training or files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scpo.policies import ResidualPolicy

#: inputs (S, input) and labels (S, output); a drawn batch also has harmful (S,) bool
Batch = tuple[Tensor, ...]


class Task(Protocol):
    """A learning problem: policy, loss and a constraint g(theta) <= 0 that is a black box to the method."""

    def initial_policy(self, generator: torch.Generator) -> ResidualPolicy:
        """Return the safe initial policy: the backup, since the last layer of the residual network is zero."""
        ...

    def sample_batch(self, size: int, generator: torch.Generator) -> Batch:
        """Return a random batch (inputs, labels, harmful); ``harmful`` goes into the records, not into training."""
        ...

    def loss(self, policy: ResidualPolicy, batch: Batch) -> Tensor:
        """Return the differentiable loss of a batch, a scalar."""
        ...

    def constraint(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Return the constraint values g (m, k) of m stacked parameter sets, without gradients."""
        ...

    def states(self) -> Tensor:
        """Return the states (S, input) that the latest rollouts of the first parameter set visited."""
        ...

    def evaluate(self, policy: ResidualPolicy) -> dict[str, float]:
        """Return quantities on held-out data: losses, costs and the largest constraint values."""
        ...

    def exhibits(self, policy: ResidualPolicy) -> Mapping[str, Mapping[str, NDArray[np.generic]]]:
        """Return the tables from which a final policy is plotted: name -> column -> values of one length."""
        ...
