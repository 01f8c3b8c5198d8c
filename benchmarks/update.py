"""The full update at the paper's settings, by part, beside its arithmetic and beside the literal way.

``python -m benchmarks.update TASK [--literal]`` prints what it measured as JSON; with PYTHONPATH it measures another
version of the package, for a comparison of before and after.
"""

from __future__ import annotations

import argparse
import json
import statistics
from typing import Any

import numpy as np

from benchmarks import arithmetic, literal
from benchmarks.runs import TASKS, Measured, begin
from benchmarks.timing import Clock, replaced, seconds

#: updates before the measurement: an early state, and one where the projection has many active constraints
STAGES = {"regression": {"early": 20, "late": 1000}, "double-integrator": {"early": 20, "late": 400}}
ROUNDS = 80
#: updates before that, from which the size of the yardstick is taken
WARM_UP = 20
PARTS = ("gradient", "directions", "probes", "projection", "verification")


def measure(measured: Measured, rounds: int = ROUNDS) -> dict[str, Any]:
    """Return medians in seconds: of the update, of its parts, and of the parts of the yardstick, taken in turn."""
    import scpo.proposals
    import scpo.update
    from scpo.constraint import ConstraintEvaluator

    clock, size = Clock(), typical(measured)
    pieces = arithmetic.yardstick(measured, *size)

    def kind(_: object, thetas: Any) -> str:
        return "probes" if thetas.shape[0] > 1 else "verification"

    found: dict[str, list[float]] = {}
    active, projected = [], []
    with (
        replaced(scpo.update, "draw_basis", clock.part("directions", scpo.update.draw_basis)),
        replaced(scpo.proposals, "project_onto", clock.part("projection", scpo.proposals.project_onto)),
        replaced(ConstraintEvaluator, "_evaluate", clock.part(kind, ConstraintEvaluator._evaluate)),
    ):
        for work in pieces.values():
            work()
        for _ in range(rounds):
            clock.drain()
            gradient = seconds(measured.gradient)
            info: list[Any] = []
            step = seconds(lambda into=info: into.append(measured.run.method.step()))
            parts = {"gradient": gradient} | clock.drain()
            parts["other"] = gradient + step - sum(parts.values())
            for name, value in (("update", gradient + step), *parts.items()):
                found.setdefault(name, []).append(value)
            for name, work in pieces.items():
                found.setdefault(f"yardstick {name}", []).append(seconds(work))
            active.append(info[0].active)
            projected.append(info[0].projected)
    medians = {name: statistics.median(values + [0.0] * (rounds - len(values))) for name, values in found.items()}
    yardstick = medians["yardstick gradient"] + medians["yardstick evaluations"]
    return medians | {
        "yardstick": yardstick + medians["yardstick QR"],
        "yardstick with Gram": yardstick + medians["yardstick Gram"],
        "limit": arithmetic.operations(measured, *size) / arithmetic.rate(),
        "n": size[0],
        "active": float(np.mean(active)),
        "projected": float(np.mean(projected)),
    }


def typical(measured: Measured) -> tuple[int, int]:
    """Return what an update uses: its directions, and the policies that it evaluates singly (looks, the iterate)."""
    infos = [measured.update() for _ in range(WARM_UP)]
    singles = [info.looks + info.proposals for info in infos]
    return round(np.mean([info.directions for info in infos])), round(np.mean(singles))


def main() -> None:
    """Measure one task and print JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--literal", action="store_true", help="take two updates the literal way as well")
    parser.add_argument("--settings", type=json.loads, default={}, help="settings of the task as JSON")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    measured, done, result = begin(options.task, **options.settings), 0, {}
    for stage, updates in STAGES[options.task].items():
        measured.carry_on(updates - done)
        result[stage] = measure(measured, options.rounds)
        done = updates + options.rounds + WARM_UP
    if options.literal:
        result["literal"] = statistics.median(seconds(lambda: literal.update(measured)) for _ in range(2))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
