"""Shipped results: what the report reads of a scale's results, small enough to ship, with a checksum of each file.

``shipped/results/<scale>`` holds them in the repository, with a manifest.  Figures, tables, numbers and claims are
made of a copy that was checked against the manifest, without training anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from replication.config import dump
from replication.errors import ResultError
from replication.files import read_json, sha256, write_bytes, write_json, write_text
from replication.provenance import stamp
from replication.provenance.stamp import SUFFIX
from replication.results.integrity import Records
from replication.results.inventory import BENCHMARKS, files_of
from replication.results.read import read_config

MANIFEST = "manifest.json"
TIMING = ".timing.json"
REFEREE = "referee.json"


def collect(results: Path, out: Path, dirty_because: str | None = None, keep: Collection[str] = ()) -> dict[str, Any]:
    """Copy to ``out`` what the report reads of the finished scale in ``results``; write and return the manifest.

    Stamps and times of the files go with them, and the benchmarks, if there are any.

    Args:
        results: results/<scale>, complete and made from a clean checkout.
        out: shipped/results/<scale>; what it held is replaced.
        dirty_because: the reason for which results of a checkout with changes are taken; the manifest states it.
        keep: experiments that the scale was run without, whose results in ``out`` stay; the manifest states it.

    Raises:
        ResultError: a file is missing or is not what its stamp describes, the checkout had changes, or an experiment to
            keep was run, or its kept results are not those of its settings.
    """
    if keep:
        with TemporaryDirectory() as folder:
            joined = Path(folder) / results.name
            _join(results, out, keep, joined)
            return _collect(joined, results, out, dirty_because, keep)
    return _collect(results, results, out, dirty_because, keep)


def _join(results: Path, out: Path, keep: Collection[str], joined: Path) -> None:
    """Merge ``results`` and the kept experiments of ``out`` into ``joined``: files, settings, referee."""
    kept, config = read_config(out), read_config(results)
    check(out)
    for experiment in keep:
        if experiment not in kept.experiments or experiment in config.experiments:
            raise ResultError(f"{experiment}: to be kept, so it must be in {out} and not in {results}")
        config = config.model_copy(update={experiment.replace("-", "_"): kept.section(experiment)})
    for path in _present(results):
        if path not in ("config.json", REFEREE) and path.partition("/")[0] not in keep:
            (joined / path).parent.mkdir(parents=True, exist_ok=True)
            (joined / path).symlink_to((results / path).resolve())
    for path in _present(out):
        if path.partition("/")[0] in keep:
            write_bytes(joined / path, (out / path).read_bytes())
    write_text(joined / "config.json", dump(config))
    recomputed, before = read_json(results / REFEREE), read_json(out / REFEREE)
    rows = [row for row in before["arms"] if row["experiment"] in keep] + recomputed["arms"]
    if any(before[name] != recomputed[name] for name in before.keys() - {"arms"}):
        raise ResultError(
            f"{out / REFEREE}: of another referee than {results / REFEREE}; run the kept experiments again"
        )
    write_json(joined / REFEREE, recomputed | {"arms": rows})


def _collect(results: Path, made: Path, out: Path, dirty_because: str | None, keep: Collection[str]) -> dict[str, Any]:
    names = files_of(read_config(results))
    if absent := [name for name in names if not (results / name).is_file()]:
        raise ResultError(f"{results}: incomplete, {len(absent)} of {len(names)} files are missing, {absent[0]} first")
    if altered := Records(results).altered(names):
        raise ResultError(f"{altered[0]} ({len(altered)} such files); run the scale again")
    stamps = sorted(set(_beside(results, names, SUFFIX)))
    states = [read_json(results / name) for name in stamps]
    if changed := [name for name, state in zip(stamps, states, strict=True) if state["dirty"] is not False]:
        text = f"{results / changed[0]}: made from a checkout with changes, or from none ({len(changed)} such stamps)"
        if not dirty_because:
            raise ResultError(f"{text}; commit and run the scale again")
    commits = Counter(str(state["commit"]) for state in states)
    copied = [(results / name, name) for name in [*names, *stamps, *_beside(results, names, TIMING)]]
    if (benchmarks := made.parent / BENCHMARKS).is_file():
        copied.append((benchmarks, BENCHMARKS))
    for path in _present(out):
        (out / path).unlink()
    for source, name in copied:
        write_bytes(out / name, source.read_bytes())
    manifest = {
        "scale": read_config(results).scale,
        "made_by": f"replicate ship --results results/{results.name}"
        + "".join(f" --keep {experiment}" for experiment in keep),
        "kept": sorted(keep),
        "stamps_by_commit": dict(commits),
        "dirty_because": dirty_because if changed else None,
        "versions": stamp.versions(),
        "files": {name: sha256(out / name) for name in sorted({name for _, name in copied})},
    }
    write_json(out / MANIFEST, manifest)
    return manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of shipped results.

    Raises:
        ResultError: it is missing or damaged.
    """
    found = read_json(folder / MANIFEST)
    if not isinstance(found, dict) or not isinstance(found.get("files"), dict):
        raise ResultError(f"{folder / MANIFEST}: not a manifest of shipped results")
    return dict(found)


def check(folder: Path) -> dict[str, Any]:
    """Return the manifest of shipped results whose every file is what it says.

    Raises:
        ResultError: a file is missing, altered or not in the manifest; all of them are named.
    """
    manifest = read_manifest(folder)
    stated, present = manifest["files"], set(_present(folder))
    problems = [f"{folder / name}: missing" for name in stated if name not in present]
    problems += [f"{folder / name}: not in {MANIFEST}" for name in sorted(present - stated.keys() - {MANIFEST})]
    problems += [
        f"{folder / name}: altered, its SHA-256 is not the one in {MANIFEST}"
        for name, found in stated.items()
        if name in present and sha256(folder / name) != found
    ]
    if problems:
        raise ResultError("\n".join([*problems, "take these files from the repository again (git checkout)"]))
    return manifest


def restore(folder: Path, out: Path) -> None:
    """Copy checked shipped results to ``out``, as the results of a scale.

    Raises:
        ResultError: as for :func:`check`; then nothing is copied.
    """
    for name in check(folder)["files"]:
        write_bytes(target(out, name), (folder / name).read_bytes())


def target(out: Path, name: str) -> Path:
    """Return where a shipped result is restored; benchmarks lie beside the scales' folders."""
    return out.parent / name if name == BENCHMARKS else out / name


def _beside(results: Path, names: Iterable[str], suffix: str) -> Iterator[str]:
    """Yield the stamps of one kind that lie beside files of the same stem."""
    stems = {f"{name.rpartition('.')[0]}{suffix}" for name in names}
    return (stem for stem in sorted(stems) if (results / stem).is_file())


def _present(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
