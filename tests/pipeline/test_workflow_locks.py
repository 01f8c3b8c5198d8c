"""Locks of killed runs are removed, those of runs at work are not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CODE = Path(__file__).parents[2] / "workflow/rules/locks.smk"
HOLDER = "import sys; exec(open(sys.argv[1]).read()); print('held', flush=True); sys.stdin.read()"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".snakemake/locks").mkdir(parents=True)
    return tmp_path


def lock(folder: Path) -> Path:
    path = folder / ".snakemake/locks/0.output.lock"
    path.write_text("results/smoke/config.json\n")
    return path


def start(folder: Path) -> subprocess.Popen[str]:
    """Start a run, as far as locks are concerned, and wait until it is at work."""
    command = [sys.executable, "-c", HOLDER, str(CODE)]
    holder = subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def end(holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.communicate()


def test_the_lock_of_a_killed_run_is_removed(folder: Path) -> None:
    first = start(folder)
    left = lock(folder)
    end(first)
    end(start(folder))
    assert not left.exists()


def test_locks_stay_while_any_run_is_at_work(folder: Path) -> None:
    first = start(folder)
    kept = lock(folder)
    second = start(folder)
    end(first)
    third = start(folder)  # the first is gone, and the second holds its share
    assert kept.exists()
    end(second)
    end(third)
    end(start(folder))
    assert not kept.exists()


def test_a_first_run_needs_nothing_to_be_there(tmp_path: Path) -> None:
    end(start(tmp_path))
    assert (tmp_path / ".snakemake/running").exists()
