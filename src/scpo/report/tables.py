"""Tables of the report, as LaTeX (booktabs, siunitx)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from scpo.errors import ResultError
from scpo.evidence.statistics import proportion_interval, summarise
from scpo.experiment.config import RegressionConfig
from scpo.report import numbers
from scpo.report.load import Run, read_arm, read_config

TASK = "regression"
HEADINGS = {
    "scpo": ("SCPO", "bound only"),
    "scpo-verified": ("SCPO", "verified"),
    "scpo-uniform": ("SCPO", "uniform inputs"),
    "unconstrained": ("Uncon-", "strained"),
    "unconstrained-uniform": ("Unconstr.,", "uniform inputs"),
}
Mark = Literal["S", "F", "R", "Cal"]
Runs = Sequence[Run]


def regression_results(results: Path) -> str:
    """Loss and safety of every arm: median over seeds and the range below it, counts as totals over seeds."""
    known = read_config(results).tasks[TASK].arms
    arms = {name: read_arm(results, TASK, name) for name in HEADINGS if name in known}
    columns = list(arms.values())
    lines = [
        r"\begin{tabular}{@{}l" + "r" * len(arms) + "@{}}",
        r"\toprule",
        _row("", [HEADINGS[name][0] for name in arms]),
        _row("", [HEADINGS[name][1] for name in arms]),
        r"\midrule",
        _row("seeds", [numbers.count(len(runs)) for runs in columns]),
        _row("updates, all seeds", [numbers.count(total(runs, "updates")) for runs in columns]),
        r"\addlinespace",
    ]
    for label, metric in (
        ("loss, fresh inputs", "fresh_loss"),
        ("loss, clipped target", "clipped_loss"),
        ("loss, uniform grid", "uniform_loss"),
    ):
        summaries = [summarise([run.final[metric] for run in runs]) for runs in columns]
        lines.append(_row(label, [numbers.fixed(summary.median) for summary in summaries]))
        lines.append(_row("", [rf"\range{{{numbers.spread(summary)}}}" for summary in summaries]))
    lines.append(r"\addlinespace")
    for label, cell in _SAFETY_ROWS.items():
        lines.append(_row(label, [cell(runs) for runs in columns]))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def total(runs: Runs, key: str) -> int:
    """Return the sum over seeds of a count in run.json."""
    return sum(int(run.summary[key]) for run in runs)


def worst_iterate(runs: Runs) -> float:
    """Return the worst raw g of any iterate of any seed."""
    return max(float(run.metrics["max_g"].max()) for run in runs)


def worst_heldout(runs: Runs) -> float:
    """Return the worst raw g on held-out points of any evaluated iterate of any seed."""
    return max(float(run.evaluations["heldout_max_g"].max()) for run in runs)


def seeds_unsafe(runs: Runs) -> int:
    """Return the number of seeds with at least one unsafe iterate."""
    return sum(run.summary["unsafe_iterates"] > 0 for run in runs)


def _of_method(cell: Callable[[Runs], str]) -> Callable[[Runs], str]:
    """Leave the cell empty for a method that has no bound, no probes and no proposals."""
    return lambda runs: cell(runs) if runs[0].method == "scpo" else "--"


_SAFETY_ROWS: dict[str, Callable[[Runs], str]] = {
    "unsafe iterates": lambda runs: numbers.count(total(runs, "unsafe_iterates")),
    r"worst raw \(g\), iterates": lambda runs: numbers.safety(worst_iterate(runs)),
    "seeds with an unsafe iterate": lambda runs: f"{numbers.count(seeds_unsafe(runs))} of {numbers.count(len(runs))}",
    "": lambda runs: rf"\range{{{numbers.interval(proportion_interval(seeds_unsafe(runs), len(runs)))}}}",
    r"worst raw \(g\), held out": lambda runs: numbers.safety(worst_heldout(runs)),
    "updates with a bound miss": _of_method(lambda runs: numbers.count(total(runs, "bound_misses"))),
    "unsafe proposals": _of_method(lambda runs: numbers.count(total(runs, "unsafe_proposals"))),
    "unsafe probes": _of_method(lambda runs: numbers.count(total(runs, "unsafe_probes"))),
    "rollouts, all seeds": _of_method(lambda runs: numbers.count(total(runs, "rollouts"))),
}


def settings(results: Path) -> str:
    """The settings that were used, each with the mark of where it comes from."""
    section = read_config(results).regression
    if section is None:
        raise ResultError(f"{results / 'config.json'}: no section of task {TASK!r}, so there are no settings to print")
    lines = [r"\begin{tabular}{@{}llc@{}}", r"\toprule", r"setting & value & source \\", r"\midrule"]
    for index, (heading, rows) in enumerate(_settings(section).items()):
        if index:
            lines.append(r"\addlinespace")
        lines.append(rf"\multicolumn{{3}}{{@{{}}l}}{{\emph{{{heading}}}}} \\")
        lines += [
            rf"\quad {name} & {value} & {' '.join(f'{chr(92)}{mark}' for mark in marks)} \\"
            for name, value, marks in rows
        ]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _settings(section: RegressionConfig) -> dict[str, list[tuple[str, str, tuple[Mark, ...]]]]:
    scpo, optimizer, schedule = section.scpo, section.optimizer, section.schedule
    data = section.datasets["normal"]
    number, integer = numbers.setting, numbers.count
    estimated = scpo.smoothness == "estimated"
    rate = number(optimizer.learning_rate)
    if optimizer.final_learning_rate is not None:
        rate += rf" to {number(optimizer.final_learning_rate)}, geometric"
    smoothness = "estimated per constraint" if estimated else f"fixed, {number(float(scpo.smoothness))}"
    method: list[tuple[str, str, tuple[Mark, ...]]] = [
        (r"sampled directions \(n\)", f"{integer(scpo.samples)}, {scpo.sampler}", ("R",)),
        (r"probe length \(\nu\)", _or_number("from curvature and rounding", scpo.probe_step), ("R",)),
        (r"share of the slack \(\kappa\)", number(scpo.kappa), ("R",)),
        (r"smoothness \(L_i\)", smoothness, ("R",)),
        (r"largest radius \(r\)", number(scpo.max_radius), ("R",)),
        ("coverage margin", number(scpo.margin), ("R",)),
        ("projection", {"auto": "Clarabel or closed form"}.get(scpo.backend, scpo.backend), ("R",)),
    ]
    if estimated:
        values = (scpo.initial_smoothness, scpo.safety_factor, scpo.decay)
        method.insert(4, (r"\quad start, factor, decay", ", ".join(map(number, values)), ("R",)))
    return {
        "Task": [
            (r"target \(f\)", r"\(\sin x+\sin 3x+\sin 7x\)", ("F",)),
            (r"bound on \(|\pi_\theta|\)", number(section.bound), ("F",)),
            ("constraint's grid", rf"{integer(section.grid_size)} points on \([-\pi,\pi]\)", ("R",)),
            ("training inputs", {"normal": r"\(x\sim\mathcal N(0,1)\)"}.get(data.inputs, data.inputs), ("R", "Cal")),
            ("training samples", integer(data.size), ("R",)),
        ],
        "Policy": [
            ("residual on a frozen backup, last layer zero", "backup 0", ("S",)),
            ("hidden widths", ", ".join(integer(width) for width in section.hidden), ("R",)),
            ("activation", section.activation, ("F",) if section.activation == "relu" else ("R",)),
        ],
        "Training": [
            ("epochs", integer(schedule.epochs), ("F",)),
            ("updates per epoch", integer(schedule.updates_per_epoch), ("R", "Cal")),
            ("batch size", integer(schedule.batch_size), ("R",)),
            ("optimiser", optimizer.name.upper() if optimizer.name == "sgd" else "Adam", ("R",)),
            (r"learning rate \(\eta\)", rate, ("R", "Cal")),
        ],
        "SCPO": method,
    }


def _or_number(text: str, value: float | None) -> str:
    return text if value is None else numbers.setting(value)


def _row(label: str, cells: Sequence[str]) -> str:
    return " & ".join([label, *cells]) + r" \\"
