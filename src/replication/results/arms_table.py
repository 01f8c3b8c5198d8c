"""A table of the arms of a scale in plain text, made from the finished runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from replication import documents, scales
from replication.bank import Bank
from replication.config import Config
from replication.documents import RunSummary
from replication.results import statistics
from replication.tasks import tables_of

HEAD = (
    *("", "runs", "unsafe", "at most", "iterates", "worst g", "held-out", "worst", "misses", "near", "largest"),
    *("rollouts", "median", "loss"),
)


def text(config: Config, results: Path, bank: Path | None = None) -> str:
    """Return the table, made from the finished runs in ``results`` (results/<scale>) and in a bank.

    Raises:
        ResultError: a run.json or a shard of the bank is damaged.
    """
    kept = None if bank is None else Bank(bank)
    rows: list[tuple[str, ...]] = [HEAD]
    for experiment, section in config.experiments.items():
        quantity = tables_of(experiment).objective
        for arm, chosen in section.arms.items():
            paths = [results / experiment / arm / f"seed-{seed}" / "run.json" for seed in chosen.seed_range]
            runs = [documents.read(path, RunSummary) for path in paths if path.is_file()]
            if kept is not None:
                digest = scales.digest(scales.for_arm(config, experiment, arm))
                runs += [
                    RunSummary.model_validate_json(files["run.json"])
                    for key, files in kept.read(experiment, arm)
                    if key.seed in chosen.seed_range and kept.holds(key, digest)
                ]
            rows.append((f"{experiment}/{arm}", *_row(runs, chosen.seeds, quantity)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    )
    return "\n".join([*lines, "", *LEGEND]) + "\n"


LEGEND = (
    "runs: finished, of those planned.  unsafe: runs with an unsafe iterate.  at most: share of such runs, one-sided",
    "95 % (exact).  iterates: unsafe ones in all runs.  held-out: final policies that are unsafe at held-out",
    "points, with their largest constraint value.  misses: share of updates with a miss.  near: share of the",
    "constraints near their limits that were missed.  largest: of all misses.  rollouts: median.  median, loss: of the",
    "held-out objective, the second with its exact 95 % interval.",
)


def _row(runs: Sequence[RunSummary], planned: int, quantity: str) -> tuple[str, ...]:
    """Return the cells of one arm that follow its name."""
    if not runs:
        return (f"0/{planned}", *[""] * (len(HEAD) - 2))
    unsafe = sum(run.unsafe for run in runs)
    updates = sum(run.updates for run in runs)
    found = [value for run in runs if (value := run.final.get(quantity)) is not None]
    interval = statistics.median_interval(found) if found else None
    near = sum(run.near_constraints for run in runs)  # 0 in records that did not count them
    diverged = sum(run.diverged_update is not None for run in runs)
    return (
        f"{len(runs)}/{planned}" + (f" ({diverged} diverged)" if diverged else ""),
        str(unsafe),
        f"{statistics.upper_bound(unsafe, len(runs)):.3f}",
        str(sum(run.unsafe_iterates for run in runs)),
        f"{max(run.max_g for run in runs):+.4f}",
        str(sum(_not_finite_is_infinite(run.final["heldout_unsafe"]) > 0.0 for run in runs)),
        f"{max(_not_finite_is_infinite(run.final['heldout_max_g']) for run in runs):+.4f}",
        f"{sum(run.bound_misses for run in runs) / updates:.4f}",
        f"{sum(run.near_misses for run in runs) / near:.4f}" if near else "",
        f"{max((run.largest_miss for run in runs if run.largest_miss is not None), default=0.0):.2g}",
        f"{np.median([run.rollouts for run in runs]):,.0f}",
        f"{np.median(found):.4f}" if found else "",
        f"[{interval.low:.4f}, {interval.high:.4f}]" if interval else "",
    )


def _not_finite_is_infinite(value: float | None) -> float:
    """Return a held-out value; infinity for one that was not finite, which is unsafe."""
    return math.inf if value is None else value
