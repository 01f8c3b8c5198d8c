"""A killed run goes on with the same command; a second run at the same time does not start."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
SNAKEFILE = f"""
from pathlib import Path
include: "{PROJECT / "workflow/rules/runs.smk"}"
rule slow:
    output: "done"
    shell: "touch begun; [ -e quick ] || sleep 60; touch done"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    shutil.copy(PROJECT / "workflow/run.sh", tmp_path)
    return tmp_path


def start(folder: Path) -> subprocess.Popen[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen(
        ["bash", "run.sh", "--cores", "1", "--rerun-incomplete"],
        cwd=folder,
        env=os.environ | {"PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def begin(folder: Path) -> subprocess.Popen[str]:
    """Start a run and wait until its job is at work."""
    run = start(folder)
    for _ in range(600):
        if (folder / "begun").exists():
            return run
        time.sleep(0.1)
    raise AssertionError("the job did not begin")


def kill(run: subprocess.Popen[str]) -> None:
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()


def finish(folder: Path) -> tuple[int, str]:
    (folder / "quick").touch()
    run = start(folder)
    output = run.communicate()[0]
    return run.returncode, output


def test_a_killed_run_goes_on_with_the_same_command(folder: Path) -> None:
    kill(begin(folder))
    assert list((folder / ".snakemake/locks").iterdir())
    status, output = finish(folder)
    assert status == 0, output
    assert (folder / "done").exists()
    assert not list((folder / ".snakemake/runs").iterdir())


def test_a_second_run_does_not_start(folder: Path) -> None:
    first = begin(folder)
    try:
        status, output = finish(folder)
        assert status == 1
        assert f"process {first.pid}" in output and "snakemake --unlock" in output
        assert list((folder / ".snakemake/locks").iterdir())
    finally:
        kill(first)


def test_a_lock_of_another_machine_is_left_alone(folder: Path) -> None:
    kill(begin(folder))
    (folder / ".snakemake/runs/elsewhere.1").touch()
    status, output = finish(folder)
    assert status == 1
    assert "started on elsewhere, process 1" in output
