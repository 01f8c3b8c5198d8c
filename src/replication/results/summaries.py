"""Reads small summaries: the referee's, the findings about planted faults, the benchmarks' ratios."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from replication.errors import ResultError
from replication.files import read_json
from replication.results.inventory import STATIONARITY
from replication.upgrade import upgrade_referee

#: What `make bench` writes, beside the folders of the scales.
BENCHMARKS = "benchmarks.json"
#: what a planted fault's entry says, at least
FINDING = {"name", "planted", "expected", "observed", "numbers", "caught"}


def read_referee(results: Path) -> dict[str, Any]:
    """Return the referee's summary; it exists only if there was no disagreement.

    Raises:
        ResultError: the file is missing or damaged.
    """
    path = results / "referee.json"
    found = read_json(path)
    if not isinstance(found, dict) or not {"arms", "every", "tolerance"} <= found.keys():
        raise ResultError(f"{path}: not a referee's summary")
    return upgrade_referee(found)


def read_stationarity(results: Path) -> tuple[float, dict[str, list[float]]]:
    """Return how near the margin a metric counts, and arm -> the KKT residual of each run's final policy.

    Raises:
        ResultError: the file is missing or damaged.
    """
    path = results / STATIONARITY
    found = read_json(path)
    residuals: dict[str, list[float]] = {}
    try:
        for run in found["runs"]:
            residuals.setdefault(run["arm"], []).append(float(run["residual"]))
        return float(found["near"]), residuals
    except (KeyError, TypeError, ValueError) as error:
        raise ResultError(f"{path}: not the residuals of runs ({error!r})") from error


def read_findings(results: Path) -> list[dict[str, Any]]:
    """Return what became of the planted faults, at least one.

    Raises:
        ResultError: the file is missing or damaged.
    """
    path = results / "falsification.json"
    found = read_json(path)
    findings = found.get("findings") if isinstance(found, dict) else None
    if not findings or not all(isinstance(finding, dict) and finding.keys() >= FINDING for finding in findings):
        raise ResultError(f"{path}: not a list of planted faults; make it again")
    return list(findings)


def read_benchmarks(results: Path) -> Mapping[str, Any]:
    """Return the ratios that the benchmarks measured on this machine.

    Raises:
        ResultError: there are none, or the file is damaged.
    """
    path = results.parent / BENCHMARKS
    if not path.is_file():
        raise ResultError(f"{BENCHMARKS}: no such file; run make bench")
    found = read_json(path)
    if not isinstance(found, dict) or not isinstance(found.get("ratios"), dict):
        raise ResultError(f"{path}: not the benchmarks' ratios")
    return dict(found["ratios"])
