"""A small real pipeline on a terminal and through a pipe: what is shown, what is kept, and what an error looks like."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from replication.progress import notes
from replication.progress.state import State

PROJECT = Path(__file__).parents[2]
SNAKEFILE = """
from snakemake.logging import logger

if workflow.is_main_process:
    logger.info("", extra={"plan": {"seconds": {"train_plant": 4.0}, "made": ["report.pdf"]}})

rule all:
    input: "report.pdf"

rule report:
    input: expand("run-{seed}", seed=range(2))
    output: "report.pdf"
    log: "report.log"
    shell: "if [ -e break ]; then echo the cause of it >{log}; exit 3; fi; touch {output}"

rule train_plant:
    output: "run-{seed}"
    log: "run-{seed}.log"
    message: "Training: plant, scpo, seed {wildcards.seed}"
    shell:
        "echo 'update 5/10  loss 0.1234  max g -2.50e-02  unsafe so far 0  about 2 s left' >{log};"
        " n=0; while [ -e pause ] && [ $n -lt 600 ]; do sleep 0.2; n=$((n + 1)); done; touch {output}"
"""
COMMAND = [sys.executable, "-m", "snakemake", "--cores", "2", "--logger", "replication", "--rerun-incomplete"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    return tmp_path


def surroundings(**changes: str) -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if name not in ("CI", "NO_COLOR", "TERM", "COLUMNS", "LINES")
    }
    return kept | {"PYTHONPATH": str(PROJECT / "src"), "TERM": "xterm-256color"} | changes


class Terminal:
    """A run of the pipeline under a pseudo-terminal."""

    def __init__(self, folder: Path, *options: str, columns: int = 100, rows: int = 24, **changes: str) -> None:
        self.end, other = pty.openpty()
        self.resize(columns, rows)
        self.run = subprocess.Popen(
            [*COMMAND, *options],
            cwd=folder,
            env=surroundings(**changes),
            stdin=other,
            stdout=other,
            stderr=other,
            start_new_session=True,
        )
        os.close(other)
        self.text = ""

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.end, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, until: str = "", seconds: float = 90) -> str:
        """Read what is printed until a text appears, by default until the end; return what is new."""
        before, limit = len(self.text), time.monotonic() + seconds
        while not until or until not in self.text[before:]:
            assert time.monotonic() < limit, self.text
            if not select.select([self.end], [], [], 1)[0]:
                continue
            try:
                found = os.read(self.end, 65536)
            except OSError:  # the other end is closed
                break
            self.text += found.decode(errors="replace")
        assert not until or until in self.text[before:], self.text
        return self.text[before:]

    def status(self) -> int:
        self.read()
        os.close(self.end)
        return self.run.wait()


def plain(text: str) -> list[str]:
    """Return the lines of a text without the terminal's commands."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "\n").splitlines()


def status(folder: Path) -> str:
    command = [sys.executable, "-m", "replication", "status"]
    return subprocess.run(command, cwd=folder, env=surroundings(), capture_output=True, text=True, check=True).stdout


def through_a_pipe(folder: Path, *options: str, **changes: str) -> tuple[int, str]:
    run = subprocess.run(
        [*COMMAND, *options], cwd=folder, env=surroundings(**changes), capture_output=True, text=True, timeout=200
    )
    return run.returncode, run.stdout + run.stderr


def test_a_terminal_has_one_view_that_a_second_one_can_ask_for(folder: Path) -> None:
    (folder / "pause").touch()
    terminal = Terminal(folder)
    seen = terminal.read(until="0.1234")
    told = status(folder)
    terminal.resize(40, 10)
    while not any(line.split() == ["running", "slack", "left"] for line in plain(terminal.text)):
        terminal.read(until="left")  # it gets narrower
    (folder / "pause").unlink()
    assert terminal.status() == 0
    for text in ("\n".join(plain(seen)), told):
        assert "2 running, 2 waiting" in text
        assert "plant, scpo, seed 1" in text and "0.025" in text
    assert "\x1b[2K" in terminal.text  # lines are drawn again
    assert [line for line in plain(terminal.text) if line.strip()][-1] == "Look at report.pdf"
    assert "4 jobs done in" in status(folder)


def test_an_error_is_shown_with_the_end_of_its_log(folder: Path) -> None:
    (folder / "break").touch()
    terminal = Terminal(folder)
    assert terminal.status() != 0
    lines = plain(terminal.text)
    assert any("report.log" in line for line in lines)
    assert any(line.strip() == "the cause of it" for line in lines)
    assert "report.pdf" not in lines[-1]
    assert "1 failed" in status(folder) and "the cause of it" in status(folder)


def test_a_kill_leaves_the_cursor_and_the_notes(folder: Path) -> None:
    (folder / "pause").touch()
    terminal = Terminal(folder)
    terminal.read(until="0.1234")
    os.killpg(terminal.run.pid, signal.SIGKILL)
    terminal.status()
    assert terminal.text.rfind("\x1b[?25h") > terminal.text.rfind("\x1b[?25l")
    assert "the same command goes on" in status(folder)


def test_a_pipe_has_a_line_for_each_job_and_no_commands(folder: Path) -> None:
    code, text = through_a_pipe(folder)
    assert code == 0 and "\x1b" not in text
    lines = text.splitlines()
    assert sum("of 4: " in line for line in lines) == 4
    assert any("seed 1" in line and "loss 0.1234, slack 0.025, 0 unsafe" in line for line in lines)
    assert lines[-1] == "Look at report.pdf"
    code, text = through_a_pipe(folder)
    assert code == 0 and "Nothing to be done" in text and text.splitlines()[-1] == "Look at report.pdf"


def test_a_pipe_has_the_end_of_a_failed_jobs_log(folder: Path) -> None:
    (folder / "break").touch()
    code, text = through_a_pipe(folder)
    assert code != 0 and "the cause of it" in text and "report.log" in text


def test_an_error_in_the_workflow_is_shown(folder: Path) -> None:
    (folder / "Snakefile").write_text("rule all:\n    input: 'nothing makes it'\n")
    code, text = through_a_pipe(folder)
    assert code != 0 and "nothing makes it" in text
    terminal = Terminal(folder)
    assert terminal.status() != 0 and "nothing makes it" in terminal.text


@pytest.mark.parametrize("changes", [{"NO_COLOR": "1"}, {"CI": "true"}, {"TERM": "dumb"}])
def test_plain_lines_where_they_are_asked_for(folder: Path, changes: dict[str, str]) -> None:
    terminal = Terminal(folder, **changes)
    assert terminal.status() == 0
    assert "\x1b" not in terminal.text
    assert sum("of 4: " in line for line in plain(terminal.text)) == 4


def test_a_dry_run_is_snakemakes_own_and_leaves_no_notes(folder: Path) -> None:
    code, text = through_a_pipe(folder, "--dry-run")
    assert code == 0 and "This was a dry-run" in text and "train_plant" in text
    assert State.told_by(notes.read(folder / notes.FILE)).began is None


def test_quiet_is_quiet_and_keeps_the_notes(folder: Path) -> None:
    code, text = through_a_pipe(folder, "--quiet", "all")
    assert code == 0 and text == ""
    assert "4 jobs done in" in status(folder)
