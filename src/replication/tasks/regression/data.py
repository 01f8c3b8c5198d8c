"""What the regression fits: the target function and data sets of it.  No torch here, so that a figure starts fast."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scpo.arrays import Array


def target(x: Array) -> Array:
    """Return f(x) = sin x + sin 3x + sin 7x (F)."""
    return np.asarray(np.sin(x) + np.sin(3 * x) + np.sin(7 * x))


def draw_inputs(inputs: str, size: int, rng: np.random.Generator) -> Array:
    """Return ``size`` inputs: "normal", N(0, 1), or "uniform" on [-pi, pi]."""
    return rng.standard_normal(size) if inputs == "normal" else rng.uniform(-np.pi, np.pi, size)


def generate_dataset(
    rng: np.random.Generator,
    *,
    inputs: str,
    size: int,
    heldout: int,
    adversarial_share: float = 0.0,
    adversarial_label: float = 4.0,
) -> dict[str, NDArray[np.generic]]:
    """Return training data and held-out inputs of the same distribution.

    An adversarial label has magnitude ``adversarial_label`` and the sign opposite to f(x).  The clean inputs do not
    depend on the share, so that data sets of one seed differ in the labels alone.

    Returns:
        inputs, labels (size,), harmful (size,) bool (label replaced), heldout (heldout,).
    """
    x = draw_inputs(inputs, size, rng)
    heldout_x = draw_inputs(inputs, heldout, rng)
    labels = target(x)
    harmful = rng.random(size) < adversarial_share
    labels[harmful] = -adversarial_label * np.where(labels[harmful] >= 0, 1.0, -1.0)
    return {"inputs": x, "labels": labels, "harmful": harmful, "heldout": heldout_x}
