"""Settings that every experiment has: the method, the optimiser, the schedule, the arms.

An *arm* is one line of an experiment: a method on a data set for a number of seeds, with overrides of the
experiment's settings.  Unknown keys are refused everywhere, so that a mistyped key is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from replication.seeds import FIRST_TUNING_SEED
from scpo.errors import ConfigurationError

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


class ScpoConfig(Model):
    """The method's own settings (docs/method.md)."""

    samples: Count = Field(32, description="N: sampled directions per update, the nominal step among them")
    sampler: Literal["tangent", "isotropic", "mixed"] = Field(
        "tangent", description="tangent: policy derivatives at visited states; isotropic: Gaussian; mixed: half each"
    )
    kappa: Annotated[float, Field(gt=0, le=1)] = Field(
        0.9, description="share of the slack that one update may use (1: all of it, the paper's reading)"
    )
    recycle: Annotated[int, Field(ge=0)] = Field(
        8, description="of the samples, gradients that the last probes revealed of the metrics nearest to their limits"
    )
    verify: bool = Field(False, description="roll the proposal out before it is taken (ours; false: the bound alone)")
    margin: Annotated[float, Field(ge=0)] = Field(
        0.0, description="coverage margin: train with g + margin <= 0 so that unseen points have room"
    )
    buffer: Annotated[float, Field(ge=0)] = Field(
        0.0, description="zone before the margin in which steps are turned along the limit, or back; 0 turns none"
    )
    smoothness: Literal["estimated", "proven"] | Positive = Field(
        "estimated",
        description="L: estimated per constraint, or a known constant for all; proven: recomputed at each iterate "
        "(regression with one hidden layer of tanh)",
    )
    initial_smoothness: Positive = Field(10.0, description="estimated L: value before anything was observed")
    safety_factor: Annotated[float, Field(ge=1)] = Field(2.0, description="estimated L: factor on observed curvature")
    kink_ratio: Annotated[float, Field(gt=1)] | None = Field(
        None,
        description="estimated L: what a step needs beyond so many times the pooled L is a kink of g and goes into c; "
        "null: all is curvature",
    )
    kink_factor: Annotated[float, Field(ge=1)] | None = Field(
        None, description="estimated c: factor on observed kinks; null: the safety factor"
    )
    decay: Annotated[float, Field(gt=0, le=1)] = Field(0.99, description="estimated L: decay of old maxima per update")
    probe_step: Positive | None = Field(
        None, description="nu: length of a probe in weight space; null balances curvature against rounding"
    )
    safe_probes: bool = Field(False, description="choose nu so that each probe is itself covered by the bound")
    max_radius: Positive = Field(1.0, description="r: largest step in weight space")
    backend: Literal["auto", "sqp", "clarabel"] = Field("auto", description="solver of the projection")


class OptimizerConfig(Model):
    """The first-order step that is projected, or taken as it is by the unconstrained baseline."""

    name: Literal["sgd", "adam"] = Field("sgd", description="torch.optim optimiser that proposes the step")
    learning_rate: Positive = Field(0.05, description="eta")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="momentum of sgd")
    final_learning_rate: Positive | None = Field(
        None, description="eta at the last update (geometric decay); null keeps eta constant"
    )

    def rate(self, part: float) -> float:
        """Return eta after this part of a run."""
        if self.final_learning_rate is None:
            return self.learning_rate
        return float(self.learning_rate * (self.final_learning_rate / self.learning_rate) ** part)


class ScheduleConfig(Model):
    """How long a run is and what it writes down on the way."""

    epochs: Count = Field(description="epochs of a run")
    updates_per_epoch: Count = Field(description="updates in an epoch, one batch each")
    batch_size: Count = Field(description="samples in a batch")
    evaluate_every: Count = Field(50, description="epochs between held-out evaluations and saved iterates")
    checkpoint_every: Count = Field(500, description="epochs between checkpoints of an unfinished run")


class Arm(Model):
    """One line of an experiment: a method on a data set for ``seeds`` seeds."""

    method: Literal["scpo", "unconstrained", "backtracking"]
    dataset: Name
    seeds: Count = 1
    first_seed: Annotated[int, Field(ge=0)] = 0
    overrides: dict[str, Any] = Field(
        default_factory=dict, description="settings of the experiment that this arm changes"
    )

    @property
    def seed_range(self) -> range:
        """Seeds of this arm."""
        return range(self.first_seed, self.first_seed + self.seeds)


class ExperimentSettings(Model):
    """What every experiment's section has; ``datasets`` is narrowed by each experiment."""

    scpo: ScpoConfig
    optimizer: OptimizerConfig
    schedule: ScheduleConfig
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
        raw = self.model_dump()
        return type(self).model_validate(merge(raw | {"arms": {}}, self.arms[name].overrides))

    @model_validator(mode="after")
    def _arms_are_valid(self) -> Self:
        for name, arm in self.arms.items():
            if arm.dataset not in self.datasets:
                raise ValueError(f"arm {name!r}: no data set {arm.dataset!r}; there are {sorted(self.datasets)}")
            if arm.seed_range.stop > FIRST_TUNING_SEED:
                raise ValueError(f"arm {name!r}: seeds from {FIRST_TUNING_SEED} on are for tuning, never reported")
            if "arms" in arm.overrides or "datasets" in arm.overrides:
                raise ValueError(f"arm {name!r}: overrides may not change arms or datasets")
            try:
                self.for_arm(name)
            except ValidationError as error:
                raise ValueError(f"arm {name!r}, overrides: {error}") from error
        return self
