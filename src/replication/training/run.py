"""The state of a training run."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from replication.training.run_files import Records
from scpo.baselines.base import Method
from scpo.policies import ResidualPolicy


@dataclass
class Run:
    """Everything that changes while a run trains; a checkpoint holds all of it."""

    policy: ResidualPolicy
    optimizer: torch.optim.Optimizer
    method: Method
    batches: torch.Generator
    records: Records
