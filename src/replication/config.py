"""Configuration: pydantic models are the one source; the default YAML and the JSON schema are generated.

A scale (``config/smoke.yaml``, ``config/paper.yaml``) is an overlay on the defaults of the models, merged key by
key.  Results of an arm lie in ``results/<scale>/<experiment>/<arm>/seed-<n>/``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError

from replication.settings import ExperimentSettings, Model, Name, merge
from replication.tasks.double_integrator.settings import DoubleIntegratorConfig
from replication.tasks.regression.settings import RegressionConfig
from replication.upgrade import upgrade_config
from scpo.errors import ConfigurationError


class Config(Model):
    """The whole configuration of one scale."""

    scale: Name = Field("default", description="name of the scale; results lie in results/<scale>/")
    base_seed: Annotated[int, Field(ge=0)] = Field(20251215, description="root of every derived seed")
    device: Literal["cpu", "cuda"] = Field(
        "cpu", description="where training runs; evaluations and certificates are the CPU's"
    )
    regression: RegressionConfig | None = RegressionConfig()
    double_integrator: DoubleIntegratorConfig | None = DoubleIntegratorConfig()

    @property
    def experiments(self) -> dict[str, ExperimentSettings]:
        """Sections of the experiments that this scale runs, by experiment name as used in paths."""
        sections = {"regression": self.regression, "double-integrator": self.double_integrator}
        return {name: section for name, section in sections.items() if section is not None}

    def section(self, experiment: str) -> ExperimentSettings:
        """Return the settings of ``experiment``, named as in paths."""
        if experiment not in self.experiments:
            raise ConfigurationError(
                f"no experiment {experiment!r}; the scale runs {', '.join(sorted(self.experiments)) or 'none'}"
            )
        return self.experiments[experiment]


def load(path: Path | str) -> Config:
    """Read a scale's overlay and return the validated configuration.

    Raises:
        ConfigurationError: the file is missing, no YAML mapping, or holds an unknown key or a bad value.
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
    try:
        return Config.model_validate(merge(Config().model_dump(), overlay))
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, item['loc'])) or 'top level'}: {item['msg']}" for item in error.errors()]
        raise ConfigurationError(f"{path}: invalid configuration\n" + "\n".join(lines)) from error


def load_json(path: Path | str) -> Config:
    """Read a whole configuration as :func:`dump` wrote it (nothing is merged, nothing may be missing).

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
    """Return the configuration as canonical JSON (sorted keys), the form that is hashed and stored."""
    return json.dumps(config.model_dump(mode="json"), sort_keys=True, indent=2) + "\n"
