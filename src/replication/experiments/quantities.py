"""All quantities of all experiments, and the command that writes the table of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

from replication.errors import ResultError
from replication.experiments import modules
from replication.files import write_parquet
from replication.provenance.stamp import stamped
from replication.results import constants, quantities, run_quantities, whole
from replication.results.quantities import Format, Provider, Quantity, Row, Table
from replication.results.read import read_config, read_processor_seconds, read_run, read_section

#: Experiment -> the module that declares its quantities, the file quantities.py in the experiment's folder.
EXPERIMENTS: dict[str, ModuleType] = {
    experiment: import_module(name) for experiment, name in modules("quantities").items()
}


def main(results: Path, out: Path) -> None:
    """Compute the quantities of the finished scale in ``results``; write ``out`` (Parquet), with a stamp beside it.

    Raises:
        ResultError: a result file is missing, damaged or has another schema.
    """
    with stamped(out, results, [__name__]):
        write_parquet(out, collect(results).frame)


def collect(results: Path, *, strict: bool = True) -> Table:
    """Return the table of quantities, computed from the result files.

    Args:
        results: results/<scale>.
        strict: whether a missing or damaged file is an error.  If it is not, the table lacks its rows and says why.

    Raises:
        ResultError: the configuration, or with ``strict`` any file, is missing or damaged.
    """
    rows: list[Row] = []
    problems: dict[str, str] = {}
    for key, more in _parts(results):
        try:
            rows += more
        except ResultError as error:
            if strict:
                raise
            for name in key:
                problems.setdefault(name, str(error))
    return quantities.of_rows(rows, problems)


#: The effort of a run.  It differs from machine to machine, unlike all other quantities, so the table does not hold it.
EFFORT = (
    Quantity("processor-seconds", "Processor time of the run.", Format("loss", 0), unit="seconds"),
    Quantity("processor-hours", "Processor time of the run.", Format("loss", 1), unit="hours"),
)


def effort(results: Path, experiment: str) -> Table:
    """Return the effort of the runs of an experiment; an arm of which a run does not state it has no rows."""
    found = {arm: read_processor_seconds(results, experiment, arm) for arm in read_section(results, experiment).arms}
    each = [(arm, seed, seconds) for arm, of in found.items() for seed, seconds in of.items()]
    rows: list[Row] = [(experiment, arm, seed, "processor-seconds", seconds) for arm, seed, seconds in each]
    return quantities.of_rows([*rows, *((*row[:3], "processor-hours", row[4] / 3600.0) for row in rows)])


def declared() -> dict[str, Quantity]:
    """Return every quantity by its name, in the order in which they are declared."""
    found: dict[str, Quantity] = {}
    modules = [*EXPERIMENTS.values()]
    of_runs = [run_quantities.RUN, *(module.RUN for module in modules)]
    of_providers = [one.quantities for module in (whole, constants, *modules) for one in module.PROVIDERS]
    for quantity in (one for group in (*of_runs, *of_providers, EFFORT) for one in group):
        if quantity.name in found:
            raise ValueError(f"the quantity {quantity.name!r} is declared twice")
        found[quantity.name] = quantity
    return found


QUANTITIES = declared()


def _parts(results: Path) -> Iterator[tuple[Iterable[str], Iterable[Row]]]:
    """Yield the parts of the table: the name that a problem is stated under, and a function that computes the rows."""
    providers: list[Provider] = [*whole.PROVIDERS, *constants.PROVIDERS]
    for experiment, section in read_config(results).experiments.items():
        module = EXPERIMENTS.get(experiment)
        chosen = (*run_quantities.RUN, *(module.RUN if module else ()))
        own: tuple[Provider, ...] = module.PROVIDERS if module else ()
        providers += [one for one in own if not one.by_arm]
        for arm, settings in section.arms.items():
            for seed in settings.seed_range:
                yield [f"{experiment}/{arm}"], _of_run(results, experiment, arm, seed, chosen)
            for provider in (one for one in own if one.by_arm):
                yield [f"{experiment}/{arm}/{one.name}" for one in provider.quantities], provider.rows(results, arm)
    for provider in providers:
        yield [one.name for one in provider.quantities], provider.rows(results)


def _of_run(results: Path, experiment: str, arm: str, seed: int, chosen: Iterable[Quantity]) -> Iterator[Row]:
    yield from quantities.of_run(read_run(results, experiment, arm, seed), chosen)
