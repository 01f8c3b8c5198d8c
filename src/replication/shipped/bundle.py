"""The artifact: one archive with sources, results, report and claims that rebuilds its figures elsewhere.

The archive is the same for the same content: sorted names, one date, no owner.
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
from pathlib import Path

from replication.errors import ResultError
from replication.files import read_json, write_bytes
from replication.provenance import stamp
from replication.shipped import crate, ship

CHECKSUMS = "SHA256SUMS"
MADE = "made"  # folder of what was made of the shipped results, to be compared with what is rebuilt
EPOCH = 1765756800  # of every file, unless SOURCE_DATE_EPOCH says otherwise
FOLDERS = {
    "src/": "the method, the experiments, evidence and report",
    "workflow/": "rules of the workflow",
    "notebooks/": "analyses",
    "paper/": "the report's text",
    "shipped/published-figure/": "the published figure, digitised",
}


def write(root: Path, results: Path, folder: Path) -> Path:
    """Write scpo-artifact-<version>.tar.gz to ``folder`` and return its path.

    Args:
        root: the checkout; what git tracks there is packed.
        results: results/shipped/<scale>, with the report made of the shipped results (make figures).
        folder: where the archive is written.

    Raises:
        ResultError: there is no checkout, the shipped results are not what their manifest says, or the report is
            missing or stale.
    """
    shipped = root / "shipped" / "results" / results.name
    manifest = ship.check(shipped)
    name = f"scpo-artifact-{metadata.version('scpo')}"
    content = sources(root) | made(results)
    times = [path for path in content if path.startswith("shipped/") and path.endswith(f"/run{ship.TIMING}")]
    described = crate.describe(
        name=name,
        version=metadata.version("scpo"),
        published=datetime.fromtimestamp(_epoch(), UTC),
        manifest=manifest,
        seconds=sum(float(read_json(root / path)["seconds"]) for path in times),
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


def sources(root: Path) -> dict[str, Path]:
    """Return the files that git tracks in ``root``, by their relative paths.

    Raises:
        ResultError: ``root`` is no checkout.
    """
    command = ["git", "--no-optional-locks", "-C", str(root), "ls-files", "-z"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True, text=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise ResultError(f"{root}: not a git checkout, so there is no list of sources: {error}") from error
    return {name: root / name for name in listed.split("\0") if name and (root / name).is_file()}


def made(results: Path) -> dict[str, Path]:
    """Return report and claims made of the shipped results, by their paths in the bundle.

    Raises:
        ResultError: one of them is missing, or no longer what its stamp says.
    """
    whole = [results / "claims.json", results / "report" / "report.pdf", results / "report" / "numbers.tex"]
    if absent := [path for path in whole if not path.is_file()]:
        raise ResultError(f"{absent[0]}: no such file; run make figures first")
    kinds = ("*.pdf", "*.tex", "*.json")
    report = [path for kind in kinds for path in (results / "report").rglob(kind)]
    found = sorted({*report, *results.glob("claims.*json"), *results.glob("quantities.*")})
    stale = [text for path in found if stamp.beside(path).is_file() for text in stamp.changed(path, results)]
    if stale:
        raise ResultError(f"{stale[0]}; run make figures again")
    return {f"{MADE}/{path.relative_to(results).as_posix()}": path for path in found}


def archive(name: str, content: Mapping[str, bytes], executable: set[str]) -> bytes:
    """Return a tar.gz with ``content`` (path: bytes) below folder ``name``, the same bytes for the same content."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        for path in sorted(content):
            entry = tarfile.TarInfo(f"{name}/{path}")
            entry.size, entry.mtime = len(content[path]), _epoch()
            entry.mode = 0o755 if path in executable else 0o644
            tar.addfile(entry, io.BytesIO(content[path]))
    return buffer.getvalue()


def _epoch() -> int:
    return int(os.environ.get("SOURCE_DATE_EPOCH", EPOCH))
