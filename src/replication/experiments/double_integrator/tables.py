"""Tables of the double integrator, as LaTeX: settings, objective, safety, certificates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from replication.experiments.double_integrator.read import (
    METHODS,
    SCENARIOS,
    Certificate,
    read_certificates,
    read_references,
    read_scenario,
    read_settings,
)
from replication.report.tables import (
    INITIAL,
    OURS,
    TUNED,
    Runs,
    Setting,
    method_settings,
    of_method,
    optimiser_settings,
    row,
    settings_table,
)
from replication.results.outcomes import first_unsafe, reduction, total, worst_heldout, worst_iterate, worst_share
from replication.results.read import Run
from replication.results.statistics import Summary, summarise
from replication.tasks.double_integrator.settings import DoubleIntegratorConfig
from replication.typeset import numbers, parts

NAMES = {"scpo": "SCPO, bound only", "scpo-verified": "SCPO, verified", "unconstrained": "unconstrained"}
RULE = r"\addlinespace"
BREAK = "\n"  # in a cell: what follows stands in the line below
Metric = Callable[[Run], float | None]
Column = tuple[str, str, Callable[[Runs], str]]


@parts.table("double-integrator-objective")
def objective(results: Path) -> str:
    """Closed-loop cost, share of the backup-MPC gap closed, imitation losses: median and range over seeds."""
    references = read_references(results)

    def gap(run: Run) -> float:
        return references.gap_closed(run.final["cost"])

    columns: list[Column] = [
        ("cost", "", lambda runs: _ranged(runs, lambda run: run.final["cost"], 1)),
        ("gap closed", "", lambda runs: _ranged(runs, gap, 2) if runs[0].summary["dataset"] == "cooperative" else "--"),
        ("good labels", "final", lambda runs: _ranged(runs, lambda run: run.final["clean_loss"], 3)),
        ("", "reduction", lambda runs: _ranged(runs, _reduction, 2)),
        ("scenario's", "final", lambda runs: _ranged(runs, lambda run: run.final["scenario_loss"], 3)),
        ("spectral", "radius", lambda runs: _ranged(runs, lambda run: run.final["spectral_radius"], 3)),
    ]
    radius = numbers.fixed(float(references.figures["spectral_radius"]))
    head = [
        row("backup", [_figure(references.backup), numbers.setting(0), "", "", "", radius]),
        row("MPC", [_figure(references.mpc), numbers.setting(1), "", "", "", ""]),
    ]
    return _table(results, columns, head)


@parts.table("double-integrator-safety")
def safety(results: Path) -> str:
    """Counts over all seeds of unsafe iterates, misses, probes; raw worst metrics; the held-out starts."""
    columns: list[Column] = [
        ("updates", "", lambda runs: numbers.count(total(runs, "updates"))),
        ("unsafe", "iterates", lambda runs: numbers.count(total(runs, "unsafe_iterates"))),
        ("first", "unsafe", _first_unsafe),
        ("worst raw", r"\(g\)", lambda runs: numbers.safety(worst_iterate(runs), 3)),
        ("bound", "misses", of_method(lambda runs: numbers.count(total(runs, "bound_misses")))),
        ("unsafe", "prop.", of_method(lambda runs: numbers.count(total(runs, "unsafe_proposals")))),
        ("unsafe", "probes", of_method(lambda runs: numbers.count(total(runs, "unsafe_probes")))),
        ("held out", "unsafe", lambda runs: numbers.percent(worst_share(runs), 2)),
        ("worst raw", "held out", lambda runs: numbers.safety(worst_heldout(runs), 3)),
    ]
    return _table(results, columns, [])


@parts.table("double-integrator-certificates")
def certificates(results: Path) -> str:
    """What the set-based certificate proves of the final policies: one line per scenario and method."""
    first = ["runs", "certified", "certified", "refuted", "level", r"\(\rho O_\infty\) covered"]
    lines = _opening(first, ["", "", "area", "area", r"of \(O_\infty\)", "for seeds"])
    for scenario in SCENARIOS:
        lines.append(RULE)
        lines.append(row(rf"\emph{{{scenario}}}", [""] * len(first)))
        for method in METHODS:
            found = read_certificates(results, f"{method}-{scenario}")
            if found:
                lines.append(row(rf"\quad {NAMES[method]}", _certified(found)))
    return _closed(lines)


@parts.table("double-integrator-settings")
def settings(results: Path) -> str:
    """The settings of the experiment, each with the mark of where it comes from."""
    section, system = read_settings(results), read_references(results).figures
    integer, schedule = numbers.count, section.schedule
    experiment: list[Setting] = [
        ("stage cost", rf"\(\norm{{x}}^2+{system['stage_input_weight']:g}\,u^2\)", OURS),
        ("backup", rf"LQR of \(\norm{{x}}^2+{system['backup_input_weight']:g}\,u^2\)", OURS),
        (r"training starts \(M\), in \(\rho O_\infty\)", integer(section.starts), TUNED),
        (r"\(\rho\), horizon \(T\), contraction \(\lambda\)", _list(*_three(section)), OURS),
        ("over time, in training", _aggregation(section, system["sharpness"]), OURS),
        ("malicious labels, mixed", rf"where \(x_1>{system['malicious_above']:g}\)", OURS),
        ("labelled states", integer(section.datasets["mixed"].size), OURS),
        ("held-out starts", integer(section.heldout), OURS),
    ]
    widths = ", ".join(integer(width) for width in section.hidden)
    training: list[Setting] = [
        ("updates", integer(schedule.epochs * schedule.updates_per_epoch), TUNED),
        ("batch size", integer(schedule.batch_size), OURS),
        *optimiser_settings(section.optimizer),
    ]
    return settings_table(
        {
            "Task": experiment,
            "Policy": [
                ("residual on a frozen backup, last layer zero", "backup LQR", ("S", "R")),
                ("origin kept an equilibrium", r"\(\phi_\theta(x)-\phi_\theta(0)\)", OURS),
                ("hidden widths, activation", f"{widths}, tanh", OURS),
                ("initial weights and biases", INITIAL, OURS),
            ],
            "Training": training,
            "SCPO": method_settings(section.scpo),
        }
    )


def _aggregation(section: DoubleIntegratorConfig, sharpness: float) -> str:
    return "maximum" if section.aggregation == "max" else rf"log-sum-exp, \(\beta={sharpness:g}\)"


def _three(section: DoubleIntegratorConfig) -> tuple[float, float, float]:
    return section.rho, section.horizon, section.contraction


def _list(*values: float) -> str:
    return ", ".join(map(numbers.setting, values))


def _figure(value: float) -> str:
    return numbers.fixed(value, 2)


def _reduction(run: Run) -> float | None:
    return None if run.final["clean_loss"] is None else reduction(run, "clean_loss")


def _ranged(runs: Runs, metric: Metric, digits: int) -> str:
    values = [value for run in runs if (value := metric(run)) is not None]
    if len(values) < len(runs):
        return "--"  # not a number: a loss on labels that the scenario does not have
    found = summarise(values)
    low, high = (_short(value, digits) for value in (found.low, found.high))
    return rf"{_short(found.median, digits)}{BREAK}\range{{[{low}, {high}]}}"


def _short(value: float, digits: int) -> str:
    """Return a figure of merit; two significant digits where a diverging loop makes it large."""
    return numbers.fixed(value, digits) if abs(value) < 1e3 else numbers.number(f"{value:.1e}")


def _first_unsafe(runs: Runs) -> str:
    found = first_unsafe(runs)
    return "none" if found is None else numbers.count(found)


def _certified(found: Sequence[Certificate]) -> list[str]:
    certified = sum(bool(one.figures["final"]["certified"]) for one in found)
    covered = [numbers.count(int(one.figures["seed"])) for one in found if one.covers_starts]
    areas, refuted = ([getattr(one, name) for one in found] for name in ("area", "refuted_area"))
    figures = ((areas, 1), (refuted, 1), ([one.level for one in found], 2))
    return [
        numbers.count(len(found)),
        numbers.count(certified),
        *(f"{numbers.fixed(summarise(of).median, d)} {_in_range(summarise(of), d)}" for of, d in figures),
        ", ".join(covered) or "none",
    ]


def _in_range(found: Summary, digits: int) -> str:
    return rf"\range{{{numbers.spread(found, digits)}}}"


def _table(results: Path, columns: Sequence[Column], head: Sequence[str]) -> str:
    """Return a table with a line per scenario and method, and ``head`` above them."""
    lines = _opening([first for first, _, _ in columns], [second for _, second, _ in columns])
    lines += head
    for scenario in SCENARIOS:
        runs = read_scenario(results, scenario)
        if runs:
            lines += [RULE] if lines[-1] != r"\midrule" else []
            lines.append(row(rf"\emph{{{scenario}}}", [""] * len(columns)))
            for name, of in runs.items():
                cells = [cell(of) for _, _, cell in columns]
                lines.append(row(rf"\quad {NAMES[name]}{_seeds(of)}", [cell.split(BREAK)[0] for cell in cells]))
                if any(BREAK in cell for cell in cells):
                    lines.append(row("", [cell.partition(BREAK)[2] for cell in cells]))
    return _closed(lines)


def _seeds(runs: Runs) -> str:
    return rf" \range{{({len(runs)})}}"


def _opening(first: Sequence[str], second: Sequence[str]) -> list[str]:
    return [
        r"\begin{tabular}{@{}l" + "r" * len(first) + "@{}}",
        r"\toprule",
        row("", first),
        row("", second),
        r"\midrule",
    ]


def _closed(lines: Sequence[str]) -> str:
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"
