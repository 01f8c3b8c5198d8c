"""What is written in a drawn figure, and where."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from replication.typeset import style

SMALLEST = 7.0  # pt, in print: figures are drawn in the size in which the report shows them
TOUCHES = 1.0  # pixel, by which the boxes of two texts may overlap


def small(figure: Figure) -> list[str]:
    """Return what is written in less than 7 pt."""
    return [text.get_text() for text in _texts(figure) if text.get_fontsize() < SMALLEST]


def overlapping(figure: Figure) -> list[tuple[str, str]]:
    """Return the pairs of texts that are written over each other."""
    with style.look():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        renderer = canvas.get_renderer()  # (the box of an annotation would hold its leader, too)
        boxes = [(text.get_text(), Text.get_window_extent(text, renderer)) for text in _texts(figure)]
    pairs = combinations([(text, box.padded(-TOUCHES)) for text, box in boxes if box.width and box.height], 2)
    return [(one, other) for (one, box), (other, beside) in pairs if box.overlaps(beside)]


def _texts(figure: Figure) -> list[Text]:
    outside = {text for axes in figure.findobj(Axes) if isinstance(axes, Axes) for text in _outside(axes)}
    found = [text for text in figure.findobj(Text) if isinstance(text, Text) and text not in outside]
    return [text for text in found if text.get_visible() and text.get_text().strip()]


def _outside(axes: Axes) -> Iterator[Text]:
    """Yield the labels of ticks beyond the ends of their axis, which are not drawn."""
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            if not low <= tick.get_loc() <= high:
                yield from (tick.label1, tick.label2)
