"""Compares two result folders of one scale, arm by arm, by their tables of quantities.

An arm agrees in one of these tiers.  Weights are never compared.

- exact: the same counts and values;
- numeric: the same counts, and values that differ by rounding;
- statistical: other counts or values, as on another machine, but the intervals over seeds overlap;
- drifted: the first folder holds only some of the second's seeds, and their counts or values differ by more than
  rounding; they are shown beside the second's and not judged.

Otherwise it differs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from replication.config import Config
from replication.results.quantities import Table
from replication.results.read import read_config
from replication.tasks import tables_of
from scpo.errors import NonFiniteError

COUNTS = ("updates", "unsafe-iterates", "unsafe-proposals", "unsafe-probes", "bound-misses", "rollouts")
#: Values that are compared beside the initial and final losses and costs.
VALUES = ("worst-g", "heldout-worst-g", "final-heldout-worst-g", "heldout-unsafe-share")
INITIAL = "initial-"
ROUNDING = 1e-9  # absolute up to 1, relative above


@dataclass(frozen=True)
class Agreement:
    """The agreement of an arm of one folder with the same arm of the other."""

    arm: str
    tier: str  # exact, numeric, statistical, drifted, or differs
    differences: tuple[str, ...]


@dataclass(frozen=True)
class Folder:
    """One of the result folders.

    Attributes:
        path: results/<scale>.
        config: the settings of its runs.
        table: the quantities of its runs.
    """

    path: Path
    config: Config
    table: Table

    @property
    def arms(self) -> set[str]:
        """Its arms, as experiment/arm."""
        return {
            f"{experiment}/{arm}" for experiment, section in self.config.experiments.items() for arm in section.arms
        }

    def seeds(self, name: str) -> range:
        """Return the seeds of an arm."""
        experiment, arm = name.split("/")
        return self.config.section(experiment).arms[arm].seed_range

    def values(self, name: str, quantity: str) -> pd.Series[float]:
        """Return a quantity of an arm's runs, indexed by seed; empty where it does not apply.

        Raises:
            ResultError: a run of the arm is missing or damaged.
        """
        experiment, arm = name.split("/")
        updates = self.table.values(experiment, arm, "updates")
        return self.table.values(experiment, arm, quantity) if self.has(name, quantity) else updates[:0]

    def has(self, name: str, quantity: str) -> bool:
        """Tell whether a quantity applies to an arm."""
        experiment, arm = name.split("/")
        return self.table.has(experiment, arm, quantity)

    def at(self, name: str, quantity: str, seed: int) -> float:
        """Return a quantity of one run; NaN where it does not apply or was not finite."""
        return float(self.values(name, quantity).get(seed, math.nan))

    def settings(self, name: str) -> dict[str, Any]:
        """Return the settings with which an arm's data were drawn and its runs were trained."""
        experiment, arm = name.split("/")
        section = self.config.section(experiment)
        chosen = section.arms[arm]
        trained = section.for_arm(arm).model_dump(exclude={"arms", "datasets", "certificate"})
        drawn = section.datasets[chosen.dataset].model_dump()
        return trained | {"base_seed": self.config.base_seed, "method": chosen.method, "dataset": drawn}


def compare(first: Path, second: Path, tables: tuple[Table, Table]) -> list[Agreement]:
    """Return the agreement of every arm of the first folder; arms that the second alone has are not judged.

    Args:
        first: results/<scale>; it may hold fewer arms and seeds than the second.
        second: another folder.
        tables: their tables of quantities.

    Raises:
        ResultError: a file is missing or damaged.
    """
    one, other = (Folder(path, read_config(path), table) for path, table in zip((first, second), tables, strict=True))
    return [_agreement(name, one, other) for name in sorted(one.arms)]


def text(found: Sequence[Agreement]) -> str:
    """Return an aligned table with a line for each arm."""
    width = max(len(one.arm) for one in found)
    return "".join(
        f"{one.arm.ljust(width)}  {one.tier.ljust(11)}  {'; '.join(one.differences)}".rstrip() + "\n" for one in found
    )


def _agreement(name: str, one: Folder, other: Folder) -> Agreement:
    if name not in other.arms:
        return Agreement(name, "differs", (f"not in {other.path}",))
    seeds = one.seeds(name)
    if absent := [seed for seed in seeds if seed not in other.seeds(name)]:
        return Agreement(name, "differs", (f"seed {absent[0]} not in {other.path}",))
    if one.settings(name) != other.settings(name):
        return Agreement(name, "differs", ("other settings",))
    initial = sorted({quantity for folder in (one, other) for quantity in _initial(folder, name)})
    if changed := [seed for seed in seeds if not _close(name, one, other, initial, seed)]:
        return Agreement(name, "differs", (f"other data, seed {changed[0]} first",))
    final = [quantity.removeprefix(INITIAL) for quantity in initial]
    counts = [key for key in COUNTS if not all(_same(name, one, other, key, seed, 0.0) for seed in seeds)]
    values = (*VALUES, *initial, *final)
    if not counts and all(_same(name, one, other, key, seed, 0.0) for key in values for seed in seeds):
        return Agreement(name, "exact", ())
    if not counts and all(_close(name, one, other, values, seed) for seed in seeds):
        return Agreement(name, "numeric", ())
    if len(seeds) < len(other.seeds(name)):
        return Agreement(name, "drifted", tuple(_beside(name, one, other)))
    apart = tuple(_apart(name, one, other, final))
    return Agreement(name, "differs" if apart else "statistical", apart or tuple(f"other {key}" for key in counts))


def _initial(folder: Folder, name: str) -> list[str]:
    """Return the quantities of the initial policies.

    No training comes before them, so they show whether the runs' held-out data are the same.  Training data come from
    the same random stream.  Checksums of the files would differ between machines that compress in different ways.
    """
    names = set(folder.table.frame["quantity"])
    return [quantity for quantity in names if quantity.startswith(INITIAL) and folder.has(name, quantity)]


def _same(name: str, one: Folder, other: Folder, quantity: str, seed: int, rounding: float) -> bool:
    first, second = (folder.at(name, quantity, seed) for folder in (one, other))
    if math.isnan(first) or math.isnan(second):
        return math.isnan(first) and math.isnan(second)
    return abs(first - second) <= rounding * max(1.0, abs(first))


def _close(name: str, one: Folder, other: Folder, quantities: Sequence[str], seed: int) -> bool:
    return all(_same(name, one, other, quantity, seed, ROUNDING) for quantity in quantities)


def _beside(name: str, one: Folder, other: Folder) -> Iterator[str]:
    """Yield lines with unsafe iterates and one loss or cost of each run, beside those of the other folder's run."""
    shown = tables_of(name.partition("/")[0]).main_quantity.replace("_", "-")
    finite = other.values(name, shown).dropna()
    for seed in one.seeds(name):
        unsafe, values = ([folder.at(name, key, seed) for folder in (one, other)] for key in ("unsafe-iterates", shown))
        yield (
            f"seed {seed}: unsafe iterates {unsafe[0]:.0f} and {unsafe[1]:.0f}, {shown} {values[0]:.4g} and "
            f"{values[1]:.4g} (all {len(other.seeds(name))} seeds {finite.min():.4g} to {finite.max():.4g})"
        )


def _apart(name: str, one: Folder, other: Folder, final: Sequence[str]) -> Iterator[str]:
    """Yield the quantities whose intervals over seeds do not overlap."""
    experiment, arm = name.split("/")
    shares = [folder.table.pair(experiment, arm, "unsafe-iterates", "share-interval") for folder in (one, other)]
    if not _overlap(*shares):
        yield "share of unsafe seeds"
    for quantity in final:
        try:
            intervals = [folder.table.pair(experiment, arm, quantity, "interval") for folder in (one, other)]
        except NonFiniteError:
            first, second = (folder.values(name, quantity).isna().tolist() for folder in (one, other))
            if first != second:
                yield quantity
            continue
        if not _overlap(*intervals):
            yield quantity


def _overlap(first: tuple[float, float], second: tuple[float, float]) -> bool:
    return first[0] <= second[1] and second[0] <= first[1]
