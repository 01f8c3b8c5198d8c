"""Tables of the study as a whole: how safe the headline runs were, and what was fixed before them."""

from __future__ import annotations

from pathlib import Path

from replication.experiments.shown import shown
from replication.results import quantities
from replication.results.quantities import SAFETY, Table
from replication.results.read import read_config, read_planned, read_referee
from replication.study import preregistration
from replication.study.preregistration import Entry
from replication.typeset import latex, parts
from replication.typeset.latex import RULE, Row

#: What the report calls the runs -> experiment and arm.
ARMS = {
    "regression": ("regression", "scpo"),
    "double integrator, cooperative": ("double-integrator", "scpo-cooperative"),
    "double integrator, mixed": ("double-integrator", "scpo-mixed"),
    "double integrator, hostile": ("double-integrator", "scpo-hostile"),
}
HEAD: list[Row] = [
    ["", "", "", "runs with an", "their share", "unsafe", "worst", "misses near", "largest"],
    ["", "runs", "updates", "unsafe iterate", "is at most", "iterates", r"raw \(g\)", "the limit", "miss"],
]
#: Columns after the runs: quantity, statistic over the seeds, digits.
COLUMNS: tuple[tuple[str, str, int | None], ...] = (
    ("updates", "sum", None),
    ("unsafe-iterates", "nonzero", None),
    ("unsafe-iterates", "upper-bound", None),
    ("unsafe-iterates", "sum", None),
    ("worst-g", "max", None),
    ("near-miss-share", "mean", None),
    ("worst-miss", "max", 2),
)


@parts.table("headline")
def headline(results: Path) -> str:
    """Unsafe iterates, with the bound on the share of runs that have one, and bound misses of the headline runs."""
    table, planned, config = quantities.read(results), read_planned(results), read_config(results)
    rows: list[Row | str] = []
    for name, (experiment, arm) in ARMS.items():
        section = config.experiments.get(experiment)
        if section is None or arm not in section.arms:
            continue
        runs = shown(table, experiment, arm, "updates", "seeds")
        wanted = None if planned is None else planned[f"{experiment}/{arm}"]
        if wanted not in (None, section.arms[arm].seeds):
            runs = f"{runs} of {wanted}"
        rows.append([name, runs, *_cells(table, experiment, arm)])
    return latex.booktabs("lrrrrrrrr", HEAD, rows or [RULE])


@parts.table("unsafe")
def unsafe(results: Path) -> str:
    """Every unsafe iterate of the headline runs, with the constraint that was violated and the miss of its bound."""
    names = {where: name for name, where in ARMS.items()}
    rows: list[Row] = [
        [
            names[arm.experiment, arm.arm],
            str(one.seed),
            latex.count(one.update),
            str(one.constraint + 1),
            latex.formatted(one.g, SAFETY),
            latex.DASH if one.miss is None else latex.formatted(one.miss, SAFETY),
        ]
        for arm in read_referee(results).arms
        if (arm.experiment, arm.arm) in names
        for one in arm.unsafe
    ]
    head = [["runs", "seed", "update", "constraint", r"\(g_i\)", r"\(g_i-U_i\)"]]
    return latex.booktabs("lrrrrr", head, rows or [["none", *[""] * 5]])


@parts.table("frozen")
def frozen(results: Path) -> str:
    """When settings and claims were fixed, and each change after that with its reason."""
    entries = preregistration.entries()
    before = [None, *entries]
    rows: list[Row] = []
    for one, last in zip(entries, before, strict=False):
        what = "settings and claims fixed" if last is None else _changed(last, one)
        rows.append([one.on.isoformat(), what, latex.escaped(one.reason)])
    return latex.booktabs(["l", "l", latex.paragraph(0.62)], [["day", "what", "reason"]], rows)


def _changed(before: Entry, after: Entry) -> str:
    changed = [name for name in ("settings", "claims") if getattr(before, name) != getattr(after, name)]
    return f"{' and '.join(changed)} changed"


def _cells(table: Table, experiment: str, arm: str) -> list[str]:
    return [shown(table, experiment, arm, *column) for column in COLUMNS]
