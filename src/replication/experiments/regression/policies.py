"""The regression's saved policies as curves, which take a fortieth of the space of the weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from replication.errors import ResultError
from replication.experiments.regression.read import METHODS
from replication.tasks.regression.settings import RegressionConfig
from scpo.arrays import Array
from scpo.parameters import ParameterVector
from scpo.policies import ResidualPolicy

ARMS = tuple(METHODS)
#: Points of a curve.
POINTS = 200


def of_run(settings: RegressionConfig, weights: Mapping[str, Array], path: Path) -> dict[str, Array]:
    """Return ``updates`` (n,), and the policies saved after them as curves ``pi`` (n, POINTS) at ``x``, float32.

    Raises:
        ResultError: the weights, which were read from ``path``, are not those of the policy.
    """
    policy = ResidualPolicy((1, *settings.hidden, 1), settings.activation)
    vector = ParameterVector(policy, policy.parameters())
    theta = torch.from_numpy(weights["theta"])
    if tuple(weights["names"]) != tuple(vector.names) or theta.shape[1] != vector.dimension:
        raise ResultError(f"{path}: not the weights of a policy with hidden widths {settings.hidden}")
    x = torch.linspace(-torch.pi, torch.pi, POINTS, dtype=torch.float64)
    with torch.no_grad():
        pi = policy.stacked(vector.stack(theta), x[:, None])[..., 0]
    return {"updates": weights["updates"], "x": x.numpy().astype(np.float32), "pi": pi.numpy().astype(np.float32)}
