"""Configuration: pydantic models are the one source; the default YAML and the JSON schema are generated.

A profile (``config/smoke.yaml``, ``config/paper.yaml``) is an overlay on the defaults below, merged key by
key.  Unknown keys are refused everywhere, so that a mistyped key is an error and not a silent default.
An *arm* is one line of an experiment: a method on a data set for a number of seeds, with overrides of the
task's settings.  Results of an arm lie in ``results/<profile>/<task>/<arm>/seed-<n>/``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from scpo.errors import ConfigurationError
from scpo.seeding import FIRST_TUNING_SEED

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
    backend: Literal["auto", "sqp", "clarabel", "cvxpy-scs"] = Field("auto", description="solver of the projection")


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
    overrides: dict[str, Any] = Field(default_factory=dict, description="settings of the task that this arm changes")

    @property
    def seed_range(self) -> range:
        """Seeds of this arm."""
        return range(self.first_seed, self.first_seed + self.seeds)


class TaskSettings(Model):
    """What every task's section has; ``datasets`` is narrowed by each task."""

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


class RegressionData(Model):
    """Training data of the regression task."""

    inputs: Literal["normal", "uniform"] = Field("normal", description="x ~ N(0, 1), or uniform on [-pi, pi]")
    size: Count = Field(4096, description="training samples")
    adversarial_share: Fraction = Field(0.0, description="share of labels replaced by adversarial ones")
    adversarial_label: Positive = Field(4.0, description="magnitude of an adversarial label (its sign is against f)")


#: shares of adversarial labels, in percent
ADVERSARIAL_PERCENT = (10, 30, 50)
#: the method as plainly as the abstract reads: Gaussian directions, all of the slack, nothing kept, nothing added
PLAIN = {"sampler": "isotropic", "recycle": 0, "kappa": 1.0, "margin": 0.0, "buffer": 0.0, "kink_ratio": None}
#: training of the regression, and of its side experiments, which are its first part: eta falls as fast there
LONG = OptimizerConfig(learning_rate=0.15, final_learning_rate=0.015)
EPOCHS, SIDE_EPOCHS = 5000, 2000
SHORT = {
    "schedule": {"epochs": SIDE_EPOCHS},
    "optimizer": {"final_learning_rate": round(LONG.rate(SIDE_EPOCHS / EPOCHS), 4)},
}
#: of networks with a smooth activation
SMOOTH = {"kink_ratio": None}
#: of the exhibit with proven constants and the arm beside it: the bound has to do by itself
BARE = {**SMOOTH, "margin": 0.0, "buffer": 0.0}
#: what all arms beside the one with proven constants share with it
PROVABLE = {
    "hidden": [16],
    "activation": "tanh",
    "optimizer": {"learning_rate": 0.05, "momentum": 0.9, "final_learning_rate": None},
    "schedule": SHORT["schedule"],
}


class RegressionConfig(TaskSettings):
    """Regression with harmful supervision (task 1)."""

    bound: Positive = Field(1.4, description="|pi(x)| <= bound on the grid (F)")
    grid_size: Count = Field(100, description="points of the constraint's grid on [-pi, pi] (R)")
    hidden: tuple[Count, ...] = Field((64, 64), description="hidden widths of the residual network (R)")
    activation: Literal["relu", "tanh", "softplus"] = Field("relu", description="relu reads off the figure (F)")
    heldout: Count = Field(10_000, description="held-out points for loss and violation")
    scpo: ScpoConfig = ScpoConfig(
        samples=32, recycle=12, margin=0.01, buffer=0.005, kink_ratio=20.0, kink_factor=1.5, decay=0.995
    )
    optimizer: OptimizerConfig = LONG
    schedule: ScheduleConfig = ScheduleConfig(epochs=EPOCHS, updates_per_epoch=2, batch_size=256)
    datasets: dict[Name, RegressionData] = {
        "normal": RegressionData(),
        "uniform": RegressionData(inputs="uniform"),
        **{f"adversarial-{share}": RegressionData(adversarial_share=share / 100) for share in ADVERSARIAL_PERCENT},
    }
    arms: dict[Name, Arm] = {
        "scpo": Arm(method="scpo", dataset="normal", seeds=10),
        "scpo-verified": Arm(method="scpo", dataset="normal", seeds=3, overrides={"scpo": {"verify": True}}),
        "scpo-uniform": Arm(method="scpo", dataset="uniform", seeds=3),
        "unconstrained": Arm(method="unconstrained", dataset="normal", seeds=10),
        "unconstrained-uniform": Arm(method="unconstrained", dataset="uniform", seeds=3),
        **{
            f"scpo-{name}": Arm(method="scpo", dataset="normal", seeds=3, overrides={"scpo": changed} | SHORT)
            for name, changed in (
                ("no-margin", {"margin": 0.0}),
                ("covered", {"margin": 0.12}),
                ("no-buffer", {"buffer": 0.0}),
                ("curvature", {"kink_ratio": None}),
                ("plain", PLAIN),
            )
        },
        **{
            f"{method}-adversarial-{share}": Arm(
                method=method, dataset=f"adversarial-{share}", seeds=3, overrides=SHORT
            )
            for share in ADVERSARIAL_PERCENT
            for method in ("scpo", "unconstrained")
        },
        **{
            f"scpo-{activation}": Arm(
                method="scpo", dataset="normal", seeds=3, overrides={"activation": activation, "scpo": SMOOTH} | SHORT
            )
            for activation in ("tanh", "softplus")
        },
        "backtracking": Arm(method="backtracking", dataset="normal", seeds=3, overrides=SHORT),
        **{
            name: Arm(method=method, dataset="normal", seeds=3, overrides=PROVABLE | overrides)
            for name, method, overrides in (
                ("scpo-proven", "scpo", {"scpo": BARE | {"smoothness": "proven", "max_radius": 0.1}}),
                ("scpo-small", "scpo", {"scpo": BARE}),
                ("unconstrained-small", "unconstrained", {}),
            )
        },
    }


class DoubleIntegratorData(Model):
    """Training labels of the double integrator."""

    scenario: Literal["cooperative", "mixed", "hostile"] = Field(
        description="cooperative: MPC only; mixed: malicious where x_1 > 1; hostile: malicious only"
    )
    size: Count = Field(4096, description="labelled states")


class CertificateConfig(Model):
    """Set-based certificates of finished runs (ours, beyond the paper)."""

    cells: Annotated[int, Field(ge=2)] = Field(800, description="along each axis of the state box, final policies")
    cells_over_training: Annotated[int, Field(ge=2)] = Field(200, description="the same for policies on the way")
    iterates: Annotated[int, Field(ge=2)] = Field(6, description="policies certified on the way, with first and last")
    seeds: Count = Field(3, description="first seeds of each arm whose runs are certified")


class DoubleIntegratorConfig(TaskSettings):
    """Imitation on the constrained double integrator (task 2, all R)."""

    starts: Annotated[int, Field(ge=16)] = Field(224, description="M: training starts in rho O_inf (k = 3 M metrics)")
    horizon: Count = Field(20, description="T: steps of a rollout")
    contraction: Annotated[float, Field(gt=0, lt=1)] = Field(0.5, description="lambda: Psi(x_T) <= lambda Psi(x_0)")
    rho: Annotated[float, Field(gt=0, le=1)] = Field(0.95, description="starts lie in rho O_inf")
    hidden: tuple[Count, ...] = Field((32, 32), description="hidden widths of the residual network (tanh)")
    aggregation: Literal["max", "logsumexp"] = Field(
        "logsumexp", description="over time, in the training metrics: logsumexp is smooth and never below max"
    )
    heldout: Annotated[int, Field(ge=1000)] = Field(10_000, description="held-out starts for the safety metrics")
    certificate: CertificateConfig | None = Field(CertificateConfig(), description="null: nothing is certified")
    scpo: ScpoConfig = ScpoConfig(samples=12, margin=0.04)
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig(  # recycled directions learn in half of the 2,000 updates first planned
        epochs=100, updates_per_epoch=10, batch_size=64, evaluate_every=10, checkpoint_every=50
    )
    datasets: dict[Name, DoubleIntegratorData] = {
        name: DoubleIntegratorData(scenario=name) for name in ("cooperative", "mixed", "hostile")
    }
    arms: dict[Name, Arm] = {
        f"{arm}-{dataset}": Arm(method=method, dataset=dataset, seeds=seeds, overrides=overrides)
        for arm, method, seeds, overrides in (
            ("scpo", "scpo", 10, {}),
            ("scpo-verified", "scpo", 3, {"scpo": {"verify": True}}),
            ("unconstrained", "unconstrained", 10, {}),
        )
        for dataset in ("cooperative", "mixed", "hostile")
    }

    @model_validator(mode="after")
    def _arms_share_their_starts(self) -> Self:
        for name, arm in self.arms.items():
            if shared := sorted({"rho", "heldout"} & arm.overrides.keys()):
                raise ValueError(f"arm {name!r}: {shared} may not be overridden: references hold for every arm")
        return self


class Config(Model):
    """The whole configuration of one profile."""

    profile: Name = Field("default", description="name of the profile; results lie in results/<profile>/")
    base_seed: Annotated[int, Field(ge=0)] = Field(20251215, description="root of every derived seed")
    device: Literal["cpu", "cuda"] = Field(
        "cpu", description="where training runs; evaluations and certificates are the CPU's"
    )
    regression: RegressionConfig | None = RegressionConfig()
    double_integrator: DoubleIntegratorConfig | None = DoubleIntegratorConfig()

    @property
    def tasks(self) -> dict[str, TaskSettings]:
        """Sections of the tasks that this profile runs, by task name as used in paths."""
        sections = {"regression": self.regression, "double-integrator": self.double_integrator}
        return {name: section for name, section in sections.items() if section is not None}

    def section(self, task: str) -> TaskSettings:
        """Return the settings of ``task``, named as in paths."""
        if task not in self.tasks:
            raise ConfigurationError(f"no task {task!r}; the profile runs {', '.join(sorted(self.tasks)) or 'none'}")
        return self.tasks[task]


def load(path: Path | str) -> Config:
    """Read a profile's overlay and return the validated configuration.

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
        return Config.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise ConfigurationError(f"{path}: no such configuration file") from error
    except ValidationError as error:
        raise ConfigurationError(f"{path}: not a configuration that this version wrote: {error}") from error


def dump(config: Config) -> str:
    """Return the configuration as canonical JSON (sorted keys), the form that is hashed and stored."""
    return json.dumps(config.model_dump(mode="json"), sort_keys=True, indent=2) + "\n"
