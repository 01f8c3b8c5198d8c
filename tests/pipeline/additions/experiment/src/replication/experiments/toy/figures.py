"""The figures of the toy experiment."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from replication.results.read import read_arm
from replication.typeset import parts, style


@parts.figure("toy-curve")
def curve(results: Path) -> Figure:
    """Show the final policies of the toy experiment."""
    with style.look():
        figure = style.new_figure(style.TEXT_WIDTH, 2.0)
        axes = figure.subplots()
        for run in read_arm(results, "toy", "scpo"):
            shown = run.exhibits["curve"]
            axes.plot(shown["x"], shown["pi"])
    return figure
