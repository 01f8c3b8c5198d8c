"""Set-ups that are killed in their first seconds and at random moments: the next one makes a whole environment."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

from .common import Options, Row, run, working_copy

#: Seconds after which a set-up is killed; the first four once left environments on which every later set-up failed.
MOMENTS = (1.0, 2.5, 4.0, 6.0)
MORE, LATEST = 4, 60.0
EXPECTED = "the next set-up succeeds, and the one after it has nothing to do"


def main(folder: Path, options: Options) -> list[Row]:
    """Kill one set-up after another in the same copy, then let one finish."""
    copy, plain = working_copy(folder / "copy"), _plain(folder / "temporary")
    chance = random.Random(0)
    moments = [*MOMENTS, *(chance.uniform(*MOMENTS[::3]) * LATEST / MOMENTS[-1] for _ in range(MORE))]
    killed = []
    for after in moments:
        begun = subprocess.Popen(
            ["bash", "workflow/setup.sh"], cwd=copy, env=plain, stdout=subprocess.DEVNULL, start_new_session=True
        )
        try:
            begun.wait(after)
        except subprocess.TimeoutExpired:
            os.kill(begun.pid, signal.SIGKILL)  # what it started goes on, as after a kill of the shell alone
            begun.wait()
            killed.append(f"{after:.1f} s")
    finished = run(["bash", "workflow/setup.sh"], copy, env=plain)
    again = run(["bash", "workflow/setup.sh"], copy, env=plain)
    works = run([".venv/bin/python", "-c", "import replication.cli, torch, snakemake"], copy, env=plain)
    statuses = finished.returncode, again.returncode, works.returncode
    whole = not any(statuses) and "step" not in again.stdout
    observed = f"killed after {', '.join(killed)}; then exit {statuses[0]}, again exit {statuses[1]}, "
    observed += "imports work" if not statuses[2] else f"imports fail: {works.stderr[-300:]}"
    if finished.returncode:
        observed += f": {finished.stderr[-1500:]}"
    return [Row(f"{len(killed)} set-ups killed (SIGKILL)", EXPECTED, observed, passed=whole and bool(killed))]


def _plain(temporary: Path) -> dict[str, str]:
    """This environment without the settings of make and of the environment that runs the trials.

    A killed pip leaves its temporary files behind, so it gets a folder for them that is removed with the trial's.
    """
    temporary.mkdir()
    theirs = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return theirs | {"PYTHON": _python(), "TMPDIR": str(temporary)}


def _python() -> str:
    return str(Path(sys.base_prefix) / "bin/python3")
