"""The settings of the experiment regression: the task, its data sets and its arms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from replication.settings import (
    Arm,
    Count,
    DirectionSettings,
    ExperimentSettings,
    Fraction,
    Model,
    Name,
    OptimizerConfig,
    Positive,
    ScheduleConfig,
    ScpoConfig,
    count_parameters,
    on_the_bound,
)
from scpo.errors import ConfigurationError


class RegressionData(Model):
    """A data set of inputs and labels."""

    inputs: Literal["normal", "uniform"] = Field(
        "normal", description="distribution of the inputs: N(0, 1), or uniform on [-pi, pi]"
    )
    size: Count = Field(4096, description="number of training samples")
    adversarial_share: Fraction = Field(0.0, description="share of the labels that adversarial ones replace")
    adversarial_label: Positive = Field(4.0, description="magnitude of an adversarial label; its sign is opposite to f")


#: the shares of adversarial labels, in percent
ADVERSARIAL_PERCENT = (10, 30, 50)
#: the plain method, as the abstract describes it: Gaussian directions, all of the slack, no additions
PLAIN = {
    "directions": {"kind": "isotropic", "recycled": 0},
    "smoothness": {"factor": 2.0},  # as without a look
    "look": None,
    "kappa": 1.0,
    "tightening": 0.0,
    "buffer": 0.0,
}
#: how the main arms train; the side experiments train like the first SIDE_EPOCHS of them, with the same learning rates
LONG = OptimizerConfig(learning_rate=0.15, final_learning_rate=0.015)
EPOCHS, SIDE_EPOCHS = 5000, 2000
SHORT = {
    "schedule": {"epochs": SIDE_EPOCHS},
    "optimizer": {"final_learning_rate": round(LONG.rate(SIDE_EPOCHS / EPOCHS), 4)},
}
#: R: rollouts that the method takes in SIDE_EPOCHS epochs; backtracking takes one or more an update
SIDE_ROLLOUTS = 58_000
BACKTRACKING = {
    "schedule": {
        "epochs": SIDE_ROLLOUTS // 2,
        "evaluate_every": SIDE_ROLLOUTS // 200,
        "checkpoint_every": SIDE_ROLLOUTS // 40,
        "max_rollouts": SIDE_ROLLOUTS,
    }
}
#: for scpo-proven and scpo-small: no tightening and no buffer, so that only the step bound keeps them safe
BARE: dict[str, Any] = {"tightening": 0.0, "buffer": 0.0}
#: for scpo-proven: L is proven within the longest step
PROVEN = {"smoothness": {"kind": "proven", "max_radius": 0.1}}
#: the settings that scpo-proven shares with the arms beside it
PROVABLE = {
    "hidden": [16],
    "activation": "tanh",
    "optimizer": {"learning_rate": 0.05, "momentum": 0.9, "final_learning_rate": None},
    "schedule": SHORT["schedule"],
}


def require_one_layer(hidden: Sequence[int], activation: str) -> None:
    """Refuse networks other than one hidden layer of tanh, for which the constants are proven."""
    if len(hidden) != 1 or activation != "tanh":
        raise ConfigurationError(
            f"scpo.smoothness.kind = 'proven': only for one hidden layer of tanh, not {list(hidden)} of {activation}"
        )


class RegressionConfig(ExperimentSettings):
    """Regression with harmful supervision."""

    bound: Positive = Field(1.4, description="the constraint |pi(x)| <= bound on the grid (F)")
    grid_size: Count = Field(100, description="number of grid points of the constraint on [-pi, pi] (R)")
    hidden: tuple[Count, ...] = Field((64, 64), description="hidden widths of the residual network (R)")
    activation: Literal["relu", "tanh", "softplus"] = Field(
        "relu", description="activation of the residual network; relu is read off the figure (F)"
    )
    heldout: Count = Field(10_000, description="number of held-out points on which loss and violation are measured")
    scpo: ScpoConfig = on_the_bound(
        DirectionSettings(count=32, recycled=12), decay=0.995, tightening=0.005, buffer=0.005
    )
    optimizer: OptimizerConfig = LONG
    schedule: ScheduleConfig = ScheduleConfig(epochs=EPOCHS, updates_per_epoch=2, batch_size=256, audited_share=0.05)
    datasets: dict[Name, RegressionData] = {
        "normal": RegressionData(),
        "uniform": RegressionData(inputs="uniform"),
        **{f"adversarial-{share}": RegressionData(adversarial_share=share / 100) for share in ADVERSARIAL_PERCENT},
    }
    arms: dict[Name, Arm] = {
        "scpo": Arm(method="scpo", dataset="normal", seeds=10),
        "scpo-verified": Arm(method="scpo", dataset="normal", seeds=6, overrides={"scpo": {"verify": True}}),
        "scpo-uniform": Arm(method="scpo", dataset="uniform", seeds=6),
        "unconstrained": Arm(method="unconstrained", dataset="normal", seeds=10),
        "unconstrained-uniform": Arm(method="unconstrained", dataset="uniform", seeds=6),
        **{
            f"scpo-{name}": Arm(method="scpo", dataset="normal", seeds=6, overrides={"scpo": changed} | SHORT)
            for name, changed in (
                ("no-margin", {"tightening": 0.0}),
                ("covered", {"tightening": 0.12}),
                ("no-buffer", {"buffer": 0.0}),
                ("plain", PLAIN),
            )
        },
        **{
            f"{method}-adversarial-{share}": Arm(
                method=method, dataset=f"adversarial-{share}", seeds=6, overrides=SHORT
            )
            for share in ADVERSARIAL_PERCENT
            for method in ("scpo", "unconstrained")
        },
        **{
            f"scpo-{activation}": Arm(
                method="scpo", dataset="normal", seeds=6, overrides={"activation": activation} | SHORT
            )
            for activation in ("tanh", "softplus")
        },
        "backtracking": Arm(method="backtracking", dataset="normal", seeds=6, overrides=SHORT | BACKTRACKING),
        **{
            name: Arm(method=method, dataset="normal", seeds=6, overrides=PROVABLE | overrides)
            for name, method, overrides in (
                (
                    "scpo-proven",
                    "scpo",
                    {"scpo": BARE | PROVEN},
                ),
                ("scpo-small", "scpo", {"scpo": BARE}),
                ("unconstrained-small", "unconstrained", {}),
            )
        },
    }

    @property
    def parameters(self) -> int:
        """d: parameters of the residual network."""
        return count_parameters(1, self.hidden)

    @property
    def constraints(self) -> int:
        """k: constraints, two for each point of the grid."""
        return 2 * self.grid_size

    def require_proof(self) -> None:
        """Refuse proven constants for networks other than one hidden layer of tanh, for which the proof holds."""
        require_one_layer(self.hidden, self.activation)

    def memory(self, dataset: str) -> dict[str, float]:
        """Return setting -> the bytes that a run on ``dataset`` needs because of it."""
        probes = self.scpo.directions.count + 1
        return {
            **super().memory(dataset),
            **self.memory_of_network(self.hidden, self.parameters, self.heldout),
            f"datasets.{dataset}.size": 32.0 * self.datasets[dataset].size,
            "grid_size": 16.0 * probes * max(self.hidden, default=1) * self.grid_size,
        }
