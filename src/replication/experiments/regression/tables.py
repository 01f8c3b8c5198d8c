"""Tables of the regression, as LaTeX: results, settings, and the side experiments.

Arms that a scale leaves out are not in the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from replication.experiments.regression.read import EXPERIMENT, METHODS, read_settings, supervision_arms
from replication.experiments.settings_table import (
    INITIAL,
    OURS,
    TUNED,
    Setting,
    method_settings,
    optimiser_settings,
    or_number,
    settings_table,
)
from replication.experiments.shown import Cells, cells, shown, shown_difference
from replication.results import quantities
from replication.tasks.regression.settings import RegressionConfig
from replication.typeset import latex, parts
from replication.typeset.latex import DASH, GAP, RULE, Row, Span

#: A row of a table with a column for each arm: what stands in the arm's cell.
Cell = Callable[[Cells], str]

RESULTS = {
    "scpo": ("SCPO", "bound", "only"),
    "scpo-verified": ("SCPO", "verified", ""),
    "scpo-uniform": ("SCPO", "uniform", "inputs"),
    "unconstrained": ("Uncon-", "strained", ""),
    "unconstrained-uniform": ("Unconstr.,", "uniform", "inputs"),
}
ACTIVATIONS = {"scpo": ("ReLU",), "scpo-tanh": ("tanh",), "scpo-softplus": ("softplus",)}
ALTERNATIVES = {
    "scpo": "SCPO",
    "scpo-no-margin": "no tightening",
    "scpo-no-buffer": "no buffer",
    "scpo-plain": "plain reading",
    "backtracking": "backtracking",
    "unconstrained": "unconstrained",
}
COVERAGE = ["scpo-no-margin", "scpo", "scpo-covered"]
PROVEN = {
    "scpo-proven": ("SCPO", r"proven \(L\)"),
    "scpo-small": ("SCPO", r"estimated \(L\)"),
    "unconstrained-small": ("Uncon-", "strained"),
}


def of(quantity: str, statistic: str, digits: int | None = None) -> Cell:
    """Return the function that makes a cell with a statistic of a quantity, or a dash if the arm has no value."""
    return lambda arm: arm.cell(quantity, statistic, digits)


def small(quantity: str, statistic: str, digits: int | None = None) -> Cell:
    """Return the function that makes the same cell in small print."""
    return lambda arm: arm.small(quantity, statistic, digits)


def median_and_range(quantity: str) -> Cell:
    """Return the function that makes a cell with the median and the range over the seeds."""
    return lambda arm: arm.median_and_range(quantity)


def by_arm(
    arms: Mapping[str, Cells], head: Sequence[Sequence[str]], rows: Sequence[tuple[str, Cell] | str], label: str = ""
) -> str:
    """Return a table with a column for each arm.

    Args:
        arms: the cells of each arm.
        head: the lines of the heading, each with a text for every arm.
        rows: label and cell of each row, or a line without cells.
        label: the heading of the column of labels.
    """
    lines = [[label if position == 0 else "", *line] for position, line in enumerate(head)]
    body = [row if isinstance(row, str) else [row[0], *(row[1](arm) for arm in arms.values())] for row in rows]
    return latex.booktabs("l" + "r" * len(arms), lines, body)


def headings(arms: Mapping[str, Cells], names: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Return the lines of a heading; the name of each arm is a column of short lines."""
    return [list(line) for line in zip(*(names[arm] for arm in arms), strict=True)]


@parts.table("regression-results")
def regression_results(results: Path) -> str:
    """Loss and safety of every arm: the median over seeds with the range below it, and counts summed over seeds."""
    arms = cells(results, EXPERIMENT, list(RESULTS))
    return by_arm(
        arms,
        headings(arms, RESULTS),
        [
            ("seeds", of("updates", "seeds")),
            ("updates, all seeds", of("updates", "sum")),
            GAP,
            ("loss, fresh inputs", of("fresh-loss", "median")),
            ("", small("fresh-loss", "range")),
            ("loss, clipped target", of("clipped-loss", "median")),
            ("", small("clipped-loss", "range")),
            ("loss, uniform grid", of("uniform-loss", "median")),
            ("", small("uniform-loss", "range")),
            ("KKT residual, final", of("kkt-residual", "median")),
            GAP,
            ("unsafe iterates", of("unsafe-iterates", "sum")),
            (r"worst raw \(g\), iterates", of("worst-g", "max")),
            ("seeds with an unsafe iterate", lambda arm: arm.unsafe_seeds),
            ("", small("unsafe-iterates", "share-interval")),
            (r"worst raw \(g\), held out", of("heldout-worst-g", "max")),
            ("updates with a bound miss", of("bound-misses", "sum")),
            (r"largest miss \(g-U\)", of("worst-miss", "max", 2)),
            ("unsafe proposals", of("unsafe-proposals", "sum")),
            ("unsafe probes", of("unsafe-probes", "sum")),
            ("rollouts, all seeds", _rollouts),
        ],
    )


def _rollouts(arm: Cells) -> str:
    """Return the rollouts of a method that probes, or a dash: other methods roll out only for the records."""
    return arm.cell("rollouts", "sum") if arm.table.has(EXPERIMENT, arm.arm, "unsafe-probes") else DASH


@parts.table("regression-supervision-results")
def supervision(results: Path) -> str:
    """Loss, safety and rejected share for each share of adversarial labels, SCPO beside unconstrained."""
    families = supervision_arms(read_settings(results))
    arms = cells(results, EXPERIMENT, [arm for family in families.values() for arm in family.values()])
    head: list[Row] = [
        ["adversarial", "", "", Span(2, "loss, clipped target"), "", "", Span(2, "rejected share")],
        ["labels", "method", "seeds", "median", "range", "unsafe", r"worst raw \(g\)", "harmful", "others"],
    ]
    rows: list[Row | str] = []
    for family in families.values():
        rows += [RULE] if rows else []
        for line, (method, arm) in enumerate(family.items()):
            found = arms[arm]
            share = found.cell("adversarial-share", "max") if line == 0 else ""
            rows.append([share, METHODS[method], *_supervised(found)])
    return latex.booktabs("llrrlrrrr", head, rows)


def _supervised(arm: Cells) -> Iterator[str]:
    yield arm.cell("updates", "seeds")
    yield arm.cell("clipped-loss-at-side", "median")
    yield arm.small("clipped-loss-at-side", "range")
    yield arm.cell("unsafe-share", "mean")
    yield arm.cell("worst-g", "max", 3)
    yield arm.cell("rejected-share-at-side", "median")
    yield arm.cell("clean-rejected-share-at-side", "median")


@parts.table("regression-alternatives")
def alternatives(results: Path) -> str:
    """SCPO with one thing left out at a time, its plain reading, a line search and no constraint, at the same epoch."""
    arms = cells(results, EXPERIMENT, list(ALTERNATIVES))
    head: list[Row] = [
        ["", "", Span(2, "loss, fresh inputs"), "unsafe", "worst", "bound", "roll-", r"\(\norm z\)"],
        ["", "seeds", "median", "less SCPO's", "iterates", r"raw \(g\)", "missed", "outs", "median"],
    ]
    rows: list[Row] = []
    for arm, found in arms.items():
        rows.append([ALTERNATIVES[arm], found.cell("updates", "seeds"), *_compared(found)])
        rows.append(["", "", found.small("fresh-loss-at-side", "range"), _against_usual(found)[1], *[""] * 5])
    return latex.booktabs("lrrrrrrrr", head, rows)


def _compared(arm: Cells) -> Iterator[str]:
    yield arm.cell("fresh-loss-at-side", "median")
    yield _against_usual(arm)[0]
    yield arm.cell("unsafe-share", "mean")
    yield arm.cell("worst-g", "max", 2)
    yield arm.cell("bound-miss-share", "mean")
    yield arm.cell("rollouts-per-update", "mean")
    yield arm.cell("median-step", "median", 2)


#: Lines of the table of places: what stands in them -> the arm's quantity, or that of the experiment.
PLACES = {
    r"floor: no policy within the limits is below": "floor-normal",
    r"\(\lvert x\rvert>{tails}\), within the interval": "loss-tails",
    r"peaks beyond the limits at \(\lvert x\rvert={peak}\), \(\pm{flank}\)": "loss-peaks",
    "elsewhere in the interval": "loss-rest",
    "outside the interval": "loss-beyond",
}


@parts.table("regression-places")
def places(results: Path) -> str:
    """The final loss of SCPO by place: the floor that the limits set, and what is above it, by part of the inputs."""
    table = quantities.read(results)
    found = cells(results, EXPERIMENT, ["scpo"]).get("scpo")
    named = {"tails": "tails", "peak": "outer-peak", "flank": "flank"}
    values = {key: shown(table, EXPERIMENT, "", name) for key, name in named.items()}
    rows: list[Row | str] = []
    for line, name in PLACES.items():
        of_experiment = table.has(EXPERIMENT, "", name)
        cell = shown(table, EXPERIMENT, "", name) if of_experiment else found.cell(name, "median") if found else DASH
        rows.append([line.format(**values) if "{tails}" in line or "{peak}" in line else line, cell])
    rows += [RULE, ["loss on fresh inputs", found.cell("fresh-loss", "median") if found else DASH]]
    return latex.booktabs("lr", [["part of the loss", "median"]], rows)


@parts.table("regression-activations")
def activations(results: Path) -> str:
    """ReLU, tanh and softplus at the same epoch: loss, safety, and the constants they need."""
    arms = cells(results, EXPERIMENT, list(ACTIVATIONS))
    return by_arm(
        arms,
        headings(arms, ACTIVATIONS),
        [
            ("seeds", of("updates", "seeds")),
            ("loss, fresh inputs", median_and_range("fresh-loss-at-side")),
            ("loss, clipped target", median_and_range("clipped-loss-at-side")),
            ("updates, whole runs", of("updates", "sum")),
            ("unsafe iterates", of("unsafe-iterates", "sum")),
            ("updates with a bound miss", of("bound-miss-share", "mean")),
            (r"worst raw \(g\), iterates", of("worst-g", "max", 3)),
            (r"worst raw \(g\), held out", of("heldout-worst-g", "max", 3)),
            (r"\(L\) used, median", of("median-smoothness", "median")),
            (r"\(L\) needed, largest", of("largest-required-smoothness", "max")),
            (r"\(\norm z\), median", of("median-step", "median")),
        ],
    )


@parts.table("regression-coverage")
def coverage(results: Path) -> str:
    """Which tightening on the grid keeps the policy within the bound between its points, and what it costs in loss."""
    section, arms = read_settings(results), cells(results, EXPERIMENT, COVERAGE)
    return by_arm(
        arms,
        [[latex.setting(section.for_arm(arm).scpo.tightening) for arm in arms]],
        [
            ("seeds", of("updates", "seeds")),
            (r"worst raw \(g\), held out", of("heldout-worst-g", "max")),
            ("evaluations unsafe held out", _unsafe_evaluations),
            ("unsafe iterates on the grid", of("unsafe-iterates", "sum")),
            ("loss, fresh inputs", median_and_range("fresh-loss-at-side")),
            (r"\quad cost of the tightening", _cost_in_loss),
            ("loss, clipped target", median_and_range("clipped-loss-at-side")),
        ],
        label="tightening",
    )


def _unsafe_evaluations(arm: Cells) -> str:
    return f"{arm.cell('unsafe-evaluations', 'sum')} of {arm.cell('evaluations', 'sum')}"


def _cost_in_loss(arm: Cells) -> str:
    """Return how much larger the loss is than with the usual tightening, seed by seed."""
    median, ends = _against_usual(arm)
    return f"{median} {ends}".strip()


def _against_usual(arm: Cells) -> tuple[str, str]:
    """Return median and range of the loss minus that of the usual arm, seed by seed; a dash and "" without values."""
    usual, quantity = "scpo", "fresh-loss-at-side"
    if arm.arm == usual or not all(arm.table.has(EXPERIMENT, one, quantity) for one in (usual, arm.arm)):
        return DASH, ""
    median, ends = (
        shown_difference(arm.table, EXPERIMENT, (arm.arm, usual), quantity, statistic)
        for statistic in ("median", "range")
    )
    return median, latex.small(ends)


@parts.table("regression-proven")
def proven(results: Path) -> str:
    """The same small network on proven constants, on estimated ones and without the projection."""
    arms = cells(results, EXPERIMENT, list(PROVEN))
    return by_arm(
        arms,
        headings(arms, PROVEN),
        [
            ("seeds", of("updates", "seeds")),
            ("updates, all seeds", of("updates", "sum")),
            ("unsafe iterates", of("unsafe-iterates", "sum")),
            ("updates with a bound miss", of("bound-misses", "sum")),
            (r"worst raw \(g\), iterates", of("worst-g", "max")),
            (r"worst raw \(g\), held out", of("heldout-worst-g", "max")),
            ("loss, fresh inputs", median_and_range("fresh-loss")),
            ("loss, clipped target", median_and_range("clipped-loss")),
            (r"\(\norm p\), median", of("median-nominal-step", "median")),
            (r"\(\norm z\), median", of("median-step", "median")),
            (r"\(L\) used, median", of("median-smoothness", "median")),
            (r"\(L\) needed, largest", of("largest-required-smoothness", "max")),
        ],
    )


@parts.table("regression-settings")
def settings(results: Path) -> str:
    """The settings that were used, each with the mark of where it comes from."""
    return settings_table(_settings(read_settings(results)))


def _settings(section: RegressionConfig) -> dict[str, list[Setting]]:
    schedule, data = section.schedule, section.datasets["normal"]
    number, integer = latex.setting, latex.count
    groups: dict[str, list[Setting]] = {
        "Task": [
            (r"target \(f\)", r"\(\sin x+\sin 3x+\sin 7x\)", ("F",)),
            (r"limit of \(|\pi_\theta|\)", number(section.bound), ("F",)),
            ("constraint's grid", rf"{integer(section.grid_size)} points on \([-\pi,\pi]\)", OURS),
            ("training inputs", {"normal": r"\(x\sim\mathcal N(0,1)\)"}.get(data.inputs, data.inputs), TUNED),
            ("training samples", integer(data.size), OURS),
        ],
        "Policy": [
            ("residual on a frozen backup, last layer zero", "backup 0", ("S", "R")),
            ("hidden widths", ", ".join(integer(width) for width in section.hidden), OURS),
            ("activation", section.activation, ("F",) if section.activation == "relu" else OURS),
            ("initial weights and biases", INITIAL, OURS),
        ],
        "Training": [
            ("epochs", integer(schedule.epochs), ("F",)),
            ("updates per epoch", integer(schedule.updates_per_epoch), TUNED),
            ("batch size", integer(schedule.batch_size), OURS),
            *optimiser_settings(section.optimizer),
        ],
        "SCPO": method_settings(section.scpo),
    }
    if own := _own_settings(section):
        groups["Where arms differ"] = own
    return groups


def _own_settings(section: RegressionConfig) -> list[Setting]:
    """Return the settings that the arms of the side experiments change and that no table or section states."""
    number, integer = latex.setting, latex.count
    rows: list[Setting] = []
    if "scpo-covered" in section.arms:
        tightening = section.for_arm("scpo-covered").scpo.tightening
        rows.append(("tightening that covers the points between", number(tightening), TUNED))
    if "scpo-proven" in section.arms:
        proven = section.for_arm("scpo-proven")
        (_, optimiser, _), (_, rate, _) = optimiser_settings(proven.optimizer)
        widths = ", ".join(integer(width) for width in proven.hidden)
        rows += [
            (r"proven constants (\cref{sec:proven}): network", f"{widths}, {proven.activation}", OURS),
            (r"\quad optimiser, learning rate", f"{optimiser}, {rate}", OURS),
            (r"\quad tightening", number(proven.scpo.tightening), OURS),
            (r"\quad \(r\), on proven constants", or_number("no limit", proven.scpo.smoothness.max_radius), OURS),
        ]
    return rows
