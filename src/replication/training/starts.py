"""Safe policies to start from, other than the backup."""

from __future__ import annotations

from typing import TypeVar

import torch

from replication.settings import ExperimentSettings
from replication.tasks.base import Task
from scpo.errors import UnsafeStartError
from scpo.parameters import ParameterVector
from scpo.policies import ResidualPolicy

#: So often the last layer of a random policy is halved before it counts as unsafe at any size.
MOST_HALVINGS = 60
Settings = TypeVar("Settings", bound=ExperimentSettings)


def randomise(policy: ResidualPolicy, problem: Task, settings: ExperimentSettings, generator: torch.Generator) -> None:
    """Give the last layer of ``policy`` random weights, halved until g + tightening <= 0.

    Raises:
        UnsafeStartError: g + tightening > 0 with nearly zero weights too.
    """
    last = [policy.weights[len(policy.weights) - 1], policy.biases[len(policy.biases) - 1]]
    scale = last[0].shape[0] ** -0.5  # as the layers before it
    vector = ParameterVector(policy, policy.parameters())
    drawn = [scale * (2.0 * torch.rand(one.shape, generator=generator, dtype=one.dtype) - 1.0) for one in last]
    for halvings in range(MOST_HALVINGS):
        with torch.no_grad():
            for one, numbers in zip(last, drawn, strict=True):
                one.copy_(0.5**halvings * numbers)
        values = problem.constraint(vector.stack(vector.read()[None]))
        if bool((values + settings.scpo.tightening <= 0.0).all()):
            return
    raise UnsafeStartError("start = random: g + tightening > 0 even with nearly zero weights; the backup is unsafe")


def half(settings: Settings) -> Settings:
    """Return settings for half of a run in which every iterate is verified, so that it ends at a safe policy."""
    schedule = settings.schedule.model_copy(
        update={"epochs": max(1, settings.schedule.epochs // 2), "max_rollouts": None, "audited_share": 0.0}
    )
    verified = settings.scpo.model_copy(update={"verify": True})
    return settings.model_copy(update={"start": "backup", "schedule": schedule, "scpo": verified})
