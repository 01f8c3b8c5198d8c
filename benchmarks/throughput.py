"""Whole runs: updates a second of one process and of two side by side.

``python -m benchmarks.throughput TASK SECONDS`` is one such process; it prints its updates, elapsed and processor
seconds as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

from benchmarks.runs import TASKS, begin

#: updates before the clock starts
WARM_UP = 100


def worker(task: str, duration: float) -> dict[str, float]:
    """Take updates for ``duration`` seconds and return how many there were."""
    measured = begin(task)
    measured.carry_on(WARM_UP)
    print("ready", flush=True)
    sys.stdin.readline()  # all start at once
    began, processor, updates = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - began < duration:
        measured.update()
        updates += 1
    return {
        "updates": updates,
        "elapsed": time.perf_counter() - began,
        "processor": time.process_time() - processor,
    }


def side_by_side(task: str, processes: int, duration: float) -> list[dict[str, float]]:
    """Run so many workers at the same time and return what each did."""
    command = [sys.executable, "-m", "benchmarks.throughput", task, str(duration)]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    for process in workers:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in workers:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [json.loads(process.communicate()[0].splitlines()[-1]) for process in workers]


def measure(duration: float = 4.0, rounds: int = 2) -> list[dict[str, Any]]:
    """Return one row per task: updates a second of one process, of two together, and the efficiency of the two.

    The efficiency by elapsed time tells of the machine as it was; that by processor time leaves out the waiting for
    other work on it.
    """
    rows = []
    for task in TASKS:
        alone, together = [], []
        for _ in range(rounds):
            alone += side_by_side(task, 1, duration)
            together += side_by_side(task, 2, duration)
        row: dict[str, Any] = {"task": task}
        for by in ("elapsed", "processor"):
            one = sum(each["updates"] for each in alone) / sum(each[by] for each in alone)
            two = sum(each["updates"] for each in together) / sum(each[by] for each in together)
            row |= {f"one, {by}": one, f"two, {by}": 2 * two, f"efficiency, {by}": two / one}
        rows.append(row)
    return rows


if __name__ == "__main__":
    print(json.dumps(worker(sys.argv[1], float(sys.argv[2]))))
