"""Runs a scale whose arms compete on safety: settings that were unsafe once are out, and get no further seeds.

The seeds are the rounds.  Arms of one experiment with the same overrides have the same settings, on other data: an
unsafe iterate in one of them ends all of them.  Finished runs are kept, so a race that was stopped goes on.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from replication import documents, scales
from replication.config import Config
from replication.documents import RunSummary


@dataclass(frozen=True)
class Entry:
    """One run of the race.

    Attributes:
        experiment, arm, seed: name the run.
        settings: names the settings of the arm, which other arms may share.
    """

    experiment: str
    arm: str
    seed: int
    settings: str

    @property
    def folder(self) -> str:
        """The folder of the run, relative to results/<scale>."""
        return f"{self.experiment}/{self.arm}/seed-{self.seed}"


def main(scale_file: Path, changes: list[str], results: Path, jobs: int, every: bool = False) -> None:
    """Run the scale in ``results``.

    Args:
        scale_file: config/<scale>.yaml.
        changes: changes of settings.
        results: results/<scale>.
        jobs: processes.
        every: settings stay in the race whatever their runs do.

    Raises:
        ScpoError: the scale is unusable, or a run failed.
    """
    config = scales.load_scale(scale_file, changes)
    out: set[str] = set()
    waiting, running = entries(config), dict[Future[None], Entry]()
    spawn = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    with ProcessPoolExecutor(jobs, mp_context=spawn) as pool:
        try:
            for entry in waiting:
                if entry.settings in out and not every:
                    continue
                if not _finished(config, entry, results):
                    running[pool.submit(run, scale_file, changes, entry, results)] = entry
                elif _was_unsafe(entry, results):
                    out.add(entry.settings)
                while len(running) >= jobs:
                    out |= _collect(running, results)
            while running:
                out |= _collect(running, results)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def entries(config: Config) -> Iterator[Entry]:
    """Yield every run of the scale: the first seed of each arm, then the second one, and so on."""
    arms = [
        (experiment, name, arm)
        for experiment, section in config.experiments.items()
        for name, arm in section.arms.items()
    ]
    for turn in range(max(arm.seeds for _, _, arm in arms)):
        for experiment, name, arm in arms:
            if turn < arm.seeds:
                settings = json.dumps([experiment, arm.method, arm.overrides], sort_keys=True)
                yield Entry(experiment, name, arm.first_seed + turn, settings)


def run(scale_file: Path, changes: list[str], entry: Entry, results: Path) -> None:
    """Draw the data of one run unless they are there, and train."""
    from replication.training import datasets
    from replication.training.train import run_from_files

    config = scales.load_scale(scale_file, changes)
    dataset = config.section(entry.experiment).arms[entry.arm].dataset
    data = results / entry.experiment / "data" / dataset / f"seed-{entry.seed}.npz"
    if not data.with_suffix(".stamp.json").exists():
        datasets.main(config, entry.experiment, dataset, entry.seed, data)
    folder = results / entry.folder
    log = folder.with_suffix(".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as file, contextlib.redirect_stderr(file):
        run_from_files(config, entry.experiment, entry.arm, entry.seed, data, folder, folder.with_suffix(".checkpoint"))


def _finished(config: Config, entry: Entry, results: Path) -> bool:
    """Return True if the run was finished with the settings of ``config``."""
    try:
        stamp = json.loads((results / entry.folder / "run.stamp.json").read_bytes())
        return bool(stamp["config_sha256"] == scales.digest(scales.for_arm(config, entry.experiment, entry.arm)))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _was_unsafe(entry: Entry, results: Path) -> bool:
    return documents.read(results / entry.folder / "run.json", RunSummary).unsafe_iterates > 0


def _collect(running: dict[Future[None], Entry], results: Path) -> set[str]:
    """Wait for a run to end, say so, and return its settings if it was unsafe."""
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    out: set[str] = set()
    for future in done:
        entry = running.pop(future)
        future.result()
        unsafe = _was_unsafe(entry, results)
        print(f"{entry.folder}: {'UNSAFE' if unsafe else 'safe'}", file=sys.stderr, flush=True)
        if unsafe:
            out.add(entry.settings)
    return out
