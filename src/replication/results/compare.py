"""Compares two result folders of one scale, arm by arm, in tiers.  Weights are never compared.

Exact: the same counts and values.  Numeric: the same counts, and values that differ by rounding.  Statistical:
counts and values may differ, as they do between machines, but the intervals over seeds overlap.  Where the first folder
holds only some of the second's seeds, those are compared, and what is neither exact nor numeric is shown beside the
other's and not judged: drifted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replication.results.inventory import tables_of
from replication.results.outcomes import Runs, merit, seeds_unsafe
from replication.results.read import Run, read_arm, read_config
from replication.results.statistics import Interval, median_interval, proportion_interval
from scpo.errors import NonFiniteError

COUNTS = ("updates", "unsafe_iterates", "unsafe_proposals", "unsafe_probes", "bound_misses", "rollouts")
ROUNDING = 1e-9  # absolute up to 1, relative above


@dataclass(frozen=True)
class Agreement:
    """How far an arm of one folder agrees with that of the other."""

    arm: str
    tier: str  # exact, numeric, statistical, drifted, or differs
    differences: tuple[str, ...]


def compare(first: Path, second: Path) -> list[Agreement]:
    """Return the agreement of every arm that either folder has.

    Raises:
        ResultError: a file is missing or damaged.
    """
    return [_agreement(arm, first, second) for arm in sorted(_arms(first) | _arms(second))]


def text(found: Sequence[Agreement]) -> str:
    """Return an aligned table."""
    width = max(len(one.arm) for one in found)
    return "".join(
        f"{one.arm.ljust(width)}  {one.tier.ljust(11)}  {'; '.join(one.differences)}".rstrip() + "\n" for one in found
    )


def _arms(results: Path) -> set[str]:
    return {
        f"{experiment}/{arm}"
        for experiment, section in read_config(results).experiments.items()
        for arm in section.arms
    }


def _agreement(name: str, first: Path, second: Path) -> Agreement:
    if lacking := [str(results) for results in (first, second) if name not in _arms(results)]:
        return Agreement(name, "differs", (f"not in {lacking[0]}",))
    experiment, arm = name.split("/")
    one, other = read_arm(first, experiment, arm), read_arm(second, experiment, arm)
    there = {run.seed: run for run in other}
    if absent := [run.seed for run in one if run.seed not in there]:
        return Agreement(name, "differs", (f"seed {absent[0]} not in {second}",))
    same = [(run, there[run.seed]) for run in one]
    if _settings(first, experiment, arm) != _settings(second, experiment, arm):
        return Agreement(name, "differs", ("other settings",))
    if changed := [a.seed for a, b in same if not _start_alike(a, b)]:
        return Agreement(name, "differs", (f"other data, seed {changed[0]} first",))
    pairs = [(_values(a), _values(b)) for a, b in same]
    counts = [key for key in COUNTS if any(a.summary[key] != b.summary[key] for a, b in same)]
    if not counts and all(
        a == b or _both_nan(a, b) for ours, theirs in pairs for a, b in zip(ours, theirs, strict=True)
    ):
        return Agreement(name, "exact", ())
    if not counts and all(_close(a, b) for ours, theirs in pairs for a, b in zip(ours, theirs, strict=True)):
        return Agreement(name, "numeric", ())
    if len(one) < len(other):
        return Agreement(name, "drifted", tuple(_beside(experiment, same, other)))
    apart = tuple(_apart(one, other))
    return Agreement(name, "differs" if apart else "statistical", apart or tuple(f"other {key}" for key in counts))


def _settings(results: Path, experiment: str, arm: str) -> dict[str, Any]:
    """Return what an arm's data were drawn and its runs were trained with."""
    config = read_config(results)
    section = config.section(experiment)
    chosen = section.arms[arm]
    trained = section.for_arm(arm).model_dump(exclude={"arms", "datasets", "certificate"})
    drawn = section.datasets[chosen.dataset].model_dump()
    return trained | {"base_seed": config.base_seed, "method": chosen.method, "dataset": drawn}


def _start_alike(one: Run, other: Run) -> bool:
    """Tell whether the initial policies, which training has not touched, were evaluated alike on the runs' data.

    Held-out data are seen so, and training data come from the same stream.  Checksums would tell machines apart: one
    library compresses the same numbers to other bytes.
    """
    names = one.summary["initial"].keys()
    return names == other.summary["initial"].keys() and all(
        _close(merit(one, name, "initial"), merit(other, name, "initial")) for name in names
    )


def _values(run: Any) -> list[float]:
    values = [float(run.summary["max_g"])]
    return values + [merit(run, name, when) for when in ("initial", "final") for name in sorted(run.summary[when])]


def _both_nan(first: float, second: float) -> bool:
    return math.isnan(first) and math.isnan(second)


def _close(first: float, second: float) -> bool:
    return abs(first - second) <= ROUNDING * max(1.0, abs(first)) or _both_nan(first, second)


def _beside(experiment: str, same: Sequence[tuple[Run, Run]], other: Runs) -> Iterator[str]:
    """Yield a figure of merit and the unsafe iterates of each run beside those of the same seed in the other folder."""
    shown = tables_of(experiment).merit
    values = [value for run in other if math.isfinite(value := merit(run, shown))] or [math.nan]
    for ours, theirs in same:
        unsafe = f"unsafe iterates {ours.summary['unsafe_iterates']} and {theirs.summary['unsafe_iterates']}"
        found = f"{shown} {merit(ours, shown):.4g} and {merit(theirs, shown):.4g}"
        yield f"seed {ours.seed}: {unsafe}, {found} (all {len(other)} seeds {min(values):.4g} to {max(values):.4g})"


def _apart(one: Runs, other: Runs) -> Iterator[str]:
    """Yield what the intervals over seeds of the two do not have in common."""
    shares = [proportion_interval(seeds_unsafe(runs), len(runs)) for runs in (one, other)]
    if not _overlap(*shares):
        yield "share of unsafe seeds"
    for name in sorted(one[0].final):
        try:
            intervals = [median_interval([merit(run, name) for run in runs]) for runs in (one, other)]
        except NonFiniteError:
            if [math.isfinite(merit(run, name)) for run in one] != [math.isfinite(merit(run, name)) for run in other]:
                yield name
            continue
        if not _overlap(*intervals):
            yield name


def _overlap(first: Interval, second: Interval) -> bool:
    return first.low <= second.high and second.low <= first.high
