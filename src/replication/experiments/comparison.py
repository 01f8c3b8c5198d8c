"""Tables and figures that compare methods, and settings of SCPO, over the same seeds; each experiment uses them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from replication.experiments import quantities
from replication.experiments.shown import Cells, cells, objective_of, shown_difference
from replication.results.read import Run, read_arm, read_arms
from replication.results.run_quantities import equal_rollouts, objective_after
from replication.typeset import latex, plots, style

#: Baselines that take SCPO's probes, by arm -> what the report calls them.
BASELINES = {
    "linearised": "linearised projection",
    "linearised-verified": "linearised, verified",
    "scaling": "scaling, no projection",
    "lb-sgd": "LB-SGD",
    "lb-sgd-isotropic": "LB-SGD, isotropic",
    "penalty": "fixed penalty",
    "primal-dual": "primal-dual",
}
#: Changes of one setting, by arm -> what the report calls them.
ABLATIONS = {
    "scpo-no-look": "no look",
    "scpo-no-look-factor-2": "no look, safety factor 2",
    "scpo-no-return": "no way back",
    "scpo-all-directions": "all directions",
    "scpo-directions-5": "5 directions at most",
    "scpo-no-recycling": "no recycling",
    "scpo-isotropic": "isotropic directions",
    "scpo-mixed-directions": "mixed directions",
    "scpo-kappa-50": r"\(\kappa = 0.5\)",
    "scpo-kappa-100": r"\(\kappa = 1\)",
    "scpo-factor-2": "safety factor 2",
    "scpo-factor-5": "safety factor 5",
    "scpo-momentum": "momentum 0.9",
    "scpo-adam": "Adam, its metric",
    "scpo-adam-euclidean": "Adam, Euclidean",
}
#: Other safe starts, by the beginning of an arm.
STARTS = {"scpo-random-start": "random safe start", "scpo-halfway-start": "start half-way"}
#: Points of a curve against rollouts.
POINTS = 100
#: The share of the seeds, in percent, that the band around a median holds.
MIDDLE = 50.0


def methods_table(results: Path, experiment: str, methods: Mapping[str, str]) -> str:
    """Return a table with a row for each method: objective, unsafe iterates and rollouts, and effort.

    Args:
        results: results/<scale>.
        experiment: its name.
        methods: arm -> name of the method; arms that the scale lacks are left out.
    """
    objective, effort = objective_of(experiment), quantities.effort(results, experiment)
    head = [
        ["", "seeds", "objective", "", "unsafe", "unsafe", "unsafe", "rollouts", "processor"],
        ["", "", "median", r"\SI{95}{\percent}", "seeds", "iterates", "rollouts", "a run", "seconds"],
    ]
    rows = [
        [
            methods[arm],
            cell.cell("updates", "seeds"),
            cell.cell(objective, "median"),
            cell.small(objective, "interval"),
            cell.cell("unsafe-iterates", "nonzero"),
            cell.cell("unsafe-iterates", "sum"),
            cell.cell("unsafe-rollouts", "sum"),
            cell.cell("rollouts", "median"),
            Cells(effort, experiment, arm).cell("processor-seconds", "median"),
        ]
        for arm, cell in cells(results, experiment, list(methods)).items()
    ]
    return latex.booktabs("lr" + "r" * (len(head[0]) - 2), head, rows)


@dataclass(frozen=True)
class Changes:
    """Arms that differ from one of their experiment in one thing each.

    Attributes:
        reference: the arm without a change.
        name: what the report calls it.
        arms: arm -> its change, in words.
    """

    reference: str
    name: str
    arms: Mapping[str, str]


def ablations_table(results: Path, experiment: str, groups: Sequence[Changes]) -> str:
    """Return a table with a row for each change, paired by seed with the runs without it.

    Args:
        results: results/<scale>.
        experiment: its name.
        groups: the changes; arms that the scale lacks are left out.
    """
    head = [
        ["", "objective,", "difference", "", "unsafe", "worst", "bound", "rollouts"],
        ["", "median", "median", r"\SI{95}{\percent}", "seeds", r"\(g\)", "misses", "an update"],
    ]
    rows: list[latex.Row | str] = []
    for group in groups:
        rows += [latex.RULE] if rows else []
        rows += _changed(results, experiment, group)
    return latex.booktabs("l" + "r" * (len(head[0]) - 1), head, rows)


def _changed(results: Path, experiment: str, group: Changes) -> list[latex.Row]:
    objective = objective_of(experiment)
    found = cells(results, experiment, [group.reference, *group.arms])
    rows: list[latex.Row] = []
    for arm, cell in found.items():
        difference, interval = latex.DASH, latex.DASH
        if arm != group.reference and group.reference in found:
            pair = (arm, group.reference)
            difference = shown_difference(cell.table, experiment, pair, objective, "median")
            interval = latex.small(shown_difference(cell.table, experiment, pair, objective, "interval"))
        rows.append(
            [
                group.arms.get(arm, group.name),
                cell.cell(objective, "median"),
                difference,
                interval,
                cell.unsafe_seeds,
                cell.cell("worst-g", "max"),
                cell.cell("bound-miss-share", "median"),
                cell.cell("rollouts-per-update", "median"),
            ]
        )
    return rows


def rollouts_figure(
    results: Path, experiment: str, methods: Mapping[str, str], suffix: str, label: str, *, logarithmic: bool = False
) -> Figure:
    """Return the held-out objective against the rollouts spent: medians over seeds, and the middle half of the seeds.

    A run that has ended keeps its last objective.

    Args:
        results: results/<scale>.
        experiment: its name.
        methods: arm -> name of the method; arms that the scale lacks are left out.
        suffix: the end of the arms' names, on which the colours do not depend.
        label: the label of the objective's axis.
        logarithmic: whether that axis is.
    """
    with style.look():
        figure = style.new_figure(style.TEXT_WIDTH, 3.4)
        axes = figure.subplots()
        settings = read_arms(results, experiment)
        runs = {arm: read_arm(results, experiment, arm) for arm in methods if arm in settings}
        # those that all methods have; one that takes more is cut off
        most = equal_rollouts(settings) or max(run.summary.rollouts for of in runs.values() for run in of)
        ends: dict[str, tuple[float, str]] = {}
        for arm, of in runs.items():
            colour, line = style.BASELINES[arm.removesuffix(suffix)]
            data = _against_rollouts(of, most)
            plots.spread(axes, data, "rollouts", "objective", colour, percent=MIDDLE, linestyle=line)
            ends[methods[arm]] = float(data.loc[data["rollouts"] == most, "objective"].median()), colour
        if logarithmic:
            style.log(axes)
        axes.set_xlim(0.0, most)
        axes.set_xlabel("rollouts, probes counted")
        axes.set_ylabel(label)
        style.thousands(axes)
        plots.name_lines(axes, ends, 2.7)
        return figure


def _against_rollouts(runs: Sequence[Run], most: float) -> pd.DataFrame:
    """Return the objective of runs at evenly spaced numbers of rollouts up to ``most``: rollouts, objective, seed."""
    rollouts = np.linspace(0.0, most, POINTS)
    parts = [
        pd.DataFrame({"seed": run.seed, "rollouts": rollouts, "objective": objective_after(run, rollouts)})
        for run in runs
    ]
    return pd.concat(parts, ignore_index=True)
