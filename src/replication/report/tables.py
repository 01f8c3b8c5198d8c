"""Tables of the report, as LaTeX (booktabs, siunitx)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from replication.results.read import Run
from replication.results.summaries import read_referee
from replication.settings import OptimizerConfig, ScpoConfig, SmoothnessSettings
from replication.typeset import numbers, parts

Mark = Literal["S", "F", "R", "Cal"]
OURS: tuple[Mark, ...] = ("R",)
#: chosen with an expected value in view, on tuning seeds or on the published figure
TUNED: tuple[Mark, ...] = ("R", "Cal")
#: initial weights of ResidualPolicy
INITIAL = r"uniform on \(\pm1/\sqrt{\text{fan-in}}\)"
Setting = tuple[str, str, tuple[Mark, ...]]
Runs = Sequence[Run]


def of_method(cell: Callable[[Runs], str]) -> Callable[[Runs], str]:
    """Leave the cell empty for a method that has no bound, no probes and no proposals."""
    return lambda runs: cell(runs) if runs[0].method == "scpo" else "--"


@parts.table("referee")
def referee(results: Path) -> str:
    """What the independent referee recomputed, arm by arm, and how far its values were from the records."""
    found = read_referee(results)
    lines = [
        r"\begin{tabular}{@{}llrrrrrr@{}}",
        r"\toprule",
        row(
            "experiment",
            ["arm", "runs", "iterates", "unsafe,", "unsafe,", r"\multicolumn{2}{r@{}}{largest difference}"],
        ),
        row("", ["", "", "", "recorded", "recomputed", r"max.\ \(g\)", "others"]),
    ]
    experiment = None
    for arm in found["arms"]:
        lines += [r"\midrule"] if arm["experiment"] != experiment else []
        numbers_of = [numbers.count(arm[key]) for key in ("runs", "iterates", "recorded", "recomputed")]
        errors = [_size(arm[key]) for key in ("worst_g", "worst_other")]
        lines.append(
            row(arm["experiment"] if arm["experiment"] != experiment else "", [arm["arm"], *numbers_of, *errors])
        )
        experiment = arm["experiment"]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _size(error: float) -> str:
    return numbers.setting(0) if error == 0 else numbers.number(f"{error:.0e}")


def settings_table(groups: Mapping[str, Sequence[Setting]]) -> str:
    """Return settings with their marks, group by group, as a table."""
    lines = [r"\begin{tabular}{@{}llc@{}}", r"\toprule", r"setting & value & source \\", r"\midrule"]
    for index, (heading, rows) in enumerate(groups.items()):
        if index:
            lines.append(r"\addlinespace")
        lines.append(rf"\multicolumn{{3}}{{@{{}}l}}{{\emph{{{heading}}}}} \\")
        lines += [
            rf"\quad {name} & {value} & {' '.join(f'{chr(92)}{mark}' for mark in marks)} \\"
            for name, value, marks in rows
        ]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def method_settings(scpo: ScpoConfig) -> list[Setting]:
    """Return the method's own settings, all R; those that were chosen on tuning seeds are Cal, too."""
    number, integer = numbers.setting, numbers.count
    directions, model = scpo.directions, scpo.smoothness
    named = {"estimated": "estimated per constraint", "proven": "proven at each iterate"}
    smoothness = named.get(model.kind) or f"fixed, {number(model.constant or 0.0)}"
    method: list[Setting] = [
        (r"sampled directions \(n\)", f"{integer(directions.count)}, {directions.kind}", TUNED),
        (r"\quad of them recycled, at most", integer(directions.recycled), TUNED),
        (r"probe length \(\nu\)", or_number("from curvature and rounding", directions.probe_length), OURS),
        (r"share of the slack \(\kappa\)", number(scpo.kappa), TUNED),
        (r"smoothness \(L_i\)", smoothness, OURS),
        *_radius(model),
        ("coverage margin", number(scpo.tightening), TUNED),
        *([("buffer", number(scpo.buffer), TUNED)] if scpo.buffer else []),
        ("projection", "sequential QP", OURS),
    ]
    if model.kind == "estimated":
        values = (model.initial, model.factor, model.decay)
        share = "median" if model.pooling == 0.5 else f"quantile {number(model.pooling)}"
        method[5:5] = [
            (r"\quad start, factor, decay", ", ".join(map(number, values)), TUNED),
            (r"\quad never below the factor times", f"the {share} over all constraints", OURS),
            (r"\quad kink ratio", or_number("none", model.kink_ratio), TUNED),
            *([(r"\quad factor on kinks", number(model.kink_factor), TUNED)] if model.kink_factor else []),
        ]
    return method


def _radius(model: SmoothnessSettings) -> list[Setting]:
    most = numbers.setting(model.max_radius)
    if model.kind != "estimated":
        return [(r"radius \(r\)", most, OURS)]
    return [
        (r"radius \(r\)", f"{numbers.setting(model.growth)} times the longest reliable step", OURS),
        (r"\quad at first, at most", f"{numbers.setting(model.initial_radius)}, {most}", OURS),
    ]


def optimiser_settings(optimizer: OptimizerConfig, marks: tuple[Mark, ...] = TUNED) -> list[Setting]:
    """Return the first-order optimiser's settings; ``marks`` are those of its learning rate."""
    rate = numbers.setting(optimizer.learning_rate)
    if optimizer.final_learning_rate is not None:
        rate += rf" to {numbers.setting(optimizer.final_learning_rate)}, geometric"
    name = optimizer.name.upper() if optimizer.name == "sgd" else "Adam"
    name += f", momentum {numbers.setting(optimizer.momentum)}" if optimizer.momentum else ""
    return [("optimiser", name, OURS), (r"learning rate \(\eta\)", rate, marks)]


def or_number(text: str, value: float | None) -> str:
    """Return a setting as a number, or ``text`` where it is None."""
    return text if value is None else numbers.setting(value)


def row(label: str, cells: Sequence[str]) -> str:
    """Return a row of a table."""
    return " & ".join([label, *cells]) + r" \\"
