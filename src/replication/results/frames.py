"""The records of several runs as one long table: a row per seed and time, as seaborn reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import pandas as pd

from replication.results.read import Run


def series(runs: Iterable[Run]) -> pd.DataFrame:
    """Return the series of ``runs``, a row per seed and bin, with the column seed."""
    return _joined(runs, lambda run: run.series)


def early(runs: Iterable[Run]) -> pd.DataFrame:
    """Return the losses of the first epochs of ``runs``, a row per seed and bin, with the column seed."""
    return _joined(runs, lambda run: run.early)


def evaluations(runs: Iterable[Run], until: float = np.inf) -> pd.DataFrame:
    """Return the evaluations of ``runs`` up to epoch ``until``, with the column seed."""
    found = _joined(runs, lambda run: run.evaluations)
    return found[found["epoch"] <= until]


def exhibit(runs: Iterable[Run], name: str) -> pd.DataFrame:
    """Return the table ``name`` of the final policies of ``runs``, with the column seed."""
    return _joined(runs, lambda run: run.exhibits[name])


def by(key: str, frames: Mapping[int, pd.DataFrame] | Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the tables ``frames``, one below the other; the column ``key`` names the table that a row comes from."""
    parts = [frame.assign(**{key: value}) for value, frame in frames.items()]
    return pd.concat(parts, ignore_index=True)


def windows(data: pd.DataFrame, count: int) -> pd.Series[float]:
    """Return for each row of ``data`` the centre of its window, one of ``count`` equal parts of the epochs."""
    width = float(data["epoch"].max()) / count
    index = np.minimum(np.floor(data["epoch"] / width), count - 1)
    return pd.Series((index + 0.5) * width, index=data.index)


def worst_values(series: pd.DataFrame, count: int) -> pd.Series[float]:
    """Return the largest constraint value of any iterate of any seed in each of ``count`` windows, by their centres."""
    return series.groupby(windows(series, count))["max_g_high"].max()


def _joined(runs: Iterable[Run], table: Callable[[Run], pd.DataFrame]) -> pd.DataFrame:
    return by("seed", {run.seed: table(run) for run in runs})
