"""Settings of the toy experiment, its data set and its arms."""

from __future__ import annotations

from pydantic import Field

from replication.settings import (
    Arm,
    Count,
    ExperimentSettings,
    Model,
    Name,
    OptimizerConfig,
    ScheduleConfig,
    ScpoConfig,
)


class ToyData(Model):
    """Training data of the toy task."""

    size: Count = Field(32, description="training samples")


class ToyConfig(ExperimentSettings):
    """Follow y = 2 x on [-1, 1] while |pi(x)| <= 1."""

    scpo: ScpoConfig = ScpoConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig(
        epochs=4, updates_per_epoch=2, batch_size=8, evaluate_every=2, checkpoint_every=2
    )
    datasets: dict[Name, ToyData] = {"line": ToyData()}
    arms: dict[Name, Arm] = {
        "scpo": Arm(method="scpo", dataset="line"),
        "unconstrained": Arm(method="unconstrained", dataset="line"),
    }
