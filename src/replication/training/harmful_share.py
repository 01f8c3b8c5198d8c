"""The share of the harmful samples' gradient step that the projection removes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from replication.tasks.base import Batch, Task
from scpo.policies import ResidualPolicy

#: Columns of evaluations.parquet: the share for the harmful samples of the batch, and for its other samples.
NAMES = ("rejected_share", "clean_rejected_share")


def asked(problem: Task, policy: ResidualPolicy, batch: Batch) -> tuple[Tensor | None, ...]:
    """Return the directions h (d,) that the harmful samples of a batch and its other samples ask for.

    Each is the negative gradient of the loss on these samples alone, or None if the batch has none.  The gradients
    stored in the parameters stay as they are.
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
    """Return the share of the nominal step p (d,) along h that the projection removes: 1 - <step, h> / <p, h>.

    It is 0 if the step is the nominal step, 1 if nothing along h is left, and above 1 if the step goes against h.  It
    is NaN if the nominal step does not go along h, if there is no h, and before the first step.
    """
    if nominal is None or h is None:
        return math.nan
    length = float(nominal @ h)
    return 1.0 - float(step @ h) / length if length > 0 else math.nan


def shares(step: Tensor, nominal: Tensor | None, directions: tuple[Tensor | None, ...]) -> dict[str, float]:
    """Return the :func:`share` for each of the ``directions`` (from :func:`asked`), by the names of the columns."""
    return {name: share(step, nominal, h) for name, h in zip(NAMES, directions, strict=True)}


def unknown() -> dict[str, float]:
    """Return NaN for each share, as for the initial policy, before which there was no step."""
    return dict.fromkeys(NAMES, math.nan)
