"""What the trials share: copies of the project, commands inside them, fingerprints of what they made, and tables."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

PROJECT = Path(__file__).resolve().parents[2]
#: Files that may differ from run to run, by the end of their names.
VARIABLE = (".timing.json", ".stamp.json", ".log", ".benchmark.tsv")


@dataclass(frozen=True)
class Row:
    """One thing that was tried.

    Attributes:
        trial: what was done.
        expected: what had to happen.
        observed: what happened.
        passed: whether that is the same.
    """

    trial: str
    expected: str
    observed: str
    passed: bool


@dataclass(frozen=True)
class Options:
    """Options of the trials, as ``python -m tests.trials --help`` says."""

    jobs: int = 1
    settings: str = ""
    targets: str = ""
    sample: int = 60
    pattern: str = "*"


class NotRun(Exception):  # noqa: N818  # it is no error
    """A trial cannot be run here; the message says why."""


def show(name: str, rows: Sequence[Row]) -> None:
    """Print ``rows`` as a table."""
    width = max((len(row.trial) for row in rows), default=0)
    print(f"\n{name}: {sum(row.passed for row in rows)} of {len(rows)} as expected")
    for row in rows:
        print(f"  {'ok  ' if row.passed else 'FAIL'} {row.trial:{width}}  {row.observed}")
        if not row.passed:
            print(f"       {'':{width}}  expected: {row.expected}")
    sys.stdout.flush()


def pytest_rows(files: Sequence[str], folder: Path, expected: str) -> list[Row]:
    """Run test files and return a row for each test that was not skipped.

    Args:
        files: relative to the project.
        folder: a temporary one.
        expected: what all of them check.
    """
    found = folder / "tests.xml"
    run([sys.executable, "-m", "pytest", f"--junitxml={found}", *files], PROJECT)
    rows = []
    for case in ElementTree.parse(found).iter("testcase"):
        wrong = [child for child in case if child.tag in ("failure", "error")]
        if not any(child.tag == "skipped" for child in case):
            name = str(case.get("name")).removeprefix("test_").replace("_", " ")
            said = f"failed: {wrong[0].get('message')}" if wrong else "passed"
            rows.append(Row(name, expected, said, passed=not wrong))
    return rows


def working_copy(folder: Path) -> Path:
    """Copy the project as it stands, without what git ignores, to ``folder`` and return that."""
    listed = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"], cwd=PROJECT, capture_output=True, check=True
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (PROJECT / name).is_file():  # a file removed and not yet committed is listed too
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, folder / name)
    return folder


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of commands in a copy: this interpreter's programs, and the package of the copy."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {"PATH": path, "PYTHONPATH": str(folder / "src"), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return os.environ | own


def command(*arguments: object) -> list[str]:
    """Return a command of the package."""
    return [sys.executable, "-m", "replication", *map(str, arguments)]


def snakemake(
    *options: str, settings: str = "", jobs: int = 1, scale: str = "smoke", profile: str = "default"
) -> list[str]:
    """Return a command that runs the workflow."""
    start = ["bash", "workflow/run.sh", "--profile", f"profiles/{profile}", "--cores", str(jobs), *options]
    return [*start, "--config", f"scale={scale}", f"set={settings}"]


def run(arguments: Sequence[str], folder: Path, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a command in a copy and return what it said."""
    given: dict[str, object] = {"cwd": folder, "env": environment(folder), "capture_output": True, "text": True}
    return subprocess.run(arguments, **(given | options))  # type: ignore[call-overload,no-any-return]


def fingerprints(folder: Path) -> dict[str, str]:
    """Return relative path -> SHA-256 of every file below ``folder`` that must not differ from run to run."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.endswith(VARIABLE)]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def differences(first: Mapping[str, str], second: Mapping[str, str]) -> list[str]:
    """Return the names that only one of two sets of fingerprints has, or that differ."""
    return sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))


def named(names: Sequence[str], most: int = 4) -> str:
    """Return a few names, and how many there are beyond."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
