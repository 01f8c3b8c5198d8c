"""Shipped results: the files of a finished scale that the report and the explorer read, with a checksum of each.

They lie in ``shipped/results/<scale>`` in the repository.  Figures, tables, numbers and claims are made from a checked
copy of them without any training.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from replication import documents
from replication.bank import MANIFEST, Bank
from replication.documents import ShippedManifest
from replication.errors import ResultError
from replication.experiments import policies_of
from replication.files import sha256, write_bytes
from replication.provenance import stamp
from replication.results.integrity import Records
from replication.results.inventory import BENCHMARKS, files_of
from replication.results.read import read_config


def ship(results: Path, out: Path, dirty_because: str | None = None) -> dict[str, Any]:
    """Copy the files of a finished scale to ``out``, as far as report and explorer read them; return the manifest.

    The files' stamps and times are copied too, and the benchmarks, if there are any.

    Args:
        results: results/<scale>, complete and made from a clean checkout.
        out: shipped/results/<scale>; the files that it holds are replaced.
        dirty_because: reason for taking results of a checkout with changes; the manifest states it.

    Raises:
        ResultError: a file is missing, a file differs from its stamp, or the checkout had changes and no reason is
            given.  Then ``out`` is left as it was.
    """
    config = read_config(results)
    names = [*files_of(config), *policies_of(config.experiments)]
    if absent := [name for name in names if not (results / name).is_file()]:
        raise ResultError(f"{results}: incomplete, {len(absent)} of {len(names)} files are missing, {absent[0]} first")
    if altered := Records(results).altered(names):
        raise ResultError(f"{altered[0]} ({len(altered)} such files); run the scale again")
    stamps = _beside(results, names, stamp.SUFFIX)
    commits, changed = Counter[str](), list[str]()
    for name in stamps:
        content = stamp.load(results / name)
        commits[str(content.commit)] += 1
        if content.dirty is not False:
            changed.append(name)
    if changed and not dirty_because:
        raise ResultError(
            f"{results / changed[0]}: made from a checkout with changes, or without one ({len(changed)} such stamps); "
            "commit and run the scale again"
        )
    copied = {name: results / name for name in [*names, *stamps, *_beside(results, names, stamp.TIMING)]}
    if (benchmarks := results.parent / BENCHMARKS).is_file():
        copied[BENCHMARKS] = benchmarks
    for path in _present(out):
        (out / path).unlink()
    for name, source in copied.items():
        write_bytes(out / name, source.read_bytes())
    manifest: dict[str, Any] = {
        "scale": config.scale,
        "made_by": f"replicate ship --results results/{results.name}",
        "stamps_by_commit": dict(commits),
        "dirty_because": dirty_because if changed else None,
        "versions": stamp.versions(),
        "files": {name: sha256(out / name) for name in sorted(copied)},
    }
    documents.write(out / MANIFEST, ShippedManifest, manifest)
    return manifest


def read_manifest(folder: Path) -> ShippedManifest:
    """Return the manifest of shipped results.

    Raises:
        ResultError: it is missing or damaged.
    """
    return documents.read(folder / MANIFEST, ShippedManifest)


def check(folder: Path) -> ShippedManifest:
    """Return the manifest of shipped results after comparing every file with its checksum.

    Raises:
        ResultError: files are missing, altered or not in the manifest; the message names all of them.
    """
    manifest = read_manifest(folder)
    stated = {**manifest.files, **{name: one.sha256 for name, one in manifest.shards.items()}}
    present = set(_present(folder))
    problems = [f"{folder / name}: missing" for name in stated if name not in present]
    problems += [f"{folder / name}: not in {MANIFEST}" for name in sorted(present - stated.keys() - {MANIFEST})]
    problems += [
        f"{folder / name}: altered, its SHA-256 is not the one in {MANIFEST}"
        for name, digest in stated.items()
        if name in present and sha256(folder / name) != digest
    ]
    if problems:
        raise ResultError("\n".join([*problems, "take these files from the repository again (git checkout)"]))
    return manifest


def restore(folder: Path, out: Path) -> None:
    """Copy checked shipped results to ``out``, where they serve as the results of a scale.

    Raises:
        ResultError: as for :func:`check`; then nothing is copied.
    """
    for name in check(folder).files:
        write_bytes(restored_path(out, name), (folder / name).read_bytes())
    bank = Bank(folder)
    for key in bank.runs():
        bank.restore(key, out / key.folder)


def unlike(folder: Path, out: Path) -> list[Path]:
    """Return the copies of shipped files below ``out`` that are missing or were altered.

    Files of runs are only missed here; their stamps tell whether they were altered.
    """
    stated = {restored_path(out, name): digest for name, digest in read_manifest(folder).files.items()}
    missing = [path for name in Bank(folder).names() if not (path := out / name).is_file()]
    return [path for path, digest in stated.items() if not path.is_file() or sha256(path) != digest] + missing


def restored_names(folder: Path) -> list[str]:
    """Return the files that :func:`restore` writes, relative to results/<scale>; the shipped ones are checked first.

    Raises:
        ResultError: as for :func:`check`.
    """
    return [*check(folder).files, *Bank(folder).names()]


def restored_path(out: Path, name: str) -> Path:
    """Return the path to which a shipped file is restored; benchmarks lie beside the scales' folders."""
    return out.parent / name if name == BENCHMARKS else out / name


def _beside(results: Path, names: Iterable[str], suffix: str) -> list[str]:
    """Return the files with ``suffix`` that lie beside ``names`` and have the stem of one of them."""
    stems = {f"{name.rpartition('.')[0]}{suffix}" for name in names}
    return [stem for stem in sorted(stems) if (results / stem).is_file()]


def _present(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
