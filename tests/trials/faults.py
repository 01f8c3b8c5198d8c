"""Full disks and damaged files: a message that says what is wrong, nothing half-written, and a rerun that succeeds."""

from __future__ import annotations

import resource
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from .common import Options, Row, command, differences, fingerprints, run, snakemake, working_copy

EXPERIMENT, ARM, SEED = "regression", "scpo", 0
SET = "regression.schedule.epochs=8 regression.schedule.checkpoint_every=3"
FULL = 4096  # bytes that a file may have where the disk is "full"
KEPT = "exit status 2, a message that names the file; nothing half-written; a rerun gives the undisturbed files"


class Runs:
    """One small training run in a copy of the project, by the package's own commands."""

    def __init__(self, folder: Path) -> None:
        self.copy = working_copy(folder / "copy")
        self.data = folder / "data.npz"
        self.out, self.checkpoint = folder / "out", folder / "checkpoint"
        settings = ["--scale-file", "config/smoke.yaml", f"--set={SET}", "--experiment", EXPERIMENT]
        self.train = command("train", *settings, "--arm", ARM, "--seed", SEED)
        self.train += ["--data", str(self.data), "--out", str(self.out), "--checkpoint", str(self.checkpoint)]
        self.draw = command("dataset", *settings, "--dataset", "normal", "--seed", SEED, "--out", self.data)
        for step in (self.draw, self.train):
            if (done := run(step, self.copy)).returncode:
                raise SystemExit(f"the undisturbed run failed:\n{done.stderr}")
        self.wanted, self.honest_data = fingerprints(self.out), self.data.read_bytes()
        self.clear()

    def clear(self) -> None:
        """Remove what a run leaves, and give the data set back."""
        for path in (self.out, self.checkpoint):
            shutil.rmtree(path, ignore_errors=True)
            path.unlink(missing_ok=True)
        self.data.write_bytes(self.honest_data)

    def go(self, *, full: bool = False, checkpoints: bool = True) -> subprocess.CompletedProcess[str]:
        """Train; ``full``: every file that grows beyond a few kilobytes fails as on a full disk."""
        return run(self.train if checkpoints else self.train[:-2], self.copy, preexec_fn=_fill if full else None)

    def half_written(self) -> list[str]:
        """Return files of a run that are there and are not what the undisturbed run wrote."""
        found = fingerprints(self.out) if self.out.is_dir() else {}
        return [name for name, sum_ in found.items() if self.wanted.get(name) != sum_]


def main(folder: Path, options: Options) -> list[Row]:
    """Break one thing at a time."""
    runs = Runs(folder)
    return [
        _refused(runs, "disk full while results are written", lambda: runs.go(full=True, checkpoints=False), "out/"),
        _refused(runs, "disk full while a checkpoint is written", lambda: runs.go(full=True), "state.pt"),
        _refused(runs, "a file where the folder for results should be", lambda: _in_the_way(runs), "cannot be written"),
        _refused(runs, "data set without its end", lambda: _data(runs, lambda b: b[:-50]), "data.npz"),
        _refused(runs, "data set of no bytes", lambda: _data(runs, lambda b: b""), "data.npz"),
        _refused(runs, "data set with a changed bit", lambda: _data(runs, _flip), "data.npz"),
        _refused(runs, "another archive in the data set's place", lambda: _weights_as_data(runs), "data.npz"),
        _resumed(runs),
        _restarted(runs, "checkpoint without its end", lambda content: content[:-200]),
        _restarted(runs, "checkpoint of no bytes", lambda content: b""),
        _restarted(runs, "checkpoint with its middle overwritten", _overwrite),
        _workflow(runs),
    ]


def _refused(runs: Runs, name: str, break_it: Callable[[], subprocess.CompletedProcess[str]], said: str) -> Row:
    runs.clear()
    broken = break_it()
    lines = broken.stderr.strip().splitlines()
    last = lines[-1] if lines else ""
    typed = broken.returncode == 2 and "ResultError" in last and said in last
    half, temporary = runs.half_written(), _temporary(runs)
    if runs.out.is_file():
        runs.out.unlink()
    runs.data.write_bytes(runs.honest_data)
    again = runs.go()
    same = not again.returncode and not differences(runs.wanted, fingerprints(runs.out))
    observed = f"exit {broken.returncode}, {'typed message' if typed else f'said: {last}'}"
    observed += f", {len(half) + len(temporary)} half-written, rerun {'identical' if same else 'DIFFERENT'}"
    return Row(name, KEPT, observed, typed and not half and not temporary and same)


def _resumed(runs: Runs) -> Row:
    """The control of the next rows: a checkpoint that is whole is used."""
    runs.clear()
    _in_the_way(runs)
    runs.out.unlink()
    again = runs.go()
    told = "resumed after update" in again.stderr
    same = not again.returncode and not differences(runs.wanted, fingerprints(runs.out))
    observed = (
        f"exit {again.returncode}, {'resumed' if told else 'NOT resumed'}, {'identical' if same else 'DIFFERENT'}"
    )
    return Row("checkpoint that is whole", "resumed, the undisturbed files", observed, told and same)


def _restarted(runs: Runs, name: str, damage: Callable[[bytes], bytes]) -> Row:
    runs.clear()
    _in_the_way(runs)  # ends with an error, and its last checkpoint stays
    runs.out.unlink()
    state = runs.checkpoint / "state.pt"
    state.write_bytes(damage(state.read_bytes()))
    again = runs.go()
    told = "damaged checkpoint" in again.stderr
    same = not again.returncode and not differences(runs.wanted, fingerprints(runs.out))
    observed = f"exit {again.returncode}, {'told' if told else 'NOT told'}, {'identical' if same else 'DIFFERENT'}"
    return Row(name, "told, started anew, the undisturbed files", observed, told and same)


def _workflow(runs: Runs) -> Row:
    """The disk is full under the whole workflow, and then it is not."""
    command = snakemake(f"results/smoke/{EXPERIMENT}/{ARM}/seed-{SEED}/run.json", settings=SET)
    broken = run(command, runs.copy, preexec_fn=_fill)
    folder = runs.copy / f"results/smoke/{EXPERIMENT}/{ARM}/seed-{SEED}"
    left = [name for name in runs.wanted if (folder / name).exists()]
    again = run(command, runs.copy)
    different = differences(runs.wanted, fingerprints(folder))
    observed = f"exit {broken.returncode}, results left {len(left)}, rerun exit {again.returncode}"
    observed += f", {'identical' if not different else 'DIFFERENT'}"
    expected = "fails; no result is left; the same command then gives the undisturbed files"
    passed = broken.returncode != 0 and not left and not again.returncode and not different
    return Row("disk full under the whole workflow", expected, observed, passed)


def _fill() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (FULL, FULL))


def _in_the_way(runs: Runs) -> subprocess.CompletedProcess[str]:
    runs.out.write_text("not a folder")
    return runs.go()


def _data(runs: Runs, damage: Callable[[bytes], bytes]) -> subprocess.CompletedProcess[str]:
    runs.data.write_bytes(damage(runs.honest_data))
    return runs.go()


def _weights_as_data(runs: Runs) -> subprocess.CompletedProcess[str]:
    runs.go()
    content = (runs.out / "weights.npz").read_bytes()
    runs.clear()
    return _data(runs, lambda honest: content)


def _flip(content: bytes) -> bytes:
    place = len(content) // 3
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def _overwrite(content: bytes) -> bytes:
    third = len(content) // 3
    return content[:third] + bytes(third) + content[2 * third :]


def _temporary(runs: Runs) -> list[Path]:
    return [path for folder in (runs.out, runs.checkpoint) if folder.is_dir() for path in folder.glob(".*")]
