"""Makes the explorer from the results of a scale."""

from __future__ import annotations

import json
import re
from pathlib import Path
from string import Template
from typing import Any

from plotly.offline import get_plotlyjs

from replication import files
from replication.claims import verdicts
from replication.page import double_integrator, regression, verdict_rows
from replication.page.encode import shared
from replication.provenance.stamp import stamped
from replication.results import quantities
from replication.results.quantities import Table
from replication.results.read import read_config
from replication.typeset import style

FOLDER = Path(__file__).parent
#: The scripts in the order in which they run.
SCRIPTS = ("core.js", "verdicts.js", "regression.js", "loops.js", "plane.js", "start.js")
#: Experiment -> what collects the content of its view.
VIEWS = {"regression": regression.view, "double-integrator": double_integrator.view}
#: Name in the scripts -> colour, which means the same as in every figure.
COLOURS = {
    "scpo": style.COLOURS["scpo"],
    "scpo-verified": style.COLOURS["scpo-verified"],
    "unconstrained": style.COLOURS["unconstrained"],
    "published": style.YELLOW,
    "backup": style.GREY,
    "set": style.SAND,
    "certified": style.CERTIFIED,
    "refuted": style.REFUTED,
}


def main(results: Path, out: Path) -> None:
    """Write the explorer of the finished scale in ``results`` to ``out`` (html), with a stamp beside it.

    Raises:
        ResultError: a result file is missing or damaged.
    """
    with stamped(out, results, [__name__]):
        files.write_text(out, page(collect(results)))


def collect(results: Path) -> dict[str, Any]:
    """Return the data of the page: verdicts, the views of the experiments, colours and labels.

    Raises:
        ResultError: a result file is missing or damaged.
    """
    config = read_config(results)
    found = verdicts.read(results / verdicts.NAME)
    views = {name: view(results) for name, view in VIEWS.items() if name in config.experiments}
    return {
        "scale": config.scale,
        "shipped": results.parent.name == "shipped",
        "progress": _progress(quantities.read(results)),
        "summary": verdicts.summary(found),
        "claims": verdict_rows.rows(found, config),
        "views": {name: found for name, found in views.items() if found is not None},
        "colours": COLOURS,
        "labels": style.LABELS,
    }


def _progress(table: Table) -> str:
    """Return how many of the runs that a study planned the results hold; "" if they are all that was planned."""
    finished, planned = (table.value("", "", name) for name in ("finished-runs", "planned-runs"))
    return "" if finished == planned else f"{finished:,.0f} of {planned:,.0f} planned runs are finished. "


def page(content: dict[str, Any]) -> str:
    """Return the page that shows ``content`` (from :func:`collect`)."""
    data = json.dumps(shared(files.plain(content)), separators=(",", ":"), allow_nan=False)
    scripts = [get_plotlyjs(), *map(_asset, SCRIPTS)]
    parts = {
        "style": _asset("page.css"),
        "data": data.replace("</", r"<\/"),
        "scripts": "\n".join(f"<script>{_inline(script)}</script>" for script in scripts),
    }
    return Template(_asset("page.html")).substitute(parts)


def _asset(name: str) -> str:
    return files.note(FOLDER / name).read_text(encoding="utf-8")


def _inline(script: str) -> str:
    """Return a script so that no text in it ends the element around it."""
    return re.sub(r"</(script)", r"<\\/\1", script, flags=re.IGNORECASE)
