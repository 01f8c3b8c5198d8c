"""Data and tasks with the default settings, but for what a test changes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from replication.tasks.double_integrator import data as double_integrator_data
from replication.tasks.double_integrator.build import VISITED
from replication.tasks.double_integrator.settings import DoubleIntegratorConfig
from replication.tasks.double_integrator.task import DoubleIntegratorTask
from replication.tasks.regression import data as regression_data
from replication.tasks.regression.settings import RegressionConfig, RegressionData
from replication.tasks.regression.task import RegressionTask

Data = dict[str, np.ndarray]

DOUBLE_INTEGRATOR = DoubleIntegratorConfig()


def imitation(scenario: str, seed: int, size: int, **changes: Any) -> Data:
    """Return the double integrator's data set of a scenario, of ``size`` states."""
    options = {"rho": DOUBLE_INTEGRATOR.rho} | changes
    return double_integrator_data.generate_dataset(scenario, np.random.default_rng(seed), size, **options)


def double_integrator(data: Mapping[str, Any], **changes: Any) -> DoubleIntegratorTask:
    """Return the task of the double integrator."""
    return DoubleIntegratorTask(data, **_options(DOUBLE_INTEGRATOR, DoubleIntegratorTask, visited=VISITED) | changes)


def samples(seed: int, size: int, heldout: int, **changes: Any) -> Data:
    """Return the regression's data set of normal inputs, of ``size`` samples."""
    options = RegressionData(size=size).model_dump() | {"heldout": heldout} | changes
    return regression_data.generate_dataset(np.random.default_rng(seed), **options)


def regression(data: Mapping[str, Any], **changes: Any) -> RegressionTask:
    """Return the task of the regression."""
    return RegressionTask(data, **_options(RegressionConfig(), RegressionTask) | changes)


def _options(settings: DoubleIntegratorConfig | RegressionConfig, task: type, **others: Any) -> dict[str, Any]:
    """Return the default settings that are options of a task's constructor, and ``others``."""
    names = inspect.signature(task).parameters
    return {name: value for name, value in settings if name in names} | others
