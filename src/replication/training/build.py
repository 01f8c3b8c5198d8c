"""Builds the parts of the training loop: the task, the optimiser and the method that the settings name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from replication import tasks
from replication.settings import DirectionSettings, ExperimentSettings, OptimizerConfig, SmoothnessSettings
from replication.tasks.base import Task
from replication.training.eager import eager
from scpo import baselines
from scpo.baselines._loading import class_of
from scpo.baselines.base import Method
from scpo.errors import ConfigurationError
from scpo.options import Constraint
from scpo.policies import ResidualPolicy
from scpo.sampling import Directions
from scpo.smoothness import EstimatedSmoothness, FixedSmoothness, Smoothness

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
    name: str,
    settings: ExperimentSettings,
    optimizer: torch.optim.Optimizer,
    policy: ResidualPolicy,
    task: Task,
    seed: int,
) -> Method:
    """Return method ``name`` for the policy, the optimiser and the task's constraint; ``seed`` draws its directions."""
    config = settings.scpo
    constraint = Constraint(task.constraint, batched=True, tightening=config.tightening)
    if name in baselines.NAMES and not getattr(class_of(name), "probes", True):
        plain: Method = class_of(name)(optimizer, policy, constraint)
        return plain
    from scpo.optimizer import SafeOptimizer

    kind: Any = class_of(name) if name in baselines.NAMES else SafeOptimizer
    directions, smoothness = build_directions(config.directions, task), build_smoothness(config.smoothness, task)
    if not issubclass(kind, SafeOptimizer):
        own = {} if kind.options is None else {kind.options: getattr(settings.baselines, kind.options)}
        probing: Method = kind(
            optimizer, policy, constraint, directions=directions, smoothness=smoothness, seed=seed, **own
        )
        return probing
    if (rounding := getattr(smoothness, "rounding", None)) is not None:  # proven with the constants
        constraint = replace(constraint, rounding=rounding)
    wrapping: Method = kind(
        optimizer,
        policy,
        constraint,
        directions=directions,
        smoothness=smoothness,
        kappa=config.kappa,
        verify=config.verify,
        look=config.look or False,
        buffer=config.buffer,
        metric=config.metric,
        seed=seed,
    )
    return wrapping


def build_directions(config: DirectionSettings, task: Task) -> Directions:
    """Return the source of directions, at the states that the task's rollouts visit."""
    from scpo.directions import Isotropic, Mixed, Tangent

    options = {one.name: getattr(config, one.name) for one in fields(Directions)}
    if config.kind == "isotropic":
        return Isotropic(**options)
    return (Tangent if config.kind == "tangent" else Mixed)(task.states, **options)


def build_smoothness(config: SmoothnessSettings, task: Task) -> EstimatedSmoothness | Smoothness:
    """Return the smoothness model, or the options of the estimate.

    Raises:
        ConfigurationError: the settings ask for proven constants, and the task has no proof.
    """
    if config.kind == "estimated":
        return config
    radius = np.inf if config.max_radius is None else config.max_radius
    if config.kind == "fixed" and config.constant is not None:
        return FixedSmoothness(config.constant, radius)
    prove = getattr(task, "proven_smoothness", None)
    if prove is None:
        raise ConfigurationError(f"scpo.smoothness: no constants are proven for {type(task).__name__}")
    proven: Smoothness = prove(radius)
    return proven
