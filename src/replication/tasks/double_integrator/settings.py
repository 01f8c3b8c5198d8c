"""The settings of the experiment double-integrator: the task, its data sets and its arms."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from replication.settings import (
    Arm,
    Count,
    DirectionSettings,
    ExperimentSettings,
    Model,
    Name,
    OptimizerConfig,
    ScheduleConfig,
    ScpoConfig,
    count_parameters,
    on_the_bound,
)

Scenario = Literal["cooperative", "mixed", "hostile"]
Aggregation = Literal["max", "logsumexp"]


class DoubleIntegratorData(Model):
    """A data set of labelled states."""

    scenario: Scenario = Field(
        description="cooperative: labels of the MPC expert; hostile: malicious labels; mixed: malicious where x_1 > 1"
    )
    size: Count = Field(4096, description="number of labelled states")


class CertificateConfig(Model):
    """Set-based certificates of finished runs.  They are ours; the paper has none."""

    cells: Annotated[int, Field(ge=2)] = Field(
        800, description="cells along each axis of the state box, for final policies"
    )
    cells_over_training: Annotated[int, Field(ge=2)] = Field(
        200, description="cells along each axis, for policies during training"
    )
    iterates: Annotated[int, Field(ge=2)] = Field(
        6, description="number of policies certified in a run, the first and the last included"
    )
    seeds: Count = Field(3, description="number of seeds of each arm, from the first on, whose runs are certified")

    @property
    def cells_in_all(self) -> int:
        """The number of cells in all certificates of one run; the last policy has the finest."""
        return self.cells**2 + (self.iterates - 2) * self.cells_over_training**2


class DoubleIntegratorConfig(ExperimentSettings):
    """Imitation on the constrained double integrator; the paper states none of these settings (R)."""

    starts: Annotated[int, Field(ge=16)] = Field(
        224, description="M: number of training starts in rho O_inf; there are k = 3 M constraints"
    )
    horizon: Count = Field(20, description="T: number of steps of a rollout")
    contraction: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.5, description="lambda: the constraint Psi(x_T) <= lambda Psi(x_0)"
    )
    rho: Annotated[float, Field(gt=0, le=1)] = Field(0.95, description="rho: the starts lie in rho O_inf")
    hidden: tuple[Count, ...] = Field((32, 32), description="hidden widths of the residual network (tanh)")
    aggregation: Aggregation = Field(
        "logsumexp",
        description="aggregation of a training constraint over time; logsumexp is smooth and never below max",
    )
    filtered: bool = Field(
        False, description="a filter that knows the plant changes unsafe inputs, in every rollout and evaluation"
    )
    heldout: Annotated[int, Field(ge=1000)] = Field(
        10_000, description="number of held-out starts on which safety is measured"
    )
    certificate: CertificateConfig | None = Field(CertificateConfig(), description="the certificates; null: none")
    scpo: ScpoConfig = on_the_bound(DirectionSettings(), decay=0.99, tightening=0.04)
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig(  # 1,000 updates are enough with recycled directions
        epochs=100, updates_per_epoch=10, batch_size=64, evaluate_every=10, checkpoint_every=50, audited_share=0.05
    )
    datasets: dict[Name, DoubleIntegratorData] = {
        name: DoubleIntegratorData(scenario=name) for name in get_args(Scenario)
    }
    arms: dict[Name, Arm] = {
        f"{arm}-{dataset}": Arm(method=method, dataset=dataset, seeds=seeds, overrides=overrides)
        for arm, method, seeds, overrides in (
            ("scpo", "scpo", 10, {}),
            ("scpo-verified", "scpo", 6, {"scpo": {"verify": True}}),
            ("unconstrained", "unconstrained", 10, {}),
        )
        for dataset in get_args(Scenario)
    }

    @property
    def parameters(self) -> int:
        """d: parameters of the residual network."""
        return count_parameters(2, self.hidden)

    @property
    def constraints(self) -> int:
        """k: constraints, three for each start."""
        return 3 * self.starts

    def memory(self, dataset: str) -> dict[str, float]:
        """Return setting -> the bytes that a run on ``dataset`` needs because of it."""
        rollouts = 16.0 * (self.scpo.directions.count + 1) * self.starts
        cells = 0 if self.certificate is None else max(self.certificate.cells, self.certificate.cells_over_training)
        return {
            **super().memory(dataset),
            **self.memory_of_network(self.hidden, self.parameters, self.heldout),
            f"datasets.{dataset}.size": 80.0 * self.datasets[dataset].size,
            "starts": rollouts * max(self.hidden, default=1),
            "horizon": rollouts * 8 * self.horizon,
            "certificate.cells": 160.0 * cells**2,
        }

    @model_validator(mode="after")
    def _arms_share_their_starts(self) -> Self:
        for name, arm in self.arms.items():
            if shared := sorted({"rho", "heldout"} & arm.overrides.keys()):
                raise ValueError(f"arm {name!r}: {shared} may not be overridden; all arms share the references")
        return self
