"""Settings of the constrained double integrator, its data sets and its arms."""

from __future__ import annotations

from typing import Annotated, Literal, Self

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
    SmoothnessSettings,
    count_parameters,
)


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


class DoubleIntegratorConfig(ExperimentSettings):
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
    scpo: ScpoConfig = ScpoConfig(
        directions=DirectionSettings(count=12),
        smoothness=SmoothnessSettings(decay=0.99),
        kappa=0.9,
        verify=False,
        tightening=0.04,
    )
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

    @property
    def parameters(self) -> int:
        """d: parameters of the residual network."""
        return count_parameters(2, self.hidden)

    @property
    def constraints(self) -> int:
        """k: constraints, three for each start."""
        return 3 * self.starts

    @model_validator(mode="after")
    def _arms_share_their_starts(self) -> Self:
        for name, arm in self.arms.items():
            if shared := sorted({"rho", "heldout"} & arm.overrides.keys()):
                raise ValueError(f"arm {name!r}: {shared} may not be overridden: references hold for every arm")
        return self
