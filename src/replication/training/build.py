"""What the training loop can run: tasks and methods by name.  A new one is a new file and a line here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from replication import tasks
from replication.config import Config
from replication.seeds import derive
from replication.settings import ExperimentSettings, OptimizerConfig, ScpoConfig
from replication.tasks.base import Task
from replication.training.eager import eager
from scpo.baselines.base import Method
from scpo.errors import ConfigurationError
from scpo.policies import ResidualPolicy

Data = Mapping[str, NDArray[np.generic]]


def build_task(task: str, settings: ExperimentSettings, data: Data) -> Task:
    """Return the task that ``settings`` describe, on ``data``."""
    built: Task = tasks.module_of(task).build(settings, data)
    return built


def build_optimizer(config: OptimizerConfig, policy: ResidualPolicy) -> torch.optim.Optimizer:
    """Return the torch optimiser that proposes the steps."""
    if config.name == "sgd":
        return eager(torch.optim.SGD)(policy.parameters(), lr=config.learning_rate, momentum=config.momentum)
    return eager(torch.optim.Adam)(policy.parameters(), lr=config.learning_rate)


def build_method(
    name: str, config: ScpoConfig, optimizer: torch.optim.Optimizer, policy: ResidualPolicy, task: Task, seed: int
) -> Method:
    """Return method ``name`` bound to policy, optimiser and the task's constraint; ``seed`` is for its sampling."""
    if name == "unconstrained":
        from scpo.baselines.unconstrained import Unconstrained

        return Unconstrained(optimizer, policy, task.constraint)
    if name == "backtracking":
        from scpo.baselines.backtracking import Backtracking

        return Backtracking(optimizer, policy, task.constraint, config.margin)
    from scpo.optimizer import SafeOptimizer

    return SafeOptimizer(optimizer, policy, seed=seed, **_options(config, task))


def sampling_seed(config: Config, task: str, seed: int) -> int:
    """Return the seed of a run's sampled directions."""
    return derive(config.base_seed, f"{task}/sampling", seed)


def _options(config: ScpoConfig, task: Task) -> dict[str, Any]:
    from scpo.smoothness import EstimatedSmoothness, FixedSmoothness, Smoothness

    if config.smoothness == "estimated":
        smoothness: Smoothness = EstimatedSmoothness(
            config.initial_smoothness,
            factor=config.safety_factor,
            decay=config.decay,
            kink_ratio=math.inf if config.kink_ratio is None else config.kink_ratio,
            kink_factor=config.kink_factor,
            max_radius=config.max_radius,
        )
    elif config.smoothness == "proven":
        prove = getattr(task, "proven_smoothness", None)
        if prove is None:
            raise ConfigurationError(f"scpo.smoothness: no constants are proven for {type(task).__name__}")
        smoothness = prove(config.max_radius)
    else:
        smoothness = FixedSmoothness(config.smoothness, config.max_radius)
    return {
        "batched_constraint": task.constraint,
        "states": task.states,
        "samples": config.samples,
        "sampler": config.sampler,
        "recycle": config.recycle,
        "stay_on_solver_failure": True,
        "kappa": config.kappa,
        "smoothness": smoothness,
        "rounding": getattr(smoothness, "rounding", None),  # proven with the constants
        "verify": config.verify,
        "margin": config.margin,
        "buffer": config.buffer,
        "probe_step": config.probe_step,
        "safe_probes": config.safe_probes,
        "backend": config.backend,
    }
