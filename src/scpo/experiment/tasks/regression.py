"""Data and task object of the regression task, as the configuration describes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scpo.experiment.config import RegressionConfig
from scpo.tasks.regression_data import generate_dataset

if TYPE_CHECKING:
    from scpo.tasks.regression import RegressionTask


def generate_data(settings: RegressionConfig, dataset: str, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Draw data set ``dataset``."""
    return generate_dataset(rng, heldout=settings.heldout, **settings.datasets[dataset].model_dump())


def build(settings: RegressionConfig, data: Mapping[str, NDArray[Any]]) -> RegressionTask:
    """Return the task on ``data``."""
    from scpo.tasks.regression import RegressionTask  # here, since drawing data needs no torch

    return RegressionTask(
        data,
        bound=settings.bound,
        grid_size=settings.grid_size,
        hidden=settings.hidden,
        activation=settings.activation,
    )
