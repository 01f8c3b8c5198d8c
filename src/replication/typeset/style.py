"""One look for every figure: the report's fonts, colours that colour-blind readers can tell apart, no dates.

A colour means the same in all figures.  An arm has its colour in ``COLOURS``, most of them those of Okabe and Ito, or
in ``BASELINES``, most of them those of Tol.  No arm has ink, grey or yellow.  Ink marks what is unsafe or missed, and
draws what arms are held against: targets, limits, sets, starts, what a bound needed.  Yellow is the published figure.
Grey is the backup, what is undecided, and lines of construction.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter
from numpy.typing import ArrayLike

from replication.files import write_bytes

TEXT_WIDTH = 6.3  # inches, the report's

BLUE, GREEN, SKY = "#0072B2", "#009E73", "#2F9BD8"
VERMILION, YELLOW, PURPLE = "#D55E00", "#E69F00", "#CC79A7"
INK, GREY, SAND, OCHRE = "#222222", "#7A7A7A", "#D9CDB4", "#8F6200"
BROWN, FOREST = "#661100", "#117733"
#: cells from which a policy is proven to be safe and to reach the origin, and proven to be unsafe
CERTIFIED, REFUTED = "#A8CF9A", "#BEBEBE"
DASHED, DOTTED = (0, (4, 2)), (0, (1, 1.5))

COLOURS = {
    "scpo": BLUE,
    "scpo-verified": GREEN,
    "scpo-no-margin": SKY,
    "scpo-uniform": PURPLE,
    "unconstrained": VERMILION,
}
LABELS = {
    "scpo": "SCPO, bound only",
    "scpo-verified": "SCPO, verified",
    "scpo-no-margin": "SCPO, no tightening",
    "scpo-uniform": "SCPO, uniform inputs",
    "unconstrained": "Unconstrained",
}

#: The methods that are compared at equal rollouts: colour and line.
BASELINES: dict[str, tuple[str, Any]] = {
    "scpo": (BLUE, "-"),
    "scpo-short": (BLUE, "-"),
    "scpo-plain": (BROWN, DOTTED),
    "unconstrained": (VERMILION, "-"),
    "penalty": ("#CC6677", "-"),
    "primal-dual": ("#882255", "-"),
    "lb-sgd": ("#44AA99", "-"),
    "lb-sgd-isotropic": ("#44AA99", DASHED),
    "linearised": ("#332288", "-"),
    "linearised-verified": ("#332288", DASHED),
    "scaling": ("#999933", "-"),
    "backtracking": ("#B08D2E", DASHED),
    "filtered": (FOREST, "-"),
}

_OURS: dict[str, Any] = {
    "font.family": "cmr10",
    "mathtext.fontset": "cm",
    "axes.formatter.use_mathtext": True,
    "axes.unicode_minus": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlepad": 5,
    "font.size": 9,
    "axes.labelsize": 9,
    "axes.titlesize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    **{f"{part}.linewidth": 0.6 for part in ("axes", "patch")},
    **{f"{axis}tick.{which}.width": 0.6 for axis in "xy" for which in ("major", "minor")},
    **{f"{axis}tick.major.size": 3 for axis in "xy"},
    **{f"{axis}tick.minor.size": 1.5 for axis in "xy"},
    **{f"{axis}tick.color": INK for axis in "xy"},
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor"), INK),
    "lines.linewidth": 1.2,
    "pdf.fonttype": 42,
    "pdf.compression": 9,
    "figure.dpi": 110,
}


@contextmanager
def look() -> Iterator[None]:
    """Draw in the report's style inside this context; the global settings stay as they are."""
    theme = sns.axes_style("ticks") | sns.plotting_context("paper") | _OURS
    with mpl.rc_context(theme):
        yield


def save(figure: Figure, out: Path) -> list[Path]:
    """Write ``figure`` as PDF to ``out`` and as PNG beside it, atomically and without dates; return both paths."""
    logging.getLogger("fontTools").setLevel(logging.ERROR)  # it doubts the dates inside the Computer Modern fonts
    buffer = BytesIO()
    with look():
        figure.savefig(buffer, format="pdf", metadata={"CreationDate": None, "ModDate": None, "Creator": "scpo"})
    picture = out.with_suffix(".png")
    write_bytes(picture, png(figure, dpi=200))
    write_bytes(out, buffer.getvalue())
    return [out, picture]


def png(figure: Figure, dpi: int = 140) -> bytes:
    """Return ``figure`` as PNG, without a date."""
    buffer = BytesIO()
    with look():
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches, without an interactive backend."""
    return Figure(figsize=(width, height), layout="constrained")


def letters(axes: ArrayLike) -> None:
    """Put a, b, c ... before the left titles of the panels ``axes``, in their order."""
    for letter, panel in zip(ascii_lowercase, np.asarray(axes, dtype=object).ravel(), strict=False):
        title = panel.get_title(loc="left")
        panel.set_title(rf"$\mathbf{{{letter}}}$" + (f"  {title}" if title else ""), loc="left")


def note(axes: Axes, text: str, x: float = 0.985, y: float = 0.93, **style: object) -> None:
    """Write ``text`` inside ``axes``, at axes coordinates, on a faint ground in front of the lines."""
    options: dict[str, object] = {"ha": "right", "va": "top", "fontsize": 8, "color": INK} | style
    ground = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0}
    axes.text(x, y, text, transform=axes.transAxes, bbox=ground, **options)  # type: ignore[arg-type]


def aside(axes: Axes, text: str) -> None:
    """Write ``text`` above ``axes``, on the right."""
    axes.set_title(text, loc="right", fontsize=8, color=INK)


def symlog(axes: Axes, threshold: float, bottom: float, top: float, decades: int = 2) -> None:
    """Scale y of ``axes`` as symmetric logarithm, with a tick at 0 and at every so many ``decades``.

    Args:
        axes: the panel.
        threshold: where the scale turns linear around 0.
        bottom: lower end of the axis.
        top: upper end of the axis.
        decades: the distance between ticks, and between the threshold and the first tick.
    """
    axes.set_yscale("symlog", linthresh=threshold, linscale=0.6)
    axes.set_ylim(bottom, top)
    powers = 10.0 ** np.arange(np.log10(threshold) + decades, 1.0, decades)
    ticks = np.r_[-powers[::-1], 0.0, powers]
    axes.yaxis.set_major_locator(FixedLocator(ticks[(ticks >= bottom) & (ticks <= top)].tolist()))
    axes.yaxis.set_minor_locator(FixedLocator([]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: plain(value)))


def log(axes: Axes) -> None:
    """Scale y of ``axes`` as logarithm, with labels at powers of ten only."""
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: plain(value)))
    axes.yaxis.set_minor_formatter(NullFormatter())


def thousands(axes: Axes) -> None:
    """Write the numbers of the x axis with a thin space between thousands."""
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: spaced(f"{value:,.0f}")))


def spaced(text: str) -> str:
    """Return ``text`` with the commas between thousands as thin spaces."""
    return re.sub(r"(?<=\d),(?=\d)", r"$\\,$", text)


def plain(value: float) -> str:
    """Return the label of a tick as 10 000, 0.01 or 1e-5: an exponent above the line would be smaller than 7 pt."""
    text = f"{value:,.0f}" if 1e3 <= abs(value) < 1e7 else f"{value:g}".replace("e-0", "e-")
    return spaced(text.replace("-", "$-$"))  # the font of plain text has no minus
