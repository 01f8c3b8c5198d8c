"""The set-up of the environment: an interrupted one starts again, a moved or copied one is noticed."""

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
#: A stand-in for Python: makes an environment and installs, slowly; it writes down what it did.
PYTHON = """#!/bin/sh
case "$*" in
"-m venv"*)
    mkdir -p .venv/bin && sleep "$PAUSE" && cp "$0" .venv/bin/python && echo venv >>done.txt ;;
"-m pip install"*"--require-hashes --requirement "*)
    test ! -e .venv/half && touch .venv/half && sleep "$PAUSE" && rm .venv/half && echo packages >>done.txt ;;
"-m pip install"*) echo pip >>done.txt ;;
"-m pip config"* | *configparser*) exec "$REAL" "$@" ;;
esac
case "$*" in "-m pip install"*) env | grep ^PIP_ >pip.txt ;; esac
"""
SCRIPT = ["bash", "workflow/setup.sh"]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "a checkout"
    (folder / "workflow").mkdir(parents=True)
    shutil.copy(PROJECT / "workflow/setup.sh", folder / "workflow")
    for name in ("requirements.in", "requirements.lock", "pyproject.toml"):
        (folder / name).write_text("")
    stand_in = tmp_path / "python3"
    stand_in.write_text(PYTHON)
    stand_in.chmod(0o755)
    for name in ("latexmk", "pdflatex", "kpsewhich"):
        (tmp_path / name).symlink_to("/bin/true")
    return folder


def environment(checkout: Path, pause: float = 0.0) -> dict[str, str]:
    parent = checkout.parent
    return {
        "PATH": f"{parent}:{os.environ['PATH']}",
        "PYTHON": str(parent / "python3"),
        "PAUSE": str(pause),
        "REAL": sys.executable,
    }


def set_up(checkout: Path, **variables: str) -> list[str]:
    """Run the set-up and return what the stand-in did."""
    (checkout / "done.txt").write_text("")
    given = environment(checkout) | variables
    made = subprocess.run(SCRIPT, cwd=checkout, env=given, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return (checkout / "done.txt").read_text().split()


def at_work(group: int) -> bool:
    """Whether a process of this group is alive (one that ended may wait for its parent as a zombie)."""
    listed = subprocess.run(["ps", "-A", "-o", "pgid=,stat="], capture_output=True, text=True, check=True).stdout
    return any(line.split()[0] == str(group) and "Z" not in line.split()[1] for line in listed.splitlines())


WHOLE = ["venv", "packages", "pip", "pip"]


def test_a_finished_environment_is_left_alone(checkout: Path) -> None:
    assert set_up(checkout) == WHOLE
    assert set_up(checkout) == []


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("after", [0.05, 0.6, 0.9, 1.4])
def test_an_interrupted_one_is_made_again(checkout: Path, how: signal.Signals, after: float) -> None:
    begun = subprocess.Popen(
        SCRIPT, cwd=checkout, env=environment(checkout, 0.5), stdout=subprocess.DEVNULL, start_new_session=True
    )
    time.sleep(after)
    begun.send_signal(how)
    begun.wait(timeout=10)
    finished = (checkout / ".venv/setup.stamp").exists()
    done = set_up(checkout)  # what the first one left at work may have written a line before it was ended
    assert done == [] if finished else done[-len(WHOLE) :] == WHOLE
    assert not (checkout / ".venv/half").exists()


def test_what_a_killed_one_left_at_work_is_ended(checkout: Path) -> None:
    begun = subprocess.Popen(SCRIPT, cwd=checkout, env=environment(checkout, 2.0), stdout=subprocess.DEVNULL)
    while not (checkout / "logs/setup.pid").exists():
        time.sleep(0.02)
    time.sleep(0.3)
    begun.kill()
    begun.wait(timeout=10)
    group = int((checkout / "logs/setup.pid").read_text())
    assert at_work(group)
    assert set_up(checkout) == WHOLE
    assert not at_work(group)


def test_new_requirements_are_installed_into_it(checkout: Path) -> None:
    set_up(checkout)
    (checkout / "requirements.lock").write_text("# changed\n")
    assert set_up(checkout) == WHOLE[1:]


@pytest.mark.parametrize("move", [shutil.move, shutil.copytree])
def test_an_environment_of_another_folder_is_made_again(checkout: Path, move) -> None:
    set_up(checkout)
    other = checkout.parent / "elsewhere"
    move(checkout, other)
    assert set_up(other) == WHOLE


def test_a_folder_that_path_cannot_hold_is_refused_at_the_start(checkout: Path) -> None:
    folder = checkout.rename(checkout.with_name("a:b"))
    made = subprocess.run(SCRIPT, cwd=folder, env=environment(folder), capture_output=True, text=True, check=False)
    assert made.returncode == 1
    assert "may hold a colon" in made.stderr
    assert not (folder / ".venv").exists()


def test_a_misspelt_variable_of_make_is_refused(tmp_path: Path) -> None:
    make = ["make", "--file", str(PROJECT / "Makefile"), "help"]
    done = subprocess.run([*make, "SETT=a"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "SETT=...: no such variable; there are JOBS SET" in done.stderr
    subprocess.run([*make, "SET=a b=c", "JOBS=1"], cwd=tmp_path, capture_output=True, check=True)


def test_of_pip_settings_only_the_index_is_taken(checkout: Path) -> None:
    home = checkout.parent / "her home"
    (home / ".config/pip").mkdir(parents=True)
    (home / ".config/pip/pip.conf").write_text(
        "[global]\nuser = true\nindex-url = https://mirror.example/simple\ntrusted-host =\n  a.example\n  b.example\n"
        "[install]\ntarget = /elsewhere\nno-deps = true\n"
    )
    set_up(checkout, HOME=str(home), PIP_PREFIX="/elsewhere", PIP_PROXY="http://proxy.example")
    found = dict(line.split("=", 1) for line in (checkout / "pip.txt").read_text().splitlines())
    wanted = {
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_INDEX_URL": "https://mirror.example/simple",
        "PIP_TRUSTED_HOST": "a.example b.example",
        "PIP_PROXY": "http://proxy.example",
    }
    assert {name: found.get(name) for name in wanted} == wanted
    assert not found.keys() & {"PIP_USER", "PIP_PREFIX", "PIP_TARGET", "PIP_NO_DEPS"}
