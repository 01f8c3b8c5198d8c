"""Reads small summaries: the referee's, the findings about planted faults, the benchmarks' ratios."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scpo.errors import ResultError
from scpo.evidence.inventory import STATIONARITY
from scpo.files import read_json

#: What `make bench` writes, beside the folders of the profiles.
BENCHMARKS = "benchmarks.json"


def read_referee(results: Path) -> dict[str, Any]:
    """Return the referee's summary; it exists only if there was no disagreement.

    Raises:
        ResultError: the file is missing or damaged.
    """
    path = results / "referee.json"
    found = read_json(path)
    if not isinstance(found, dict) or not {"arms", "every", "tolerance"} <= found.keys():
        raise ResultError(f"{path}: not a referee's summary")
    return found


def read_stationarity(results: Path) -> dict[str, list[float]]:
    """Return arm -> the KKT residual of each run's final policy, of the regression.

    Raises:
        ResultError: the file is missing or damaged.
    """
    path = results / STATIONARITY
    found = read_json(path)
    runs = found.get("runs") if isinstance(found, dict) else None
    if not isinstance(runs, list) or not all(
        isinstance(run, dict) and {"arm", "residual"} <= run.keys() for run in runs
    ):
        raise ResultError(f"{path}: not the residuals of runs")
    residuals: dict[str, list[float]] = {}
    for run in runs:
        residuals.setdefault(run["arm"], []).append(float(run["residual"]))
    return residuals


def read_findings(results: Path) -> list[dict[str, Any]]:
    """Return what became of the planted faults.

    Raises:
        ResultError: the file is missing or damaged.
    """
    path = results / "falsification.json"
    found = read_json(path)
    findings = found.get("findings") if isinstance(found, dict) else None
    if not isinstance(findings, list) or not all("caught" in finding for finding in findings):
        raise ResultError(f"{path}: not a list of findings")
    return findings


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
