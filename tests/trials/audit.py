"""Known vulnerabilities of torch and of what requirements.lock names, as pip-audit finds them in public advisories."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .common import PROJECT, NotRun, Options, Row, named

#: Seconds to wait for a package index.
LIMIT = 1500.0


def main(folder: Path, options: Options) -> list[Row]:
    """Audit the lock and torch; pip-audit is installed aside, since nothing else needs it."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder / "tools"), "pip-audit"]
    try:
        installed = subprocess.run(pip, capture_output=True, text=True, check=False, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        raise NotRun(f"pip-audit was not installed in {LIMIT / 60:.0f} minutes") from None
    if installed.returncode:
        raise NotRun(f"pip-audit cannot be installed: {_last(installed.stderr)}")
    found = {name: _audited(folder, requirements) for name, requirements in _parts(folder)}
    everything = [one for packages in found.values() for one in packages]
    if all("skip_reason" in one for one in everything):
        raise NotRun(f"no package was found in the advisories: {everything[0]['skip_reason'] if everything else ''}")
    return [_row(name, packages) for name, packages in found.items()]


def _parts(folder: Path) -> list[tuple[str, Path]]:
    """Return what is audited, each with its file of requirements: the lock, and torch, which stands outside it."""
    lines = (PROJECT / "requirements.in").read_text(encoding="utf-8").splitlines()
    outside = folder / "torch.txt"
    outside.write_text("\n".join(line for line in lines if line.startswith("torch==")) + "\n", encoding="utf-8")
    return [("packages in requirements.lock", PROJECT / "requirements.lock"), ("torch in requirements.in", outside)]


def _audited(folder: Path, requirements: Path) -> list[dict[str, Any]]:
    """Return what pip-audit says of each package in a file of requirements."""
    audit = [sys.executable, "-m", "pip_audit", "--requirement", str(requirements), "--no-deps", "--disable-pip"]
    done = subprocess.run(
        [*audit, "--format", "json", "--progress-spinner", "off", "--timeout", "60"],
        cwd=PROJECT,
        env=os.environ | {"PYTHONPATH": str(folder / "tools")},
        capture_output=True,
        text=True,
        check=False,
    )
    if not done.stdout.strip():
        raise NotRun(f"the advisories cannot be reached: {_last(done.stderr)}")
    audited: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    return audited


def _row(name: str, packages: Sequence[Mapping[str, Any]]) -> Row:
    """Return the row of one file of requirements.  A package that pip-audit skipped is not known to be good."""
    bugs = [f"{one['name']} {one['version']} ({bug['id']})" for one in packages for bug in one.get("vulns", [])]
    skipped = [f"{one['name']} was skipped: {one['skip_reason']}" for one in packages if "skip_reason" in one]
    found = [*bugs, *skipped]
    observed = f"{len(found)}: {named(found, 20)}" if found else "none"
    return Row(f"{name}: {len(packages)}", "no known vulnerability", observed, passed=bool(packages) and not found)


def _last(text: str) -> str:
    return next(reversed(text.strip().splitlines()), "nothing was said")[-300:]
