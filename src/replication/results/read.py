"""Reads the files of a scale.  Writes nothing.

``results`` is the folder of one scale, ``results/<scale>``.  A file that is missing, damaged or has other columns or
fields than expected is a :class:`~replication.errors.ResultError` that names it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from replication import documents
from replication.config import Config
from replication.documents import (
    Benchmarks,
    PlannedSeeds,
    PlantedFault,
    PlantedFaults,
    Refereed,
    RunSummary,
    Stationarity,
    Timing,
)
from replication.errors import NotRunError, ResultError
from replication.files import mend, note
from replication.results.inventory import BENCHMARKS, PLANNED, STATIONARITY
from replication.settings import ExperimentSettings
from replication.tasks import BOOL, FLOAT, INT, tables_of
from replication.training.series import COUNTED, KEPT

SERIES = {
    "early": BOOL,
    "epoch": FLOAT,
    "update": INT,
    "rollouts": INT,
    **{f"{column}_{statistic}": FLOAT for column, statistics in KEPT.items() for statistic in statistics},
    "updates": INT,
    **dict.fromkeys(COUNTED, INT),
}
#: Columns of evaluations.parquet that every experiment has; the task declares the others.
EVALUATIONS = {"update": INT, "epoch": FLOAT, "rejected_share": FLOAT, "clean_rejected_share": FLOAT}


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run: one arm of an experiment with one seed.  Where only its run.json is known, its tables are empty.

    Attributes:
        experiment: its name.
        arm: name of the arm.
        seed: seed of the run.
        summary: counts and extremes, from run.json.
        series: a row for each bin of updates (see :mod:`replication.training.series`).
        early: the loss of the first epochs in finer bins; empty for a short run.
        evaluations: a row for each held-out evaluation.
        exhibits: the tables that show the final policy, by name.
        arms: the settings of every arm of the experiment.
    """

    experiment: str
    arm: str
    seed: int
    summary: RunSummary
    series: pd.DataFrame = field(default_factory=pd.DataFrame)
    early: pd.DataFrame = field(default_factory=pd.DataFrame)
    evaluations: pd.DataFrame = field(default_factory=pd.DataFrame)
    exhibits: dict[str, pd.DataFrame] = field(default_factory=dict)
    arms: Mapping[str, ExperimentSettings] = field(default_factory=dict)

    @property
    def settings(self) -> ExperimentSettings:
        """The settings that the run was made with."""
        return self.arms[self.arm]

    @property
    def method(self) -> str:
        """Name of the method that trained the policy."""
        return self.summary.method

    @property
    def epochs(self) -> float:
        """Number of epochs of the run."""
        return float(self.evaluations["epoch"].iloc[-1])

    @property
    def final(self) -> dict[str, Any]:
        """The held-out values of the final policy by name."""
        return dict(self.summary.final)


def read_config(results: Path) -> Config:
    """Return the configuration that the scale was run with."""
    path = results / "config.json"
    return _config(path, _text(path))


def read_arms(results: Path, experiment: str) -> Mapping[str, ExperimentSettings]:
    """Return the settings of each arm of an experiment, the arm's overrides applied.

    Raises:
        ResultError: the scale does not run the experiment.
    """
    read_section(results, experiment)
    path = results / "config.json"
    return _arms(path, _text(path), experiment)


@cache
def _arms(path: Path, text: str, experiment: str) -> Mapping[str, ExperimentSettings]:
    section = _config(path, text).experiments[experiment]
    return {arm: section.for_arm(arm) for arm in section.arms}


@cache
def _config(path: Path, text: str) -> Config:
    """Validate the text of a configuration, once for each text."""
    try:
        return Config.model_validate(json.loads(text))
    except (ValueError, AttributeError) as error:
        raise ResultError(f"{path}: not a configuration of this version; run the scale again\n{error}") from error


def read_section(results: Path, experiment: str) -> ExperimentSettings:
    """Return the settings of an experiment that the scale was run with.

    Raises:
        NotRunError: the scale does not run the experiment.
    """
    settings = read_config(results).experiments.get(experiment)
    if settings is None:
        raise NotRunError(f"{results / 'config.json'}: the scale does not run experiment {experiment!r}")
    return settings


def read_arm(results: Path, experiment: str, arm: str) -> tuple[Run, ...]:
    """Return all runs of an arm that the configuration asks for, in the order of their seeds.

    Raises:
        NotRunError: there is no such arm.
        ResultError: a file of a run is missing or damaged.
    """
    settings = read_section(results, experiment)
    if arm not in settings.arms:
        raise NotRunError(f"{results / 'config.json'}: {experiment} has no arm {arm!r}, only {sorted(settings.arms)}")
    return tuple(read_run(results, experiment, arm, seed) for seed in settings.arms[arm].seed_range)


def read_processor_seconds(results: Path, experiment: str, arm: str) -> dict[int, float]:
    """Return the processor seconds that each run of an arm took, by seed; empty if one of them does not state it."""
    seeds = read_section(results, experiment).arms[arm].seed_range
    paths = {seed: results / experiment / arm / f"seed-{seed}" / "run.timing.json" for seed in seeds}
    stated = {seed: documents.read(path, Timing).processor_seconds for seed, path in paths.items() if path.is_file()}
    found = {seed: seconds for seed, seconds in stated.items() if seconds is not None}
    return found if len(found) == len(seeds) else {}


def read_run(results: Path, experiment: str, arm: str, seed: int) -> Run:
    """Return one run, after checking its files against their models and against each other."""
    folder = results / experiment / arm / f"seed-{seed}"
    summary = _summary(folder / "run.json", {"experiment": experiment, "arm": arm, "seed": seed})
    tables = tables_of(experiment)
    evaluations = _table(folder / "evaluations.parquet", EVALUATIONS | dict(tables.evaluations))
    series = _table(folder / "series.parquet", SERIES)
    early = series[series["early"]].reset_index(drop=True)
    series = series[~series["early"]].reset_index(drop=True)
    _agree(folder, summary, series)
    exhibits = {name: _table(folder / f"{name}.parquet", columns) for name, columns in tables.exhibits.items()}
    arms = read_arms(results, experiment)
    return Run(experiment, arm, seed, summary, series, early, evaluations, exhibits, arms)


def read_referee(results: Path) -> Refereed:
    """Return the referee's comparison with the records."""
    return documents.read(results / "referee.json", Refereed)


def read_findings(results: Path) -> tuple[PlantedFault, ...]:
    """Return the findings on the planted faults; there is at least one."""
    return documents.read(results / "falsification.json", PlantedFaults).findings


def read_stationarity(results: Path) -> Stationarity:
    """Return how near final policies are to a constrained optimum."""
    return documents.read(results / STATIONARITY, Stationarity)


def read_benchmarks(results: Path) -> Mapping[str, float]:
    """Return the ratios of times that the benchmarks measured on this machine, by name."""
    path = results.parent / BENCHMARKS
    if not path.is_file():
        raise ResultError(f"{BENCHMARKS}: no such file; run make bench")
    return documents.read(path, Benchmarks).ratios


def read_planned(results: Path) -> Mapping[str, int] | None:
    """Return experiment/arm -> the number of seeds that were planned; None where the results hold all of them."""
    path = results / PLANNED
    return documents.read(path, PlannedSeeds).seeds if path.is_file() else None


def read_csv(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """Return a CSV file of floats that has at least ``columns``."""
    try:
        frame = pd.read_csv(note(path))
    except (OSError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ResultError(f"{path}: cannot be read; work in a checkout of the project: {error}") from error
    return _checked(path, frame, dict.fromkeys(columns, FLOAT))


def _agree(folder: Path, summary: RunSummary, series: pd.DataFrame) -> None:
    """Refuse a series whose updates, counts or largest constraint value are not those of run.json."""
    if (series["update"].diff().iloc[1:] <= 0).any() or (series["epoch"].diff().iloc[1:] <= 0).any():
        raise ResultError(f"{folder}/series.parquet: its bins are not in order")
    found: dict[str, float] = {name: int(series[name].sum()) for name in ("updates", *COUNTED)}
    found |= {"rollouts": int(series["rollouts"].iloc[-1]), "max_g": float(series["max_g_high"].max())}
    for name, value in found.items():
        if value != summary[name]:
            raise ResultError(f"{folder}: run.json and series.parquet disagree: {name} {summary[name]} and {value}")


def _text(path: Path) -> str:
    try:
        return note(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ResultError(f"{path}: no such file; has this run finished?") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ResultError(f"{path}: cannot be read: {error}") from error


def _summary(path: Path, identity: Mapping[str, Any]) -> RunSummary:
    summary = documents.read(path, RunSummary)
    for name, value in identity.items():
        if summary[name] != value:
            raise ResultError(f"{path}: is of {name} {summary[name]!r}, not {value!r}")
    return summary


def _table(path: Path, columns: Mapping[str, str]) -> pd.DataFrame:
    if not path.is_file():
        raise ResultError(f"{path}: no such file; has this run finished?")
    try:
        with pq.ParquetFile(note(path), pre_buffer=False) as file:  # for small files twice as fast as read_table
            frame = file.read(use_threads=False).replace_schema_metadata().to_pandas()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ResultError(f"{path}: damaged, not a Parquet file: {error}; {mend(path)}") from error
    return _checked(path, frame, columns)


def _checked(path: Path, frame: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    missing = [name for name in columns if name not in frame]
    if missing:
        has = ", ".join(map(str, frame))
        raise ResultError(f"{path}: lacks the columns {', '.join(missing)}; it has {has}; {mend(path)}")
    wrong = [f"{name} ({frame[name].dtype})" for name, kind in columns.items() if frame[name].dtype.kind != kind]
    if wrong:
        raise ResultError(f"{path}: columns of the wrong type: {', '.join(wrong)}; {mend(path)}")
    if frame.empty:
        raise ResultError(f"{path}: has no rows; {mend(path)}")
    return frame
