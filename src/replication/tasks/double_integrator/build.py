"""Builds data and task of the double integrator from its settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from replication.tasks.double_integrator.data import generate_dataset
from replication.tasks.double_integrator.settings import DoubleIntegratorConfig

if TYPE_CHECKING:
    from replication.tasks.double_integrator.task import DoubleIntegratorTask

#: visited states that the directions are drawn from
VISITED = 256


def generate_data(settings: DoubleIntegratorConfig, dataset: str, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Return the arrays of data set ``dataset``."""
    chosen = settings.datasets[dataset]
    return generate_dataset(chosen.scenario, rng, chosen.size, rho=settings.rho)


def build(settings: DoubleIntegratorConfig, data: Mapping[str, NDArray[Any]]) -> DoubleIntegratorTask:
    """Return the task with the arrays ``data``."""
    from replication.tasks.double_integrator.task import DoubleIntegratorTask  # here, since drawing data needs no torch

    return DoubleIntegratorTask(
        data,
        starts=settings.starts,
        horizon=settings.horizon,
        contraction=settings.contraction,
        rho=settings.rho,
        hidden=settings.hidden,
        aggregation=settings.aggregation,
        filtered=settings.filtered,
        heldout=settings.heldout,
        visited=min(VISITED, settings.starts * (settings.horizon + 1)),
    )
