"""Runs of both tasks at the paper's settings, carried on to where an update is to be measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from replication import tasks
from replication.config import Config
from replication.tasks.double_integrator.settings import DoubleIntegratorConfig
from replication.tasks.regression.settings import RegressionConfig
from replication.training import build, train

try:
    from replication.training.process import prepare
except ImportError:  # an earlier version of the package, measured as it was

    def prepare() -> None:
        """Use one thread."""
        torch.set_num_threads(1)


TASKS = {"regression": "normal", "double-integrator": "mixed"}
KINDS: dict[str, type[Any]] = {"regression": RegressionConfig, "double-integrator": DoubleIntegratorConfig}
SEED = 1000  # a tuning seed: never reported elsewhere


@dataclass
class Measured:
    """A run that can be carried on update by update."""

    task: str
    settings: Any
    problem: Any
    run: Any

    def gradient(self) -> None:
        """Leave the gradient of a fresh batch in the policy."""
        self.run.method.zero_grad()
        batch = self.problem.sample_batch(self.settings.schedule.batch_size, self.run.batches)
        self.problem.loss(self.run.policy, batch).backward()

    def update(self) -> Any:
        """Take one update of the method and return what it says of it."""
        self.gradient()
        return self.run.method.step()

    def carry_on(self, updates: int) -> None:
        """Take so many updates."""
        for _ in range(updates):
            self.update()


def begin(task: str, **changes: Any) -> Measured:
    """Return a run of the bound-only method on ``task`` at its initial policy.

    Args:
        task: its name.
        changes: settings of the task; those under ``scpo`` are taken beside the defaults.
    """
    prepare()
    kind = KINDS[task]
    base = kind().model_dump()
    if "scpo" in changes:
        changes = changes | {"scpo": base["scpo"] | changes["scpo"]}
    settings = kind.model_validate(base | changes)
    name = task.replace("-", "_")
    config = Config().model_copy(update={name: settings})
    arm = "scpo" if task == "regression" else f"scpo-{TASKS[task]}"
    data = tasks.module_of(task).generate_data(settings, TASKS[task], np.random.default_rng(SEED))
    problem = build.build_task(task, settings, data)
    return Measured(task, settings, problem, train.start(config, settings, task, arm, SEED, problem))
