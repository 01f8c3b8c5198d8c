"""The stamp written beside a result: what made it, from what, where and with which versions.

It is written at the end of a job and is no input of any other: a new commit, another machine or a dirty tree
changes the stamp and reruns nothing.
"""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from replication.files import sha256, write_json
from replication.paths import SOURCES
from replication.provenance import sources

SUFFIX = ".stamp.json"
#: Packages whose versions can change a number.
PACKAGES = ("scpo", "clarabel", "cvxpy", "numpy", "pandas", "pyarrow", "scipy", "scs", "torch")


def write(
    path: Path | str,
    *,
    module: str | Sequence[str],
    config_sha256: str,
    seeds: Mapping[str, int],
    inputs: Iterable[Path | str],
    outputs: Iterable[Path | str],
) -> None:
    """Write the stamp ``path`` (``*.stamp.json``).

    Args:
        path: the file to write.
        module: dotted name of the module that made the result, or of several (name a module that
            is found by name, such as an experiment's); their import closure is what is hashed as code.
        config_sha256: SHA-256 of the configuration that was used.
        seeds: every seed that was used, by what it was used for.
        inputs: files read.
        outputs: files written; they must be complete.

    Raises:
        ResultError: an input or an output cannot be read.
    """
    write_json(path, collect(module, config_sha256, seeds, inputs, outputs))


def collect(
    module: str | Sequence[str],
    config_sha256: str,
    seeds: Mapping[str, int],
    inputs: Iterable[Path | str],
    outputs: Iterable[Path | str],
) -> dict[str, Any]:
    """Return the stamp's content (arguments as for :func:`write`)."""
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
    """Return what is known of the machine; belongs into stamps and ``*.timing.json`` only."""
    return {"host": platform.node(), "platform": platform.platform(), "processor": _processor()}


def commit(folder: Path = SOURCES) -> dict[str, str | bool | None]:
    """Return commit and dirty flag of the repository that holds ``folder``; both None outside of one."""
    head = _git(folder, "rev-parse", "HEAD")
    state = _git(folder, "status", "--porcelain")
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
    return {Path(path).as_posix(): sha256(path) for path in paths}
