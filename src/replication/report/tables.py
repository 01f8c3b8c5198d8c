"""Tables of the report, as LaTeX (booktabs, siunitx)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from replication.errors import ResultError
from replication.results.outcomes import seeds_unsafe, total, worst_heldout, worst_iterate
from replication.results.read import Run, read_arm, read_config
from replication.results.statistics import proportion_interval, summarise
from replication.results.summaries import read_referee, read_stationarity
from replication.settings import OptimizerConfig, ScpoConfig
from replication.tasks.regression.settings import RegressionConfig
from replication.typeset import numbers
from scpo.smoothness import FIRST_RADIUS, GROWTH, POOLING

EXPERIMENT = "regression"
HEADINGS = {
    "scpo": ("SCPO", "bound", "only"),
    "scpo-verified": ("SCPO", "verified", ""),
    "scpo-uniform": ("SCPO", "uniform", "inputs"),
    "unconstrained": ("Uncon-", "strained", ""),
    "unconstrained-uniform": ("Unconstr.,", "uniform", "inputs"),
}
Mark = Literal["S", "F", "R", "Cal"]
OURS: tuple[Mark, ...] = ("R",)
#: chosen with an expected value in view, on tuning seeds or on the published figure
TUNED: tuple[Mark, ...] = ("R", "Cal")
#: initial weights of ResidualPolicy
INITIAL = r"uniform on \(\pm1/\sqrt{\text{fan-in}}\)"
Setting = tuple[str, str, tuple[Mark, ...]]
Runs = Sequence[Run]


def regression_results(results: Path) -> str:
    """Loss and safety of every arm: median over seeds and the range below it, counts as totals over seeds."""
    known = read_config(results).experiments[EXPERIMENT].arms
    arms = {name: read_arm(results, EXPERIMENT, name) for name in HEADINGS if name in known}
    columns = list(arms.values())
    lines = [
        r"\begin{tabular}{@{}l" + "r" * len(arms) + "@{}}",
        r"\toprule",
        *(row("", [HEADINGS[name][line] for name in arms]) for line in range(3)),
        r"\midrule",
        row("seeds", [numbers.count(len(runs)) for runs in columns]),
        row("updates, all seeds", [numbers.count(total(runs, "updates")) for runs in columns]),
        r"\addlinespace",
    ]
    for label, metric in (
        ("loss, fresh inputs", "fresh_loss"),
        ("loss, clipped target", "clipped_loss"),
        ("loss, uniform grid", "uniform_loss"),
    ):
        summaries = [summarise([run.final[metric] for run in runs]) for runs in columns]
        lines.append(row(label, [numbers.fixed(summary.median) for summary in summaries]))
        lines.append(row("", [rf"\range{{{numbers.spread(summary)}}}" for summary in summaries]))
    _, residuals = read_stationarity(results)
    kkt = [numbers.percent(summarise(residuals[name]).median) if name in residuals else "--" for name in arms]
    lines.append(row("KKT residual, final", kkt))
    lines.append(r"\addlinespace")
    for label, cell in _SAFETY_ROWS.items():
        lines.append(row(label, [cell(runs) for runs in columns]))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def of_method(cell: Callable[[Runs], str]) -> Callable[[Runs], str]:
    """Leave the cell empty for a method that has no bound, no probes and no proposals."""
    return lambda runs: cell(runs) if runs[0].method == "scpo" else "--"


_SAFETY_ROWS: dict[str, Callable[[Runs], str]] = {
    "unsafe iterates": lambda runs: numbers.count(total(runs, "unsafe_iterates")),
    r"worst raw \(g\), iterates": lambda runs: numbers.safety(worst_iterate(runs)),
    "seeds with an unsafe iterate": lambda runs: f"{numbers.count(seeds_unsafe(runs))} of {numbers.count(len(runs))}",
    "": lambda runs: rf"\range{{{numbers.interval(proportion_interval(seeds_unsafe(runs), len(runs)))}}}",
    r"worst raw \(g\), held out": lambda runs: numbers.safety(worst_heldout(runs)),
    "updates with a bound miss": of_method(lambda runs: numbers.count(total(runs, "bound_misses"))),
    "unsafe proposals": of_method(lambda runs: numbers.count(total(runs, "unsafe_proposals"))),
    "unsafe probes": of_method(lambda runs: numbers.count(total(runs, "unsafe_probes"))),
    "rollouts, all seeds": of_method(lambda runs: numbers.count(total(runs, "rollouts"))),
}


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


def settings(results: Path) -> str:
    """The settings that were used, each with the mark of where it comes from."""
    section = read_config(results).regression
    if section is None:
        raise ResultError(
            f"{results / 'config.json'}: no section of experiment {EXPERIMENT!r}, so there are no settings to print"
        )
    return settings_table(_settings(section))


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
    estimated = scpo.smoothness == "estimated"
    named = {"estimated": "estimated per constraint", "proven": "proven at each iterate"}
    smoothness = named.get(str(scpo.smoothness)) or f"fixed, {number(float(scpo.smoothness))}"
    method: list[Setting] = [
        (r"sampled directions \(n\)", f"{integer(scpo.samples)}, {scpo.sampler}", TUNED),
        (r"\quad of them recycled, at most", integer(scpo.recycle), TUNED),
        (r"probe length \(\nu\)", _or_number("from curvature and rounding", scpo.probe_step), OURS),
        (r"share of the slack \(\kappa\)", number(scpo.kappa), TUNED),
        (r"smoothness \(L_i\)", smoothness, OURS),
        *_radius(scpo),
        ("coverage margin", number(scpo.margin), TUNED),
        *([("buffer", number(scpo.buffer), TUNED)] if scpo.buffer else []),
        ("projection", {"auto": "sequential QP"}.get(scpo.backend, scpo.backend), OURS),
    ]
    if estimated:
        values = (scpo.initial_smoothness, scpo.safety_factor, scpo.decay)
        pooled = "the median over all constraints" if POOLING == 0.5 else f"their quantile {number(POOLING)}"
        method[5:5] = [
            (r"\quad start, factor, decay", ", ".join(map(number, values)), TUNED),
            (r"\quad never below the factor times", pooled, OURS),
            (r"\quad kink ratio", _or_number("none", scpo.kink_ratio), TUNED),
            *([(r"\quad factor on kinks", number(scpo.kink_factor), TUNED)] if scpo.kink_factor else []),
        ]
    return method


def _radius(scpo: ScpoConfig) -> list[Setting]:
    most = numbers.setting(scpo.max_radius)
    if scpo.smoothness != "estimated":
        return [(r"radius \(r\)", most, OURS)]
    return [
        (r"radius \(r\)", f"{numbers.setting(GROWTH)} times the longest reliable step", OURS),
        (r"\quad at first, at most", f"{numbers.setting(FIRST_RADIUS)}, {most}", OURS),
    ]


def optimiser_settings(optimizer: OptimizerConfig, marks: tuple[Mark, ...] = TUNED) -> list[Setting]:
    """Return the first-order optimiser's settings; ``marks`` are those of its learning rate."""
    rate = numbers.setting(optimizer.learning_rate)
    if optimizer.final_learning_rate is not None:
        rate += rf" to {numbers.setting(optimizer.final_learning_rate)}, geometric"
    name = optimizer.name.upper() if optimizer.name == "sgd" else "Adam"
    name += f", momentum {numbers.setting(optimizer.momentum)}" if optimizer.momentum else ""
    return [("optimiser", name, OURS), (r"learning rate \(\eta\)", rate, marks)]


def _settings(section: RegressionConfig) -> dict[str, list[Setting]]:
    schedule, data = section.schedule, section.datasets["normal"]
    number, integer = numbers.setting, numbers.count
    groups: dict[str, list[Setting]] = {
        "Task": [
            (r"target \(f\)", r"\(\sin x+\sin 3x+\sin 7x\)", ("F",)),
            (r"bound on \(|\pi_\theta|\)", number(section.bound), ("F",)),
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
    """Return what the arms of the side experiments change, beside what their tables and sections say."""
    number, integer = numbers.setting, numbers.count
    rows: list[Setting] = []
    if "scpo-covered" in section.arms:
        margin = section.for_arm("scpo-covered").scpo.margin
        rows.append(("margin that covers the points between", number(margin), TUNED))
    if "scpo-tanh" in section.arms:
        ratio = section.for_arm("scpo-tanh").scpo.kink_ratio
        rows.append(("kink ratio, smooth activations", _or_number("none", ratio), OURS))
    if "scpo-proven" in section.arms:
        proven = section.for_arm("scpo-proven")
        (_, optimiser, _), (_, rate, _) = optimiser_settings(proven.optimizer)
        widths = ", ".join(integer(width) for width in proven.hidden)
        rows += [
            (r"proven constants (\cref{sec:proven}): network", f"{widths}, {proven.activation}", OURS),
            (r"\quad optimiser, learning rate", f"{optimiser}, {rate}", OURS),
            (r"\quad margin", number(proven.scpo.margin), OURS),
            (r"\quad \(r\), on proven constants", number(proven.scpo.max_radius), OURS),
        ]
    return rows


def _or_number(text: str, value: float | None) -> str:
    return text if value is None else numbers.setting(value)


def row(label: str, cells: Sequence[str]) -> str:
    """Return a row of a table."""
    return " & ".join([label, *cells]) + r" \\"
