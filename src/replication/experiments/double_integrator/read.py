"""Reads the files of the double integrator beside its runs: references and certificates.  Writes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from replication import documents, files
from replication.errors import NotRunError, ResultError
from replication.experiments.double_integrator.documents import CertificateNumbers, ReferenceNumbers
from replication.results.read import Run, read_arm, read_section
from replication.tasks.double_integrator.settings import DoubleIntegratorConfig
from scpo.arrays import Array

EXPERIMENT = "double-integrator"
SCENARIOS = ("cooperative", "mixed", "hostile")
METHODS = ("scpo", "scpo-verified", "unconstrained")
ARRAYS = ("facets", "vertices", "heldout_starts", "backup_states", "backup_inputs", "mpc_states", "mpc_inputs")
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class References:
    """The numbers and arrays that runs are compared with (written by the module ``references`` in this folder)."""

    numbers: ReferenceNumbers
    arrays: dict[str, Array]

    def gap_closed(self, cost: float) -> float:
        """Return the share of the cost gap between backup and MPC that a policy of closed-loop cost ``cost`` closes."""
        costs = self.numbers.costs
        return (costs.backup - cost) / (costs.backup - costs.mpc)


@dataclass(frozen=True)
class Certificate:
    """The certificate of one run: its numbers, and the cells of its last policy.

    Attributes:
        numbers: the numbers, from certificate.json.
        mask: certified cells, over the edges x1 and x2.
        refuted: cells from which every trajectory is proven to violate a constraint.
        x1, x2: edges of the cells.
    """

    numbers: CertificateNumbers
    mask: Mask
    refuted: Mask
    x1: Array
    x2: Array

    def holds(self, points: Array) -> Mask:
        """Return (n,) whether each of ``points`` (n, 2) lies in a certified cell."""
        first, second = (
            np.searchsorted(edges, points[:, axis], "right") for axis, edges in enumerate((self.x1, self.x2))
        )
        return np.asarray(np.pad(self.mask, 1)[first, second])  # 0 and the last are outside


def read_settings(results: Path) -> DoubleIntegratorConfig:
    """Return the settings of the experiment that the scale was run with.

    Raises:
        NotRunError: the scale does not run the experiment.
    """
    return cast(DoubleIntegratorConfig, read_section(results, EXPERIMENT))


def read_scenario(results: Path, scenario: str) -> dict[str, tuple[Run, ...]]:
    """Return method -> its runs in a scenario, for the methods that the scale runs; the names are as in the arms'."""
    arms = read_settings(results).arms
    return {
        method: read_arm(results, EXPERIMENT, f"{method}-{scenario}")
        for method in METHODS
        if f"{method}-{scenario}" in arms
    }


def read_scenarios(results: Path) -> dict[str, dict[str, tuple[Run, ...]]]:
    """Return scenario -> method -> runs, for every scenario that the scale runs.

    Raises:
        NotRunError: the scale runs none of the scenarios.
    """
    found = {scenario: runs for scenario in SCENARIOS if (runs := read_scenario(results, scenario))}
    if not found:
        raise NotRunError(f"{results / 'config.json'}: the scale runs none of the scenarios {', '.join(SCENARIOS)}")
    return found


def read_references(results: Path) -> References:
    """Return the references.

    Raises:
        ResultError: the scale does not run the experiment; a file is missing, damaged or lacks something.
    """
    read_settings(results)
    path = results / EXPERIMENT / "references.json"
    arrays = files.read_npz(path.with_suffix(".npz"))
    _require(path.with_suffix(".npz"), arrays, ARRAYS)
    return References(documents.read(path, ReferenceNumbers), arrays)


def read_certificates(results: Path, arm: str) -> tuple[Certificate, ...]:
    """Return the certificates of an arm's first seeds; empty if the scale or the arm has none."""
    settings = read_settings(results)
    if settings.certificate is None or arm not in settings.arms:
        return ()
    seeds = settings.arms[arm].seed_range[: settings.certificate.seeds]
    return tuple(_certificate(results / EXPERIMENT / arm / f"seed-{seed}" / "certificate.json") for seed in seeds)


def _certificate(path: Path) -> Certificate:
    numbers, arrays = documents.read(path, CertificateNumbers), files.read_npz(path.with_suffix(".npz"))
    _require(path.with_suffix(".npz"), arrays, ("mask", "refuted", "x1", "x2"))
    mask, refuted = (arrays[name].astype(bool) for name in ("mask", "refuted"))
    return Certificate(numbers, mask, refuted, arrays["x1"], arrays["x2"])


def _require(path: Path, content: Mapping[str, Array], names: tuple[str, ...]) -> None:
    """Refuse an archive without some of the arrays ``names``."""
    missing = [name for name in names if name not in content]
    if missing:
        raise ResultError(f"{path}: lacks {', '.join(missing)}; {files.mend(path)}")
