"""The table of quantities: every number about the results, computed once, and read by all code that uses it.

A :class:`Quantity` declares the name of a number, what it is, and how it is printed.  The quantities of every run
stand in :mod:`replication.results.run_quantities`, those of one experiment in its folder's ``quantities.py``.
:mod:`replication.experiments.quantities` joins them and writes the table.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from replication.errors import ResultError
from replication.files import mend, note
from replication.paths import REPOSITORY
from replication.results import statistics
from replication.results.read import Run

FILE = "quantities.parquet"
#: The columns of the table.
COLUMNS = ("experiment", "arm", "seed", "quantity", "value")
#: The seed in rows that belong to no seed.
NO_SEED = -1
#: The size below which a loss, a ratio or a share is rounding, and is printed as 0.
ROUNDING = 1e-9
#: A row of the table: experiment, arm ("" for none), seed, quantity, value.
Row = tuple[str, str, int, str, float]


Kind = Literal["count", "share", "loss", "safety", "ratio", "size", "number"]


@dataclass(frozen=True)
class Format:
    """How the values of a quantity are printed.

    Attributes:
        kind: count: an integer; share: a percentage; loss, ratio: fixed decimals; safety: sign and significant digits,
            never rounded to 0; size: significant digits; number: as it was typed.
        digits: decimals, or significant digits of safety and size; unused for count and number.
    """

    kind: Kind
    digits: int = 3

    def cleared(self, value: float) -> float:
        """Return ``value``, or 0 for a loss, a ratio or a share that is nothing but rounding: below :data:`ROUNDING`.

        A constraint's value and the size of an error stay as they are: a violation of 1e-12 is one.
        """
        return 0.0 if abs(value) < ROUNDING and self.kind in ("loss", "ratio", "share") else value


COUNT, NUMBER = Format("count"), Format("number")
SHARE, LOSS, RATIO = Format("share", 1), Format("loss", 3), Format("ratio", 2)
SAFETY, SIZE = Format("safety", 4), Format("size", 3)


@dataclass(frozen=True)
class Quantity:
    """A number about results.

    Attributes:
        name: lower case with hyphens, unique.
        sentence: what it is.
        format: how it is printed.
        compute: gives the value for one run, or None where the quantity does not apply to the run; None for
            quantities whose rows a :class:`Provider` gives.
        unit: "" for none.
        declared: file and line of the declaration.
    """

    name: str
    sentence: str
    format: Format
    compute: Callable[[Run], float | None] | None = None
    unit: str = ""
    declared: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Store which line of the source declares the quantity."""
        caller = sys._getframe(2)  # above this method and the constructor
        file = Path(caller.f_code.co_filename).resolve()
        shown = file.relative_to(REPOSITORY) if file.is_relative_to(REPOSITORY) else file
        object.__setattr__(self, "declared", f"{shown}:{caller.f_lineno}")


@dataclass(frozen=True)
class Provider:
    """Quantities that take more than one run's files, and the function that gives their rows.

    Attributes:
        quantities: what the rows are about.
        rows: returns the rows for results/<scale>; with ``by_arm`` for results/<scale> and an arm.  It raises
            ResultError where a file is missing or damaged.
        by_arm: whether it handles each arm of its experiment alone, so that a damaged arm does not affect the others.
    """

    quantities: tuple[Quantity, ...]
    rows: Callable[..., Iterable[Row]]
    by_arm: bool = False


@dataclass(frozen=True)
class Table:
    """The table of quantities of one scale.

    Attributes:
        frame: columns experiment, arm, seed, quantity, value; sorted.
        problems: "experiment/arm", "experiment/arm/quantity" or quantity -> why its rows could not be computed.
    """

    frame: pd.DataFrame
    problems: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Index the rows by experiment, arm and quantity."""
        found: dict[tuple[str, str, str], tuple[list[int], list[float]]] = {}
        for experiment, arm, seed, quantity, value in self.frame.itertuples(index=False, name=None):
            seeds, values = found.setdefault((experiment, arm, quantity), ([], []))
            seeds.append(seed)
            values.append(value)
        object.__setattr__(self, "_rows", found)

    _rows: dict[tuple[str, str, str], tuple[list[int], list[float]]] = field(init=False, repr=False, compare=False)

    def arms(self, experiment: str) -> list[str]:
        """Return the arms that the experiment has rows of, sorted."""
        return sorted({arm for of, arm, _ in self._rows if of == experiment and arm})

    def has(self, experiment: str, arm: str, quantity: str) -> bool:
        """Tell whether there is a value; ``arm`` as in :meth:`values`."""
        return any((experiment, one, quantity) in self._rows for one in arm.split("+"))

    def values(self, experiment: str, arm: str, quantity: str) -> pd.Series[float]:
        """Return the values of a quantity, indexed by seed (-1 for a value that belongs to no seed), sorted.

        Args:
            experiment: "" for a quantity of no experiment.
            arm: "" for a quantity of no arm; "first+second" for the runs of several arms one after the other.
            quantity: its name.

        Raises:
            ResultError: an arm has no such value, or its files could not be read.
        """
        seeds: list[int] = []
        found: list[float] = []
        for one in arm.split("+"):
            own = f"{experiment}/{one}"
            for key in (own, f"{own}/{quantity}", quantity):
                if key in self.problems:
                    raise ResultError(self.problems[key])
            if (experiment, one, quantity) not in self._rows:
                raise ResultError(f"{FILE}: no value of {quantity!r} for {own.strip('/') or 'the results'}")
            more = self._rows[experiment, one, quantity]
            seeds += more[0]
            found += more[1]
        return pd.Series(found, index=pd.Index(seeds, name="seed"), name=quantity, dtype=np.float64)

    def value(self, experiment: str, arm: str, quantity: str) -> float:
        """Return the one value of a quantity that has no seeds.

        Raises:
            ResultError: there is none, or there are several.
        """
        found = self.values(experiment, arm, quantity)
        if len(found) != 1:
            raise ResultError(f"{FILE}: {quantity!r} of {experiment}/{arm} has {len(found)} values, not one")
        return float(found.iloc[0])

    def statistic(self, experiment: str, arm: str, quantity: str, name: str) -> float:
        """Return a statistic over the seeds, one of :data:`replication.results.statistics.SINGLE`."""
        return statistics.single(name, self.values(experiment, arm, quantity))

    def pair(self, experiment: str, arm: str, quantity: str, name: str) -> tuple[float, float]:
        """Return an interval or range over the seeds, one of :data:`replication.results.statistics.PAIRS`."""
        return statistics.pair(name, self.values(experiment, arm, quantity))

    def paired(self, experiment: str, arm: str, other: str, quantity: str) -> pd.Series[float]:
        """Return the values of ``arm`` minus those of ``other``, over the seeds that both have.

        Runs that share a seed share data and start, so effects that both have in common cancel.

        Raises:
            ResultError: an arm has no values, or no seed is in both.
        """
        first, second = (self.values(experiment, one, quantity) for one in (arm, other))
        common = first.index.intersection(second.index)
        if common.empty:
            raise ResultError(f"{FILE}: no seed is in both {experiment}/{arm} and {experiment}/{other} ({quantity})")
        return first[common] - second[common]


def of_rows(rows: Iterable[Row], problems: Mapping[str, str] | None = None) -> Table:
    """Return the table of ``rows``, sorted.

    Raises:
        ResultError: two rows are about the same thing.
    """
    frame = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"seed": np.int64, "value": np.float64})
    keys = list(COLUMNS[:-1])
    frame = frame.sort_values(keys, ignore_index=True)
    if (twice := frame.duplicated(keys)).any():
        raise ResultError(f"{FILE}: two values for {' '.join(map(str, frame.loc[twice, keys].iloc[0]))}")
    return Table(frame, problems or {})


def single(values: Mapping[str, float], experiment: str = "") -> Iterator[Row]:
    """Yield a row for each of ``values`` by name, which belong to no arm and no seed."""
    for name, value in values.items():
        yield experiment, "", NO_SEED, name, float(value)


def of_run(run: Run, quantities: Iterable[Quantity]) -> Iterator[Row]:
    """Yield a row for each of ``quantities`` that applies to the run."""
    for quantity in quantities:
        if quantity.compute is not None and (value := quantity.compute(run)) is not None:
            yield run.experiment, run.arm, run.seed, quantity.name, float(value)


def read(results: Path) -> Table:
    """Return the table that the rule ``quantities`` wrote for ``results``.

    Raises:
        ResultError: it is missing or damaged.
    """
    path = note(results / FILE)
    try:
        return _read(path.resolve(), path.stat().st_mtime_ns)
    except FileNotFoundError as error:
        raise ResultError(
            f"{path}: no such file; make it: replicate quantities --results {results} --out {path}"
        ) from error


@cache
def _read(path: Path, _changed: int) -> Table:
    """Return a table that is read once per process, and again if its file was written again."""
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise ResultError(f"{path}: damaged, not a Parquet file: {error}; {mend(path)}") from error
    if tuple(frame.columns) != COLUMNS:
        raise ResultError(f"{path}: has the columns {', '.join(frame.columns)}, not {', '.join(COLUMNS)}; {mend(path)}")
    return Table(frame)
