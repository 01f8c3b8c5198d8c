"""How near the regression's final policies are to a constrained optimum: the KKT residual of the training problem.

At a local optimum of the loss under g + tightening <= 0 the active constraints balance the gradient: there are
lambda >= 0 with grad loss + sum lambda_i grad g_i = 0.  The residual is the length of the part that they cannot
balance, as a share of |grad loss|.  It is 1 if no constraint is active, and 0 at an optimum.  If it is small, steps
that cross no kink can hardly improve the loss to first order.  This does not depend on the method's constants or steps.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from replication import documents, files
from replication.errors import ResultError
from replication.provenance import stamp
from replication.results.read import read_config
from replication.tasks.regression import build as regression
from replication.tasks.regression.settings import RegressionConfig
from replication.tasks.regression.task import RegressionTask
from replication.training import process
from scpo.arrays import Array
from scpo.parameters import ParameterVector

EXPERIMENT = "regression"
#: a constraint counts as active where g + tightening is at least minus this
NEAR = 0.005


def main(results: Path, out: Path) -> None:
    """Write the residual of every run of the method under ``results`` to ``out``, with its stamp beside it.

    Raises:
        ResultError: the scale does not run the regression, or a file is missing or damaged.
    """
    process.prepare()
    section = read_config(results).regression
    if section is None:
        raise ResultError(f"{results / 'config.json'}: the scale does not run experiment {EXPERIMENT!r}")
    runs, inputs = [], []
    for arm, chosen in section.arms.items():
        if chosen.method != "scpo":
            continue
        settings = section.for_arm(arm)
        for seed in chosen.seed_range:
            weights = results / EXPERIMENT / arm / f"seed-{seed}" / "final.safetensors"
            data = results / EXPERIMENT / "data" / chosen.dataset / f"seed-{seed}.npz"
            runs.append({"arm": arm, "seed": seed, **of_run(settings, weights, data)})
            inputs += [weights, data]
    documents.write(out, documents.Stationarity, {"near": NEAR, "runs": runs})
    stamp.write(
        out.with_suffix(".stamp.json"),
        module=__name__,
        config_sha256=files.sha256(results / "config.json"),
        seeds={},
        inputs=inputs,
        outputs=[out],
    )


def of_run(settings: RegressionConfig, weights: Path, data: Path) -> dict[str, Any]:
    """Return ``active``, the number of active constraints, and ``residual`` for the policy in ``weights``.

    Raises:
        ResultError: the weights are missing or not those of the policy.
    """
    task = regression.build(settings, files.read_npz(data))
    policy = task.initial_policy(torch.Generator().manual_seed(0))
    try:
        policy.load_state_dict(load_file(weights))
    except (OSError, RuntimeError) as error:
        raise ResultError(f"{weights}: not the policy's weights ({error})") from error
    loss = task.loss(policy, (task.inputs, task.labels, task.harmful))
    vector = ParameterVector(policy, policy.parameters())
    gradient = torch.cat([part.reshape(-1) for part in torch.autograd.grad(loss, vector.parameters)])
    slopes = _active_gradients(task, policy, vector, settings.scpo.tightening)
    return {"active": len(slopes), "residual": residual(gradient.numpy(), slopes)}


def residual(gradient: Array, slopes: Array) -> float:
    """Return min over lambda >= 0 of |gradient + slopes^T lambda| / |gradient|; 0 where the gradient is 0.

    By Moreau's decomposition this is the length of the projection of -gradient / |gradient| onto {z : slopes z <= 0}.

    Args:
        gradient: the gradient of the loss (d,).
        slopes: the gradients (m, d) of the active constraints.

    Raises:
        ResultError: the solver failed.
    """
    import daqp

    size = float(np.linalg.norm(gradient))
    if size == 0.0 or len(slopes) == 0:
        return float(size > 0.0)
    rows = slopes / np.maximum(np.linalg.norm(slopes, axis=1, keepdims=True), 1e-300)
    basis = np.linalg.qr(np.vstack([gradient / size, rows]).T)[0]  # everything lies in a few dimensions
    cone, goal = rows @ basis, -(gradient / size) @ basis
    count = len(rows)
    point, _, flag, _ = daqp.solve(
        np.eye(goal.size), -goal, cone, np.zeros(count), np.full(count, -1e30), np.zeros(count, dtype=np.int32)
    )
    if flag != 1 or not np.isfinite(point).all():
        raise ResultError(f"the KKT residual of a policy could not be computed (DAQP: {flag})")
    return float(np.linalg.norm(point))


def _active_gradients(task: RegressionTask, policy: Any, vector: ParameterVector, tightening: float) -> Array:
    """Return the gradients (m, d) of the active constraints."""
    values: Tensor = task.constraint(vector.stack(vector.read()[None]))[0]
    parts = policy.output_jacobian(task.grid)
    rows = torch.cat([parts[name].reshape(task.grid.shape[0], -1) for name in vector.names], dim=1)
    return torch.cat([rows, -rows])[values + tightening >= -NEAR].numpy()
