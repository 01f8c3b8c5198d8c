"""Tables of settings: each setting with its value and the mark of where it comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from replication.settings import OptimizerConfig, ScpoConfig, SmoothnessSettings
from replication.typeset import latex
from replication.typeset.latex import GAP, Row, Title
from scpo.options import Look

#: Stated by the paper, read off its figure, our reconstruction; Cal: chosen with an expected value in view.
Mark = Literal["S", "F", "R", "Cal"]
OURS: tuple[Mark, ...] = ("R",)
#: Chosen with an expected value in view, on tuning seeds or on the published figure.
TUNED: tuple[Mark, ...] = ("R", "Cal")
#: The initial weights of ResidualPolicy.
INITIAL = r"uniform on \(\pm1/\sqrt{\text{fan-in}}\)"
#: Name and value as LaTeX, and the marks.
Setting = tuple[str, str, tuple[Mark, ...]]


def settings_table(groups: Mapping[str, Sequence[Setting]]) -> str:
    """Return settings with their marks as a table, group by group."""
    return latex.booktabs("llc", [["setting", "value", "source"]], _rows(groups))


def _rows(groups: Mapping[str, Sequence[Setting]]) -> Iterator[Row | Title | str]:
    for index, (heading, settings) in enumerate(groups.items()):
        if index > 0:
            yield GAP
        yield Title(heading)
        for name, value, marks in settings:
            yield [rf"\quad {name}", value, " ".join(f"\\{mark}" for mark in marks)]


def method_settings(scpo: ScpoConfig) -> list[Setting]:
    """Return the method's own settings.  All have the mark R; those chosen on tuning seeds have Cal as well."""
    number, integer = latex.setting, latex.count
    directions, model = scpo.directions, scpo.smoothness
    named = {"estimated": "estimated per constraint", "proven": "proven at each iterate"}
    smoothness = named.get(model.kind) or f"fixed, {number(model.constant or 0.0)}"
    estimate = [(r"\quad factor, decay", ", ".join(map(number, (model.factor, model.decay))), TUNED)]
    look = [] if scpo.look is None else _look(scpo.look)
    return [
        ("directions of an update, at most", f"{integer(directions.count)}, {directions.kind}", TUNED),
        (r"\quad of the fresh derivatives they hold", number(directions.energy), OURS),
        (r"\quad recycled, at most", integer(directions.recycled), TUNED),
        (r"probe length \(\nu\)", or_number("from curvature and rounding", directions.probe_length), OURS),
        (r"share of the slack \(\kappa\)", number(scpo.kappa), TUNED),
        (r"smoothness \(L_i\)", smoothness, OURS),
        *(estimate if model.kind == "estimated" else []),
        *_radius(model),
        *look,
        ("tightening", number(scpo.tightening), TUNED),
        *([("buffer", number(scpo.buffer), TUNED)] if scpo.buffer else []),
        ("projection", "sequential QP", OURS),
    ]


def _look(look: Look) -> list[Setting]:
    back = "the last safe iterate" if look.go_back else "restoring steps"
    return [
        ("look along the step", f"at {latex.setting(look.share)} of it, factor {latex.setting(look.factor)}", TUNED),
        (r"\quad after an unsafe iterate", back, OURS),
    ]


def _radius(model: SmoothnessSettings) -> list[Setting]:
    most = or_number("no limit", model.max_radius)
    if model.kind != "estimated":
        return [(r"radius \(r\)", most, OURS)]
    return [
        (r"radius \(r\)", f"{latex.setting(model.growth)} times the longest reliable step", OURS),
        (r"\quad at most", most, OURS),
    ]


def optimiser_settings(optimizer: OptimizerConfig, marks: tuple[Mark, ...] = TUNED) -> list[Setting]:
    """Return the first-order optimiser's settings; the learning rate gets the ``marks``."""
    rate = latex.setting(optimizer.learning_rate)
    if optimizer.final_learning_rate is not None:
        rate += rf" to {latex.setting(optimizer.final_learning_rate)}, geometric"
    name = optimizer.name.upper() if optimizer.name == "sgd" else "Adam"
    name += f", momentum {latex.setting(optimizer.momentum)}" if optimizer.momentum else ""
    return [("optimiser", name, OURS), (r"learning rate \(\eta\)", rate, marks)]


def or_number(text: str, value: float | None) -> str:
    """Return a setting as a number, or ``text`` if it is None."""
    return text if value is None else latex.setting(value)
