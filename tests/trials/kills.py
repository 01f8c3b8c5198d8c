"""Runs that are killed: the same command goes on, and what it ends with is what an undisturbed run ends with."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from .common import Options, Row, command, differences, environment, fingerprints, named, run, snakemake, working_copy

RUN = "results/smoke/regression/scpo/seed-20002"
SETTINGS = "regression.schedule.epochs=600 regression.schedule.checkpoint_every=20"
WAIT = 600.0  # seconds, at most
MOMENTS = 6
EXPECTED = "nothing half-written; the same command goes on from the checkpoint to identical files"
OUTLIVED = "workflow killed (SIGKILL), its job goes on"  # and may be done with its checkpoint before the rerun begins


def main(folder: Path, options: Options) -> list[Row]:
    """Kill the workflow, its job, or a training process at different moments, and run the same command again."""
    workflow = snakemake(f"{RUN}/run.json", settings=SETTINGS)
    calm = working_copy(folder / "calm")
    finished = run(workflow, calm)
    if finished.returncode:
        raise SystemExit(f"the undisturbed run failed:\n{finished.stdout}{finished.stderr}")
    wanted = fingerprints(calm / RUN)
    cases: dict[str, Callable[[subprocess.Popen[bytes], int], None]] = {
        "training job killed (SIGKILL)": lambda snake, job: os.kill(job, signal.SIGKILL),
        "workflow and job killed (SIGKILL)": lambda snake, job: os.killpg(snake.pid, signal.SIGKILL),
        OUTLIVED: lambda snake, job: os.kill(snake.pid, signal.SIGKILL),
        "workflow interrupted (SIGINT to all, as by Ctrl-C)": lambda snake, job: os.killpg(snake.pid, signal.SIGINT),
    }
    disturbed = working_copy(folder / "disturbed")
    rows = [_disturb(name, kill, workflow, disturbed, wanted) for name, kill in cases.items()]
    return [*rows, _moments(calm, folder / "moments", wanted)]


def _disturb(
    name: str,
    kill: Callable[[subprocess.Popen[bytes], int], None],
    workflow: list[str],
    folder: Path,
    wanted: dict[str, str],
) -> Row:
    for part in ("results", "logs", ".snakemake"):
        shutil.rmtree(folder / part, ignore_errors=True)
    checkpoint = folder / f"{RUN}.checkpoint/state.pt"
    with (folder / "first.log").open("wb") as log:
        snake = subprocess.Popen(
            workflow,
            cwd=folder,
            env=environment(folder),
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=_interruptible,
        )
        try:
            job = _until(lambda: _training(snake.pid), snake)
            _until(checkpoint.exists, snake)
            kill(snake, job)
            status = snake.wait(WAIT)
        finally:
            if snake.poll() is None:
                os.killpg(snake.pid, signal.SIGKILL)
    left = fingerprints(folder / RUN)
    half = [path for path, found in left.items() if wanted.get(path) != found]
    again = run(workflow, folder)
    _until(lambda: not _alive(job))  # a job that outlived its workflow ends by itself
    different = differences(wanted, fingerprints(folder / RUN))
    resumed = '"resumed": true' in _text(folder / RUN / "run.timing.json")
    observed = f"first exit {status}, files left {len(left)}, second exit {again.returncode}"
    observed += ", resumed" if resumed else ", from the start"
    observed += f"; different: {named(different)}" if different else ", identical"
    if again.returncode:
        observed += f": {(again.stdout + again.stderr).strip()[-1500:]}"
    went_on = resumed or name == OUTLIVED
    passed = status != 0 and not half and went_on and not again.returncode and not different
    return Row(name, EXPECTED, observed, passed)


def _interruptible() -> None:
    """Undo what a shell does to processes in its background: they ignore interrupts, and so would their children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _moments(calm: Path, folder: Path, wanted: dict[str, str]) -> Row:
    """Kill a training process at moments spread over its life, the writing of its results among them."""
    data = calm / "results/smoke/regression/data/normal"
    out, checkpoint = folder / "out", folder / "checkpoint"
    train = command("train", "--scale-file", "config/smoke.yaml", f"--set={SETTINGS}", "--experiment", "regression")
    train += ["--arm", "scpo", "--seed", "20002"]
    train += ["--data", str(data / "seed-20002.npz"), "--out", str(out), "--checkpoint", str(checkpoint)]
    folder.mkdir()
    began = time.monotonic()
    if (whole := run(train, calm)).returncode:
        raise SystemExit(f"the undisturbed training failed:\n{whole.stderr}")
    life, chance = time.monotonic() - began, random.Random(0)
    writing = wanted.keys() & fingerprints(out).keys()
    killed = half = 0
    for _ in range(MOMENTS):
        shutil.rmtree(out, ignore_errors=True)
        process = subprocess.Popen(train, cwd=calm, env=environment(calm), stderr=subprocess.DEVNULL)
        try:
            process.wait(chance.uniform(0.2, 1.0) * life)
        except subprocess.TimeoutExpired:
            process.kill()
            killed += process.wait() < 0
        half += sum(wanted.get(name) != found for name, found in _final(out).items())
    shutil.rmtree(out, ignore_errors=True)
    last = run(train, calm)
    different = [name for name in writing if fingerprints(out).get(name) != wanted[name]]
    observed = f"{killed} of {MOMENTS} killed, {half} half-written files, then exit {last.returncode}"
    observed += f"; different: {named(sorted(different))}" if different else ", identical"
    passed = killed > 0 and not half and not last.returncode and not different
    return Row("training killed at random moments (SIGKILL)", EXPECTED, observed, passed)


def _final(folder: Path) -> dict[str, str]:
    """Fingerprints of the files under their final names; a temporary file has a name that begins with a dot."""
    return {name: found for name, found in fingerprints(folder).items() if not Path(name).name.startswith(".")}


def _until(done: Callable[[], int], process: subprocess.Popen[bytes] | None = None) -> int:
    """Wait until ``done`` gives something, and return it."""
    began = time.monotonic()
    while not (found := done()):
        if process is not None and process.poll() is not None:
            raise SystemExit("the run ended before it could be killed; make it longer")
        if time.monotonic() - began > WAIT:
            raise SystemExit(f"nothing happened in {WAIT:.0f} s")
        time.sleep(0.02)
    return found


def _training(parent: int) -> int:
    """Return the training process that ``parent`` started, directly or not; 0 if there is none."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        status = _text(folder / "stat")
        if status:
            parents[int(folder.name)] = int(status.rpartition(")")[2].split()[1])
    for process in parents:
        above = process
        while above not in (0, parent):
            above = parents.get(above, 0)
        words = _text(Path("/proc") / str(process) / "cmdline").split("\0")
        if above == parent and words[1:4] == ["-m", "replication", "train"]:
            return process
    return 0


def _alive(process: int) -> bool:
    status = _text(Path(f"/proc/{process}/stat"))
    return bool(status) and status.rpartition(")")[2].split()[0] != "Z"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
