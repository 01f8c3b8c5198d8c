"""How a quantity is printed: in a cell of a table, and in the report's text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from replication.experiments.quantities import QUANTITIES
from replication.results import quantities, statistics
from replication.results.quantities import COUNT, RATIO, SHARE, Format, Table
from replication.tasks import tables_of
from replication.typeset import latex
from scpo.errors import ConfigurationError

#: The statistic of a quantity that has one value and no seeds.
VALUE = "value"
#: Every statistic by which a quantity can be printed.
STATISTICS = (VALUE, *statistics.SINGLE, *statistics.PAIRS)
#: The interval of a median; with fewer than six seeds there is none of 95 %, and a dash is printed.
INTERVAL = "interval"
#: Statistics that are printed in a format of their own, whatever the quantity.
OWN: Mapping[str, Format] = {
    "seeds": COUNT,
    "nonzero": COUNT,
    "coverage": SHARE,
    "upper-bound": SHARE,
    "share-interval": RATIO,
}


def format_of(quantity: str, statistic: str) -> Format:
    """Return how a statistic of a quantity is printed.

    Raises:
        ConfigurationError: there is no such quantity or statistic.
    """
    if quantity not in QUANTITIES:
        raise ConfigurationError(f"no quantity {quantity!r}; replicate explain lists them")
    if statistic not in STATISTICS:
        raise ConfigurationError(f"no statistic {statistic!r}; there are {', '.join(STATISTICS)}")
    return OWN.get(statistic, QUANTITIES[quantity].format)


def shown(
    table: Table, experiment: str, arm: str, quantity: str, statistic: str = VALUE, digits: int | None = None
) -> str:
    """Return a statistic of a quantity as LaTeX; a dash for the interval of a median of too few seeds.

    Args:
        table: the table of quantities.
        experiment: its name; "" for a quantity of no experiment.
        arm: its name; "" for a quantity of no arm; "first+second" for the runs of both.
        quantity: its name.
        statistic: one of :data:`STATISTICS`.
        digits: decimals or significant digits that replace those of the quantity's format.

    Raises:
        ConfigurationError: there is no such quantity or statistic.
        ResultError: the table has no value.
    """
    how = format_of(quantity, statistic)
    if statistic == VALUE:
        return latex.formatted(table.value(experiment, arm, quantity), how, digits)
    if statistic == INTERVAL and table.statistic(experiment, arm, quantity, "coverage") < statistics.LEVEL:
        return latex.DASH
    if statistic in statistics.PAIRS:
        low, high = table.pair(experiment, arm, quantity, statistic)
        return latex.pair(latex.formatted(low, how, digits), latex.formatted(high, how, digits))
    return latex.formatted(table.statistic(experiment, arm, quantity, statistic), how, digits)


def shown_difference(
    table: Table, experiment: str, arms: tuple[str, str], quantity: str, statistic: str, digits: int | None = None
) -> str:
    """Return a statistic of the difference between two arms, seed by seed, as LaTeX with its sign.

    The interval of a median of too few seeds is a dash.

    Raises:
        ConfigurationError: there is no such quantity or statistic.
        ResultError: an arm has no value, or the arms have no seed in common.
    """
    how = format_of(quantity, statistic)
    found = table.paired(experiment, *arms, quantity)
    if statistic == INTERVAL and statistics.median_interval(found).coverage < statistics.LEVEL:
        return latex.DASH
    if statistic in statistics.PAIRS:
        low, high = statistics.pair(statistic, found)
        return latex.pair(latex.difference(low, how, digits), latex.difference(high, how, digits))
    return latex.difference(statistics.single(statistic, found), how, digits)


def objective_of(experiment: str) -> str:
    """Return the name of the quantity that training minimises, on held-out data."""
    return tables_of(experiment).objective.replace("_", "-")


@dataclass(frozen=True)
class Cells:
    """Makes the cells of one arm for a table."""

    table: Table
    experiment: str
    arm: str

    def cell(self, quantity: str, statistic: str, digits: int | None = None) -> str:
        """Return a statistic of a quantity as LaTeX, or a dash if the arm has no value."""
        if not self.table.has(self.experiment, self.arm, quantity):
            return latex.DASH
        return shown(self.table, self.experiment, self.arm, quantity, statistic, digits)

    @property
    def unsafe_seeds(self) -> str:
        """How many of the seeds have an unsafe iterate, as LaTeX."""
        return f"{self.cell('unsafe-iterates', 'nonzero')} of {self.cell('unsafe-iterates', 'seeds')}"

    def small(self, quantity: str, statistic: str, digits: int | None = None) -> str:
        """Return the same in small print, for a range beside or below another cell."""
        return latex.small(self.cell(quantity, statistic, digits))

    def median_and_range(self, quantity: str) -> str:
        """Return the median over the seeds with the range beside it, or a dash if the arm has no value."""
        if not self.table.has(self.experiment, self.arm, quantity):
            return latex.DASH
        return f"{self.cell(quantity, 'median')} {self.small(quantity, 'range')}"


def cells(results: Path, experiment: str, arms: tuple[str, ...] | list[str]) -> dict[str, Cells]:
    """Return arm -> what makes its cells in a table, for those of ``arms`` that the results have.

    Raises:
        ResultError: the table of quantities is missing or damaged.
    """
    table = quantities.read(results)
    known = set(table.arms(experiment))
    return {arm: Cells(table, experiment, arm) for arm in arms if arm in known}
