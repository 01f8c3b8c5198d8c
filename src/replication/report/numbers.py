r"""The numbers of the report's text: looked up in the table of quantities and in the settings, written as LaTeX.

The text says \q{experiment/arm/quantity}{statistic} and \setting{experiment/arm/path.to.setting}.  The names are found
by reading the text, so a further number needs only a line of the text.  \agree{name}{statistic}{was}{were}
prints the word that agrees with the number.  The parts of a name:

    regression/scpo/unsafe-iterates             a quantity of an arm
    regression/scpo+scpo-verified/updates       the runs of two arms, one after the other
    regression/scpo - unconstrained/fresh-loss  the difference of two arms, seed by seed
    regression/floor-normal, planted-faults     a quantity of no arm, of no experiment; its statistic is "value"
    regression/scpo/scpo.kappa                  a setting of an arm
    regression/schedule.epochs                  a setting of the experiment
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from replication.claims.claims import DECIDING
from replication.config import Config, load
from replication.errors import ResultError
from replication.experiments.shown import VALUE, format_of, shown, shown_difference
from replication.files import write_text
from replication.provenance.stamp import stamped
from replication.report.text import FOLDER, Number, conditions, numbers, runs
from replication.results import quantities
from replication.results.quantities import Table
from replication.results.read import read_config
from replication.study import preregistration
from replication.typeset import latex
from scpo.errors import ConfigurationError

#: Printed for a number of an arm or experiment that the scale leaves out.
NOT_RUN = r"\emph{not run}"
#: What \agree makes of a number: its first word for 1, its second for any other.
ONE, MANY = r"\firstword", r"\secondword"
#: Printed for a number that none of an arm's runs has, and for a setting that is null.
NONE = "none"
MINUS = " - "


def main(results: Path, out: Path, folder: Path = FOLDER) -> None:
    """Write the numbers that the text in ``folder`` uses to ``out``, with a stamp beside it.

    Raises:
        ConfigurationError: the text names a quantity, a statistic, an arm or a setting that does not exist.
        ResultError: the table of quantities is missing or damaged.
    """
    with stamped(out, results, [__name__]):
        table, config = quantities.read(results), read_config(results)
        lines = {rf"\definenumber{{{one.key}}}{{{checked(one, table, config)}}}" for one in numbers(config, folder)}
        lines |= {rf"\definerun{{{arm}}}" for arm in conditions(folder) if runs(arm, config)}
        head = ["% Written from the results; not to be edited.", rf"\def\ScaleNotice{{{notice(config, table)}}}"]
        write_text(out, "\n".join([*head, *sorted(lines)]) + "\n")


def notice(config: Config, table: Table) -> str:
    """Return the notice at the head of a report of a scale that decides nothing, or of a part of a study; else ""."""
    if config.scale not in DECIDING:
        return (
            rf"\notice{{This copy was made with the scale ``{config.scale}''. Its numbers show that the pipeline "
            "works and support no statement of the text.}"
        )
    finished, planned = (table.value("", "", name) for name in ("finished-runs", "planned-runs"))
    if finished == planned:
        return ""
    return (
        rf"\notice{{The study is under way. This copy rests on {finished:.0f} of {planned:.0f} planned runs: "
        "the first seeds of each arm, in their order.}"
    )


def lookup(one: Number, table: Table, config: Config) -> str:
    """Return a number as LaTeX.

    Raises:
        ConfigurationError: it names a quantity, a statistic, an arm or a setting that does not exist.
    """
    return _setting(one.name, config) if one.kind == "setting" else _quantity(one, table, config)


def split(name: str) -> tuple[str, str, str]:
    """Return experiment, arm and last part of the name of a number; "" for a part that is missing.

    Raises:
        ConfigurationError: it has more parts.
    """
    match name.split("/"):
        case [last]:
            return "", "", last
        case [experiment, last]:
            return experiment, "", last
        case [experiment, arm, last]:
            return experiment, arm, last
    raise ConfigurationError(f"{name!r}: expected experiment/arm/quantity")


def arms_of(name: str) -> list[str]:
    """Return the arms in the middle part of a number's name: one, or several joined by "+" or " - "."""
    return [arm for group in name.split(MINUS) for arm in group.split("+")]


def checked(one: Number, table: Table, config: Config) -> str:
    """Return a number as :func:`lookup` does; an error says where the text names it."""
    try:
        return lookup(one, table, config)
    except (ConfigurationError, ResultError) as error:
        raise ConfigurationError(f"{one.where}: {one.source}: {error}") from error


def _quantity(one: Number, table: Table, config: Config) -> str:
    experiment, arm, quantity = split(one.name)
    format_of(quantity, one.statistic)
    arms = arms_of(arm)
    if one.kind == "agree":
        return _word(one, table, config)
    if not _runs(experiment, arms, config):
        return NOT_RUN
    if one.statistic != VALUE and not all(table.has(experiment, single, quantity) for single in arms):
        return NONE
    if MINUS in arm:
        first, second = arm.split(MINUS)
        return shown_difference(table, experiment, (first, second), quantity, one.statistic, one.digits)
    return shown(table, experiment, arm, quantity, one.statistic, one.digits)


def _word(one: Number, table: Table, config: Config) -> str:
    experiment, arm, quantity = split(one.name)
    if not _runs(experiment, arms_of(arm), config) or not table.has(experiment, arm, quantity):
        return MANY
    if one.statistic == VALUE:
        value = table.value(experiment, arm, quantity)
    else:
        value = table.statistic(experiment, arm, quantity, one.statistic)
    return ONE if value == 1.0 else MANY


def setting_of(name: str, config: Config) -> tuple[Any, str, Any]:
    """Return the section that holds a setting, the setting's name there, and its value.

    Raises:
        ConfigurationError: there is no such setting.
    """
    experiment, arm, path = split(name)
    section = config.section(experiment)
    value: Any = section.for_arm(arm) if arm else section
    owner, last = value, ""
    for last in path.split("."):
        owner, value = value, _entry(value, last)
    return owner, last, value


def _setting(name: str, config: Config) -> str:
    experiment, arm, path = split(name)
    if not _runs(experiment, [arm], config):
        return NOT_RUN
    _, _, value = setting_of(name, config)
    if value is None or isinstance(value, str):
        return value or NONE
    if isinstance(value, int | float) and not isinstance(value, bool):
        return latex.setting(value)
    raise ConfigurationError(f"{path} is no number: {value!r}")


def _entry(value: Any, step: str) -> Any:
    """Return one step of a path into the settings: a field or property, an entry of a mapping, a place in a list."""
    if step in _names(value):
        return getattr(value, step)
    if isinstance(value, Mapping) and step in value:
        return value[step]
    if isinstance(value, Sequence) and step.isdecimal() and int(step) < len(value):
        return value[int(step)]
    raise ConfigurationError(f"no setting {step!r}")


def _names(value: Any) -> set[str]:
    """Return the names of the fields and properties of a group of settings; none for anything else."""
    if isinstance(value, BaseModel):
        own = set(type(value).model_fields)
    elif is_dataclass(value):
        own = {one.name for one in fields(value)}
    else:
        return set()
    return own | {name for name, one in vars(type(value)).items() if isinstance(one, property)}


def _runs(experiment: str, arms: Sequence[str], config: Config) -> bool:
    """Tell whether the scale runs the experiment and all of the arms.

    Raises:
        ConfigurationError: neither the scale nor the study knows one of them.
    """
    if not experiment:
        return True
    study = _study().experiments
    if experiment not in study:
        raise ConfigurationError(f"no experiment {experiment!r}; there are {', '.join(study)}")
    section = config.experiments.get(experiment)
    known = {"", *(section.arms if section else ())}
    elsewhere = study[experiment].arms
    for arm in arms:
        if arm not in known and arm not in elsewhere:
            raise ConfigurationError(f"{experiment} has no arm {arm!r}; it has {', '.join(elsewhere)}")
    return section is not None and known.issuperset(arms)


@cache
def _study() -> Config:
    return load(preregistration.SCALE)
