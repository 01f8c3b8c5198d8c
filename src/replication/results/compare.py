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

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from replication.config import Config
from replication.results.quantities import NO_SEED, Table
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

    def values(self, name: str) -> pd.DataFrame:
        """Return the quantities of an arm's runs: a row for each seed, a column for each quantity.

        Raises:
            ResultError: a run of the arm is missing or damaged.
        """
        experiment, arm = name.split("/")
        self.table.values(experiment, arm, "updates")
        rows = self.table.frame
        rows = rows[(rows["experiment"] == experiment) & (rows["arm"] == arm) & (rows["seed"] != NO_SEED)]
        return pd.DataFrame({name: found.set_index("seed")["value"] for name, found in rows.groupby("quantity")})

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
    whole = [folder.values(name) for folder in (one, other)]
    # No training comes before the initial policies, so their quantities show whether the runs' held-out data are the
    # same.  Training data come from the same random stream.  Checksums of the files would differ between machines that
    # compress in different ways.
    initial = sorted({name for found in whole for name in map(str, found) if name.startswith(INITIAL)})
    final = [quantity.removeprefix(INITIAL) for quantity in initial]
    first, second = (found.reindex(index=seeds, columns=[*COUNTS, *VALUES, *initial, *final]) for found in whole)
    same = (first == second) | (first.isna() & second.isna())
    close = same | ((first - second).abs() <= ROUNDING * first.abs().clip(lower=1.0))
    if not close[initial].all(axis=None):
        changed = close.index[~close[initial].all(axis=1)][0]
        return Agreement(name, "differs", (f"other data, seed {changed} first",))
    counts = [key for key in COUNTS if not same[key].all()]
    if same.all(axis=None):
        return Agreement(name, "exact", ())
    if not counts and close.all(axis=None):
        return Agreement(name, "numeric", ())
    if len(seeds) < len(other.seeds(name)):
        return Agreement(name, "drifted", tuple(_beside(name, seeds, *whole)))
    apart = tuple(_apart(name, one, other, final, *whole))
    return Agreement(name, "differs" if apart else "statistical", apart or tuple(f"other {key}" for key in counts))


def _beside(name: str, seeds: Iterable[int], one: pd.DataFrame, other: pd.DataFrame) -> Iterator[str]:
    """Yield lines with unsafe iterates and one loss or cost of each run, beside those of the other folder's run."""
    shown = tables_of(name.partition("/")[0]).main_quantity.replace("_", "-")
    finite = other[shown].dropna()
    for seed in seeds:
        unsafe, values = ([float(found[key][seed]) for found in (one, other)] for key in ("unsafe-iterates", shown))
        yield (
            f"seed {seed}: unsafe iterates {unsafe[0]:.0f} and {unsafe[1]:.0f}, {shown} {values[0]:.4g} and "
            f"{values[1]:.4g} (all {len(other)} seeds {finite.min():.4g} to {finite.max():.4g})"
        )


def _apart(name: str, one: Folder, other: Folder, final: Sequence[str], *whole: pd.DataFrame) -> Iterator[str]:
    """Yield the quantities whose intervals over seeds do not overlap."""
    experiment, arm = name.split("/")
    shares = [folder.table.pair(experiment, arm, "unsafe-iterates", "share-interval") for folder in (one, other)]
    if not _overlap(*shares):
        yield "share of unsafe seeds"
    for quantity in final:
        try:
            intervals = [folder.table.pair(experiment, arm, quantity, "interval") for folder in (one, other)]
        except NonFiniteError:
            first, second = (found[quantity].isna().tolist() for found in whole)
            if first != second:
                yield quantity
            continue
        if not _overlap(*intervals):
            yield quantity


def _overlap(first: tuple[float, float], second: tuple[float, float]) -> bool:
    return first[0] <= second[1] and second[0] <= first[1]
