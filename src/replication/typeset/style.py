"""One look for every figure: vector PDF, the report's fonts, a palette that colour-blind readers can tell apart.

Colours are those of Okabe and Ito.  Files carry no dates, so that equal results give equal bytes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from replication.files import write_bytes

TEXT_WIDTH = 6.3  # inches, the report's

BLUE, GREEN, SKY = "#0072B2", "#009E73", "#56B4E9"
VERMILION, ORANGE, PURPLE = "#D55E00", "#E69F00", "#CC79A7"
INK, GREY, SAND, OCHRE = "#222222", "#7A7A7A", "#D9CDB4", "#8F6200"

COLOURS = {
    "scpo": BLUE,
    "scpo-verified": GREEN,
    "scpo-no-margin": SKY,
    "scpo-curvature": OCHRE,
    "scpo-uniform": PURPLE,
    "unconstrained": VERMILION,
    "unconstrained-uniform": ORANGE,
}
LABELS = {
    "scpo": "SCPO, bound only",
    "scpo-verified": "SCPO, verified",
    "scpo-no-margin": "SCPO, no margin",
    "scpo-curvature": "SCPO, no kink constants",
    "scpo-uniform": "SCPO, uniform inputs",
    "unconstrained": "Unconstrained",
    "unconstrained-uniform": "Unconstrained, uniform inputs",
}

_RC: dict[Any, Any] = {
    "font.family": "cmr10",
    "mathtext.fontset": "cm",
    "axes.formatter.use_mathtext": True,
    "axes.unicode_minus": False,
    "font.size": 9,
    "axes.labelsize": 9,
    "axes.titlesize": 10,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.axisbelow": True,
    "axes.linewidth": 0.6,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "lines.linewidth": 1.2,
    "lines.solid_capstyle": "round",
    "lines.solid_joinstyle": "round",
    "patch.edgecolor": "white",
    "patch.force_edgecolor": True,
    "pdf.fonttype": 42,
    "pdf.compression": 9,
    "savefig.dpi": 200,
    "figure.dpi": 110,
}


@contextmanager
def look() -> Iterator[None]:
    """Draw in the report's style inside this context; the global settings stay as they are."""
    with mpl.rc_context(_RC):
        yield


def save(figure: Figure, out: Path) -> None:
    """Write ``figure`` as PDF to ``out``, atomically and without dates."""
    logging.getLogger("fontTools").setLevel(logging.ERROR)  # it doubts the dates inside the Computer Modern fonts
    buffer = BytesIO()
    with mpl.rc_context(_RC):
        figure.savefig(buffer, format="pdf", metadata={"CreationDate": None, "ModDate": None, "Creator": "scpo"})
    write_bytes(out, buffer.getvalue())


def png(figure: Figure, dpi: int = 110) -> bytes:
    """Return ``figure`` as PNG, for a notebook."""
    buffer = BytesIO()
    with mpl.rc_context(_RC):
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure (inches) that no interactive backend knows of."""
    return Figure(figsize=(width, height), layout="constrained")


def tidy(axes: Axes) -> None:
    """Remove the box's upper and right line."""
    axes.spines[["top", "right"]].set_visible(False)


def note(axes: Axes, text: str, x: float = 0.985, y: float = 0.93, **style: object) -> None:
    """Write ``text`` inside ``axes``, placed in axes coordinates, on a faint ground so that lines stay behind it."""
    options: dict[str, object] = {"ha": "right", "va": "top", "fontsize": 8, "color": INK} | style
    ground = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0}
    axes.text(x, y, text, transform=axes.transAxes, bbox=ground, **options)  # type: ignore[arg-type]


def symlog(axes: Axes, threshold: float, top: float, bottom: float) -> None:
    """Scale y of ``axes`` as symlog with sparse ticks; ``threshold`` is where it turns linear."""
    axes.set_yscale("symlog", linthresh=threshold, linscale=0.6)
    axes.set_ylim(bottom, top)
    powers = 10.0 ** np.arange(np.log10(threshold) + 2.0, 1.0, 2.0)
    ticks = np.r_[-powers[::-1], 0.0, powers]
    axes.yaxis.set_major_locator(FixedLocator(ticks[(ticks >= bottom) & (ticks <= top)].tolist()))
    axes.yaxis.set_minor_locator(FixedLocator([]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _power(value)))


def aside(axes: Axes, text: str) -> None:
    """Write ``text`` above ``axes``, on the right, where it hides nothing."""
    axes.set_title(text, loc="right", fontsize=8, color=INK, pad=4)


def log(axes: Axes) -> None:
    """Scale y of ``axes`` as log, with labels at powers of ten only."""
    axes.set_yscale("log")
    axes.yaxis.set_minor_formatter(NullFormatter())


def thousands(axes: Axes) -> None:
    """Write the numbers of the x axis with a thin space between thousands."""
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: spaced(f"{value:,.0f}")))


def spaced(text: str) -> str:
    """Return ``text`` with the commas between thousands as thin spaces."""
    return text.replace(",", r"$\,$")


def _power(value: float) -> str:
    if value == 0.0:
        return "$0$"
    sign = "-" if value < 0 else ""
    return f"${sign}10^{{{round(np.log10(abs(value)))}}}$"
