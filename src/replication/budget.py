"""Estimates the time that a scale will take: updates x seeds x the cost of one update, measured on this machine.

The cost is measured in processor seconds, so that other work on the machine does not change it.  The first updates of a
run are measured and stand for all of them.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from replication import scales
from replication.bank import Bank, Key
from replication.config import Config
from replication.progress.view import spoken
from replication.settings import ExperimentSettings

#: Processor seconds after which a measurement ends, and its smallest number of updates.
PATIENCE, FEWEST = 0.25, 6
#: Processor seconds of jobs that are not measured, on the machine of docs/performance.md: start and records of a
#: training process; 400 x 400 cells of a certificate; all of notebooks, planted faults, figures, tables and the PDF.
START_SECONDS, CERTIFICATE_SECONDS, REPORT_SECONDS = 3.5, 5.0, 140.0


@dataclass(frozen=True)
class Load:
    """The work of the runs of one arm.

    Attributes:
        experiment, arm: their names.
        runs: the number of seeds that are not finished yet.
        updates: the updates of one run.
        evaluations: the held-out evaluations of one run.
        most_rollouts: the number of rollouts after which a run ends; None: no limit.
    """

    experiment: str
    arm: str
    runs: int
    updates: int
    evaluations: int
    most_rollouts: int | None = None

    def limited(self, rollouts: float) -> Load:
        """Return the work of runs that end at their limit of rollouts, if an update takes this many ``rollouts``."""
        if self.most_rollouts is None or self.updates * rollouts <= self.most_rollouts:
            return self
        updates = math.ceil(self.most_rollouts / rollouts)
        return replace(self, updates=updates, evaluations=1 + self.evaluations * updates // self.updates)


@dataclass(frozen=True)
class Cost:
    """Processor seconds of one update and of one held-out evaluation, and rollouts of one update."""

    update: float
    evaluation: float
    rollouts: float = 1.0


def loads(config: Config, results: Path | None = None, bank: Path | None = None) -> list[Load]:
    """Return the work of each arm of a scale; runs whose records lie in ``results`` or in a bank are not counted."""
    found, kept = [], None if bank is None else Bank(bank)
    for experiment, section in config.experiments.items():
        for arm, chosen in section.arms.items():
            settings = section.for_arm(arm)
            schedule = settings.schedule
            digest = "" if kept is None else scales.digest(scales.for_arm(config, experiment, arm))
            left = [
                key
                for key in (Key(experiment, arm, seed) for seed in chosen.seed_range)
                if not (results is not None and (results / key.folder / "run.json").exists())
                and not (kept is not None and kept.holds(key, digest))
            ]
            evaluations = 1 + schedule.epochs // schedule.evaluate_every
            found.append(Load(experiment, arm, len(left), settings.updates, evaluations, schedule.max_rollouts))
    return found


def measure(config: Config, experiment: str, arm: str) -> Cost:
    """Return the cost of one update and of one evaluation of an arm, from the first updates of a run."""
    import numpy as np

    from replication import tasks
    from replication.training import build, device, process, train

    process.prepare()
    section = config.section(experiment).for_arm(arm).model_copy(update={"start": "backup"})  # the others take training
    dataset = config.section(experiment).arms[arm].dataset
    few = section.datasets[dataset].model_copy(update={"size": 64})
    drawn = section.model_copy(update={"datasets": {**section.datasets, dataset: few}})
    data = tasks.module_of(experiment).generate_data(drawn, dataset, np.random.default_rng(0))
    problem = device.on_device(build.build_task(experiment, section, data), config.device)
    run = train.start(config, section, experiment, arm, 0, problem)

    def update() -> None:
        run.method.zero_grad()
        problem.loss(run.policy, problem.sample_batch(section.schedule.batch_size, run.batches)).backward()
        rollouts.append(run.method.step().rollouts)

    rollouts: list[int] = []
    update()  # solvers and caches are built
    costs: list[float] = []
    while len(costs) < FEWEST or (sum(costs) < PATIENCE and len(costs) < section.schedule.updates):
        costs.append(_seconds(update))
    evaluation = _seconds(lambda: problem.evaluate(run.policy))
    return Cost(float(np.median(costs)), evaluation, max(1.0, float(np.median(np.diff(rollouts)))))


def estimate(
    config: Config,
    jobs: int,
    results: Path | None = None,
    cost: Callable[[Config, str, str], Cost] | None = None,
    bank: Path | None = None,
) -> str:
    """Return the estimate as text, for ``jobs`` processes side by side.

    Args:
        config: the scale.
        jobs: processes.
        results: folder of the scale's results; finished runs are left out.
        cost: measures one arm; :func:`measure` unless given.
        bank: folder of the scale's bank; runs that it holds are left out, and so are all jobs after the runs.
    """
    planned = loads(config, results, bank)
    rows, total, known = [("", "runs", "updates", "ms each", "CPU min")], 0.0, dict[str, Cost]()
    judged = 0.0
    for load in planned:
        if load.runs == 0:
            continue
        key = _alike(config.section(load.experiment), load)
        if key not in known:
            known[key] = (cost or measure)(config, load.experiment, load.arm)
        each = known[key]
        load = load.limited(each.rollouts)
        seconds = load.runs * (START_SECONDS + load.updates * each.update + load.evaluations * each.evaluation)
        total += seconds
        judged += load.runs * load.evaluations * each.evaluation
        counts = str(load.runs), f"{load.runs * load.updates:,d}", f"{1e3 * each.update:.2f}"
        rows.append((f"{load.experiment}, {load.arm}", *counts, f"{seconds / 60:.1f}"))
    after = (
        ("certificates", _certificate_seconds(config, planned)),
        ("referee of these runs", judged),
        ("notebooks, planted faults, figures, tables, PDF", REPORT_SECONDS),
    )
    for name, seconds in after if bank is None else ():
        total += seconds
        rows.append((name, "", "", "", f"{seconds / 60:.1f}"))
    finished = sum(arm.seeds for section in config.experiments.values() for arm in section.arms.values())
    finished -= sum(load.runs for load in planned)
    already = f" (runs finished already: {finished})" if finished else ""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        f"{row[0]:{widths[0]}}" + "".join(f"{c:>{w + 2}}" for c, w in zip(row[1:], widths[1:], strict=True))
        for row in rows
    ]
    processes = "one process" if jobs == 1 else f"{jobs} processes"
    last = f"{config.scale}: about {spoken(total / max(1, jobs))} with {processes} on idle cores{already}"
    return "\n".join([*lines, last]) + "\n"


def _certificate_seconds(config: Config, planned: Iterable[Load]) -> float:
    """Return the processor seconds of the certificates that are still to be made, in proportion to their cells."""
    settings = config.double_integrator
    if settings is None or settings.certificate is None:
        return 0.0
    chosen = settings.certificate
    runs = sum(min(load.runs, chosen.seeds) for load in planned if load.experiment == "double-integrator")
    return runs * CERTIFICATE_SECONDS * chosen.cells_in_all / 400**2


def _alike(section: ExperimentSettings, load: Load) -> str:
    """Return a key for the cost of an update.  Arms that differ only in data and length share it."""
    settings = section.for_arm(load.arm).model_dump(mode="json", exclude={"datasets", "arms", "schedule"})
    batch = section.for_arm(load.arm).schedule.batch_size
    return json.dumps([load.experiment, section.arms[load.arm].method, batch, settings], sort_keys=True)


def _seconds(work: Callable[[], object]) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before
