"""The set-based certificate of a finished double-integrator run, for its final policy and some policies on the way."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replication import documents, files
from replication.certificate import Certificate, ClosedLoop, certify
from replication.experiments.double_integrator.documents import CertificateNumbers
from replication.experiments.double_integrator.policies import parameters
from replication.provenance import stamp
from replication.tasks.double_integrator.sets import backup_invariant_set
from replication.tasks.double_integrator.system import INPUT_LIMIT, STATE_LIMIT, A, B, backup_gain
from scpo.arrays import Array

LEVELS = np.arange(1, 101) / 100.0  # of O_inf, tried for coverage


def main(run: Path, out: Path, *, cells: int, cells_over_training: int, iterates: int, rho: float) -> None:
    """Certify the policies saved by the run in folder ``run``; write ``out`` (json) and the cells beside it (npz).

    Args:
        run: folder with weights.npz and run.json.
        out: the file for the numbers; times go to its timing stamp only.
        cells: the number of cells along each axis, for the final policy.
        cells_over_training: the same number, for the policies on the way.
        iterates: how many saved policies are certified on the way, first and last among them.
        rho: scale of the set of starts, rho O_inf.  The file says whether the certified cells cover it.

    Raises:
        ResultError: a file of the run is missing or damaged.
    """
    began = time.perf_counter()
    weights, which = files.read_npz(run / "weights.npz"), documents.read(run / "run.json", documents.RunIdentity)
    final = certify(closed_loop(weights, -1), cells)
    chosen = np.unique(np.linspace(0, len(weights["updates"]) - 1, iterates).round().astype(int))
    training = []
    for index in chosen:
        found = certify(closed_loop(weights, int(index)), cells_over_training)
        numbers = {"area": found.area, "invariant_area": found.grid.area(found.invariant), "level": level(found)}
        training.append({"update": int(weights["updates"][index])} | numbers)
    outputs = [out, out.with_suffix(".npz")]
    documents.write(
        outputs[0],
        CertificateNumbers,
        which.model_dump()
        | {"final": final.summary() | _coverage(final, rho), "over_training": training, "rho": rho}
        | {"cells": cells, "cells_over_training": cells_over_training},
    )
    x1, x2 = final.grid.edges
    files.write_npz(outputs[1], mask=final.mask, refuted=final.refuted, x1=x1, x2=x2)
    taken = {"seconds": time.perf_counter() - began, **stamp.host()}
    documents.write(out.with_suffix(".timing.json"), documents.Timing, taken)
    stamp.write(
        out.with_suffix(".stamp.json"),
        module=__name__,
        config_sha256=files.sha256(run / "run.json"),
        seeds={"run": which.seed},
        inputs=[run / "weights.npz", run / "run.json"],
        outputs=outputs,
    )


def closed_loop(weights: dict[str, NDArray[Any]], index: int) -> ClosedLoop:
    """Return the closed loop of the ``index``-th saved policy of a run.

    Raises:
        ResultError: theta does not have the length that the shapes give.
    """
    parts = {name: found[index] for name, found in parameters(weights).items()}
    depth = sum(name.startswith("weights.") for name in parts)
    return ClosedLoop.of(
        A,
        B,
        backup_gain(),
        [parts[f"weights.{layer}"] for layer in range(depth)],
        [parts[f"biases.{layer}"] for layer in range(depth)],
        np.full(2, STATE_LIMIT),
        INPUT_LIMIT,
    )


def level(certificate: Certificate) -> float:
    """Return the largest multiple c of 0.01 for which c O_inf is certified; 0.0 if there is none."""
    facets: Array = backup_invariant_set().facets
    low, high = 0, len(LEVELS)  # of the nested sets, the first ``low`` are covered, those from ``high`` on are not
    while low < high:
        middle = (low + high + 1) // 2
        if certificate.covers(facets, LEVELS[middle - 1]):
            low = middle
        else:
            high = middle - 1
    return float(LEVELS[low - 1]) if low else 0.0


def _coverage(certificate: Certificate, rho: float) -> dict[str, float | bool]:
    return {"covers_starts": certificate.covers(backup_invariant_set().facets, rho), "level": level(certificate)}
