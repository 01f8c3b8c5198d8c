"""Draws the data sets and starts of banked runs again, and lets the referee judge them and the runs' certificates.

The bank keeps neither data sets nor the starts of training rollouts.  The stamp of each run holds their checksums.
They say whether what is made again is what the run had.  Runs of a study may come from several kinds of processors.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
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
#: Names by which OpenBLAS knows kinds of processors: with AVX2, and with AVX-512.  They round products differently.
KERNEL, KERNELS = "OPENBLAS_CORETYPE", ("Haswell", "SkylakeX")


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
        ResultError: a file is not the one that a run had, on any kind of processor, or the referee disagrees.
    """
    other: dict[tuple[str, ...], str] = {}
    for key in runs:
        for what, path, stated in _given(config, results, key):
            if made := not path.is_file():
                _write(config, what, path)
            if digest := _different(path, stated, key):
                other[key.folder, *what] = digest
                if not made and files.sha256(path) != _checksum(config, what):
                    raise ResultError(
                        f"{path}: not the file that the run {key.folder} had; delete it and publish again"
                    )
    _require_another_processor(config, other)
    try:
        runpy.run_path(str(referee))["judge_data"](results)
    except SystemExit as error:
        raise ResultError(str(error)) from error


def _given(config: Config, results: Path, key: Key) -> Iterator[tuple[tuple[str, ...], Path, Mapping[str, str]]]:
    """Yield what a run was given, the file of it, and checksums by name: a data set, and an arm's starts."""
    stated = stamp.load(results / key.folder / "run.stamp.json")
    dataset = config.section(key.experiment).arms[key.arm].dataset
    data = results / key.experiment / "data" / dataset / f"seed-{key.seed}.npz"
    yield (key.experiment, dataset, str(key.seed)), data, stated.inputs
    if key.experiment == "double-integrator":
        yield (key.arm,), results / key.folder / STARTS, stated.outputs


def _different(path: Path, stated: Mapping[str, str], key: Key) -> str:
    """Return the checksum that a run's stamp states of a file, or "" if the file at ``path`` has it.

    Raises:
        ResultError: the stamp states none.
    """
    digests = [digest for name, digest in stated.items() if Path(name).parts[-3:] == path.parts[-3:]]
    if len(digests) != 1:
        raise ResultError(f"{key.folder}/run.stamp.json: states {len(digests)} checksums of {path.name}, not one")
    return "" if digests[0] == files.sha256(path) else digests[0]


def _require_another_processor(config: Config, other: dict[tuple[str, ...], str]) -> None:
    """Check that files which are not as they were are those of a processor with other vector instructions.

    Args:
        config: the settings.
        other: (folder of the run, experiment, data set, seed), or (folder, arm) of starts -> the stated checksum.
    """
    for kernel in KERNELS:
        if not other:
            return
        before = os.environ.get(KERNEL)
        os.environ[KERNEL] = kernel  # OpenBLAS reads it when a new process loads it
        try:
            with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
                made = {what[1:]: pool.submit(_checksum, config, what[1:]) for what in other}
                other = {what: digest for what, digest in other.items() if made[what[1:]].result() != digest}
        finally:
            del os.environ[KERNEL]
            if before is not None:
                os.environ[KERNEL] = before
    for what in other:
        raise ResultError(
            f"{what[0]}: its {'data set' if len(what) > 2 else 'starts'} cannot be made again bit for bit; delete "
            f"what is in {what[0]} and publish with the versions and on the kind of processor that its stamp names"
        )


def _checksum(config: Config, what: tuple[str, ...]) -> str:
    """Return the checksum of a data set or of starts, as made here."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / (STARTS if len(what) == 1 else "data.npz")
        _write(config, what, out)
        return files.sha256(out)


def _write(config: Config, what: tuple[str, ...], out: Path) -> None:
    """Make a data set (experiment, name, seed), or the starts of an arm (its name)."""
    import pandas as pd

    if len(what) > 1:
        experiment, dataset, seed = what
        datasets.main(config, experiment, dataset, int(seed), out)
        return
    assert config.double_integrator is not None
    settings = config.double_integrator.for_arm(*what)
    starts = _starts(settings.rho, settings.starts)
    files.write_parquet(out, pd.DataFrame({"x1": starts[:, 0], "x2": starts[:, 1]}))


@cache
def _starts(rho: float, count: int) -> Array:
    return training_starts(backup_invariant_set().scaled(rho), count)
