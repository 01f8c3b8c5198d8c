"""One training run: one arm of an experiment with one seed.  It is recorded, resumable and repeatable."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from replication import files, scales
from replication.config import Config, dump
from replication.seeds import derive, torch_stream
from replication.settings import ExperimentSettings, OptimizerConfig, ScheduleConfig
from replication.tasks.base import Task
from replication.training import build, checkpoint, device, harmful_share, nominal_check, process, starts
from replication.training.audited import Audited
from replication.training.run import Run
from replication.training.run_files import Records, write_run
from scpo.errors import NonFiniteError, ScpoError, SolverError
from scpo.optimizer import SafeOptimizer
from scpo.parameters import ParameterVector
from scpo.policies import ResidualPolicy

PROGRESS_LINES = 20


def run_from_files(
    config: Config,
    experiment: str,
    arm: str,
    seed: int,
    data: Path,
    out: Path,
    checkpoint_path: Path | None = None,
    *,
    failed: bool = False,
) -> None:
    """Train one arm with one seed on the data set in ``data`` and write the run's files to ``out``.

    Args:
        config: the configuration of the scale.
        experiment: its name.
        arm: its name.
        seed: the seed of the run.
        data: the data set (npz).
        out: folder of the run's files.
        checkpoint_path: folder of the checkpoint, which is removed when the run is complete.
        failed: the run failed before; if it does again, it ends there, and its records say so.

    Raises:
        ScpoError: the input is unusable, or the run cannot continue; the checkpoint stays.
    """
    process.prepare()
    began, busy = time.perf_counter(), time.process_time()
    settings = scales.for_arm(config, experiment, arm)
    arrays = files.read_npz(data)
    section = settings.section(experiment).for_arm(arm)
    fingerprint = hashlib.sha256(f"{dump(settings)}{experiment}/{arm}/{seed}/{files.sha256(data)}".encode()).hexdigest()
    problem = device.on_device(build.build_task(experiment, section, arrays), settings.device)
    run = start(settings, section, experiment, arm, seed, problem)
    resumed = checkpoint_path is not None and checkpoint.load(checkpoint_path, run, fingerprint)
    if resumed:
        vector = ParameterVector(run.policy, run.policy.parameters())
        problem.constraint(vector.stack(vector.read()[None]))  # a rollout, which sets the visited states
        _say(f"resumed after update {run.records.updates}")
    train(
        run,
        problem,
        section,
        save=None if checkpoint_path is None else lambda: checkpoint.save(checkpoint_path, run, fingerprint),
        failed=failed,
    )
    write_run(
        out,
        run.records,
        run.policy,
        problem,
        identity=_identity(settings, experiment, arm, seed),
        settings_digest=scales.digest(settings),
        data=data,
        seconds=time.perf_counter() - began,
        processor_seconds=time.process_time() - busy,
        resumed=resumed,
    )
    if checkpoint_path is not None:
        checkpoint.remove(checkpoint_path)


def _identity(config: Config, experiment: str, arm: str, seed: int) -> dict[str, Any]:
    chosen = arm_of(config, experiment, arm)
    run = {"experiment": experiment, "arm": arm, "dataset": chosen.dataset, "seed": seed}
    return run | {"method": chosen.method}


def arm_of(config: Config, experiment: str, arm: str) -> Any:
    """Return the entry of ``arm`` in the configuration."""
    return config.section(experiment).arms[arm]


def start(config: Config, section: ExperimentSettings, experiment: str, arm: str, seed: int, problem: Task) -> Run:
    """Return a run at its initial policy; the policy and the batches depend on the seed, not on the method."""
    policy = problem.initial_policy(torch_stream(config.base_seed, f"{experiment}/initialisation", seed))
    if section.start == "random":
        starts.randomise(policy, problem, section, torch_stream(config.base_seed, f"{experiment}/start", seed))
    elif section.start == "halfway":
        _say("training the policy to start from")
        half = starts.half(section)
        train(_bind(config, half, "scpo", policy, f"{experiment}/start", seed, problem), problem, half)
    return _bind(config, section, arm_of(config, experiment, arm).method, policy, experiment, seed, problem)


def _bind(
    config: Config,
    section: ExperimentSettings,
    method: str,
    policy: ResidualPolicy,
    axis: str,
    seed: int,
    problem: Task,
) -> Run:
    """Return a run of ``method`` from ``policy``; ``axis`` begins the names of its random streams."""
    base_seed = config.base_seed
    optimizer = build.build_optimizer(section.optimizer, policy)
    schedule, directions = section.schedule, derive(base_seed, f"{axis}/sampling", seed)
    return Run(
        policy,
        optimizer,
        build.build_method(method, section, optimizer, policy, problem, directions),
        torch_stream(base_seed, f"{axis}/batches", seed),
        Records(Audited(schedule.audited_share, schedule.updates, derive(base_seed, f"{axis}/audit", seed))),
    )


def train(
    run: Run,
    problem: Task,
    section: ExperimentSettings,
    save: Callable[[], None] | None = None,
    *,
    failed: bool = False,
) -> None:
    """Train from the present state of ``run`` to the end of the schedule; ``save`` writes a checkpoint.

    If a baseline diverges, its run ends there, and its records say so.  If SCPO diverges, this is an error, unless the
    run ``failed`` before: then it ends like that of a baseline.

    Raises:
        NonFiniteError: a loss, a gradient or a constraint value of SCPO is NaN or infinite.
    """
    schedule = section.schedule
    per_epoch, total = schedule.updates_per_epoch, schedule.updates
    vector = ParameterVector(run.policy, run.policy.parameters())
    if run.records.updates == 0 and not run.records.rows:
        run.records.start(run.method.values)
        run.records.evaluated(0, 0.0, problem.evaluate(run.policy) | _no_step(), vector.read())
    began, first = time.perf_counter(), _part(schedule, run.records)
    for update in range(run.records.updates + 1, total + 1):
        if schedule.max_rollouts is not None and run.records.rollouts >= schedule.max_rollouts:
            break
        _set_learning_rate(run.optimizer, section.optimizer, _part(schedule, run.records))
        run.method.zero_grad()
        batch = problem.sample_batch(schedule.batch_size, run.batches)
        before = vector.read()
        evaluated = update % (schedule.evaluate_every * per_epoch) == 0 or update == total
        try:
            loss = problem.loss(run.policy, batch)
            if not torch.isfinite(loss):
                raise NonFiniteError(f"update {update}: the loss is {loss.item()}; lower the learning rate")
            loss.backward()
            if evaluated:
                directions = harmful_share.asked(problem, run.policy, batch)
            solved = _step(run, vector, update, update / per_epoch, float(loss.detach()))
        except ScpoError as error:
            if not _ends(run, error, failed):
                raise
            _say(f"update {update}: {error}; the run ends at the policy before")
            vector.write(before)
            run.records.diverged = update
            break
        if evaluated:
            after = vector.read()
            shares = harmful_share.shares(after - before, run.method.nominal, directions)
            shares |= nominal_check.checked(problem, vector, before, after, run.method.nominal)
            judged = shares if solved else _no_step()
            run.records.evaluated(update, update / per_epoch, problem.evaluate(run.policy) | judged, after)
        if save is not None and update % (schedule.checkpoint_every * per_epoch) == 0 and update < total:
            save()
        if update % max(1, total // PROGRESS_LINES) == 0:
            now = _part(schedule, run.records)
            left = (time.perf_counter() - began) / (now - first) * (1.0 - now)
            _report(run.records, update, total, float(loss.detach()), left)
    if (last := run.records.updates) > run.records.evaluations[-1]["update"]:  # the run ended before its schedule
        run.records.evaluated(last, last / per_epoch, problem.evaluate(run.policy) | _no_step(), vector.read())


def _report(records: Records, update: int, total: int, loss: float, left: float) -> None:
    """Say how far a run is; it takes ``left`` seconds more."""
    _say(
        f"update {update}/{total}  loss {loss:.4f}  max g {records.rows[-1]['max_g']:.2e}  "
        f"unsafe so far {records.unsafe}  about {left:.0f} s left"
    )


def _ends(run: Run, error: ScpoError, failed: bool) -> bool:
    """Return whether an error ends a run that is then complete: a baseline diverges, or SCPO has ``failed`` before."""
    diverged = isinstance(error, NonFiniteError) and not isinstance(run.method, SafeOptimizer)
    return diverged or (failed and run.records.updates > 0)


def _no_step() -> dict[str, float]:
    """Return NaN for all columns of an evaluation that describe the step before the policy."""
    return harmful_share.unknown() | nominal_check.unknown()


def _part(schedule: ScheduleConfig, records: Records) -> float:
    """Return the share of the run that is over, by updates, or by rollouts if these are limited and further on."""
    by_updates = records.updates / max(1, schedule.updates - 1)  # the last update has the final learning rate
    by_rollouts = 0.0 if schedule.max_rollouts is None else records.rollouts / schedule.max_rollouts
    return min(1.0, max(by_updates, by_rollouts))


def _step(run: Run, vector: ParameterVector, update: int, epoch: float, loss: float) -> bool:
    """Take one update and record it.  Return False if no solver found a point, so that the policy stayed."""
    try:
        info = run.method.step()
    except SolverError as error:  # everything is as before the step
        _say(f"update {update}: {error}; the policy stays")
        run.records.failed(run.method.values, update, epoch, loss)
        return False
    run.records.add(info, update, epoch, loss, run.method.unsafe_proposals)
    run.records.audited.add(update, -info.slack, vector.read, run.method.bound, len(run.method.values))
    return True


def _set_learning_rate(optimizer: torch.optim.Optimizer, config: OptimizerConfig, part: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = config.rate(part)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
