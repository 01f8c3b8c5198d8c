"""The configuration of a scale: pydantic models, from which the default YAML and the JSON schema are generated.

A scale (``config/smoke.yaml``, ``config/paper.yaml``) names the settings that differ from the defaults of the models.
Four keys shorten a scale as a whole: ``max_seeds`` and ``max_epochs`` cap the defaults of every arm, so that an arm
that the scale does not mention is short as well; ``only`` names the arms to run, and ``only_stated`` runs those that
the scale's file states.  Results of an arm lie in ``results/<scale>/<experiment>/<arm>/seed-<n>/``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from replication import strict_yaml
from replication.files import mend
from replication.invalid import known, problems
from replication.seeds import FIRST_STUDY_SEED, FIRST_TUNING_SEED, are_reported, are_tuning
from replication.settings import Count, ExperimentSettings, Model, Name, merge
from replication.tasks.double_integrator.settings import DoubleIntegratorConfig
from replication.tasks.regression.settings import RegressionConfig
from scpo.errors import ConfigurationError

#: The scale whose runs settings are tuned on.  Its seeds are never reported, and no other scale has them.
TUNING = ("tuning", "tuning-tightening", "tuning-look", "tuning-baselines")


class Config(Model):
    """The whole configuration of one scale."""

    scale: Name = Field("default", description="name of the scale; results lie in results/<scale>/")
    max_seeds: Count | None = Field(None, description="most seeds of an arm that the scale does not state")
    max_epochs: Count | None = Field(None, description="most epochs of a run that the scale does not state")
    only: tuple[Name, ...] | None = Field(None, description="the arms to run; null: all")
    only_stated: bool | None = Field(None, description="true: run the arms alone that the scale's file states")
    base_seed: Annotated[int, Field(ge=0)] = Field(20251215, description="root of every derived seed")
    device: Literal["cpu", "cuda"] = Field(
        "cpu", description="where training runs; evaluations and certificates are the CPU's"
    )
    regression: RegressionConfig | None = RegressionConfig()
    double_integrator: DoubleIntegratorConfig | None = DoubleIntegratorConfig()

    @property
    def experiments(self) -> dict[str, ExperimentSettings]:
        """Sections of the experiments that this scale runs, by experiment name as used in paths."""
        sections = {name.replace("_", "-"): getattr(self, name) for name in type(self).model_fields}
        return {name: section for name, section in sections.items() if isinstance(section, ExperimentSettings)}

    @model_validator(mode="after")
    def _tunes_on_no_reported_seed(self) -> Self:
        for experiment, section in self.experiments.items():
            for name, arm in section.arms.items():
                if self.scale not in TUNING and are_tuning(arm.seed_range):
                    raise ValueError(
                        f"{experiment}, arm {name!r}: seeds from {FIRST_TUNING_SEED} on are for tuning, never reported "
                        f"(up to {FIRST_STUDY_SEED - 1}; only the scales {', '.join(TUNING)} may use them)"
                    )
        return self

    def section(self, experiment: str) -> ExperimentSettings:
        """Return the settings of ``experiment``, a name as in paths."""
        if experiment not in self.experiments:
            raise ConfigurationError(
                f"no experiment {experiment!r}; the scale runs {', '.join(sorted(self.experiments)) or 'none'}"
            )
        return self.experiments[experiment]


#: Keys that shorten a scale as a whole; the arms of a loaded configuration are shortened already.
LIMITS = ("max_seeds", "max_epochs", "only", "only_stated")


def load(path: Path | str, changes: Mapping[str, Any] | None = None) -> Config:
    """Return the configuration of a scale's file, with ``changes`` laid over the file.

    Raises:
        ConfigurationError: the file is missing, no YAML mapping, or it or a change has an unknown key or a bad value.
    """
    path = Path(path)
    overlay = strict_yaml.read(path)
    overlay = {} if overlay is None else overlay
    if not isinstance(overlay, dict):
        raise ConfigurationError(f"{path}: expected a mapping at the top level, got {type(overlay).__name__}")
    config = _validated(overlay, Config().model_dump(), str(path))
    if not changes:
        return config
    return _validated(merge(overlay, changes), merge(Config().model_dump(), overlay), "--set")


def _validated(overlay: Mapping[str, Any], before: Mapping[str, Any], where: str) -> Config:
    """Return the defaults with ``overlay`` laid over them and its limits applied.

    Args:
        overlay: what the scale and the changes state.
        before: the settings that ``where`` changes; only their arms can be left out.
        where: begins the message of an error.
    """
    defaults = Config()
    raw = merge(_capped(defaults.model_dump(), overlay), overlay)
    try:
        _require_arms(overlay, before)
        if isinstance(only := raw["only"], list):
            _require_known(only, raw)
            _keep(raw, lambda _: only)
        if raw["only_stated"] is True:
            _keep(raw, lambda key: _arms(overlay.get(key)))
        # as JSON, whose values are taken as they are: true is no number, and "500" neither
        config = Config.model_validate_json(json.dumps(raw), strict=True)
        _refuse_reported_seeds(config)
        if not config.experiments:
            raise ConfigurationError("no experiment and no arm is left to run")
        return config
    except ValidationError as error:
        lines = [f"  {line}" for line in problems(error, defaults)]
        raise ConfigurationError(f"{where}: invalid configuration\n" + "\n".join(lines)) from error
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from error
    except ValueError as error:
        raise ConfigurationError(f"{where}: {error}; a value may not contain itself") from error


def _capped(defaults: dict[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``defaults`` with the numbers of seeds and epochs reduced to the limits in ``overlay``."""
    seeds, epochs = overlay.get("max_seeds"), overlay.get("max_epochs")
    for section in filter(_arms, defaults.values()):
        schedules = [section["schedule"], *(arm["overrides"].get("schedule", {}) for arm in section["arms"].values())]
        if isinstance(epochs, int):
            for schedule in schedules:
                schedule |= {"epochs": min(epochs, schedule["epochs"])} if "epochs" in schedule else {}
        if isinstance(seeds, int):
            for arm in section["arms"].values():
                arm["seeds"] = min(seeds, arm["seeds"])
    return defaults


def _require_arms(overlay: Mapping[str, Any], before: Mapping[str, Any]) -> None:
    """Refuse to leave out an arm that does not exist, or all arms of an experiment."""
    for key, section in overlay.items():
        if not isinstance(section, Mapping) or not isinstance(section.get("arms"), Mapping):
            continue
        there = _arms(before.get(key))
        for name, arm in section["arms"].items():
            if arm is None and name not in there:
                raise ConfigurationError(f"{key}.arms.{name} = null: no such arm{known(name, there)}")
        if not any({**there, **section["arms"]}.values()):
            raise ConfigurationError(f"{key}.arms: no arm is left; write {key}: null to leave the experiment out")


def _arms(section: Any) -> Mapping[str, Any]:
    arms = section.get("arms") if isinstance(section, Mapping) else None
    return arms if isinstance(arms, Mapping) else {}


def _require_known(only: Iterable[Any], raw: Mapping[str, Any]) -> None:
    there = {arm for section in raw.values() for arm in _arms(section)}
    for name in only:
        if name not in there:
            raise ConfigurationError(f"only: no arm {name!r}{known(str(name), there)}")


def _keep(raw: dict[str, Any], kept: Callable[[str], Container[str]]) -> None:
    """Set the arms of ``raw`` that are not among those of ``kept(section)`` to null, and sections without arms too."""
    for key, section in raw.items():
        if _arms(section):
            arms = {name: arm if name in kept(key) else None for name, arm in section["arms"].items()}
            raw[key] = {**section, "arms": arms} if any(arms.values()) else None


def _refuse_reported_seeds(config: Config) -> None:
    """Refuse a scale for tuning that would look at seeds for which results are reported."""
    for experiment, section in config.experiments.items():
        for name, arm in section.arms.items():
            if config.scale in TUNING and are_reported(arm.seed_range):
                raise ConfigurationError(
                    f"{experiment}, arm {name!r}: settings may be tuned only on the seeds {FIRST_TUNING_SEED} to "
                    f"{FIRST_STUDY_SEED - 1}; set first_seed to one of them"
                )


def load_json(path: Path | str) -> Config:
    """Return a configuration that :func:`dump` wrote, such as results/<scale>/config.json.

    Raises:
        ConfigurationError: the file is missing, damaged or invalid.
    """
    path = Path(path)
    try:
        return Config.model_validate(json.loads(path.read_bytes()))
    except FileNotFoundError as error:
        raise ConfigurationError(f"{path}: no such configuration file") from error
    except (ValueError, AttributeError) as error:  # not JSON, not a mapping, or not valid
        raise ConfigurationError(
            f"{path}: not a configuration that this version wrote: {error}; {mend(path)}"
        ) from error


def dump(config: Config) -> str:
    """Return the configuration as canonical JSON, with sorted keys: the form that is stored and hashed."""
    return canonical(config.model_dump(mode="json"))


def canonical(raw: Mapping[str, Any]) -> str:
    """Return the content of a configuration as canonical JSON, with sorted keys."""
    return json.dumps(raw, sort_keys=True, indent=2) + "\n"
