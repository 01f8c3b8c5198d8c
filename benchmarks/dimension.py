"""Time and memory of an update against the number of parameters d, at fixed n and k.

``python -m benchmarks.dimension WIDTH`` measures one size in a process of its own, for its memory, and prints JSON.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from typing import Any

import numpy as np
from torch.overrides import TorchFunctionMode

from benchmarks.runs import begin
from benchmarks.timing import seconds

#: widths of two hidden layers: d is about 10^3, 10^4, 10^5, 10^6
WIDTHS = (29, 97, 314, 997)
SAMPLES, GRID, BATCH = 16, 25, 16


class OutsideTorch(TorchFunctionMode):
    """Sums the processor seconds of torch's operations, the outermost of them, while it is active."""

    def __init__(self) -> None:
        super().__init__()
        self.spent = 0.0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation and add its time."""
        before = time.process_time()
        try:
            return func(*args, **(kwargs or {}))
        finally:
            self.spent += time.process_time() - before


def megabytes() -> float:
    """Return the largest memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def measure(width: int) -> dict[str, float]:
    """Return d, medians in seconds of an update and of the part of it outside torch, and memory in megabytes."""
    schedule = {"epochs": 1, "updates_per_epoch": 1, "batch_size": BATCH}
    scpo = {"directions": {"count": SAMPLES, "recycled": 4}, "tightening": 0.01}
    small = begin("regression", hidden=(4, 4), grid_size=GRID, heldout=10, schedule=schedule, scpo=scpo)
    small.carry_on(20)  # imports and solvers are there
    wide = np.ones((SAMPLES, 2**17))
    assert (wide @ wide.T > 0).all()  # and so is what BLAS takes for itself, whatever d is
    before = megabytes()
    measured = begin("regression", hidden=(width, width), grid_size=GRID, heldout=10, schedule=schedule, scpo=scpo)
    measured.carry_on(3)
    rounds = 60 if width < 200 else 15 if width < 500 else 5
    whole, outside = [], []
    for _ in range(rounds):
        whole.append(seconds(measured.update))
        with OutsideTorch() as torch_time:
            total = seconds(measured.update)
        outside.append(total - torch_time.spent)
    return {
        "d": sum(parameter.numel() for parameter in measured.run.policy.parameters()),
        "update": statistics.median(whole),
        "outside": statistics.median(outside),
        "megabytes": megabytes() - before,
    }


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))
