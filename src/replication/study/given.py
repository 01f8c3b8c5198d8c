"""Makes again what banked runs were given, and lets the referee judge that, and the certificates of their policies.

The bank keeps neither data sets nor the starts of training rollouts.  The stamp of each run holds their checksums.
They say whether what is made again is what the run had.
"""

from __future__ import annotations

import runpy
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from replication import files
from replication.bank import Key
from replication.config import Config
from replication.errors import ResultError
from replication.provenance import stamp
from replication.tasks.double_integrator.sets import backup_invariant_set
from replication.tasks.double_integrator.starts import training_starts
from replication.training import datasets
from scpo.arrays import Array

STARTS = "starts.parquet"


def judge(config: Config, results: Path, runs: Iterable[Key], referee: Path) -> None:
    """Make data sets and starts of ``runs`` again where they are missing, and let the referee judge what is there.

    The data sets of all seeds are drawn.  One takes 0.04 s for the regression and 1 s for the double integrator, so
    those of a full study take 5 minutes, once.

    Args:
        config: the settings in ``results``.
        results: results/<scale>, with the restored runs and the references.
        runs: the runs.
        referee: the referee's script.

    Raises:
        ResultError: a file is not the one that a run had, or the referee disagrees.
    """
    for key in runs:
        stated = stamp.load(results / key.folder / "run.stamp.json")
        dataset = config.section(key.experiment).arms[key.arm].dataset
        data = results / key.experiment / "data" / dataset / f"seed-{key.seed}.npz"
        if not data.is_file():
            datasets.main(config, key.experiment, dataset, key.seed, data)
        _compare(data, stated["inputs"], key)
        if key.experiment == "double-integrator":
            starts = results / key.folder / STARTS
            if not starts.is_file():
                _write_starts(config, key.arm, starts)
            _compare(starts, stated["outputs"], key)
    try:
        runpy.run_path(str(referee))["judge_data"](results)
    except SystemExit as error:
        raise ResultError(str(error)) from error


def _compare(path: Path, stated: dict[str, str], key: Key) -> None:
    """Check that a file is the one that a run's stamp states, by its checksum."""
    digests = [digest for name, digest in stated.items() if Path(name).parts[-3:] == path.parts[-3:]]
    if digests != [files.sha256(path)]:
        raise ResultError(
            f"{path}: not the file that the run {key.folder} had; delete it and publish again, with the versions and "
            "on the kind of processor that the run's stamp names"
        )


def _write_starts(config: Config, arm: str, out: Path) -> None:
    import pandas as pd

    assert config.double_integrator is not None
    settings = config.double_integrator.for_arm(arm)
    starts = _starts(settings.rho, settings.starts)
    files.write_parquet(out, pd.DataFrame({"x1": starts[:, 0], "x2": starts[:, 1]}))


@cache
def _starts(rho: float, count: int) -> Array:
    return training_starts(backup_invariant_set().scaled(rho), count)
