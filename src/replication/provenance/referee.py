"""Runs the referee, a script that shares no code with the packages, and stamps what it found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from replication import files
from replication.provenance import stamp


def run(script: Path, results: Path, out: Path) -> int:
    """Run ``script`` on results/<scale> in a process of its own and return its status; stamp ``out`` if that is 0."""
    status = subprocess.run([sys.executable, str(script), str(results), str(out)], check=False).returncode
    if status == 0:
        settings = files.sha256(results / "config.json")
        stamp.write(stamp.beside(out), module=[], config_sha256=settings, seeds={}, inputs=[script], outputs=[out])
    return status
