"""The regression's side experiments: harder supervision, alternatives, activations, coverage margin, proven constants.

Tables and numbers; the figure is in the module ``supervision`` beside this one.  A scale may leave arms out: they are
missing from the tables then, and a number of theirs reads "not run".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from replication.errors import ResultError
from replication.report.tables import row
from replication.results.outcomes import merit_at, total, unsafe_evaluations, unsafe_share, worst_heldout, worst_iterate
from replication.results.read import Run, read_arm, read_config
from replication.results.statistics import paired_differences, summarise
from replication.tasks.regression.settings import RegressionConfig
from replication.typeset import numbers, parts

EXPERIMENT = "regression"
METHODS = {"scpo": "SCPO", "unconstrained": "unconstrained"}
ACTIVATIONS = {"scpo": "ReLU", "scpo-tanh": "tanh", "scpo-softplus": "softplus"}
ALTERNATIVES = {
    "scpo": ("SCPO", "", ""),
    "scpo-no-margin": ("SCPO", "no", "margin"),
    "scpo-no-buffer": ("SCPO", "no", "buffer"),
    "scpo-curvature": ("SCPO", "no kink", "constants"),
    "scpo-plain": ("SCPO", "plain", ""),
    "backtracking": ("Back-", "tracking", ""),
    "unconstrained": ("Uncon-", "strained", ""),
}
COVERAGE = ("scpo-no-margin", "scpo", "scpo-covered")
PROVEN = {
    "scpo-proven": ("SCPO", "proven \\(L\\)"),
    "scpo-small": ("SCPO", "estimated \\(L\\)"),
    "unconstrained-small": ("Uncon-", "strained"),
}
NOT_RUN = r"\emph{not run}"
Runs = Sequence[Run]
Cell = Callable[[Runs], str]


def read_settings(results: Path) -> RegressionConfig:
    """Return the experiment's section of the scale's configuration.

    Raises:
        ResultError: the scale does not run the experiment.
    """
    section = read_config(results).regression
    if section is None:
        raise ResultError(f"{results / 'config.json'}: the scale does not run experiment {EXPERIMENT!r}")
    return section


def read_arms(results: Path, names: Sequence[str]) -> dict[str, tuple[Run, ...]]:
    """Return the runs of those of the arms ``names`` that the scale has."""
    known = read_settings(results).arms
    return {name: read_arm(results, EXPERIMENT, name) for name in names if name in known}


def supervision_arms(section: RegressionConfig) -> dict[float, dict[str, str]]:
    """Return share of adversarial labels -> method -> arm, of the plain arms and those on harder data sets."""
    found: dict[float, dict[str, str]] = {}
    for dataset, data in sorted(section.datasets.items(), key=lambda item: item[1].adversarial_share):
        suffix = "" if dataset == "normal" else f"-{dataset}"
        arms = {method: method + suffix for method in METHODS if method + suffix in section.arms}
        if arms and data.inputs == section.datasets["normal"].inputs:
            found[data.adversarial_share] = arms
    return found


def until(runs: Mapping[str, Runs]) -> float:
    """Return the last epoch that the runs of all these arms have reached."""
    return min(run.epochs for of in runs.values() for run in of)


def rejected(run: Run, name: str = "rejected_share", epoch: float = np.inf) -> float:
    """Return the median share rejected over the evaluations in the second half of the epochs up to ``epoch``.

    NaN where it is defined at none of them.
    """
    rows = run.evaluations
    last = min(epoch, run.epochs)
    shares = rows.loc[(rows["epoch"] > last / 2) & (rows["epoch"] <= last), name].dropna()
    return float(shares.median()) if len(shares) else np.nan


@parts.table("regression-supervision-results")
def supervision(results: Path) -> str:
    """Loss, safety and rejected share for each share of adversarial labels, SCPO beside unconstrained."""
    families = supervision_arms(read_settings(results))
    runs = {arm: read_arm(results, EXPERIMENT, arm) for arms in families.values() for arm in arms.values()}
    epoch = until(runs)
    lines = [
        r"\begin{tabular}{@{}llrrlrrrr@{}}",
        r"\toprule",
        row("adversarial", ["", "", r"\multicolumn{2}{c}{loss, clipped target}"] + [""] * 2 + _TWO),
        row("labels", ["method", "seeds", "median", "range", "unsafe", r"worst raw \(g\)", "harmful", "others"]),
    ]
    for share, arms in families.items():
        lines.append(r"\midrule")
        for position, (method, arm) in enumerate(arms.items()):
            loss = summarise([merit_at(run, "clipped_loss", epoch) for run in runs[arm]])
            cells = [METHODS[method], numbers.count(len(runs[arm])), numbers.fixed(loss.median)]
            cells += [rf"\range{{{numbers.spread(loss)}}}", numbers.percent(unsafe_share(runs[arm]))]
            cells += [numbers.safety(worst_iterate(runs[arm]), 3)]
            cells += [_share([rejected(run, name, epoch) for run in runs[arm]]) for name in _SHARES]
            lines.append(row(numbers.percent(share, 0) if position == 0 else "", cells))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


_SHARES = ("rejected_share", "clean_rejected_share")
_TWO = [r"\multicolumn{2}{c@{}}{rejected share}"]


@parts.table("regression-activations")
def activations(results: Path) -> str:
    """ReLU, tanh and softplus at the same epoch: loss, safety, and the constants they need."""
    runs = read_arms(results, list(ACTIVATIONS))
    epoch = until(runs)
    rows: dict[str, Cell] = {
        "seeds": lambda of: numbers.count(len(of)),
        "loss, fresh inputs": _loss("fresh_loss", epoch),
        "loss, clipped target": _loss("clipped_loss", epoch),
        "updates, whole runs": lambda of: numbers.count(total(of, "updates")),
        "unsafe iterates": lambda of: numbers.count(total(of, "unsafe_iterates")),
        "updates with a bound miss": _miss_share,
        r"worst raw \(g\), iterates": lambda of: numbers.safety(worst_iterate(of), 3),
        r"worst raw \(g\), held out": lambda of: numbers.safety(worst_heldout(of), 3),
        r"\(L\) used, median": _figure("median_smoothness"),
        r"\(L\) needed, largest": _figure("largest_required", max),
        r"\(\lvert z\rvert\), median": _figure("median_step"),
    }
    return _columns(runs, [[ACTIVATIONS[name] for name in runs]], rows)


@parts.table("regression-alternatives")
def alternatives(results: Path) -> str:
    """SCPO with one thing left out at a time, its plain reading, a line search and no constraint, at the same epoch."""
    runs = read_arms(results, list(ALTERNATIVES))
    epoch = until(runs)
    rows: dict[str, Cell] = {
        "seeds": lambda of: numbers.count(len(of)),
        "loss, fresh inputs": _median("fresh_loss", epoch),
        "": _range("fresh_loss", epoch),
        "loss, clipped target": _median("clipped_loss", epoch),
        " ": _range("clipped_loss", epoch),
        "unsafe iterates": lambda of: numbers.percent(unsafe_share(of)),
        r"worst raw \(g\), iterates": lambda of: numbers.safety(worst_iterate(of), 3),
        "updates with a bound miss": _of_scpo(_miss_share),
        "unsafe proposals an update": lambda of: numbers.figures(_per_update(of, "unsafe_proposals"), 2),
        "rollouts an update": lambda of: numbers.figures(_per_update(of, "rollouts"), 2),
        r"\(\lvert z\rvert\), median": _figure("median_step"),
        r"\(L\) used, median": _of_scpo(_figure("median_smoothness")),
    }
    return _columns(runs, [[ALTERNATIVES[name][line] for name in runs] for line in range(3)], rows)


@parts.table("regression-coverage")
def coverage(results: Path) -> str:
    """What margin on the grid brings the policy between its points within the bound, and what it costs in loss."""
    section = read_settings(results)
    runs = read_arms(results, COVERAGE)
    epoch = until(runs)
    margins = [numbers.setting(section.for_arm(name).scpo.tightening) for name in runs]
    rows: dict[str, Cell] = {
        "seeds": lambda of: numbers.count(len(of)),
        r"worst raw \(g\), held out": lambda of: numbers.safety(worst_heldout(of)),
        "evaluations unsafe held out": lambda of: (
            f"{numbers.count(unsafe_evaluations(of))} of {numbers.count(sum(len(run.evaluations) for run in of))}"
        ),
        "unsafe iterates on the grid": lambda of: numbers.count(total(of, "unsafe_iterates")),
        "loss, fresh inputs": _loss("fresh_loss", epoch),
        r"\quad cost of the margin": lambda of: _cost(runs.get("scpo"), of, "fresh_loss"),
        "loss, clipped target": _loss("clipped_loss", epoch),
    }
    return _columns(runs, [margins], rows, first="margin")


@parts.table("regression-proven")
def proven(results: Path) -> str:
    """The same small network on proven constants, on estimated ones and without the projection."""
    runs = read_arms(results, list(PROVEN))
    rows: dict[str, Cell] = {
        "seeds": lambda of: numbers.count(len(of)),
        "updates, all seeds": lambda of: numbers.count(total(of, "updates")),
        "unsafe iterates": lambda of: numbers.count(total(of, "unsafe_iterates")),
        "updates with a bound miss": _of_scpo(lambda of: numbers.count(total(of, "bound_misses"))),
        r"worst raw \(g\), iterates": lambda of: numbers.safety(worst_iterate(of)),
        r"worst raw \(g\), held out": lambda of: numbers.safety(worst_heldout(of)),
        "loss, fresh inputs": _loss("fresh_loss", np.inf),
        "loss, clipped target": _loss("clipped_loss", np.inf),
        r"\(\lvert p\rvert\), median": _figure("median_nominal"),
        r"\(\lvert z\rvert\), median": _figure("median_step"),
        r"\(L\) used, median": _of_scpo(_figure("median_smoothness")),
        r"\(L\) needed, largest": _of_scpo(_figure("largest_required", max)),
    }
    return _columns(runs, [[PROVEN[name][line] for name in runs] for line in (0, 1)], rows)


def _columns(
    runs: Mapping[str, Runs], headings: Sequence[Sequence[str]], rows: Mapping[str, Cell], first: str = ""
) -> str:
    lines = [r"\begin{tabular}{@{}l" + "r" * len(runs) + "@{}}", r"\toprule"]
    lines += [row(first if line == 0 else "", heading) for line, heading in enumerate(headings)]
    lines.append(r"\midrule")
    for label, cell in rows.items():
        lines.append(row(label, [cell(of) for of in runs.values()]))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _loss(metric: str, epoch: float) -> Cell:
    return lambda runs: f"{_median(metric, epoch)(runs)} {_range(metric, epoch)(runs)}"


def _median(metric: str, epoch: float) -> Cell:
    return lambda runs: numbers.fixed(summarise([merit_at(run, metric, epoch) for run in runs]).median)


def _range(metric: str, epoch: float) -> Cell:
    return lambda runs: rf"\range{{{numbers.spread(summarise([merit_at(run, metric, epoch) for run in runs]))}}}"


def _figure(name: str, over_seeds: Callable[[Sequence[float]], float] = np.median) -> Cell:
    """Return a cell with a figure of run.json to three digits; a dash where no run has it."""

    def cell(runs: Runs) -> str:
        found = [float(run.summary[name]) for run in runs if run.summary[name] is not None]
        return numbers.figures(float(over_seeds(found))) if found else "--"

    return cell


def _per_update(runs: Runs, count: str) -> float:
    return total(runs, count) / total(runs, "updates")


def _miss_share(runs: Runs) -> str:
    return numbers.percent(_per_update(runs, "bound_misses"))


def _of_scpo(cell: Cell) -> Cell:
    return lambda runs: cell(runs) if runs[0].method == "scpo" else "--"


def _share(shares: Sequence[float]) -> str:
    """Return the median over seeds of a rejected share, which can be above 1; a dash where it is defined for none."""
    known = [share for share in shares if np.isfinite(share)]
    return rf"\num{{{round(summarise(known).median, 2) + 0.0:.2f}}}" if known else "--"  # no negative zero


def _cost(usual: Runs | None, runs: Runs, metric: str) -> str:
    if usual is None or usual[0].arm == runs[0].arm:
        return "--"
    epoch = until({"usual": usual, "other": runs})
    losses = ({run.seed: merit_at(run, metric, epoch) for run in of} for of in (runs, usual))
    found = summarise(paired_differences(*losses))
    median, low, high = (rf"\num{{{difference:+.3f}}}" for difference in (found.median, found.low, found.high))
    return rf"{median} \range{{[{low}, {high}]}}"


#: Numbers of the text about an arm of the side experiments.
QUANTITIES: dict[str, Cell] = {
    "Loss": lambda runs: numbers.fixed(summarise([run.final["fresh_loss"] for run in runs]).median),
    "Clipped": lambda runs: numbers.fixed(summarise([run.final["clipped_loss"] for run in runs]).median),
    "UnsafeIterates": lambda runs: numbers.count(total(runs, "unsafe_iterates")),
    "UnsafeShare": lambda runs: numbers.percent(unsafe_share(runs)),
    "Updates": lambda runs: numbers.count(total(runs, "updates")),
    "BoundMisses": lambda runs: numbers.count(total(runs, "bound_misses")),
    "WorstG": lambda runs: numbers.safety(worst_iterate(runs), 3),
    "HeldoutWorstG": lambda runs: numbers.safety(worst_heldout(runs), 3),
    "Rejected": lambda runs: _share([rejected(run) for run in runs]),
    "RejectedOthers": lambda runs: _share([rejected(run, "clean_rejected_share") for run in runs]),
    "Start": lambda runs: numbers.fixed(summarise([run.summary["initial"]["clipped_loss"] for run in runs]).median),
    "MissShare": _miss_share,
    "Step": _figure("median_step"),
    "Smoothness": _figure("median_smoothness"),
    "Required": _figure("largest_required", max),
}
#: Macro prefix -> arm and the numbers that the text uses; the hardest supervision is added to them.
USED: dict[str, tuple[str, tuple[str, ...]]] = {
    "RegCovered": ("scpo-covered", ("HeldoutWorstG", "UnsafeIterates")),
    "RegBare": ("scpo-plain", ("Loss", "UnsafeIterates", "Updates", "WorstG", "MissShare")),
    "RegBacktracking": ("backtracking", ("Loss", "Step")),
    "RegTanh": ("scpo-tanh", ("Required",)),
    "RegRelu": ("scpo", ("Required",)),
    "RegProven": (
        "scpo-proven",
        ("Loss", "Updates", "UnsafeIterates", "BoundMisses", "WorstG", "HeldoutWorstG", "Smoothness", "Required"),
    ),
    "RegSmall": ("scpo-small", ("Loss", "UnsafeIterates", "BoundMisses", "Smoothness", "Required")),
    "RegSmallUnconstrained": ("unconstrained-small", ("Loss", "UnsafeShare")),
}
HARDEST = {
    "scpo": ("RegHarder", ("Clipped", "Start", "UnsafeIterates", "Updates", "WorstG", "Rejected", "RejectedOthers")),
    "unconstrained": ("RegHarderUnconstrained", ("Clipped", "UnsafeShare", "WorstG")),
}
#: The shares of adversarial labels below the hardest, the least first.
MILDER = ("RegMild", "RegMiddle")


def collect(results: Path) -> dict[str, str]:
    """Return name (without backslash) -> LaTeX of every macro about the side experiments."""
    section = read_settings(results)
    families = supervision_arms(section)
    hardest = max(families, default=0.0)
    used = dict(USED)
    for method, (prefix, names) in HARDEST.items():
        used[prefix] = (families.get(hardest, {}).get(method, ""), names)
    milder = sorted({data.adversarial_share for data in section.datasets.values()} - {0.0})[:-1]
    shares = dict(zip(MILDER, milder, strict=False))
    for prefix in MILDER:
        arms = families.get(shares.get(prefix, -1.0), {})
        used[prefix] = (arms.get("scpo", ""), ("Clipped", "Rejected"))
        used[f"{prefix}Unconstrained"] = (arms.get("unconstrained", ""), ("Clipped",))
    macros = {
        prefix + name: QUANTITIES[name](read_arm(results, EXPERIMENT, arm)) if arm in section.arms else NOT_RUN
        for prefix, (arm, names) in used.items()
        for name in names
    }
    proof = section.for_arm("scpo-proven") if "scpo-proven" in section.arms else None
    covered = section.for_arm("scpo-covered").scpo.tightening if "scpo-covered" in section.arms else None
    runs = read_arms(results, ["scpo", "scpo-covered"])
    cost = _cost(runs.get("scpo"), runs["scpo-covered"], "fresh_loss") if "scpo-covered" in runs else NOT_RUN
    side = min(section.for_arm(name).schedule.epochs for name in section.arms)
    losses = [merit_at(run, "fresh_loss", side) for run in runs.get("scpo", ())]
    macros["RegSideLoss"] = numbers.fixed(summarise(losses).median) if losses else NOT_RUN
    macros["RegSideLossRange"] = numbers.spread(summarise(losses)) if losses else NOT_RUN
    for prefix in MILDER:
        macros[f"{prefix}Share"] = numbers.percent(shares[prefix], 0) if prefix in shares else NOT_RUN
    for name, column in (("Rejected", "rejected_share"), ("RejectedOthers", "clean_rejected_share")):
        found = [rejected(run, column, side) for run in runs["scpo"]] if "scpo" in runs else []
        macros[f"RegPlain{name}"] = _share(found) if found else NOT_RUN
    return macros | {
        "RegSideRate": numbers.figures(section.optimizer.rate(side / section.schedule.epochs), 2),
        "RegHarderShare": numbers.percent(hardest, 0),
        "RegAdversarialLabel": numbers.setting(max(data.adversarial_label for data in section.datasets.values())),
        "RegCoveredMargin": NOT_RUN if covered is None else numbers.setting(covered),
        "RegCoveredCost": cost,
        "RegSideEpochs": numbers.count(side),
        "RegProvenWidth": NOT_RUN if proof is None else numbers.count(proof.hidden[0]),
        "RegProvenDimension": NOT_RUN if proof is None else numbers.count(3 * proof.hidden[0] + 1),
        "RegProvenRadius": NOT_RUN if proof is None else numbers.setting(proof.scpo.smoothness.max_radius),
    }
