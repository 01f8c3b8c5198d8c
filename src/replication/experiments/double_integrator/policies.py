"""The double integrator's saved policies as weights in full precision, so that others can run the same closed loops."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from replication.errors import ResultError
from replication.experiments.double_integrator.read import METHODS, SCENARIOS
from replication.files import note
from replication.tasks.double_integrator.settings import DoubleIntegratorConfig
from scpo.arrays import Array

ARMS = tuple(f"{method}-{scenario}" for method in METHODS for scenario in SCENARIOS)


def of_run(settings: DoubleIntegratorConfig, weights: Mapping[str, Array], path: Path) -> dict[str, Array]:
    """Return ``updates`` (n,), and the weights of the policies saved after them, ``theta`` (n, d).

    A row of theta holds the residual network layer by layer: its matrix (inputs, outputs) row by row, then its bias.

    Raises:
        ResultError: the weights, which were read from ``path``, are not those of the policy.
    """
    widths = list(pairwise((2, *settings.hidden, 1)))
    parts = parameters(weights)
    wanted: dict[str, tuple[int, ...]] = {f"weights.{layer}": shape for layer, shape in enumerate(widths)}
    wanted |= {f"biases.{layer}": (outputs,) for layer, (_, outputs) in enumerate(widths)}
    if {name: array.shape[1:] for name, array in parts.items()} != wanted:
        raise ResultError(f"{path}: not the weights of a policy with hidden widths {settings.hidden}")
    return {"updates": weights["updates"], "theta": _joined(parts, len(widths))}


def of_final(settings: DoubleIntegratorConfig, path: Path) -> Array:
    """Return the weights of a run's final policy, ``theta`` (1, d) as in :func:`of_run`, from its final.safetensors.

    Raises:
        ResultError: the file is missing or damaged.
    """
    try:
        return _joined({name: array[None] for name, array in load_file(note(path)).items()}, len(settings.hidden) + 1)
    except (OSError, SafetensorError, KeyError) as error:
        raise ResultError(f"{path}: cannot be read as the weights of a policy: {error}") from error


def _joined(parts: Mapping[str, Array], layers: int) -> Array:
    """Return the weights (n, d) of a network of so many layers from its parameters (n, *shape) by name."""
    order = [parts[f"{kind}.{layer}"] for layer in range(layers) for kind in ("weights", "biases")]
    return np.concatenate([array.reshape(len(array), -1) for array in order], axis=1)


def parameters(weights: Mapping[str, Any]) -> dict[str, Array]:
    """Return the parameters (n, *shape) of the n policies in ``weights`` (of a run's weights.npz), by name.

    Raises:
        ResultError: theta does not have the length that the shapes give.
    """
    theta, shapes = weights["theta"], [tuple(side for side in sides if side) for sides in weights["shapes"].tolist()]
    ends = np.cumsum([np.prod(shape, dtype=int) for shape in shapes])
    if ends[-1] != theta.shape[1]:
        raise ResultError(f"weights.npz: theta has {theta.shape[1]} numbers, its shapes ask for {ends[-1]}")
    parts = zip(weights["names"].tolist(), np.split(theta, ends[:-1], axis=1), shapes, strict=True)
    return {name: part.reshape(len(theta), *shape) for name, part, shape in parts}
