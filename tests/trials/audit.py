"""Known vulnerabilities of the packages in requirements.lock, as pip-audit finds them in the public advisories."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from .common import PROJECT, NotRun, Options, Row, named

#: Seconds to wait for a package index.
LIMIT = 1500.0


def main(folder: Path, options: Options) -> list[Row]:
    """Audit the lock; pip-audit is installed aside, since nothing else needs it."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder / "tools"), "pip-audit"]
    try:
        installed = subprocess.run(pip, capture_output=True, text=True, check=False, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        raise NotRun(f"pip-audit was not installed in {LIMIT / 60:.0f} minutes") from None
    if installed.returncode:
        raise NotRun(f"pip-audit cannot be installed: {_last(installed.stderr)}")
    audit = [sys.executable, "-m", "pip_audit", "--requirement", "requirements.lock", "--no-deps", "--disable-pip"]
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
    packages = json.loads(done.stdout)["dependencies"]
    found = [f"{one['name']} {one['version']} ({bug['id']})" for one in packages for bug in one.get("vulns", [])]
    observed = f"{len(found)}: {named(found, 20)}" if found else "none"
    return [Row(f"{len(packages)} packages", "no known vulnerability", observed, passed=not found)]


def _last(text: str) -> str:
    return next(reversed(text.strip().splitlines()), "nothing was said")[-300:]
