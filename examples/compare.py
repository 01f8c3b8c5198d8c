"""What the examples share: the same training twice, unwrapped and wrapped, its table, its picture and its page."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

PAGES = Path(__file__).parents[1] / "docs" / "examples"
BEGIN, END = "<!-- runs -->\n", "<!-- /runs -->"
COLORS = {"unwrapped": "tab:red", "wrapped": "tab:blue"}


class Run:
    """What one training did, iterate by iterate.

    Attributes:
        name: "unwrapped" or "wrapped".
        wrapped: whether the optimiser is to be wrapped.
        updates: how many updates to take.
        objective: the objective at each iterate.
        worst: the largest constraint value at each iterate; above 0 the iterate is unsafe.
        rollouts: policies that the training itself evaluated the constraint at.
        seconds: processor time of the training, without the judge's.
    """

    def __init__(self, name: str, updates: int, judge: Callable[[Any], tuple[float, Any]]) -> None:
        self.name, self.wrapped, self.updates, self._judge = name, name == "wrapped", updates, judge
        self.objective: list[float] = []
        self.worst: list[float] = []
        self.rollouts, self.seconds, self._began = 0, 0.0, time.process_time()

    def look(self, policy: Any) -> None:
        """Judge the present iterate, with the clock stopped, and say how far the training is."""
        self.seconds += time.process_time() - self._began
        objective, values = self._judge(policy)
        self.objective.append(float(objective))
        self.worst.append(float(np.max(np.asarray(values))))
        if (done := len(self.worst)) % max(1, self.updates // 10) == 0:
            print(
                f"{self.name:9} {done:4}/{self.updates}: objective {self.objective[-1]:9.4f}, "
                f"worst g {self.worst[-1]:+.4f}, {self.unsafe} unsafe so far",
                flush=True,
            )
        self._began = time.process_time()

    @property
    def unsafe(self) -> int:
        """The number of unsafe iterates."""
        return sum(not worst <= 0 for worst in self.worst)  # NaN is unsafe


def table(runs: Sequence[Run], objective: str) -> str:
    """Return the table of the runs in Markdown."""
    lines = [f"| | {objective} | unsafe iterates | rollouts | seconds |", "|---|--:|--:|--:|--:|"]
    for run in runs:
        cells = f"{run.objective[-1]:.3g} | {run.unsafe} of {len(run.worst)} | {run.rollouts:,} | {run.seconds:.0f}"
        lines.append(f"| {run.name} | {cells} |")
    return "\n".join(lines)


def picture(runs: Sequence[Run], objective: str, constraint: str, draw: Callable[[Any], None] | None) -> Figure:
    """Return a figure: the objective and the worst constraint value at each iterate, and what ``draw`` draws."""
    panels = 2 if draw is None else 3
    figure = Figure(figsize=(3.6 * panels, 2.8), layout="constrained")
    axes = figure.subplots(1, panels)
    for run in runs:
        axes[0].plot(run.objective, color=COLORS[run.name], label=run.name)
        axes[1].plot(run.worst, color=COLORS[run.name])
    axes[1].axhspan(0.0, max(0.0, *axes[1].get_ylim()), color="0.9", zorder=0)
    axes[1].margins(y=0)
    axes[1].axhline(0.0, color="black", linewidth=0.8)
    for ax, label in zip(axes, (objective, f"{constraint} (grey: unsafe)"), strict=False):
        ax.set_xlabel("update")
        ax.set_title(label, fontsize="medium")
    axes[0].legend(frameon=False)
    if draw is not None:
        draw(axes[2])
    return figure


def fill(page: Path, text: str) -> None:
    """Put a table between the marks of a page."""
    block = f"{BEGIN}{text}\n{END}"
    new, count = re.subn(f"{BEGIN}.*?{END}", lambda _: block, page.read_text(encoding="utf-8"), flags=re.DOTALL)
    if count != 1:
        raise SystemExit(f"{page}: expected {BEGIN.strip()} and {END} once, found them {count} times")
    page.write_text(new, encoding="utf-8")


def compare(
    name: str,
    train: Callable[[Run], Any],
    judge: Callable[[Any], tuple[float, Any]],
    updates: int,
    objective: str,
    constraint: str,
    draw: Callable[[Any, dict[str, Any]], None] | None = None,
    arguments: Sequence[str] | None = None,
) -> list[Run]:
    """Train without and with the wrapper, print the table, draw the picture, and return both runs.

    Args:
        name: of the example and its page.
        train: trains, calls ``run.look(policy)`` at each iterate, and returns policy and optimiser.
        judge: policy -> objective and constraint values (k,), by the simulator.
        updates: of the full form.
        objective: what the objective is, with its better direction.
        constraint: what g is.
        draw: draws a third panel, from its axes and name of the run -> policy.
        arguments: of the command line; None: those of this process.
    """
    parser = argparse.ArgumentParser(prog=f"python -m examples.{name}")
    parser.add_argument("--updates", type=int, default=updates, help=f"updates of each training ({updates})")
    parser.add_argument("--out", type=Path, default=Path("results/examples"), help="folder of the picture")
    parser.add_argument(
        "--docs", action="store_true", help="put the table and the picture into the page of docs/examples"
    )
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)  # more are slower for small policies
    runs = [Run(kind, given.updates, judge) for kind in COLORS]
    policies = {}
    for run in runs:
        run._began = time.process_time()
        policies[run.name], optimizer = train(run)
        run.rollouts = optimizer.evaluate.rollouts if run.wrapped else 0
    text = table(runs, objective)
    print(f"\n{text}")
    out = PAGES if given.docs else given.out
    out.mkdir(parents=True, exist_ok=True)
    figure = picture(runs, objective, constraint, draw and (lambda ax: draw(ax, policies)))
    figure.savefig(out / f"{name}.png", dpi=90, metadata={"Software": None})
    print(f"\npicture: {out / f'{name}.png'}")
    if given.docs:
        fill(PAGES / f"{name}.md", text)
    return runs
