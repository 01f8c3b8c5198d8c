"""The counts of runs that the page shows, as the table of quantities has them."""

from __future__ import annotations

from pathlib import Path

from replication.results import quantities

#: Name on the page -> quantity.
COUNTS = {"updates": "updates", "unsafe": "unsafe-iterates", "failed": "failed"}


def counts(results: Path, experiment: str, arm: str) -> dict[int, dict[str, int]]:
    """Return seed -> name on the page -> count, for every run of an arm.

    Raises:
        ResultError: the table of quantities is missing or damaged, or lacks the arm.
    """
    table = quantities.read(results)
    found: dict[int, dict[str, int]] = {}
    for name, quantity in COUNTS.items():
        values = table.values(experiment, arm, quantity)
        for seed, value in zip(values.index.tolist(), values.tolist(), strict=True):
            found.setdefault(seed, {})[name] = int(value)
    return found


def totals(results: Path, experiment: str, arm: str) -> dict[str, int]:
    """Return name on the page -> count over all runs of an arm; raises as :func:`counts` does."""
    table = quantities.read(results)
    return {name: int(table.statistic(experiment, arm, quantity, "sum")) for name, quantity in COUNTS.items()}
