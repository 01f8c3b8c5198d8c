"""Names that have moved to :mod:`replication.results.read`; this module goes when nothing imports it any more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from replication.results import read


def read_referee(results: Path) -> dict[str, Any]:
    """Return the referee's comparison with the records."""
    return read.read_referee(results).model_dump()


def read_findings(results: Path) -> list[dict[str, Any]]:
    """Return the planted faults and what became of them."""
    return [finding.model_dump() for finding in read.read_findings(results)]


def read_stationarity(results: Path) -> tuple[float, dict[str, list[float]]]:
    """Return when a constraint counts as active, and arm -> the KKT residual of each run's final policy."""
    found, residuals = read.read_stationarity(results), dict[str, list[float]]()
    for run in found.runs:
        residuals.setdefault(run.arm, []).append(run.residual)
    return found.near, residuals
