"""Runs a scale seed by seed, without Snakemake: the first seed of every arm, then the second one, and so on.

Finished runs are kept, and an unfinished one has a checkpoint, so a call that was stopped goes on.  A run whose
training fails is repeated once, from its checkpoint.  If it fails again, it ends there and counts as unsafe.

With a bank (:mod:`replication.bank`) finished runs move there, and those that it holds are not run.  What grows with
the length of a run does not go with them.  So each run is judged by the referee, and certified where the scale asks for
it, as soon as it ends.

In a race arms compete on safety: settings that were unsafe once are out, and get no further seeds.  Arms of one
experiment with the same overrides have the same settings, on other data: an unsafe iterate in one ends all of them.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import runpy
import shutil
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from replication import documents, files, overwritten, scales
from replication.bank import JUDGED, Bank, Key, is_finished, is_made, runs_of
from replication.config import TUNING, Config, dump
from replication.documents import RunSummary
from replication.errors import ResultError
from replication.invalid import known
from replication.paths import REPOSITORY
from scpo.errors import ConfigurationError, ScpoError

#: the bank takes over finished runs after so many of them, and at the end
BANK_EVERY = 20
REFEREE = REPOSITORY / "workflow" / "scripts" / "referee.py"


@dataclass(frozen=True)
class Part:
    """The part of a study that is run now.

    Attributes:
        arms: experiment/arm of each; empty: all arms.
        seeds: the number of seeds of each arm, from its first on; None: all.
        replace: experiment/arm of each arm whose settings were changed on purpose: its runs of other settings leave the
            bank.
    """

    arms: tuple[str, ...] = ()
    seeds: int | None = None
    replace: tuple[str, ...] = ()

    def of(self, config: Config, wanted: Mapping[Key, str]) -> dict[Key, str]:
        """Return the runs of ``wanted`` that belong to this part.

        Raises:
            ConfigurationError: the scale has no such arm, or the number of seeds is below 1.
        """
        if self.seeds is not None and self.seeds < 1:
            raise ConfigurationError(f"--seeds {self.seeds}: expected 1 or more")
        there = {f"{key.experiment}/{key.arm}" for key in wanted}
        for option, names in (("--arms", self.arms), ("--replace", self.replace)):
            for name in names:
                if name not in there:
                    raise ConfigurationError(f"{option} {name}: the scale has no such arm{known(name, there)}")
        return {
            key: digest
            for key, digest in wanted.items()
            if (not self.arms or f"{key.experiment}/{key.arm}" in self.arms)
            and key.seed in config.section(key.experiment).arms[key.arm].seed_range[: self.seeds]
        }


def main(
    scale_file: Path,
    changes: list[str],
    results: Path,
    jobs: int,
    bank: Path | None = None,
    *,
    racing: bool = False,
    part: Part = Part(),
) -> None:
    """Run every run of the scale that is finished neither in ``results`` nor in the bank.

    Args:
        scale_file: config/<scale>.yaml.
        changes: changes of settings.
        results: results/<scale>.
        jobs: processes.
        bank: folder of the bank, if there is one.
        racing: the runs are a race.  The bank of a race, or of tuning runs, keeps their records alone.
        part: the runs that are made now, and those that may be replaced.

    Raises:
        ScpoError: the scale is unusable, a run failed, or the bank would lose runs of other settings.
    """
    config = scales.load_scale(scale_file, changes, jobs)
    wanted, out = part.of(config, runs_of(config)), set[str]()
    kept = None if bank is None else _with_room(Bank(bank, records_only=racing or config.scale in TUNING), wanted, part)
    if replaced := overwritten.warning(config, results, part.arms):
        print(replaced, file=sys.stderr, flush=True)
    judged = kept is not None and not kept.records_only
    if judged:
        _prepare(config, results)
    running, since = dict[Future[None], Key](), 0
    spawn = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    with ProcessPoolExecutor(jobs, mp_context=spawn, initializer=_end_with_parent) as pool:
        try:
            for key, digest in wanted.items():
                settings = _settings(config, key)
                if racing and settings in out:
                    continue
                banked = kept is not None and kept.holds(key, digest)
                if banked or (is_finished if kept is None else kept.takes)(results, key, digest):
                    if racing and _was_unsafe(key, results, kept if banked else None):
                        out.add(settings)
                    continue
                running[pool.submit(run, scale_file, changes, key, results, judged)] = key
                while len(running) >= jobs:
                    ended = _collect(running, results)
                    since += len(ended)
                    out |= {_settings(config, key) for key, unsafe in ended.items() if unsafe}
                if since >= BANK_EVERY:
                    _move(kept, results, wanted, part)
                    since = 0
            while running:
                _collect(running, results)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
        finally:
            _move(kept, results, wanted, part)


def _with_room(kept: Bank, wanted: Mapping[Key, str], part: Part) -> Bank:
    """Return the bank, if it would lose no run of other settings to the wanted ones."""
    kept.require_room(wanted, part.replace)
    return kept


def _end_with_parent() -> None:
    """Let this process end when its parent does, however that ends: a worker would wait for ever for its next run."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def run(scale_file: Path, changes: list[str], key: Key, results: Path, judged: bool = False) -> None:
    """Draw the data of one run and train, unless that is done; then judge and certify it if it is ``judged``.

    Raises:
        ResultError: the referee disagrees with the run's records.
    """
    from replication.training import datasets
    from replication.training.run_files import UPDATES
    from replication.training.train import run_from_files

    config = scales.load_scale(scale_file, changes)
    dataset = config.section(key.experiment).arms[key.arm].dataset
    data = results / key.experiment / "data" / dataset / f"seed-{key.seed}.npz"
    drawn_with = scales.digest(scales.for_dataset(config, key.experiment, dataset))
    if not is_made(data.with_suffix(".stamp.json"), drawn_with):
        datasets.main(config, key.experiment, dataset, key.seed, data)
    folder = results / key.folder
    log = folder.with_suffix(".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as file, contextlib.redirect_stderr(file):
        wanted = scales.digest(scales.for_arm(config, key.experiment, key.arm))
        # without the rows of its updates, which older code named otherwise, a run cannot be judged
        if not is_finished(results, key, wanted) or not (folder / UPDATES).is_file():
            (folder / JUDGED).unlink(missing_ok=True)  # it is of a run with other settings
            train = partial(run_from_files, config, key.experiment, key.arm, key.seed, data, folder)
            try:
                train(folder.with_suffix(".checkpoint"))
            except ScpoError as error:
                print(f"{type(error).__name__}: {error}; once more, from the checkpoint", file=sys.stderr)
                train(folder.with_suffix(".checkpoint"), failed=True)
        if judged:
            _judge(config, key, results)


def _prepare(config: Config, results: Path) -> None:
    """Write what the referee reads beside the runs: the settings, and the held-out starts of the double integrator."""
    from replication.experiments.double_integrator import references

    files.write_text(results / "config.json", dump(config))
    if config.double_integrator is not None:
        out = results / "double-integrator" / "references.json"
        if not is_made(out.with_suffix(".stamp.json"), files.sha256(results / "config.json")):
            references.main(results / "config.json", out)


def _judge(config: Config, key: Key, results: Path) -> None:
    """Keep policies of a finished run that are to be shown, certify those that are to be, and let the referee judge it.

    The referee's file comes last: a run that has it needs nothing more.
    """
    from replication.experiments import policies
    from replication.experiments.double_integrator import certificates

    folder, section = results / key.folder, config.section(key.experiment)
    if (key.arm, key.seed) in policies.chosen(section, key.experiment):
        saved = policies.of_run(section, key.experiment, key.arm, folder / "weights.npz")
        files.write_npz(folder / "policies.npz", **saved)
    settings = config.double_integrator
    if (
        settings is not None
        and section is settings
        and (chosen := settings.certificate) is not None
        and key.seed in settings.arms[key.arm].seed_range[: chosen.seeds]
    ):
        certificates.main(
            folder,
            folder / "certificate.json",
            cells=chosen.cells,
            cells_over_training=chosen.cells_over_training,
            iterates=chosen.iterates,
            rho=settings.for_arm(key.arm).rho,
        )
    try:
        runpy.run_path(str(REFEREE))["main"](results, folder / JUDGED, key.folder)
    except SystemExit as error:
        raise ResultError(f"{key.folder}: {error}") from error


def _move(kept: Bank | None, results: Path, wanted: Mapping[Key, str], part: Part) -> None:
    """Move the finished runs of ``wanted`` to the bank, if there is one."""
    if kept is not None:
        for key in kept.collect(results, wanted, part.replace):
            shutil.rmtree(results / key.folder)


def _settings(config: Config, key: Key) -> str:
    """Return a name of the settings of an arm, which other arms may share."""
    arm = config.section(key.experiment).arms[key.arm]
    return json.dumps([key.experiment, arm.method, arm.overrides], sort_keys=True)


def _was_unsafe(key: Key, results: Path, kept: Bank | None = None) -> bool:
    found = documents.read(results / key.folder / "run.json", RunSummary) if kept is None else kept.summary(key)
    return found.unsafe


def _collect(running: dict[Future[None], Key], results: Path) -> dict[Key, bool]:
    """Wait for runs to end, say so, and return for each whether it was unsafe."""
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    ended: dict[Key, bool] = {}
    for future in done:
        key = running.pop(future)
        future.result()
        ended[key] = _was_unsafe(key, results)
        print(f"{key.folder}: {'UNSAFE' if ended[key] else 'safe'}", file=sys.stderr, flush=True)
    return ended
