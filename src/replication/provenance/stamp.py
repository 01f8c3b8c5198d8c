"""Stamps: files beside a result that say what made it, from what, where, and with which versions.

A stamp is written when a job is done, and no job has one as its input: a new commit, another machine or a dirty
checkout changes the stamp and repeats nothing.  The stamps of figures, tables, numbers and claims carry a short hash
that the report prints.  It covers name, module, code, configuration and inputs.  It leaves out time, host and commit,
so it is the same wherever the same thing is made from the same results.
"""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from replication import documents, files
from replication.documents import PartStamp, Stamp
from replication.errors import ResultError
from replication.paths import REPOSITORY
from replication.provenance import sources
from scpo.errors import ScpoError

SUFFIX = ".stamp.json"
#: Suffix of the files with times and hosts.
TIMING = ".timing.json"
#: Packages whose versions can change a number.
PACKAGES = (
    "scpo",
    "clarabel",
    "cvxpy",
    "daqp",
    "matplotlib",
    "numpy",
    "pandas",
    "pyarrow",
    "scipy",
    "scs",
    "seaborn",
    "torch",
)
#: Hexadecimal digits of a short hash.
LENGTH = 8
#: How an input inside the folder of results is named in a stamp.
RESULTS = "results:"


def write(
    path: Path | str,
    *,
    module: str | Sequence[str],
    config_sha256: str,
    seeds: Mapping[str, int],
    inputs: Iterable[Path | str],
    outputs: Iterable[Path | str],
) -> None:
    """Write the stamp ``path`` (``*.stamp.json``) of one job.

    Args:
        path: the file to write.
        module: dotted name, or names, of the modules that made the result; the code that they import is hashed.
            Modules that are found by a computed name, such as an experiment's, must be named.
        config_sha256: SHA-256 of the settings that were used.
        seeds: every seed that was used, by its purpose.
        inputs: files read.
        outputs: files written; they must be complete.

    Raises:
        ResultError: an input or an output cannot be read.
    """
    documents.write(Path(path), Stamp, collect(module, config_sha256, seeds, inputs, outputs))


def collect(
    module: str | Sequence[str],
    config_sha256: str,
    seeds: Mapping[str, int],
    inputs: Iterable[Path | str],
    outputs: Iterable[Path | str],
) -> dict[str, Any]:
    """Return the content of a stamp; the arguments are those of :func:`write`."""
    return {
        "module": module,
        "code_sha256": sources.digest(sources.closure(module)),
        "config_sha256": config_sha256,
        "seeds": dict(seeds),
        "inputs": _sums(inputs),
        "outputs": _sums(outputs),
        "versions": versions(),
        **commit(),
        **host(),
    }


@contextmanager
def stamped(out: Path, results: Path, modules: Sequence[str]) -> Iterator[list[Path]]:
    """Write the stamp of ``out`` when the block that makes it has ended without an error.

    Yields a list for further files that the block writes: the stamp has their checksums, too.

    Args:
        out: the file that the block makes.
        results: results/<scale>; the files that this project reads in the block are the inputs.
        modules: dotted names of the modules that make the file.
    """
    also: list[Path] = []
    with files.reading() as read_files:
        yield also
    # what the stamps of the inputs say is checked; host, times and commit in them are no part of what is made
    made_from = {path for path in read_files - {out} if not path.name.endswith((SUFFIX, TIMING))}
    inputs = sorted(path for path in made_from if path.is_file())
    content = collect(modules, files.sha256(results / "config.json"), {}, inputs, sorted({out, *also}))
    content |= {"name": out.name, "seeds": _seeds(read_files, results), "scale": results.name}
    content["inputs"] = {_input_name(Path(path), results): digest for path, digest in content["inputs"].items()}
    documents.write(beside(out), PartStamp, content | {"results": results.as_posix(), "hash": short_hash(content)})


def beside(path: Path) -> Path:
    """Return the path of the stamp of ``path``."""
    return path.with_suffix(SUFFIX)


def short_hash(content: Mapping[str, Any] | PartStamp) -> str:
    """Return the short hash of a stamp, over its name, module, code, configuration and inputs."""
    identity = [content[key] for key in ("name", "module", "code_sha256", "config_sha256", "inputs")]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:LENGTH]


def read(path: Path) -> PartStamp:
    """Return the stamp of ``path``, a part of the report, the claims or the quantities.

    Raises:
        ResultError: there is none, or it is damaged.
    """
    found = beside(path)
    if not found.is_file():
        raise ResultError(f"{path}: no stamp {found.name} says where it comes from; make it again")
    return documents.read(found, PartStamp)


def load(stamp: Path) -> Stamp:
    """Return the content of a stamp file.

    Raises:
        ResultError: it is missing or damaged.
    """
    return documents.read(stamp, Stamp)


def changed(path: Path, results: Path) -> list[str]:
    """Return what has changed since the stamp of ``path``, in words: the file itself, its inputs, its code.

    Args:
        path: the file.
        results: the results that it was made from, where they are now.

    Raises:
        ResultError: there is no stamp, or it is damaged.
    """
    content = read(path)
    problems = [] if files.sha256(path) in content.outputs.values() else [f"{path}: altered since it was made"]
    for name, digest in content.inputs.items():
        place = input_path(name, results)
        if not place.is_file():
            problems.append(f"{path}: made from {place}, which is gone")
        elif files.sha256(place) != digest:
            problems.append(f"{path}: made from another {place}")
    try:
        code = _code(*content.module)
    except ScpoError as error:
        return [*problems, f"{path}: {error}"]
    if code != content.code_sha256:
        problems.append(f"{path}: made by code that has changed since")
    if short_hash(content) != content.hash:
        problems.append(f"{beside(path)}: altered, its hash is not that of its content")
    return problems


def input_path(name: str, results: Path) -> Path:
    """Return the path of an input that a stamp names, given the folder ``results`` of the scale."""
    return results / name.removeprefix(RESULTS) if name.startswith(RESULTS) else REPOSITORY / name


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def host() -> dict[str, str]:
    """Return name, system and processor of this machine, for stamps and ``*.timing.json`` only."""
    return {"host": platform.node(), "platform": platform.platform(), "processor": _processor()}


def is_repository(root: Path) -> bool:
    """Tell whether ``root`` is the root of a git repository, and not a folder inside one."""
    top = _git(root, "rev-parse", "--show-toplevel")
    return top is not None and Path(top).resolve() == root.resolve()


def commit(root: Path = REPOSITORY) -> dict[str, str | bool | None]:
    """Return commit and dirty flag of the repository with the root ``root``; both are None if it is no such root.

    Shipped results do not make a checkout dirty: no run reads them, and a study writes its finished runs there.

    A source archive that was unpacked inside another repository has no commit.
    """
    if not is_repository(root):
        return {"commit": None, "dirty": None}
    head = _git(root, "rev-parse", "HEAD")
    state = _git(root, "status", "--porcelain", "--", ".", ":(exclude)shipped/results")
    return {"commit": head, "dirty": None if head is None or state is None else bool(state)}


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        return subprocess.run(command, capture_output=True, check=True, text=True, timeout=60).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _sums(paths: Iterable[Path | str]) -> dict[str, str]:
    return {Path(path).as_posix(): files.sha256(path) for path in paths}


@cache  # many parts of a report are made by few modules
def _code(*modules: str) -> str:
    return sources.digest(sources.closure(modules))


def _input_name(path: Path, results: Path) -> str:
    """Return how a stamp names an input: relative to the results or to the repository, else by its name alone."""
    resolved, root, folder = path.resolve(), REPOSITORY.resolve(), results.resolve()
    if resolved.is_relative_to(folder):
        return f"{RESULTS}{resolved.relative_to(folder).as_posix()}"
    if resolved.parent == folder.parent:  # the benchmarks, which lie beside the scales
        return f"{RESULTS}../{resolved.name}"
    return resolved.relative_to(root).as_posix() if resolved.is_relative_to(root) else path.name


def _seeds(paths: set[Path], results: Path) -> dict[str, list[int]]:
    """Return the seeds of the runs that ``paths`` belong to, by experiment and arm."""
    found: dict[str, set[int]] = {}
    for path in paths:
        if path.is_relative_to(results) and path.parent.name.startswith("seed-"):
            arm = path.parent.parent.relative_to(results).as_posix()
            found.setdefault(arm, set()).add(int(path.parent.name.removeprefix("seed-")))
    return {arm: sorted(seeds) for arm, seeds in sorted(found.items())}
