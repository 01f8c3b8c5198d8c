"""How much of what harmful samples ask for the projection removes from a step."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from replication.tasks.base import Batch, Task
from scpo.policies import ResidualPolicy

#: columns of evaluations.parquet: along the harmful samples of the batch, and along the others
NAMES = ("rejected_share", "clean_rejected_share")


def asked(problem: Task, policy: ResidualPolicy, batch: Batch) -> tuple[Tensor | None, ...]:
    """Return h (d,), -grad of the loss on the harmful samples of a batch alone, and the same for the others.

    None where a batch has no such samples.  The gradients that ``backward`` left stay as they are.
    """
    trained = [parameter for parameter in policy.parameters() if parameter.requires_grad]
    directions: list[Tensor | None] = []
    for chosen in (batch[2], ~batch[2]):
        if not chosen.any():
            directions.append(None)
            continue
        loss = problem.loss(policy, tuple(part[chosen] for part in batch))
        directions.append(-torch.cat([part.reshape(-1) for part in torch.autograd.grad(loss, trained)]))
    return tuple(directions)


def share(step: Tensor, nominal: Tensor | None, h: Tensor | None) -> float:
    """Return 1 - <step, h> / <p, h>: the share of the nominal step p (d,) along h that the projection removes.

    0 where the step is the nominal one, 1 where nothing along h is left, more than 1 where the step goes against h.
    NaN where the nominal step does not go along h, where there is no h, and before the first step.
    """
    if nominal is None or h is None:
        return math.nan
    length = float(nominal @ h)
    return 1.0 - float(step @ h) / length if length > 0 else math.nan


def shares(step: Tensor, nominal: Tensor | None, directions: tuple[Tensor | None, ...]) -> dict[str, float]:
    """Return the share that was removed along each of :func:`asked`'s directions, by name."""
    return {name: share(step, nominal, h) for name, h in zip(NAMES, directions, strict=True)}


def unknown() -> dict[str, float]:
    """Return the shares of a policy that no step has led to: NaN."""
    return dict.fromkeys(NAMES, math.nan)
