"""Builds data and task of the regression from its settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from replication.tasks.regression.data import generate_dataset
from replication.tasks.regression.settings import RegressionConfig

if TYPE_CHECKING:
    from replication.tasks.regression.task import RegressionTask


def generate_data(settings: RegressionConfig, dataset: str, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Return the arrays of data set ``dataset``."""
    return generate_dataset(rng, heldout=settings.heldout, **settings.datasets[dataset].model_dump())


def build(settings: RegressionConfig, data: Mapping[str, NDArray[Any]]) -> RegressionTask:
    """Return the task with the arrays ``data``."""
    from replication.tasks.regression.task import RegressionTask  # here, since drawing data needs no torch

    return RegressionTask(
        data,
        bound=settings.bound,
        grid_size=settings.grid_size,
        hidden=settings.hidden,
        activation=settings.activation,
    )
