"""Stamps of what stands on the page: figures, tables, numbers and claims, each made from result files.

A short hash over name, module, code, configuration and inputs is printed beside each of them.  It holds no time, host,
commit or dirty flag, so that it is the same wherever the same thing is made from the same results.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from replication import files
from replication.errors import ResultError
from replication.paths import REPOSITORY
from replication.provenance import sources
from replication.provenance import stamp as provenance
from replication.provenance.stamp import SUFFIX
from scpo.errors import ScpoError

LENGTH = 8  # hexadecimal digits of a short hash


@contextmanager
def traced(out: Path, results: Path, modules: Sequence[str]) -> Iterator[None]:
    """Write the stamp of ``out``, beside it, when the block that makes it has ended well.

    Args:
        out: what is made.
        results: results/<scale> that it is made from; what this package reads in the block are the inputs.
        modules: dotted names of the modules that make it.
    """
    with files.reading() as read:
        yield
    inputs = sorted(path for path in read - {out, stamp(out)} if path.is_file())  # not what was looked for in vain
    config = files.sha256(results / "config.json")
    content = provenance.collect(modules, config, {}, inputs, [out])
    content |= {"name": out.name, "seeds": _seeds(read, results), "scale": results.name}
    content["inputs"] = {_relative(Path(path), results): found for path, found in content["inputs"].items()}
    files.write_json(stamp(out), content | {"results": results.as_posix(), "hash": short_hash(content)})


def stamp(path: Path) -> Path:
    """Return where the stamp of ``path`` lies."""
    return path.with_suffix(SUFFIX)


def short_hash(content: dict[str, Any]) -> str:
    """Return the short hash of a stamp: of what made it and of what, not of when, where and by whom."""
    identity = [content[key] for key in ("name", "module", "code_sha256", "config_sha256", "inputs")]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:LENGTH]


def read(path: Path) -> dict[str, Any]:
    """Return the stamp of ``path``.

    Raises:
        ResultError: there is none, or it is damaged.
    """
    found = stamp(path)
    if not found.is_file():
        raise ResultError(f"{path}: no stamp {found.name} says where it comes from; make it again")
    return dict(files.read_json(found))


def changed(path: Path, results: Path) -> list[str]:
    """Return what no longer agrees with the stamp of ``path``: itself, its inputs, its code.

    Args:
        path: the file.
        results: results/<scale> that it was made from, where it lies now.

    Raises:
        ResultError: there is no stamp, or it is damaged.
    """
    content = read(path)
    problems = [] if files.sha256(path) in content["outputs"].values() else [f"{path}: altered since it was made"]
    for name, found in content["inputs"].items():
        place = input_path(name, results)
        if not place.is_file():
            problems.append(f"{path}: made from {place}, which is gone")
        elif files.sha256(place) != found:
            problems.append(f"{path}: made from another {place}")
    try:
        code = _code(*content["module"])
    except ScpoError as error:
        return [*problems, f"{path}: {error}"]
    if code != content["code_sha256"]:
        problems.append(f"{path}: made by code that has changed since")
    if short_hash(content) != content["hash"]:
        problems.append(f"{stamp(path)}: altered, its hash is not that of what it says")
    return problems


def input_path(name: str, results: Path) -> Path:
    """Return where an input lies, which a stamp names relative to the results or to the repository."""
    return results / name.removeprefix("results:") if name.startswith("results:") else REPOSITORY / name


@cache  # many parts of a report are made by few modules
def _code(*modules: str) -> str:
    return sources.digest(sources.closure(modules))


def _relative(path: Path, results: Path) -> str:
    resolved = path.resolve()
    if resolved.is_relative_to(results.resolve()):
        return f"results:{resolved.relative_to(results.resolve()).as_posix()}"
    if resolved.parent == results.resolve().parent:  # the benchmarks, which lie beside the scales
        return f"results:../{resolved.name}"
    root = REPOSITORY.resolve()
    return resolved.relative_to(root).as_posix() if resolved.is_relative_to(root) else path.name


def _seeds(paths: set[Path], results: Path) -> dict[str, list[int]]:
    """Return the seeds of the runs that ``paths`` belong to, by experiment and arm."""
    found: dict[str, set[int]] = {}
    for path in paths:
        if path.is_relative_to(results) and path.parent.name.startswith("seed-"):
            arm = path.parent.parent.relative_to(results).as_posix()
            found.setdefault(arm, set()).add(int(path.parent.name.removeprefix("seed-")))
    return {arm: sorted(seeds) for arm, seeds in sorted(found.items())}
