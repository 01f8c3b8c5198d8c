"""The regression's target function and data sets.  This module needs no torch, so figures start fast."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scpo.arrays import Array


def target(x: Array) -> Array:
    """Return f(x) = sin x + sin 3x + sin 7x, as read off the published figure."""
    return np.asarray(np.sin(x) + np.sin(3 * x) + np.sin(7 * x))


def draw_inputs(inputs: str, size: int, rng: np.random.Generator) -> Array:
    """Return ``size`` random inputs: "normal" from N(0, 1), "uniform" from [-pi, pi]."""
    return rng.standard_normal(size) if inputs == "normal" else rng.uniform(-np.pi, np.pi, size)


def generate_dataset(
    rng: np.random.Generator,
    *,
    inputs: str,
    size: int,
    heldout: int,
    adversarial_share: float,
    adversarial_label: float,
) -> dict[str, NDArray[np.generic]]:
    """Return training data, and held-out inputs of the same distribution.

    An adversarial label has magnitude ``adversarial_label`` and the opposite sign of f(x).  The inputs do not depend on
    the adversarial share, so data sets of one seed differ only in their labels.

    Returns:
        ``inputs`` (size,), ``labels`` (size,), ``harmful`` (size,) bool (true for adversarial labels) and ``heldout``
        (heldout,).
    """
    x = draw_inputs(inputs, size, rng)
    heldout_x = draw_inputs(inputs, heldout, rng)
    labels = target(x)
    harmful = rng.random(size) < adversarial_share
    labels[harmful] = -adversarial_label * np.where(labels[harmful] >= 0, 1.0, -1.0)
    return {"inputs": x, "labels": labels, "harmful": harmful, "heldout": heldout_x}
