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
from replication.seeds import torch_stream
from replication.settings import ExperimentSettings, OptimizerConfig
from replication.tasks.base import Task
from replication.training import build, checkpoint, device, harmful_share, process
from replication.training.run import Run
from replication.training.run_files import Records, write_run
from scpo.errors import NonFiniteError, SolverError
from scpo.parameters import ParameterVector

PROGRESS_LINES = 20


def run_from_files(
    config: Config, experiment: str, arm: str, seed: int, data: Path, out: Path, checkpoint_path: Path | None = None
) -> None:
    """Train one arm with one seed on the data set in ``data`` and write the run's files to ``out``.

    Args:
        config: of the scale.
        experiment: its name.
        arm: its name.
        seed: of the run.
        data: the data set (npz).
        out: folder of the run's files.
        checkpoint_path: folder of the checkpoint, which is removed when the run is complete.

    Raises:
        ScpoError: the input is unusable, or the run cannot continue; the checkpoint stays.
    """
    process.prepare()
    began = time.perf_counter()
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
    )
    write_run(
        out,
        run.records,
        run.policy,
        problem,
        identity={
            "experiment": experiment,
            "arm": arm,
            "dataset": arm_of(settings, experiment, arm).dataset,
            "seed": seed,
        }
        | {"method": arm_of(settings, experiment, arm).method},
        settings_digest=scales.digest(settings),
        data=data,
        seconds=time.perf_counter() - began,
        resumed=resumed,
    )
    if checkpoint_path is not None:
        checkpoint.remove(checkpoint_path)


def arm_of(config: Config, experiment: str, arm: str) -> Any:
    """Return the entry of ``arm`` in the configuration."""
    return config.section(experiment).arms[arm]


def start(config: Config, section: ExperimentSettings, experiment: str, arm: str, seed: int, problem: Task) -> Run:
    """Return a run at its initial policy; the policy and the batches depend on the seed, not on the method."""
    policy = problem.initial_policy(torch_stream(config.base_seed, f"{experiment}/initialisation", seed))
    optimizer = build.build_optimizer(section.optimizer, policy)
    method = build.build_method(
        arm_of(config, experiment, arm).method,
        section,
        optimizer,
        policy,
        problem,
        build.sampling_seed(config, experiment, seed),
    )
    batches = torch_stream(config.base_seed, f"{experiment}/batches", seed)
    return Run(policy, optimizer, method, batches, Records())


def train(run: Run, problem: Task, section: ExperimentSettings, save: Callable[[], None] | None = None) -> None:
    """Train from the present state of ``run`` to the end of the schedule; ``save`` writes a checkpoint."""
    schedule = section.schedule
    per_epoch = schedule.updates_per_epoch
    total = schedule.epochs * per_epoch
    vector = ParameterVector(run.policy, run.policy.parameters())
    if run.records.updates == 0 and not run.records.rows:
        run.records.start(run.method.values)
        run.records.evaluated(0, 0.0, problem.evaluate(run.policy) | harmful_share.unknown(), vector.read())
    began, first = time.perf_counter(), run.records.updates
    for update in range(first + 1, total + 1):
        _set_learning_rate(run.optimizer, section.optimizer, update, total)
        run.method.zero_grad()
        batch = problem.sample_batch(schedule.batch_size, run.batches)
        loss = problem.loss(run.policy, batch)
        if not torch.isfinite(loss):
            raise NonFiniteError(f"update {update}: the loss is {loss.item()}; lower the learning rate")
        loss.backward()
        evaluated = update % (schedule.evaluate_every * per_epoch) == 0 or update == total
        if evaluated:
            before, directions = vector.read(), harmful_share.asked(problem, run.policy, batch)
        solved = _step(run, update, update / per_epoch, float(loss.detach()))
        if evaluated:
            after = vector.read()
            shares = harmful_share.shares(after - before, run.method.nominal, directions)
            rejected = shares if solved else harmful_share.unknown()
            run.records.evaluated(update, update / per_epoch, problem.evaluate(run.policy) | rejected, after)
        if save is not None and update % (schedule.checkpoint_every * per_epoch) == 0 and update < total:
            save()
        if update % max(1, total // PROGRESS_LINES) == 0:
            left = (time.perf_counter() - began) / (update - first) * (total - update)
            _say(
                f"update {update}/{total}  loss {float(loss.detach()):.4f}  max g {run.records.rows[-1]['max_g']:.2e}  "
                f"unsafe so far {run.records.unsafe}  about {left:.0f} s left"
            )


def _step(run: Run, update: int, epoch: float, loss: float) -> bool:
    """Take one update and record it; False where no solver solved the projection and the policy stayed."""
    try:
        info = run.method.step()
    except SolverError as error:  # everything is as before the step
        _say(f"update {update}: {error}; the policy stays")
        run.records.failed(run.method.values, update, epoch, loss)
        return False
    run.records.add(info, update, epoch, loss, run.method.unsafe_proposals)
    return True


def _set_learning_rate(optimizer: torch.optim.Optimizer, config: OptimizerConfig, update: int, total: int) -> None:
    for group in optimizer.param_groups:
        group["lr"] = config.rate((update - 1) / max(1, total - 1))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
