"""Computes what the double integrator's runs are compared with: backup, MPC, invariant sets, residual condition.

Nothing here depends on a run: it is computed once for a scale.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from replication import documents, files
from replication.config import load_json
from replication.experiments.double_integrator.documents import ReferenceNumbers
from replication.provenance import stamp
from replication.tasks.double_integrator import build as double_integrator
from replication.tasks.double_integrator import stability, system
from replication.tasks.double_integrator.data import MALICIOUS_ABOVE, generate_dataset
from replication.tasks.double_integrator.exhibits import STEPS
from replication.tasks.double_integrator.experts import PredictiveController
from replication.tasks.double_integrator.sets import backup_invariant_set, maximal_control_invariant_set
from replication.tasks.double_integrator.settings import DoubleIntegratorConfig
from replication.tasks.double_integrator.task import DoubleIntegratorTask
from scpo.arrays import Array

EXPERIMENT = "double-integrator"


def main(config: Path, out: Path) -> None:
    """Write the numbers to ``out`` (json) and the arrays beside it (npz).

    Raises:
        ConfigurationError: the scale does not run the double integrator.
    """
    settings = load_json(config).section(EXPERIMENT)
    assert isinstance(settings, DoubleIntegratorConfig)
    # starts and sets do not depend on the labels, so any data will do
    data = generate_dataset("cooperative", np.random.default_rng(0), 1, rho=settings.rho, heldout=1)
    experiment = double_integrator.build(settings, data)
    outputs = [out, out.with_suffix(".npz")]
    documents.write(outputs[0], ReferenceNumbers, _numbers(experiment, settings.rho))
    files.write_npz(outputs[1], **_arrays(experiment))
    stamp.write(
        out.with_suffix(".stamp.json"),
        module=__name__,
        config_sha256=files.sha256(config),
        seeds={},
        inputs=[config],
        outputs=outputs,
    )


def _numbers(experiment: DoubleIntegratorTask, rho: float) -> dict[str, Any]:
    gain = system.backup_gain()
    matrix = system.closed_loop(gain)
    return {
        "costs": experiment.reference_costs(),
        "cost_starts": experiment.cost_starts,
        "cost_horizon": experiment.cost_horizon,
        "gain": gain[0],
        "spectral_radius": system.spectral_radius(matrix),
        "area": backup_invariant_set().area,
        "area_of_starts": backup_invariant_set().scaled(rho).area,
        "area_control_invariant": maximal_control_invariant_set().area,
        "gamma_lyapunov": stability.lyapunov_condition(matrix, system.B).bound,
        "gamma_tightest": stability.tightest_condition(matrix, system.B).bound,
        "rho": rho,
        "state_bound": system.STATE_LIMIT,
        "input_bound": system.INPUT_LIMIT,
        "stage_input_weight": system.STAGE_INPUT_WEIGHT,
        "backup_input_weight": system.BACKUP_INPUT_WEIGHT,
        "malicious_above": MALICIOUS_ABOVE,
        "sharpness": experiment.rollout_constraint.sharpness,
    }


def _arrays(experiment: DoubleIntegratorTask) -> dict[str, Array]:
    """Return sets, held-out starts, and trajectories of backup and MPC: states (T + 1, S, 2), inputs (T + 1, S, 1)."""
    region = backup_invariant_set()
    arrays = {
        "facets": region.facets,
        "vertices": region.vertices,
        "control_invariant_vertices": maximal_control_invariant_set().vertices,
        "heldout_starts": experiment.heldout_starts.numpy(),
    }
    predictive = PredictiveController()
    gain = system.backup_gain()
    for name, controller in (("backup", lambda x: -x @ gain.T), ("mpc", lambda x: predictive(x)[0])):
        states, inputs = [experiment.common_starts], []
        for _ in range(STEPS + 1):
            inputs.append(controller(states[-1]))
            states.append(system.step(states[-1], inputs[-1]))
        arrays |= {f"{name}_states": np.stack(states[:-1]), f"{name}_inputs": np.stack(inputs)}
    return arrays
