"""How the loss of the regression changes along the steps that are taken: what a shorter step would have gained.

Runs at the paper's settings on tuning seeds, on the bound alone and without tightening, with and without the look.
After the first updates the loss on all training samples is measured at parts of each step.
``python -m benchmarks.along_the_step [updates] [seeds]`` prints a Markdown table (docs/method/estimates.md shows one).
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch

from replication import tasks
from replication.config import load
from replication.seeds import FIRST_TUNING_SEED, numpy_stream
from replication.training import build, process, train
from scpo.parameters import ParameterVector

EXPERIMENT, ARM = "regression", "scpo"
PARTS = (0.25, 0.5, 0.75, 1.0)
#: updates at the beginning that are left out
SKIPPED = 200


def changes_along(look: bool, seed: int, updates: int) -> tuple[np.ndarray, np.ndarray]:
    """Return of each update whether a bound was missed (n,), and the change of the loss at parts of its step (n, 4)."""
    scpo: dict[str, Any] = {"tightening": 0.0} | ({} if look else {"look": None})
    config = load("config/paper.yaml", {EXPERIMENT: {"scpo": scpo}})
    section = config.section(EXPERIMENT).for_arm(ARM)
    dataset = config.section(EXPERIMENT).arms[ARM].dataset
    stream = numpy_stream(config.base_seed, f"{EXPERIMENT}/data", seed)
    problem = build.build_task(EXPERIMENT, section, tasks.module_of(EXPERIMENT).generate_data(section, dataset, stream))
    run = train.start(config, section, EXPERIMENT, ARM, seed, problem)
    vector, everything = ParameterVector(run.policy, run.policy.parameters()), (problem.inputs, problem.labels)

    @torch.no_grad()
    def loss_at(theta: torch.Tensor) -> float:
        vector.write(theta)
        return float(problem.loss(run.policy, everything))

    missed, changes = [], []
    for update in range(updates):
        run.method.zero_grad()
        problem.loss(run.policy, problem.sample_batch(section.schedule.batch_size, run.batches)).backward()
        before = vector.read()
        info = run.method.step()
        after = vector.read()
        if update >= SKIPPED:
            start = loss_at(before)
            changes.append([loss_at(before + part * (after - before)) - start for part in PARTS])
            missed.append(info.bound_misses > 0)
            vector.write(after)
    return np.array(missed), np.array(changes)


def main() -> None:
    """Print the table."""
    updates, seeds = (int(value) for value in (sys.argv[1:3] + ["1200", "3"][len(sys.argv) - 1 :]))
    process.prepare()
    print("| method | updates | mean change of the loss at 1/4 of the step | 1/2 | 3/4 | the step |")
    print("|---|--:|--:|--:|--:|--:|")
    for look in (False, True):
        found = [changes_along(look, FIRST_TUNING_SEED + 10_000 + seed, updates) for seed in range(seeds)]
        missed, changes = (np.concatenate(parts) for parts in zip(*found, strict=True))
        for name, chosen in (("bound kept", ~missed), ("bound missed", missed)):
            means = " | ".join(f"{1e3 * value:+.2f}e-3" for value in changes[chosen].mean(axis=0))
            print(f"| {'look' if look else 'no look'}, {name} | {int(chosen.sum()):,} | {means} |", flush=True)


if __name__ == "__main__":
    main()
