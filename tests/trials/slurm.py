"""A Slurm cluster of three nodes: the results of a local run, a node that dies, a job that exceeds its time."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from .common import (
    PROJECT,
    NotRun,
    Options,
    Row,
    differences,
    environment,
    fingerprints,
    named,
    run,
    snakemake,
    working_copy,
)
from .hosts import compared
from .kills import RUN, SETTINGS

SCRIPT = ["bash", str(PROJECT / "tests/cluster/slurm.sh")]
#: There is no accounting here, so squeue says how jobs are.
WITHOUT_ACCOUNTING = ["--slurm-no-account", "--slurm-status-command", "squeue"]
WITHOUT_ACCOUNTING += ["--slurm-init-seconds-before-status-checks", "2", "--seconds-between-status-checks", "5"]
LIMIT = 3600.0  # seconds


def main(folder: Path, options: Options) -> list[Row]:
    """Run the smoke scale here and on the cluster, then disturb one training run."""
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        raise NotRun("snakemake-executor-plugin-slurm is not installed")
    cluster = folder / "slurm"
    with _cluster(cluster):
        return [*_same(folder, options, cluster), *_disturbed(folder, cluster)]


@contextmanager
def _cluster(folder: Path) -> Iterator[None]:
    try:
        begun = subprocess.run([*SCRIPT, "start", str(folder)], stderr=subprocess.PIPE, text=True, check=False)
        if begun.returncode:
            raise NotRun(f"no cluster could be started: {begun.stderr.strip()[-300:]}")
        yield
    finally:
        subprocess.run([*SCRIPT, "stop", str(folder)], check=False)


def _command(*more: str, settings: str) -> list[str]:
    return snakemake(*WITHOUT_ACCOUNTING, *more, settings=settings, jobs=2, profile="slurm")


def _same(folder: Path, options: Options, cluster: Path) -> list[Row]:
    """The smoke scale, here and on the cluster."""
    copies = [working_copy(folder / name) for name in ("local", "on the cluster")]
    targets, settings = options.targets.split(), options.settings
    commands = [snakemake(*targets, jobs=options.jobs, settings=settings), _command(*targets, settings=settings)]
    with ThreadPoolExecutor() as both:
        done = list(both.map(run, commands, copies))
    jobs = len((cluster / "jobs.txt").read_text().splitlines()) if (cluster / "jobs.txt").exists() else 0
    observed = f"exit {done[0].returncode} and {done[1].returncode}, {jobs} Slurm jobs"
    if done[1].returncode:
        observed += f": {_said(done[1])[-1500:]}"
    passed = not any(one.returncode for one in done) and jobs > 0
    first = Row("smoke scale here and on the cluster", "exit 0 and 0", observed, passed=passed)
    return [first, *compared(*(fingerprints(copy / "results") for copy in copies))]


def _disturbed(folder: Path, cluster: Path) -> list[Row]:
    """One training run: here without a disturbance, then twice on the cluster with one."""
    calm = working_copy(folder / "calm")
    if (whole := run(snakemake(f"{RUN}/run.json", settings=SETTINGS), calm)).returncode:
        raise SystemExit(f"the undisturbed run failed:\n{_said(whole)}")
    wanted = fingerprints(calm / RUN)

    def node_dies(training: int) -> None:
        listed = ["squeue", "--noheader", "--states=RUNNING", "--format=%N"]
        (node,) = set(subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split())
        subprocess.run([*SCRIPT, "kill", str(cluster), node], check=True)

    def stands_still(training: int) -> None:
        os.kill(training, signal.SIGSTOP)

    short = ["--set-resources", "train_regression:runtime=1 if attempt == 1 else 30"]
    return [
        _disturb("node killed", folder / "node", node_dies, [], "", wanted),
        _disturb("job over its time", folder / "time", stands_still, short, "TIME LIMIT", wanted),
    ]


def _disturb(
    name: str, folder: Path, disturb: Callable[[int], None], more: list[str], said: str, wanted: dict[str, str]
) -> Row:
    """Disturb the training of one run once it has a checkpoint; the same call of Snakemake is to finish it."""
    copy, log = working_copy(folder), folder / "snakemake.log"
    with log.open("wb") as output:
        command = _command(f"{RUN}/run.json", *more, settings=SETTINGS)
        snake = subprocess.Popen(command, cwd=copy, env=environment(copy), stdout=output, stderr=output)
        try:
            while not ((training := _training(copy)) and (copy / f"{RUN}.checkpoint/state.pt").exists()):
                if snake.poll() is not None:
                    said = f"the run ended before it could be disturbed: {log.read_text()[-1500:]}"
                    return Row(name, "a run to disturb", said, passed=False)
                time.sleep(0.02)
            disturb(training)
            status = snake.wait(LIMIT)
        finally:
            snake.kill()
    text = log.read_text(encoding="utf-8", errors="replace")
    different = differences(wanted, fingerprints(copy / RUN))
    resumed = '"resumed": true' in (copy / RUN / "run.timing.json").read_text() if status == 0 else False
    observed = f"exit {status}, {'resumed' if resumed else 'NOT resumed'}"
    observed += f", {said} {'reported' if said in text else 'NOT reported'}" if said else ""
    observed += f", different: {named(different)}" if different else ", identical"
    expected = f"{said + ' reported, retried; ' if said else ''}the run finishes from its checkpoint, identical files"
    return Row(name, expected, observed, passed=status == 0 and resumed and said in text and not different)


def _training(folder: Path) -> int:
    """Return a process that trains in a checkout; 0 if there is none."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words, place = (process / "cmdline").read_bytes().split(b"\0"), (process / "cwd").readlink()
        except OSError:  # it has ended
            continue
        if words[1:4] == [b"-m", b"replication", b"train"] and place == folder:
            return int(process.name)
    return 0


def _said(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout + done.stderr
