"""The page's data on the double integrator: sets, certified cells, and the policies whose loops it computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from replication.experiments import policies
from replication.experiments.double_integrator.policies import of_final
from replication.experiments.double_integrator.read import (
    EXPERIMENT,
    METHODS,
    SCENARIOS,
    Certificate,
    Mask,
    read_certificates,
    read_references,
    read_scenario,
    read_settings,
)
from replication.page.counts import counts, totals
from replication.page.encode import array
from replication.results.read import Run
from replication.tasks.double_integrator.system import A, B
from scpo.arrays import Array

#: The arms that are shown beside another one only.
BASELINE = "unconstrained"


def view(results: Path) -> dict[str, Any] | None:
    """Return the data of the view; None if the scale runs none of the arms that it shows.

    Raises:
        ResultError: a result file is missing or damaged.
    """
    settings, references = read_settings(results), read_references(results)
    numbers = references.numbers
    scenarios = {scenario: _scenario(results, scenario) for scenario in SCENARIOS}
    scenarios = {name: methods for name, methods in scenarios.items() if methods.keys() - {BASELINE}}
    if not scenarios:
        return None
    return {
        "system": {"A": A, "B": B, "gain": numbers.gain},
        "widths": [2, *settings.hidden, 1],
        "stateBound": numbers.state_bound,
        "inputBound": numbers.input_bound,
        "stageInputWeight": numbers.stage_input_weight,
        "horizon": settings.horizon,
        "contraction": settings.contraction,
        "rho": settings.rho,
        "steps": len(references.arrays["backup_inputs"]) - 1,
        "facets": references.arrays["facets"],
        "vertices": references.arrays["vertices"],
        "heldout": settings.heldout,
        "costHorizon": numbers.cost_horizon,
        "harmfulAbove": numbers.malicious_above,
        "scenarios": scenarios,
        "counts": {scenario: _counts(results, scenario) for scenario in scenarios},
    }


def _counts(results: Path, scenario: str) -> dict[str, dict[str, int]]:
    """Return method -> the counts over all of its runs, those without a saved policy among them."""
    arms = {method: f"{method}-{scenario}" for method in METHODS}
    known = read_settings(results).arms
    return {name: totals(results, EXPERIMENT, arm) for name, arm in arms.items() if arm in known}


def _scenario(results: Path, scenario: str) -> dict[str, dict[str, Any]]:
    """Return method -> seed -> run, for the runs whose policies are saved and for the unsafe ones of SCPO.

    Of an unsafe run without saved policies the final one is shown.
    """
    saved, found = policies.read(results, EXPERIMENT), {}
    for method, runs in read_scenario(results, scenario).items():
        arm = f"{method}-{scenario}"
        proven = dict(zip((run.seed for run in runs), read_certificates(results, arm), strict=False))
        counted = counts(results, EXPERIMENT, arm)
        for run in runs:
            if (arm, run.seed) not in saved and run.method == "scpo" and counted[run.seed]["unsafe"]:
                saved[arm, run.seed] = _final(results, run)
        found[method] = {
            str(run.seed): counted[run.seed]
            | _run(run, saved[arm, run.seed], proven.get(run.seed), whole=run.method == "scpo")
            for run in runs
            if (arm, run.seed) in saved
        }
    return {method: shown for method, shown in found.items() if shown}


def _final(results: Path, run: Run) -> dict[str, Array]:
    """Return the final policy of a run as a saved one."""
    path = results / EXPERIMENT / run.arm / f"seed-{run.seed}" / "final.safetensors"
    updates = run.evaluations["update"].to_numpy()[-1:]
    return {"updates": updates, "theta": of_final(read_settings(results).for_arm(run.arm), path)}


def _run(run: Run, saved: dict[str, Array], proven: Certificate | None, *, whole: bool) -> dict[str, Any]:
    """Return the data of a run but its counts: saved policies, held-out values, certificate.

    With ``whole`` it has all saved policies, else the last one.
    """
    shown = slice(None) if whole else slice(-1, None)
    updates = saved["updates"][shown]
    held = run.evaluations.set_index("update").loc[updates.tolist()]
    return {
        "saved": updates,
        "theta": array(saved["theta"][shown]),
        "cost": array(held["cost"]),
        "slack": array(-held["heldout_max_g"]),
        "certificate": None if proven is None else _certificate(proven),
    }


def _certificate(proven: Certificate) -> dict[str, Any]:
    """Return the cells of a certificate as strips, and their areas."""
    return {
        "cells": len(proven.x1) - 1,
        "certified": array(strips(proven.mask), "i2"),
        "refuted": array(strips(proven.refuted), "i2"),
        "area": proven.numbers.final.area,
        "refutedArea": proven.numbers.final.refuted_area,
    }


def strips(mask: Mask) -> Array:
    """Return the cells of ``mask`` (n, n) as rows (column, first, end): the cells from first up to end - 1."""
    steps = np.diff(np.pad(mask.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    columns, first = np.nonzero(steps == 1)
    return np.column_stack([columns, first, np.nonzero(steps == -1)[1]])
