"""Settings that every experiment has: the method, the optimiser, the schedule, the arms.

An *arm* is one line of an experiment: a method on a data set for a number of seeds, with overrides of the
experiment's settings.  Unknown keys are refused everywhere, so that a mistyped key is an error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from replication.invalid import problems
from replication.seeds import FIRST_REPORTED_SEED
from scpo import baselines
from scpo.baselines._options import Barrier, Charge, Multipliers
from scpo.errors import ConfigurationError
from scpo.options import Constraint, Look, OptimizerOptions, Options, StepOptions, option
from scpo.sampling import Directions
from scpo.smoothness import EstimatedSmoothness

#: Memory of the records of one update.
BYTES_OF_UPDATE = 2500.0
#: The methods that an arm can name.
METHODS = ("scpo", *baselines.NAMES)
Name = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


def merge(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``overlay`` laid over it, mapping by mapping."""
    merged = dict(base)
    for key, value in overlay.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


class Model(BaseModel):
    """Base of every section: immutable, unknown keys refused, no NaN or infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)


def declared(options: type[Options], name: str) -> Any:
    """Return a field with the default, the limits and the meaning that the library declares for an option."""
    one = next(one for one in fields(options) if one.name == name)
    return Field(one.default, **one.metadata)


@dataclass(frozen=True, kw_only=True)
class DirectionSettings(Directions):
    """Where and how far the constraint is probed."""

    kind: Literal["tangent", "isotropic", "mixed"] = option(
        "tangent", "tangent: policy derivatives at visited states; isotropic: Gaussian; mixed: half of each"
    )


@dataclass(frozen=True, kw_only=True)
class SmoothnessSettings(EstimatedSmoothness):
    """The constants L, c and r.  All settings but ``kind``, ``constant`` and ``max_radius`` belong to the estimate."""

    kind: Literal["estimated", "fixed", "proven"] = option(
        "estimated",
        "estimated from steps; fixed: a known constant; proven at each iterate (regression with one layer of tanh)",
    )
    constant: float | None = option(None, "L of all constraint values, where it is fixed", ge=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind == "fixed" and self.constant is None:
            raise ConfigurationError("constant: kind=fixed needs a value")


class ScpoConfig(Model):
    """The method (docs/method.md).  Defaults, limits and meanings are those of the library."""

    directions: DirectionSettings = DirectionSettings()
    smoothness: SmoothnessSettings = SmoothnessSettings()
    kappa: float = declared(StepOptions, "kappa")
    verify: bool = declared(StepOptions, "verify")
    look: Look | None = Look()
    tightening: float = declared(Constraint, "tightening")
    buffer: float = declared(StepOptions, "buffer")
    metric: Literal["auto", "euclidean"] = declared(OptimizerOptions, "metric")


def on_the_bound(directions: DirectionSettings, decay: float, **own: float) -> ScpoConfig:
    """Return the settings of the method that the experiments share: the bound alone decides on a step, without planes.

    Args:
        directions: where and how far the constraint is probed.
        decay: factor on old maxima of the estimated L at each step.
        own: further settings that an experiment has for itself.
    """
    directions = replace(directions, pieces=0)  # the library got planes of kinks after the freeze
    estimate = SmoothnessSettings(factor=1.0, decay=decay)
    look = Look(factor=1.5)
    return ScpoConfig(directions=directions, smoothness=estimate, kappa=0.9, verify=False, look=look, **own)


class BaselineSettings(Model):
    """The options that only baselines have.  Options that they share with the method stand in its section."""

    barrier: Barrier = Barrier()
    charge: Charge = Charge()
    multipliers: Multipliers = Multipliers()


class OptimizerConfig(Model):
    """The first-order step that is projected, or taken as it is by the unconstrained baseline."""

    name: Literal["sgd", "adam"] = Field("sgd", description="torch.optim optimiser that proposes the step")
    learning_rate: Positive = Field(0.05, description="eta")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="momentum of sgd")
    final_learning_rate: Positive | None = Field(
        None, description="eta at the last update (geometric decay); null keeps eta constant"
    )

    def rate(self, part: float) -> float:
        """Return the learning rate eta after the share ``part`` of a run."""
        if self.final_learning_rate is None:
            return self.learning_rate
        return float(self.learning_rate * (self.final_learning_rate / self.learning_rate) ** part)


class ScheduleConfig(Model):
    """The length of a run, and how often it evaluates, records and saves."""

    epochs: Count = Field(description="epochs of a run")
    updates_per_epoch: Count = Field(description="updates in an epoch, one batch each")
    batch_size: Count = Field(description="samples in a batch")
    evaluate_every: Count = Field(50, description="epochs between held-out evaluations and saved iterates")
    checkpoint_every: Count = Field(500, description="epochs between checkpoints of an unfinished run")
    max_rollouts: Count | None = Field(
        None, description="a run ends after so many rollouts too, and the learning rate falls with them; null: no limit"
    )
    audited_share: Fraction = Field(
        0.0,
        description="share of the iterates, drawn at random, that the referee judges; with it, the 50 nearest to g = 0",
    )

    @property
    def updates(self) -> int:
        """The largest number of updates of a run."""
        return self.epochs * self.updates_per_epoch


class Arm(Model):
    """One line of an experiment: a method on a data set for ``seeds`` seeds."""

    method: Name = Field(description="scpo, or the name of a module in scpo/baselines")
    dataset: Name
    seeds: Count = 1
    first_seed: Annotated[int, Field(ge=0)] = FIRST_REPORTED_SEED
    overrides: dict[str, Any] = Field(
        default_factory=dict, description="settings of the experiment that this arm changes"
    )

    @field_validator("method")
    @classmethod
    def _is_known(cls, method: str) -> str:
        if method not in METHODS:
            raise ValueError(f"no method {method!r}; there are {', '.join(METHODS)}")
        return method

    @property
    def seed_range(self) -> range:
        """Seeds of this arm."""
        return range(self.first_seed, self.first_seed + self.seeds)


def count_parameters(inputs: int, hidden: Sequence[int]) -> int:
    """Return how many parameters a network with these hidden widths and one output has."""
    return sum((before + 1) * after for before, after in pairwise((inputs, *hidden, 1)))


class ExperimentSettings(Model):
    """The settings that every experiment has; each experiment states the type of its ``datasets``."""

    scpo: ScpoConfig
    baselines: BaselineSettings = BaselineSettings()
    optimizer: OptimizerConfig
    schedule: ScheduleConfig
    start: Literal["backup", "random", "halfway"] = Field(
        "backup",
        description="where training starts: at the backup, at a random safe policy, or where half a verified run ends",
    )
    datasets: Mapping[Name, Any]
    arms: dict[Name, Arm]

    @field_validator("arms", mode="before")
    @classmethod
    def _without_arms_set_to_null(cls, arms: Any) -> Any:
        return {name: arm for name, arm in arms.items() if arm is not None} if isinstance(arms, Mapping) else arms

    def for_arm(self, name: str) -> Self:
        """Return the settings with the overrides of arm ``name`` applied and validated."""
        if name not in self.arms:
            raise ConfigurationError(f"no arm {name!r}; the arms are {', '.join(sorted(self.arms))}")
        raw = merge(self.model_dump() | {"arms": {}}, self.arms[name].overrides)
        return type(self).model_validate_json(json.dumps(raw), strict=True)  # as a scale is read

    @property
    def updates(self) -> int:
        """The most updates of a run, with those that train the policy to start from."""
        return self.schedule.updates * 3 // 2 if self.start == "halfway" else self.schedule.updates

    def require_proof(self) -> None:
        """Refuse settings that ask for proven constants.  Experiments that have a proof override this.

        Raises:
            ConfigurationError: they ask for them.
        """
        raise ConfigurationError(
            "scpo.smoothness.kind = 'proven': this experiment has no proof; use estimated or fixed"
        )

    def memory(self, dataset: str) -> dict[str, float]:
        """Return setting -> the bytes that a run on ``dataset`` needs because of it, roughly (see the tests)."""
        return {"schedule.epochs": BYTES_OF_UPDATE * self.schedule.epochs * self.schedule.updates_per_epoch}

    def memory_of_network(self, hidden: Sequence[int], parameters: int, heldout: int) -> dict[str, float]:
        """Return setting -> the bytes that a network of these hidden widths needs because of it."""
        units, evaluations = sum(hidden), self.schedule.epochs // self.schedule.evaluate_every
        return {
            "schedule.batch_size": 32.0 * units * self.schedule.batch_size,
            "heldout": 16.0 * units * heldout,
            "hidden": 32.0 * (self.scpo.directions.count + 1) * parameters,
            "schedule.evaluate_every": 16.0 * parameters * evaluations,
        }

    @model_validator(mode="after")
    def _arms_are_valid(self) -> Self:
        for name, arm in self.arms.items():
            if arm.dataset not in self.datasets:
                raise ValueError(f"arm {name!r}: no data set {arm.dataset!r}; there are {sorted(self.datasets)}")
            if "arms" in arm.overrides or "datasets" in arm.overrides:
                raise ValueError(f"arm {name!r}: overrides may not change arms or datasets")
            try:
                settings = self.for_arm(name)
            except ValidationError as error:
                raise ValueError(f"arm {name!r}, overrides: {'; '.join(problems(error, self))}") from error
            if arm.method == "scpo" and settings.scpo.smoothness.kind == "proven":
                settings.require_proof()
        return self
