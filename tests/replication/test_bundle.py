"""The bundle: one archive, the same each time, whose figures can be rebuilt where it is unpacked."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from replication.bank import Bank
from replication.cli import main
from replication.errors import ResultError
from replication.shipped import bundle, crate, ship
from tests.pipeline.test_workflow import PARTS, PROJECT

from .synthetic_results import small_config, write_results
from .synthetic_stamps import write_stamps

FIGURE = "regression-safety"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with shipped results and the report made of them."""
    root = tmp_path_factory.mktemp("checkout")
    for part in PARTS:
        source = PROJECT / part
        shipped = ["results"] if part == "shipped" else []
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "report.pdf", *shipped)
        copy = shutil.copy if source.is_file() else shutil.copytree
        copy(source, root / part, **({} if source.is_file() else {"ignore": ignored}))
    config = small_config(epochs=10, seeds=1)
    write_results(root / "results/synthetic", config)
    write_stamps(root / "results/synthetic", config)
    (root / "config/synthetic.yaml").write_text("scale: synthetic\n")
    ship.ship(root / "results/synthetic", root / "shipped/results/synthetic")
    shutil.rmtree(root / "results")
    (root / ".gitignore").write_text("/results/\n")
    for command in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", "-C", str(root), *command], check=True, capture_output=True)
    results = root / "results/shipped/synthetic"
    ship.restore(root / "shipped/results/synthetic", results)
    for command, name in (
        ("quantities", "quantities.parquet"),
        ("claims", "claims.json"),
        ("numbers", "report/numbers.tex"),
        (f"figure {FIGURE}", f"report/figures/{FIGURE}.pdf"),
    ):
        assert main([*command.split(), "--results", str(results), "--out", str(results / name)]) == 0
    (results / "report/report.pdf").write_bytes(b"%PDF")
    return root


@pytest.fixture(scope="module")
def results(checkout: Path) -> Path:
    return checkout / "results/shipped/synthetic"


@pytest.fixture(scope="module")
def unpacked(checkout: Path, results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("elsewhere")
    with tarfile.open(bundle.write(checkout, results, folder)) as tar:
        tar.extractall(  # noqa: S202
            folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {})
        )  # from Python 3.11.4 on
    return next(path for path in folder.iterdir() if path.is_dir())


def test_a_figure_is_rebuilt_where_the_bundle_is_unpacked(unpacked: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(unpacked / "src"), "SOURCE_DATE_EPOCH": "1765756800"}
    for command in (
        ["restore", "--shipped", "shipped/results/synthetic", "--out", "results/shipped/synthetic"],
        [
            "quantities",
            "--results",
            "results/shipped/synthetic",
            "--out",
            "results/shipped/synthetic/quantities.parquet",
        ],
        ["figure", FIGURE, "--results", "results/shipped/synthetic", "--out", "rebuilt.pdf"],
    ):
        run = [sys.executable, "-m", "replication", *command]
        subprocess.run(run, cwd=unpacked, env=environment, check=True, capture_output=True)
    assert (unpacked / "rebuilt.pdf").read_bytes() == (unpacked / f"made/report/figures/{FIGURE}.pdf").read_bytes()


def test_every_file_has_a_checksum_and_a_description(unpacked: Path) -> None:
    lines = [line.split("  ", 1) for line in (unpacked / "SHA256SUMS").read_text().splitlines()]
    sums = {name: digest for digest, name in lines}
    assert sums == {name: hashlib.sha256((unpacked / name).read_bytes()).hexdigest() for name in sums}
    files = [path for path in unpacked.rglob("*") if path.is_file() and path.parent.name != "__pycache__"]
    present = {path.relative_to(unpacked).as_posix() for path in files}
    assert set(sums) >= {
        "Snakefile",
        "made/claims.json",
        "made/report/report.pdf",
        "shipped/results/synthetic/config.json",
    }
    rebuilt = {"rebuilt.pdf", "rebuilt.png", "rebuilt.stamp.json"}
    assert present - set(sums) - rebuilt <= {"SHA256SUMS"} | {
        name for name in present if name.startswith(("results/", "logs/"))
    }
    content = (unpacked / crate.NAME).read_text()
    assert all((unpacked / name).exists() for name in crate.parts(content))
    run = next(entity for entity in json.loads(content)["@graph"] if entity["@type"] == "CreateAction")
    assert run["instrument"] == {"@id": "Snakefile"}
    assert {"@id": "made/report/report.pdf"} in run["result"]


def test_the_archive_is_the_same_each_time(checkout: Path, results: Path, tmp_path: Path) -> None:
    first = bundle.write(checkout, results, tmp_path / "1").read_bytes()
    os.utime(checkout / "Snakefile")
    assert bundle.write(checkout, results, tmp_path / "2").read_bytes() == first


def test_without_checkout_or_report_there_is_no_bundle(checkout: Path, tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="not a git checkout"):
        bundle.sources(tmp_path)
    with pytest.raises(ResultError, match=r"claims\.json: no such file; run make figures first"):
        bundle.made(tmp_path)


def test_a_stale_figure_is_refused(results: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(results, tmp_path / "synthetic"))
    path = copy / f"report/figures/{FIGURE}.pdf"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ResultError, match="altered since it was made; run make figures again"):
        bundle.made(copy)


def test_the_runs_of_a_bank_are_described() -> None:
    shipped = PROJECT / "shipped/results/study"
    manifest = ship.read_manifest(shipped)
    seconds = sum(
        json.loads(contents["run.timing.json"])["seconds"] for _, contents in Bank(shipped).read("regression", "scpo")
    )
    assert bundle.processor_seconds(shipped, manifest) > seconds > 0
    assert len(bundle.commits(manifest)) > 0 and all(len(commit) == 40 for commit in bundle.commits(manifest))
