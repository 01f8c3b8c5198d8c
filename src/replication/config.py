"""The configuration of a scale: pydantic models, from which the default YAML and the JSON schema are generated.

A scale (``config/smoke.yaml``, ``config/paper.yaml``) names the settings that differ from the defaults of the models.
Three keys shorten a scale as a whole: ``max_seeds`` and ``max_epochs`` cap the defaults of every arm, so that an arm
that the scale does not mention is short as well, and ``only`` names the arms to run.  Results of an arm lie in
``results/<scale>/<experiment>/<arm>/seed-<n>/``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError

from replication.settings import Count, ExperimentSettings, Model, Name, merge
from replication.tasks.double_integrator.settings import DoubleIntegratorConfig
from replication.tasks.regression.settings import RegressionConfig
from replication.upgrade import upgrade_config
from scpo.errors import ConfigurationError


class Config(Model):
    """The whole configuration of one scale."""

    scale: Name = Field("default", description="name of the scale; results lie in results/<scale>/")
    max_seeds: Count | None = Field(None, description="most seeds of an arm that the scale does not state")
    max_epochs: Count | None = Field(None, description="most epochs of a run that the scale does not state")
    only: tuple[Name, ...] | None = Field(None, description="the arms to run; null: all")
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

    def section(self, experiment: str) -> ExperimentSettings:
        """Return the settings of ``experiment``, named as in paths."""
        if experiment not in self.experiments:
            raise ConfigurationError(
                f"no experiment {experiment!r}; the scale runs {', '.join(sorted(self.experiments)) or 'none'}"
            )
        return self.experiments[experiment]


#: Keys that shorten a scale as a whole; the arms of a loaded configuration are shortened already.
LIMITS = ("max_seeds", "max_epochs", "only")


def load(path: Path | str, changes: Mapping[str, Any] | None = None) -> Config:
    """Return the configuration of a scale's file, with ``changes`` laid over the file.

    Raises:
        ConfigurationError: the file is missing, no YAML mapping, or it or a change has an unknown key or a bad value.
    """
    path = Path(path)
    try:
        overlay = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError as error:
        raise ConfigurationError(f"{path}: no such configuration file") from error
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(overlay, dict):
        raise ConfigurationError(f"{path}: expected a mapping at the top level, got {type(overlay).__name__}")
    config = _validated(overlay, str(path))
    return _validated(merge(overlay, changes), "--set") if changes else config


def _validated(overlay: Mapping[str, Any], where: str) -> Config:
    """Return the defaults with ``overlay`` laid over them and its limits applied; errors begin with ``where``."""
    raw = merge(_capped(Config().model_dump(), overlay), overlay)
    try:
        if isinstance(only := raw["only"], list):
            _keep_only(only, raw)
        return Config.model_validate(raw)
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, item['loc'])) or 'top level'}: {item['msg']}" for item in error.errors()]
        raise ConfigurationError(f"{where}: invalid configuration\n" + "\n".join(lines)) from error


def _capped(defaults: dict[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``defaults`` with seeds and epochs no larger than the limits in ``overlay``."""
    seeds, epochs = overlay.get("max_seeds"), overlay.get("max_epochs")
    for section in _sections(defaults):
        schedules = [section["schedule"], *(arm["overrides"].get("schedule", {}) for arm in section["arms"].values())]
        if isinstance(epochs, int):
            for schedule in schedules:
                schedule |= {"epochs": min(epochs, schedule["epochs"])} if "epochs" in schedule else {}
        if isinstance(seeds, int):
            for arm in section["arms"].values():
                arm["seeds"] = min(seeds, arm["seeds"])
    return defaults


def _keep_only(names: list[Any], raw: dict[str, Any]) -> None:
    """Set the arms of ``raw`` that are not in ``names`` to null, and experiments that have no other."""
    known = {arm for section in _sections(raw) for arm in section["arms"]}
    if unknown := [name for name in names if name not in known]:
        raise ConfigurationError(f"only: no arm {unknown[0]!r}; the arms are {', '.join(sorted(known))}")
    for key, section in raw.items():
        if isinstance(section, Mapping) and "arms" in section:
            arms: dict[str, Any] = {name: arm if name in names else None for name, arm in section["arms"].items()}
            raw[key] = {**section, "arms": arms} if any(arms.values()) else None


def _sections(raw: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [section for section in raw.values() if isinstance(section, dict) and "arms" in section]


def load_json(path: Path | str) -> Config:
    """Return a configuration that :func:`dump` wrote, such as results/<scale>/config.json.

    Raises:
        ConfigurationError: the file is missing, damaged or invalid.
    """
    path = Path(path)
    try:
        return Config.model_validate(upgrade_config(json.loads(path.read_bytes())))
    except FileNotFoundError as error:
        raise ConfigurationError(f"{path}: no such configuration file") from error
    except (ValueError, AttributeError) as error:  # not JSON, not a mapping, or not valid
        raise ConfigurationError(f"{path}: not a configuration that this version wrote: {error}") from error


def dump(config: Config) -> str:
    """Return the configuration as canonical JSON, with sorted keys: the form that is stored and hashed."""
    return json.dumps(config.model_dump(mode="json"), sort_keys=True, indent=2) + "\n"
