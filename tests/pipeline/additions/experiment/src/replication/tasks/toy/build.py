"""Data and task of the toy experiment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from replication.tasks.toy.settings import ToyConfig

if TYPE_CHECKING:
    from replication.tasks.toy.task import ToyTask


def generate_data(settings: ToyConfig, dataset: str, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Return the inputs (size,) of data set ``dataset``."""
    return {"inputs": rng.uniform(-1.0, 1.0, settings.datasets[dataset].size)}


def build(settings: ToyConfig, data: Mapping[str, NDArray[Any]]) -> ToyTask:
    """Return the task on ``data``."""
    from replication.tasks.toy.task import ToyTask  # drawing data needs no torch

    return ToyTask(data["inputs"])
