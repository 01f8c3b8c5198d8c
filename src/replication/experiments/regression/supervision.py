"""The figure of harder supervision: loss against the clean target, and what the projection rejects, over training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from replication.experiments.regression.side_experiments import EXPERIMENT, read_settings, supervision_arms, until
from replication.results.read import Run, read_arm
from replication.typeset import parts, style

LOW, HIGH = -0.25, 1.25  # of the rejected share's axis; what lies beyond is drawn at its edge
SHARES = {
    "rejected_share": ("harmful samples", style.PURPLE),
    "clean_rejected_share": ("other samples", style.GREEN),
}


@parts.figure("regression-supervision")
def supervision(results: Path) -> Figure:
    """A column for each share of adversarial labels: loss of SCPO and unconstrained, shares that SCPO rejects."""
    families = supervision_arms(read_settings(results))
    runs = {arm: read_arm(results, EXPERIMENT, arm) for arms in families.values() for arm in arms.values()}
    epoch = until(runs)
    with style.look():
        figure = style.new_figure(style.TEXT_WIDTH, 3.6)
        grid = figure.subplots(2, len(families), sharex=True, sharey="row", squeeze=False)
        for column, (share, arms) in enumerate(families.items()):
            loss, rejected = grid[:, column]
            loss.set_title(f"{100 * share:.0f} % adversarial", pad=8)
            for method, arm in arms.items():
                _seeds(loss, runs[arm], "clipped_loss", epoch, style.LABELS[method], style.COLOURS[method])
            style.log(loss)
            for reference in (0.0, 1.0):
                rejected.axhline(reference, color=style.INK, linewidth=0.6, linestyle=(0, (5, 3)))
            if "scpo" in arms:
                for name, (label, colour) in SHARES.items():
                    _shares(rejected, runs[arms["scpo"]], name, epoch, label, colour)
            rejected.set_ylim(LOW, HIGH)
            rejected.set_xlim(0.0, epoch)
            rejected.set_xlabel("epoch")
            style.thousands(rejected)
            for axes in (loss, rejected):
                style.tidy(axes)
        grid[0, 0].set_ylabel("loss, clipped target")
        grid[1, 0].set_ylabel("rejected share")
        figure.legend(*grid[0, 0].get_legend_handles_labels(), ncols=2, loc="outside upper center")
        figure.legend(*grid[1, 0].get_legend_handles_labels(), ncols=2, loc="outside lower center")
        figure.align_ylabels(grid[:, 0])
        return figure


def _seeds(axes: Axes, runs: Sequence[Run], metric: str, epoch: float, label: str, colour: str) -> None:
    curves = []
    for run in runs:
        rows = run.evaluations[run.evaluations["epoch"] <= epoch]
        axes.plot(rows["epoch"], rows[metric], color=colour, linewidth=0.5, alpha=0.35)
        curves.append(rows[metric].to_numpy())
    axes.plot(rows["epoch"], np.median(curves, axis=0), color=colour, linewidth=1.3, label=label)


def _shares(axes: Axes, runs: Sequence[Run], name: str, epoch: float, label: str, colour: str) -> None:
    """Draw each seed's shares as points and their median over seeds as a line."""
    rows = [run.evaluations[run.evaluations["epoch"] <= epoch] for run in runs]
    found = np.clip([of[name].to_numpy() for of in rows], LOW, HIGH)
    for shares in found:
        axes.plot(rows[0]["epoch"], shares, ".", color=colour, markersize=1.5, alpha=0.35, clip_on=False)
    known = np.isfinite(found).any(axis=0)
    axes.plot(rows[0]["epoch"][known], np.nanmedian(found[:, known], axis=0), color=colour, linewidth=1.2, label=label)
