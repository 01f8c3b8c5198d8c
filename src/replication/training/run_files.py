"""The files of a run: one row per update and per evaluation, a thinned series, weights, summary and stamp."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from replication import documents, files, tasks
from replication.provenance import stamp
from replication.tasks.base import Task
from replication.training import harmful_share, nominal_check, series
from replication.training.audited import Audited
from scpo.arrays import Array
from scpo.parameters import ParameterVector
from scpo.policies import ResidualPolicy
from scpo.records import StepInfo

#: The file with a row for each update.
UPDATES = "updates.parquet"
#: Fields of a StepInfo whose columns in that file come otherwise: the loop numbers the updates and computes the
#: loss, max_g says the slack, and solver_failures counts the misses.
OTHERWISE = ("update", "slack", "solver_misses", "closure_loss")
#: Columns of that file that are fields of a StepInfo.
FROM_STEP = tuple(one.name for one in fields(StepInfo) if one.name not in OTHERWISE)
#: Counts of run.json that are sums over the updates: the column of each.
SUMS = {
    **{name: name for name in ("unsafe_proposals", "unsafe_probes", "looks", "unsafe_looks", "near_misses")},
    **{name: name for name in ("solver_retries", "solver_failures")},
    **{"restoring_updates": "restoring", "returned_updates": "returned", "near_constraints": "near"},
}
#: Unsafe proposals whose weights a run keeps, the first ones.
UNSAFE_PROPOSALS_KEPT = 200


class Records:
    """The rows of a run, which stay in memory until it is complete or a checkpoint is written."""

    def __init__(self, audited: Audited | None = None) -> None:
        self.audited = Audited() if audited is None else audited
        self.rows: list[dict[str, Any]] = []
        self.evaluations: list[dict[str, Any]] = []
        self.thetas: list[Tensor] = []
        self.unsafe = 0
        self.unsafe_updates: list[int] = []
        self.unsafe_thetas: list[Tensor] = []
        #: the update at which a value was no longer finite, which ended the run
        self.diverged: int | None = None

    @property
    def updates(self) -> int:
        """Updates recorded so far."""
        return max(0, len(self.rows) - 1)

    @property
    def rollouts(self) -> int:
        """Rollouts recorded so far."""
        return int(self.rows[-1]["rollouts"]) if self.rows else 0

    def start(self, values: Array) -> None:
        """Record the initial policy, whose constraint values are ``values`` (k,), as update 0."""
        slack = -float(values.max(initial=-np.inf))
        info = StepInfo(update=0, slack=slack, proposals=1, nominal_norm=0.0, step_norm=0.0)
        self.rows.append(_row(info, 0, 0.0, math.nan))

    def add(
        self, info: StepInfo, update: int, epoch: float, loss: float, unsafe_proposals: Sequence[Tensor] = ()
    ) -> None:
        """Record one update.

        Args:
            info: the record that the method returned.
            update: the number of the update.
            epoch: the epoch of the update.
            loss: the loss of the batch before the step.
            unsafe_proposals: the parameters (d,) of each unsafe proposal.
        """
        free = UNSAFE_PROPOSALS_KEPT - len(self.unsafe_thetas)
        for theta in unsafe_proposals[:free]:
            self.unsafe_updates.append(update)
            self.unsafe_thetas.append(theta.to("cpu", copy=True))
        self._append(_row(info, update, epoch, loss))

    def failed(self, values: Array, update: int, epoch: float, loss: float) -> None:
        """Record an update for whose projection no solver found a point, so that policy and ``values`` (k,) stayed."""
        info = StepInfo(
            update=update,
            slack=-float(values.max(initial=-np.inf)),
            step_norm=0.0,
            rollouts=self.rollouts,
        )
        self._append(_row(info, update, epoch, loss) | {"solver_failures": 1})

    def _append(self, row: dict[str, Any]) -> None:
        if row["update"] == 1:
            self.rows[0]["loss"] = row["loss"]
        self.unsafe += int(row["unsafe_iterate"])
        self.rows.append(row)

    def evaluated(self, update: int, epoch: float, measured: dict[str, float], theta: Tensor) -> None:
        """Record the quantities that a held-out evaluation measured at the iterate ``theta`` (d,)."""
        self.evaluations.append({"update": update, "epoch": epoch, **measured})
        self.thetas.append(theta.to("cpu", copy=True))

    def state_dict(self) -> dict[str, Any]:
        """Return all rows in plain types."""
        return {
            "rows": self.rows,
            "evaluations": self.evaluations,
            "thetas": torch.stack(self.thetas),
            "unsafe": self.unsafe,
            "unsafe_updates": self.unsafe_updates,
            "unsafe_thetas": self.unsafe_thetas,
            "audited": self.audited.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
        self.rows, self.evaluations = list(state["rows"]), list(state["evaluations"])
        self.thetas, self.unsafe = list(state["thetas"]), int(state["unsafe"])
        self.unsafe_updates, self.unsafe_thetas = list(state["unsafe_updates"]), list(state["unsafe_thetas"])
        self.audited.load_state_dict(state["audited"])

    def summary(self) -> dict[str, Any]:
        """Return the counts of the run and its held-out values; the initial policy is not counted as an update."""
        updates = self.rows[1:]
        unsafe = [row["update"] for row in updates if row["unsafe_iterate"]]
        missed = [row["update"] for row in updates if row["bound_misses"] > 0]
        return {
            "updates": len(updates),
            "unsafe_iterates": len(unsafe),
            "first_unsafe_update": unsafe[0] if unsafe else None,
            "diverged_update": self.diverged,
            "bound_misses": len(missed),
            "first_missed_update": missed[0] if missed else None,
            "captured_energy": _median(updates, "captured_energy"),
            "projected_share": sum(row["projected"] for row in updates) / max(1, len(updates)),
            "max_g": max(row["max_g"] for row in self.rows),
            "median_step": _median(updates, "step_norm"),
            "median_nominal": _median(updates, "nominal_norm"),
            "median_smoothness": _median(updates, "smoothness_max"),
            "largest_required": max((row["required_max"] for row in updates if row["required_max"] >= 0), default=None),
            "largest_miss": max((row["worst_miss"] for row in updates if row["bound_misses"] > 0), default=None),
            "rollouts": self.rollouts,
            **{name: sum(row[column] for row in updates) for name, column in SUMS.items()},
            **nominal_check.counts(self.evaluations),
            "initial": _of_policy(self.evaluations[0]),
            "final": _of_policy(self.evaluations[-1]),
        }


def _median(rows: Sequence[dict[str, Any]], name: str) -> float | None:
    values = [row[name] for row in rows if math.isfinite(row[name])]
    return float(np.median(values)) if values else None


def _of_policy(evaluation: dict[str, Any]) -> dict[str, float]:
    """Return the quantities of an evaluation that describe the policy, not its time and not the step before it."""
    return {
        key: value
        for key, value in evaluation.items()
        if key not in ("update", "epoch", *harmful_share.NAMES, *nominal_check.NAMES)
    }


def _row(info: StepInfo, update: int, epoch: float, loss: float) -> dict[str, Any]:
    """Return a row of updates.parquet."""
    row: dict[str, Any] = {"update": update, "epoch": epoch, "loss": loss, "max_g": -info.slack}
    row |= {name: getattr(info, name) for name in FROM_STEP}
    return row | {"unsafe_iterate": info.slack < 0, "solver_failures": info.solver_misses}


def write_run(
    out: Path,
    records: Records,
    policy: ResidualPolicy,
    problem: Task,
    *,
    identity: dict[str, Any],
    settings_digest: str,
    data: Path,
    seconds: float,
    processor_seconds: float,
    resumed: bool,
) -> None:
    """Write a finished run's files to ``out``.  Only the timing file and the stamp hold times and the host."""
    import pandas as pd
    from safetensors.torch import save

    updates = pd.DataFrame(records.rows)
    tables = {"updates": updates, "series": series.thin(updates), "evaluations": pd.DataFrame(records.evaluations)}
    tables |= {name: pd.DataFrame(dict(columns)) for name, columns in problem.exhibits(policy).items()}
    for name, table in tables.items():
        files.write_parquet(out / f"{name}.parquet", table)
    outputs = [out / f"{name}.parquet" for name in tables] + [out / "weights.npz", out / "final.safetensors"]
    files.write_npz(outputs[-2], **_weights(records, policy))
    files.write_bytes(outputs[-1], save({name: value.contiguous() for name, value in policy.state_dict().items()}))
    outputs.append(out / "run.json")
    documents.write(outputs[-1], documents.RunSummary, identity | records.summary())
    taken = {"seconds": seconds, "processor_seconds": processor_seconds, "updates": records.updates, "resumed": resumed}
    documents.write(out / "run.timing.json", documents.Timing, taken | stamp.host())
    stamp.write(
        out / "run.stamp.json",
        module=["replication.training.train", tasks.MODULES[identity["experiment"]]],
        config_sha256=settings_digest,
        seeds={"run": int(identity["seed"])},
        inputs=[data],
        outputs=outputs,
    )


def _weights(records: Records, policy: ResidualPolicy) -> dict[str, np.ndarray]:
    vector = ParameterVector(policy, policy.parameters())
    shapes = np.zeros((len(vector.shapes), 2), dtype=np.int64)
    for row, shape in enumerate(vector.shapes):
        shapes[row, : len(shape)] = shape
    return {
        "updates": np.array([evaluation["update"] for evaluation in records.evaluations], dtype=np.int64),
        "theta": torch.stack(records.thetas).numpy(),
        "unsafe_updates": np.array(records.unsafe_updates, dtype=np.int64),
        "unsafe_theta": torch.stack(records.unsafe_thetas).numpy()
        if records.unsafe_thetas
        else np.zeros((0, vector.dimension)),
        **{f"audited_{name}": array for name, array in records.audited.arrays().items()},
        "names": np.array(vector.names),
        "shapes": shapes,
    }
