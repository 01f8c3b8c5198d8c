"""Packs sources, shipped results, report and claims into one archive, from which the figures can be made elsewhere.

The same content gives the same archive: names are sorted, all files have the same date, and none has an owner.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import subprocess
import tarfile
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from itertools import chain
from pathlib import Path, PurePosixPath

from replication import documents
from replication.bank import Bank
from replication.documents import ShippedManifest, Timing
from replication.environment import EPOCH
from replication.errors import ResultError
from replication.files import write_bytes
from replication.provenance import stamp
from replication.shipped import crate, ship

CHECKSUMS = "SHA256SUMS"
#: Folder of the report that was made from the shipped results, to compare a rebuilt one with.
MADE = "made"
#: Folders of the archive, with their content.
FOLDERS = {
    "src/": "the library and the replication",
    "workflow/": "rules of the workflow",
    "notebooks/": "analyses",
    "paper/": "the report's text",
    "shipped/published-figure/": "the published figure, digitised",
}


def write(root: Path, results: Path, folder: Path) -> Path:
    """Write scpo-artifact-<version>.tar.gz to ``folder`` and return its path.

    Args:
        root: the checkout; the files that git tracks are packed.
        results: results/shipped/<scale>, with the report made of the shipped results (make figures).
        folder: where the archive is written.

    Raises:
        ResultError: ``root`` is no checkout, the shipped results differ from their manifest, or the report is
            missing or stale.
    """
    shipped = root / "shipped" / "results" / results.name
    manifest = ship.check(shipped)
    name = f"scpo-artifact-{metadata.version('scpo')}"
    content = sources(root) | made(results)
    described = crate.describe(
        name=name,
        version=metadata.version("scpo"),
        published=datetime.fromtimestamp(_epoch(), UTC),
        manifest=manifest,
        commits=commits(manifest),
        seconds=processor_seconds(shipped, manifest),
        folders=FOLDERS,
        results={
            f"shipped/results/{results.name}/": "shipped results, with a manifest of their checksums",
            f"{MADE}/": "figures, tables and numbers made of the shipped results, with their stamps",
            f"{MADE}/claims.json": "every claim with its verdict",
            f"{MADE}/report/report.pdf": "the report",
        },
    )
    packed = {path: source.read_bytes() for path, source in content.items()} | {crate.NAME: described.encode()}
    sums = "".join(f"{hashlib.sha256(packed[path]).hexdigest()}  {path}\n" for path in sorted(packed))
    executable = {path for path, source in content.items() if os.access(source, os.X_OK)}
    out = folder / f"{name}.tar.gz"
    write_bytes(out, archive(name, packed | {CHECKSUMS: sums.encode()}, executable))
    return out


def commits(manifest: ShippedManifest) -> list[str]:
    """Return the commits with which shipped results were made, those of a bank's runs included."""
    return sorted({*manifest.stamps_by_commit, *chain.from_iterable(one.commits for one in manifest.shards.values())})


def processor_seconds(shipped: Path, manifest: ShippedManifest) -> float:
    """Return the processor time of all training runs that shipped results hold, in files of their own or in a bank."""
    name = f"run{stamp.TIMING}"
    found = [documents.read(shipped / path, Timing) for path in manifest.files if path.endswith(f"/{name}")]
    bank = Bank(shipped)
    for experiment, arm in sorted({(key.experiment, key.arm) for key in bank.runs()}):
        for key, contents in bank.read(experiment, arm):
            if name in contents:
                found.append(documents.parse(contents[name], Timing, shipped / key.shard))
    return sum(one.seconds for one in found)


def sources(root: Path) -> dict[str, Path]:
    """Return the files that git tracks in ``root``: relative path -> path.

    Raises:
        ResultError: ``root`` is no checkout.
    """
    if not stamp.is_repository(root):
        raise ResultError(f"{root}: not a git checkout, so there is no list of sources")
    command = ["git", "--no-optional-locks", "-C", str(root), "ls-files", "-z"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True, text=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise ResultError(f"{root}: not a git checkout, so there is no list of sources: {error}") from error
    return {name: root / name for name in listed.split("\0") if name and (root / name).is_file()}


def made(results: Path) -> dict[str, Path]:
    """Return the report and the claims made from the shipped results: path in the archive -> path.

    Raises:
        ResultError: one of them is missing or differs from its stamp.
    """
    whole = [results / "claims.json", results / "report" / "report.pdf", results / "report" / "numbers.tex"]
    if absent := [path for path in whole if not path.is_file()]:
        raise ResultError(f"{absent[0]}: no such file; run make figures first")
    kinds = ("*.pdf", "*.png", "*.tex", "*.json")
    report = [path for kind in kinds for path in (results / "report").rglob(kind)]
    found = sorted({*report, *results.glob("claims.*json"), *results.glob("quantities.*")})
    stale = [text for path in found if stamp.beside(path).is_file() for text in stamp.changed(path, results)]
    if stale:
        raise ResultError(f"{stale[0]}; run make figures again")
    return {f"{MADE}/{path.relative_to(results).as_posix()}": path for path in found}


def archive(name: str, content: Mapping[str, bytes], executable: set[str]) -> bytes:
    """Return a tar.gz of ``content`` (path -> bytes) below the folder ``name``; equal content gives equal bytes.

    Raises:
        ResultError: a path leads out of the folder.
    """
    for path in content:
        if path != PurePosixPath(path).as_posix() or PurePosixPath(path).is_absolute() or ".." in path.split("/"):
            raise ResultError(f"{path!r}: no name in an archive; it must stay in the archive's folder")
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        for path in sorted(content):
            entry = tarfile.TarInfo(f"{name}/{path}")
            entry.size, entry.mtime = len(content[path]), _epoch()
            entry.mode = 0o755 if path in executable else 0o644
            tar.addfile(entry, io.BytesIO(content[path]))
    return buffer.getvalue()


def _epoch() -> int:
    """Return the date of every file: SOURCE_DATE_EPOCH, or the day of the release."""
    return int(os.environ.get("SOURCE_DATE_EPOCH", EPOCH))
