"""Tables of the double integrator, as LaTeX: settings, objective, safety, certificates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from replication.experiments.double_integrator.documents import ReferenceNumbers
from replication.experiments.double_integrator.read import (
    EXPERIMENT,
    METHODS,
    SCENARIOS,
    read_references,
    read_settings,
)
from replication.experiments.settings_table import (
    INITIAL,
    OURS,
    TUNED,
    Setting,
    method_settings,
    optimiser_settings,
    settings_table,
)
from replication.experiments.shown import Cells, cells, shown
from replication.results import quantities
from replication.tasks.double_integrator.settings import DoubleIntegratorConfig
from replication.typeset import latex, parts
from replication.typeset.latex import GAP, Row, Title

NAMES = {"scpo": "SCPO, bound only", "scpo-verified": "SCPO, verified", "unconstrained": "unconstrained"}
ARMS = [f"{method}-{scenario}" for scenario in SCENARIOS for method in METHODS]
#: A column: two lines of its heading, and what stands in an arm's lines.
Column = tuple[str, str, Callable[[Cells], Sequence[str]]]


def one(quantity: str, statistic: str, digits: int | None = None) -> Callable[[Cells], Sequence[str]]:
    """Return the function that makes a cell with a statistic of a quantity."""
    return lambda arm: [arm.cell(quantity, statistic, digits)]


def median_over_range(quantity: str) -> Callable[[Cells], Sequence[str]]:
    """Return the function that makes a cell with the median over the seeds and, in the line below, the range."""

    def cell(arm: Cells) -> Sequence[str]:
        if not arm.table.has(EXPERIMENT, arm.arm, quantity):
            return [latex.DASH]
        return [arm.cell(quantity, "median"), arm.small(quantity, "range")]

    return cell


@parts.table("double-integrator-objective")
def objective(results: Path) -> str:
    """Closed-loop cost, share of the backup-MPC gap closed, imitation losses: median and range over seeds."""
    columns: list[Column] = [
        ("cost", "", median_over_range("cost")),
        ("gap", "closed", median_over_range("gap-closed")),
        ("good labels", "final", median_over_range("clean-loss")),
        ("", "reduction", median_over_range("clean-loss-reduction")),
        ("scenario's", "final", median_over_range("scenario-loss")),
        ("spectral", "radius", median_over_range("spectral-radius")),
    ]
    table = quantities.read(results)
    backup, mpc, radius = (shown(table, EXPERIMENT, "", name) for name in ("backup-cost", "mpc-cost", "backup-radius"))
    above: list[Row] = [
        ["backup", backup, latex.percent(0.0), "", "", "", radius],
        ["MPC", mpc, latex.percent(1.0), "", "", "", ""],
        GAP,
    ]
    return _by_scenario(results, columns, above)


@parts.table("double-integrator-safety")
def safety(results: Path) -> str:
    """Unsafe iterates, bound misses and unsafe probes of all seeds, worst constraint values, and held-out starts."""
    columns: list[Column] = [
        ("updates", "", one("updates", "sum")),
        ("unsafe", "iterates", one("unsafe-iterates", "sum")),
        ("first", "unsafe", _first_unsafe),
        ("worst raw", r"\(g\)", one("worst-g", "max", 3)),
        ("bound", "misses", one("bound-misses", "sum")),
        ("unsafe", "prop.", one("unsafe-proposals", "sum")),
        ("unsafe", "probes", one("unsafe-probes", "sum")),
        ("held out", "unsafe", one("heldout-unsafe-share", "max", 2)),
        ("worst raw", "held out", one("heldout-worst-g", "max", 3)),
    ]
    return _by_scenario(results, columns)


def _first_unsafe(arm: Cells) -> Sequence[str]:
    found = arm.cell("first-unsafe-update", "min")
    return ["none" if found == latex.DASH else found]


@parts.table("double-integrator-certificates")
def certificates(results: Path) -> str:
    """What the set-based certificate proves about the final policies: one line for each scenario and method."""
    columns: list[Column] = [
        ("certified", "", one("certified", "sum")),
        ("certified", "area", median_over_range("certified-area")),
        ("refuted", "area", median_over_range("refuted-area")),
        ("level", r"of \(O_\infty\)", median_over_range("certified-level")),
        (r"\(\rho O_\infty\) covered", "for seeds", _covered_seeds),
    ]
    return _by_scenario(results, columns, only="certified")


def _covered_seeds(arm: Cells) -> Sequence[str]:
    found = arm.table.values(EXPERIMENT, arm.arm, "covers-starts")
    return [", ".join(latex.count(seed) for seed in found.index[found > 0]) or "none"]


def _by_scenario(
    results: Path, columns: Sequence[Column], above: Iterable[Row | str] = (), only: str = "updates"
) -> str:
    """Return a table with lines for each arm, scenario by scenario.

    Args:
        results: results/<scale>.
        columns: the columns of the table after that of the arms' names.
        above: lines above those of the arms.
        only: a quantity; arms without a value of it are left out.
    """
    head = [["", *(first for first, _, _ in columns)], ["", *(second for _, second, _ in columns)]]
    body = [*above, *_scenarios(results, columns, only)]
    return latex.booktabs("l" + "r" * len(columns), head, body)


def _scenarios(results: Path, columns: Sequence[Column], only: str) -> Iterator[Row | Title | str]:
    arms = {
        arm: found for arm, found in cells(results, EXPERIMENT, ARMS).items() if found.table.has(EXPERIMENT, arm, only)
    }
    first = True
    for scenario in SCENARIOS:
        chosen = {method: arms[f"{method}-{scenario}"] for method in METHODS if f"{method}-{scenario}" in arms}
        if not chosen:
            continue
        if not first:
            yield GAP
        first = False
        yield Title(scenario)
        for method, arm in chosen.items():
            seeds = latex.small(f"({arm.cell(only, 'seeds')})")
            yield from _lines(rf"\quad {NAMES[method]} {seeds}", [cell(arm) for _, _, cell in columns])


def _lines(label: str, found: Sequence[Sequence[str]]) -> Iterator[Row]:
    """Yield the line of an arm and, where a cell has two lines, the line below it."""
    for position in range(max(map(len, found))):
        yield [label if position == 0 else "", *(cell[position] if position < len(cell) else "" for cell in found)]


@parts.table("double-integrator-settings")
def settings(results: Path) -> str:
    """The settings of the experiment, each with the mark of where it comes from."""
    section = read_settings(results)
    return settings_table(
        {
            "Task": _task(section, read_references(results).numbers),
            "Policy": _policy(section),
            "Training": _training(section),
            "SCPO": method_settings(section.scpo),
        }
    )


def _task(section: DoubleIntegratorConfig, system: ReferenceNumbers) -> list[Setting]:
    three = ", ".join(map(latex.setting, (section.rho, section.horizon, section.contraction)))
    smooth = rf"log-sum-exp, \(\beta_{{\mathrm{{lse}}}}={system.sharpness:g}\)"
    return [
        ("stage cost", rf"\(\norm{{x}}^2+{system.stage_input_weight:g}\,u^2\)", OURS),
        ("backup", rf"LQR of \(\norm{{x}}^2+{system.backup_input_weight:g}\,u^2\)", OURS),
        (r"training starts \(N\), in \(\rho O_\infty\)", latex.count(section.starts), TUNED),
        (r"\(\rho\), horizon \(T\), contraction \(\zeta\)", three, OURS),
        ("over time, in training", "maximum" if section.aggregation == "max" else smooth, OURS),
        ("malicious labels, mixed", rf"where \(x_1>{system.malicious_above:g}\)", OURS),
        ("labelled states", latex.count(section.datasets["mixed"].size), OURS),
        ("held-out starts", latex.count(section.heldout), OURS),
    ]


def _policy(section: DoubleIntegratorConfig) -> list[Setting]:
    widths = ", ".join(map(latex.count, section.hidden))
    return [
        ("residual on a frozen backup, last layer zero", "backup LQR", ("S", "R")),
        ("origin kept an equilibrium", r"\(\phi_\theta(x)-\phi_\theta(0)\)", OURS),
        ("hidden widths, activation", f"{widths}, tanh", OURS),
        ("initial weights and biases", INITIAL, OURS),
    ]


def _training(section: DoubleIntegratorConfig) -> list[Setting]:
    schedule = section.schedule
    return [
        ("updates", latex.count(schedule.epochs * schedule.updates_per_epoch), TUNED),
        ("batch size", latex.count(schedule.batch_size), OURS),
        *optimiser_settings(section.optimizer),
    ]
