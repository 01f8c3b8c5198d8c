"""The figure of harder supervision: the loss over training, and what the projection rejects at its end."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from replication.errors import NotRunError
from replication.experiments.regression.quantities import EXPERIMENT, rejected, side_epochs
from replication.experiments.regression.read import read_settings, supervision_arms
from replication.results import frames
from replication.results.read import Run, read_arm, read_arms
from replication.typeset import parts, plots, style

LOW, HIGH = -0.3, 1.2  # of the rejected share's axis; seeds below are counted
#: Column of the evaluations -> which samples it is about.  The quantity of a run is the median over its second half.
SAMPLES = {"rejected_share": "harmful", "clean_rejected_share": "other"}
SHADES = {"harmful": style.BLUE, "other": "#9CC3DE"}
#: How far apart the two are drawn; the shares of adversarial labels are one apart.
APART = 0.4


@parts.figure(
    "regression-supervision",
    reads=["regression/scpo/*", "regression/unconstrained/*", "regression/*-adversarial-*/*"],
)
def supervision(results: Path) -> Figure:
    """Loss of SCPO and of unconstrained training for each share of adversarial labels, and what SCPO rejects."""
    families, epoch = supervision_arms(read_settings(results)), side_epochs(read_arms(results, EXPERIMENT))
    if not families:
        raise NotRunError(f"{results / 'config.json'}: the scale runs no arm of scpo or unconstrained")
    runs = {arm: read_arm(results, EXPERIMENT, arm) for arms in families.values() for arm in arms.values()}
    with style.look():
        figure = style.new_figure(style.TEXT_WIDTH, 4.0)
        above, below = np.asarray(figure.subfigures(2, 1, height_ratios=[1.0, 0.95]))
        losses = above.subplots(1, len(families), sharex=True, sharey=True, squeeze=False)[0]
        for axes, (share, arms) in zip(losses, families.items(), strict=True):
            axes.set_title(f"{100 * share:.0f} % adversarial", loc="left")
            for method, arm in arms.items():
                data = frames.evaluations(runs[arm], epoch)
                colour, label = style.COLOURS[method], style.LABELS[method]
                plots.spread(axes, data, "epoch", "clipped_loss", colour, label=label)
            axes.set_xlim(0.0, epoch)
            axes.set_xlabel("epoch")
            style.thousands(axes)
        style.log(losses[0])
        losses[0].set_ylabel("loss, clipped target")
        plots.name_last(losses, 1.2)
        shares = below.subplots()
        constrained = {share: runs[arms["scpo"]] for share, arms in families.items() if "scpo" in arms}
        if constrained:
            _rejected_panel(shares, constrained, epoch)
        style.letters([*losses, shares])
        return figure


def rejected_shares(runs: Mapping[float, tuple[Run, ...]], epoch: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rejected shares of SCPO's runs, by share of adversarial labels, as two long tables.

    Both have the columns adversarial (such as "10 %"), samples, seed and rejected.

    Returns:
        a row for each evaluation in the second half of the epochs up to ``epoch``; and a row with each seed's median.
    """
    single, medians = [], []
    for adversarial, of in runs.items():
        rows = frames.evaluations(of, epoch)
        rows = rows[rows["epoch"] > epoch / 2]
        for column, samples in SAMPLES.items():
            same = {"adversarial": f"{100 * adversarial:.0f} %", "samples": samples}
            single.append(rows[["seed"]].assign(rejected=rows[column], **same).dropna())
            found = [(run.seed, rejected(run, column, epoch)) for run in of]
            medians.append(
                pd.DataFrame(found, columns=["seed", "rejected"]).assign(**same).dropna().astype({"rejected": float})
            )
    return pd.concat(single), pd.concat(medians)


def _rejected_panel(axes: Axes, runs: Mapping[float, tuple[Run, ...]], epoch: float) -> None:
    """Draw the median of the evaluations with a bar over their middle half, and a dot for each seed's median."""
    single, medians = rejected_shares(runs, epoch)
    shared: dict[str, Any] = {"x": "adversarial", "y": "rejected", "hue": "samples", "hue_order": list(SHADES)}
    shared |= {"palette": SHADES, "ax": axes}
    bars: dict[str, Any] = {"estimator": "median", "errorbar": ("pi", 50), "err_kws": {"linewidth": 8.0, "alpha": 0.4}}
    marks: dict[str, Any] = {"linestyle": "none", "marker": "_", "markersize": 22, "markeredgewidth": 1.6}
    sns.pointplot(single, dodge=APART, legend=False, **marks, **bars, **shared)
    dots: dict[str, Any] = {"size": 3.5, "edgecolor": style.INK, "linewidth": 0.3, "alpha": 0.5, "legend": False}
    sns.stripplot(medians, dodge=True, jitter=False, zorder=3, **dots, **shared)
    for reference in (0.0, 1.0):
        axes.axhline(reference, color=style.INK, linewidth=0.6, linestyle=style.DASHED, zorder=0)
    axes.set_ylim(LOW, HIGH)
    axes.set_yticks([0.0, 0.5, 1.0])
    axes.set_xlabel("")
    axes.set_ylabel("rejected share")
    places = np.arange(len(runs))[:, None] + APART * np.array([-0.5, 0.5])
    axes.set_xticks(places.ravel(), [*SHADES] * len(runs), minor=True)
    axes.set_xticks(np.arange(len(runs)), [f"{100 * share:.0f} % adversarial" for share in runs])
    axes.tick_params(axis="x", which="major", length=0, pad=18, labelsize=9)
    axes.tick_params(axis="x", which="minor", length=3, labelsize=8)
    lower = medians[medians["rejected"] < LOW].groupby(["adversarial", "samples"]).size()
    for place, key in zip(places.ravel(), product(medians["adversarial"].unique(), SHADES), strict=False):
        if key in lower:
            look: dict[str, Any] = {"xytext": (10.0, 4.0), "textcoords": "offset points", "fontsize": 7.5}
            axes.annotate(f"{lower[key]} seed{'s' if lower[key] > 1 else ''} lower", (float(place), LOW), **look)
