"""Training on a GPU: the task's tensors and the policy lie on the GPU, records are written by the CPU.

Random numbers are drawn on the CPU for every device, so that a run has the same batches and directions on each.
Held-out evaluations and exhibits are computed on the CPU.  Proven constants are not available on a GPU, because their
proof bounds the rounding of the CPU.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from replication.tasks.base import Batch, Task
from scpo.errors import ConfigurationError
from scpo.policies import ResidualPolicy


def on_device(task: Task, device: str) -> Task:
    """Return ``task`` with its tensors on ``device``; for "cpu" the task itself.

    Raises:
        ConfigurationError: this machine has no such device.
    """
    if device == "cpu":
        return task
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError(f"device: {device!r}, but torch finds no CUDA device here; set device=cpu")
    return OnDevice(task, torch.device(device))


class OnDevice:
    """A task (:class:`replication.tasks.base.Task`) with policies, batches and rollouts on ``device``."""

    def __init__(self, task: Task, device: torch.device) -> None:
        self._task, self.device = task, device
        self._placed = copy.copy(task)
        for name, value in vars(task).items():
            setattr(self._placed, name, _placed(value, device))

    def __copy__(self) -> OnDevice:
        """Return a copy of the task that remembers the states of its own rollouts."""
        twin = object.__new__(OnDevice)
        vars(twin).update(vars(self), _placed=copy.copy(self._placed))
        return twin

    def initial_policy(self, generator: torch.Generator) -> ResidualPolicy:
        """Return the initial policy on the device; ``generator`` is the CPU's."""
        return self._task.initial_policy(generator).to(self.device)

    def sample_batch(self, size: int, generator: torch.Generator) -> Batch:
        """Draw a batch on the device; ``generator`` is the CPU's."""
        return self._placed.sample_batch(size, generator)

    def loss(self, policy: ResidualPolicy, batch: Batch) -> Tensor:
        """Return the loss of a batch, on the device."""
        return self._placed.loss(policy, batch)

    def constraint(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Return the constraint values g (m, k), on the device."""
        return self._placed.constraint(parameters)

    def states(self) -> Tensor:
        """Return the visited states, on the device."""
        return self._placed.states()

    def evaluate(self, policy: ResidualPolicy) -> dict[str, float]:
        """Return the held-out quantities of the policy.  A copy of it is evaluated on the CPU."""
        return self._task.evaluate(copy.deepcopy(policy).cpu())

    def exhibits(self, policy: ResidualPolicy) -> Mapping[str, Mapping[str, NDArray[np.generic]]]:
        """Return the tables that plot a copy of the policy, computed on the CPU."""
        return self._task.exhibits(copy.deepcopy(policy).cpu())


def _placed(value: Any, device: torch.device) -> Any:
    """Return tensors, modules and dataclasses of tensors on ``device``, and any other ``value`` as it is."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, nn.Module):
        return copy.deepcopy(value).to(device)
    if is_dataclass(value) and not isinstance(value, type):
        held = {field.name: getattr(value, field.name) for field in fields(value)}
        return replace(value, **{name: item.to(device) for name, item in held.items() if isinstance(item, Tensor)})
    return value
