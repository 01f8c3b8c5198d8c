"""Thinning of long series for print."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def envelope(x: ArrayLike, y: ArrayLike, width: float) -> tuple[Array, Array, Array, Array]:
    """Thin a curve without losing an extreme; return (centre, lowest, highest, median) of each bin of ``width`` in x.

    Empty bins and NaN are left out.  The published curve was digitised in the same way, so the two compare.
    """
    position: Array = np.asarray(x, dtype=np.float64)
    value: Array = np.asarray(y, dtype=np.float64)
    finite = np.isfinite(value)
    position, value = position[finite], value[finite]
    if position.size == 0:
        return position, value, value, value
    index = np.floor(position / width).astype(np.int64)
    starts = np.flatnonzero(np.r_[True, np.diff(index) != 0])
    medians = np.array([np.median(part) for part in np.split(value, starts[1:])], dtype=np.float64)
    centres = np.asarray((index[starts] + 0.5) * width, dtype=np.float64)
    return centres, np.minimum.reduceat(value, starts), np.maximum.reduceat(value, starts), medians
