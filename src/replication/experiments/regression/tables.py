"""Tables of the regression, as LaTeX: results and settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from replication.errors import ResultError
from replication.report.tables import (
    INITIAL,
    OURS,
    TUNED,
    Runs,
    Setting,
    method_settings,
    of_method,
    optimiser_settings,
    or_number,
    row,
    settings_table,
)
from replication.results.outcomes import seeds_unsafe, total, worst_heldout, worst_iterate
from replication.results.read import read_arm, read_config
from replication.results.statistics import proportion_interval, summarise
from replication.results.summaries import read_stationarity
from replication.tasks.regression.settings import RegressionConfig
from replication.typeset import numbers, parts

EXPERIMENT = "regression"


HEADINGS = {
    "scpo": ("SCPO", "bound", "only"),
    "scpo-verified": ("SCPO", "verified", ""),
    "scpo-uniform": ("SCPO", "uniform", "inputs"),
    "unconstrained": ("Uncon-", "strained", ""),
    "unconstrained-uniform": ("Unconstr.,", "uniform", "inputs"),
}


@parts.table("regression-results")
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


@parts.table("regression-settings")
def settings(results: Path) -> str:
    """The settings that were used, each with the mark of where it comes from."""
    section = read_config(results).regression
    if section is None:
        raise ResultError(
            f"{results / 'config.json'}: no section of experiment {EXPERIMENT!r}, so there are no settings to print"
        )
    return settings_table(_settings(section))


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
        margin = section.for_arm("scpo-covered").scpo.tightening
        rows.append(("margin that covers the points between", number(margin), TUNED))
    if "scpo-tanh" in section.arms:
        ratio = section.for_arm("scpo-tanh").scpo.smoothness.kink_ratio
        rows.append(("kink ratio, smooth activations", or_number("none", ratio), OURS))
    if "scpo-proven" in section.arms:
        proven = section.for_arm("scpo-proven")
        (_, optimiser, _), (_, rate, _) = optimiser_settings(proven.optimizer)
        widths = ", ".join(integer(width) for width in proven.hidden)
        rows += [
            (r"proven constants (\cref{sec:proven}): network", f"{widths}, {proven.activation}", OURS),
            (r"\quad optimiser, learning rate", f"{optimiser}, {rate}", OURS),
            (r"\quad margin", number(proven.scpo.tightening), OURS),
            (r"\quad \(r\), on proven constants", number(proven.scpo.smoothness.max_radius), OURS),
        ]
    return rows
