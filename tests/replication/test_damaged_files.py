"""A damaged file is named with what mends it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from replication import documents, files
from replication.bank import MANIFEST, Bank
from replication.claims import verdicts
from replication.config import load_json
from replication.errors import ResultError
from replication.experiments.double_integrator.read import read_certificates, read_references
from replication.paths import REPOSITORY
from replication.planted_faults import report as planted
from replication.provenance import stamp
from replication.results import quantities, read
from replication.shipped import ship
from replication.study import preregistration
from scpo.errors import ScpoError

from . import synthetic_double_integrator
from .synthetic_results import EXPERIMENT, small_config, write_results

AGAIN = "; delete it and run the pipeline again"
RUN = f"{EXPERIMENT}/scpo/seed-1"
PLANE = "double-integrator"


def _arm(results: Path) -> None:
    read.read_arm(results, EXPERIMENT, "scpo")


def _certificates(results: Path) -> None:
    read_certificates(results, "scpo-mixed")


# file of the results -> what reads it
RESULTS: dict[str, Callable[[Path], object]] = {
    f"{RUN}/run.json": _arm,
    f"{RUN}/series.parquet": _arm,
    f"{RUN}/evaluations.parquet": _arm,
    f"{RUN}/curve.parquet": _arm,
    f"{RUN}/run.stamp.json": lambda results: stamp.load(results / RUN / "run.stamp.json"),
    "quantities.parquet": quantities.read,
    f"{PLANE}/references.json": read_references,
    f"{PLANE}/references.npz": read_references,
    f"{PLANE}/scpo-mixed/seed-0/certificate.json": _certificates,
    f"{PLANE}/scpo-mixed/seed-0/certificate.npz": _certificates,
    read.STATIONARITY: read.read_stationarity,
    "planned.json": read.read_planned,
    "falsification.json": planted.read,
    "referee.json": read.read_referee,
    "claims.json": lambda results: verdicts.read(results / "claims.json"),
    "config.json": lambda results: load_json(results / "config.json"),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    config = write_results(folder, small_config(epochs=10, double_integrator=True))
    synthetic_double_integrator.write_results(folder, config.double_integrator)
    return folder


@pytest.mark.parametrize("name", RESULTS)
def test_a_damaged_result_is_named_with_what_mends_it(results, name):
    path = results / name
    whole = path.read_bytes() if path.is_file() else None
    path.write_bytes(b'{"half": ')
    try:
        with pytest.raises(ScpoError) as refused:
            RESULTS[name](results)
    finally:
        path.unlink() if whole is None else path.write_bytes(whole)
    assert str(refused.value).startswith(f"{path}: ") and str(refused.value).endswith(AGAIN)


def test_a_document_that_lacks_a_field_is_named_with_what_mends_it(results):
    (results / "other.json").write_text("{}")
    with pytest.raises(ResultError, match=AGAIN):
        documents.read(results / "other.json", documents.RunSummary)


@pytest.mark.parametrize("reads", [lambda folder: Bank(folder), ship.read_manifest])
def test_a_damaged_manifest_is_restored(tmp_path, reads):
    """To delete it would lose the bank."""
    path = tmp_path / MANIFEST
    path.write_text("{")
    with pytest.raises(ResultError) as refused:
        reads(tmp_path)
    assert str(refused.value).endswith(f"; restore it: git checkout -- {path}")


def test_a_damaged_file_of_the_repository_is_restored(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "REPOSITORY", tmp_path)
    for name, reads in (
        ("config/frozen.json", preregistration.entries),
        ("shipped/results/study/x.json", files.read_json),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text("{")
        with pytest.raises(ResultError) as refused:
            reads(path)
        assert str(refused.value).endswith(f"; restore it: git checkout -- {path}")


def test_what_mends_a_file_depends_on_who_makes_it():
    assert files.mend(REPOSITORY / "results/shipped/study/claims.json") in AGAIN
    assert files.mend("results/smoke/config.json") in AGAIN
    assert files.mend("results/benchmarks.json") == "delete it and run make bench"
    assert files.mend("shipped/results/study/config.json").startswith("restore it: git checkout -- shipped/")
