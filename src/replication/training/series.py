"""The thinned series of a run: small enough to ship, with every extreme and every count of the full record.

A series has one row for each bin of updates.  A bin is as wide as a pixel column of the published figure, or narrower
if the run is short.  For the first epochs, in which the loss falls, the loss is stored once more in narrower bins (rows
marked ``early``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scpo.arrays import Array

if TYPE_CHECKING:
    import pandas as pd


#: Epochs in one pixel column of the published loss panel.
COLUMN = 7.4
#: Bins of a short run, if it has as many updates, and the most bins of a long one.
SHORTEST, LONGEST = 150, 1000
#: Length of the early part and width of its bins, in epochs; the published loss falls in the first 200.
EARLY, EARLY_WIDTH = 250.0, 2.0

#: The values that a bin keeps of each column: lowest, highest, median.
KEPT = {
    "loss": ("low", "high", "median"),
    "max_g": ("high",),
    "smoothness_max": ("low",),
    "required_max": ("high",),
    "worst_miss": ("high",),
}
#: Columns kept in double precision: the safety values.
EXACT = ("max_g", "worst_miss")
#: Counts of a bin, by their names in run.json: the column, and whether to count updates (True) or sum values (False).
COUNTED = {
    "unsafe_iterates": ("unsafe_iterate", True),
    "unsafe_proposals": ("unsafe_proposals", False),
    "unsafe_probes": ("unsafe_probes", False),
    "bound_misses": ("bound_misses", True),
    "restoring_updates": ("restoring", True),
}


def bin_width(last: float) -> float:
    """Return the width of a bin, in epochs, for a run of ``last`` epochs."""
    return max(last / LONGEST, min(COLUMN, last / SHORTEST)) if last > 0.0 else COLUMN


def thin(updates: pd.DataFrame) -> pd.DataFrame:
    """Return the series of a run, with one row for each bin that is not empty.

    Its columns are:
        early: True in the rows of the first epochs with the narrower bins.
        epoch: the centre of the bin.
        update: the number of the last update in the bin.
        rollouts: the number of rollouts up to that update.
        updates: the number of updates in the bin.  The initial policy is no update, and no count includes it.
        <column>_<statistic>: the values of :data:`KEPT`; NaN where a bin has no finite value.
        one column for each count of :data:`COUNTED`.

    Args:
        updates: the table updates.parquet, with a row for the initial policy and then one for each update.
    """
    import pandas as pd

    last = float(updates["epoch"].iloc[-1])
    whole = _bins(updates, bin_width(last), KEPT).assign(early=False)
    if last <= EARLY:
        return whole
    first = _bins(updates[updates["epoch"] <= EARLY], min(EARLY_WIDTH, bin_width(last)), {"loss": KEPT["loss"]})
    return pd.concat([whole, first.assign(early=True)], ignore_index=True)


def _bins(updates: pd.DataFrame, width: float, kept: Mapping[str, tuple[str, ...]]) -> pd.DataFrame:
    import pandas as pd

    index = np.floor(updates["epoch"].to_numpy() / width).astype(np.int64)
    starts = np.flatnonzero(np.r_[True, np.diff(index) != 0])
    ends = np.r_[starts[1:], len(updates)] - 1
    centres = (index[starts] + 0.5) * width
    columns: dict[str, NDArray[Any]] = {
        "epoch": centres,
        "update": updates["update"].to_numpy()[ends],
        "rollouts": updates["rollouts"].to_numpy()[ends],
    }
    for name, statistics in kept.items():
        at, *found = envelope(updates["epoch"], updates[name], width)
        for statistic, values in zip(("low", "high", "median"), found, strict=True):
            if statistic in statistics:
                precision = np.float64 if name in EXACT else np.float32
                column = columns[f"{name}_{statistic}"] = np.full(len(centres), np.nan, precision)
                with np.errstate(over="ignore"):  # infinite where a run diverges beyond single precision
                    column[np.searchsorted(centres, at)] = values
    after_start = updates["update"].to_numpy() > 0
    columns["updates"] = np.add.reduceat(after_start.astype(np.int64), starts)
    for name, (counted, any_counts) in COUNTED.items():
        values = updates[counted].to_numpy() * after_start
        columns[name] = np.add.reduceat((values > 0 if any_counts else values).astype(np.int64), starts)
    return pd.DataFrame(columns)


def envelope(x: ArrayLike, y: ArrayLike, width: float) -> tuple[Array, Array, Array, Array]:
    """Return (centre, lowest, highest, median) of a curve in each bin of ``width`` along x.

    Empty bins and NaN are left out.  The published curve was digitised in the same way, so that both can be compared.
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
