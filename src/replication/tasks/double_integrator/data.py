"""Imitation data of the three scenarios, our reconstruction.  They differ in which expert labels which states."""

from __future__ import annotations

from typing import get_args

import numpy as np
from numpy.typing import NDArray

from replication.tasks.double_integrator.experts import PredictiveController, malicious
from replication.tasks.double_integrator.sets import backup_invariant_set
from replication.tasks.double_integrator.settings import Scenario
from replication.tasks.double_integrator.starts import uniform
from scpo.arrays import Array
from scpo.errors import ConfigurationError

#: In the mixed scenario the malicious expert labels the states with x_1 above this, about 40 % of them.
MALICIOUS_ABOVE = 1.0


def harmful_states(scenario: str, states: Array) -> NDArray[np.bool_]:
    """Return True for each of the states (S, 2) that the malicious expert labels; shape (S,)."""
    if scenario == "cooperative":
        return np.zeros(len(states), dtype=bool)
    if scenario == "mixed":
        return np.asarray(states[:, 0] > MALICIOUS_ABOVE)
    if scenario == "hostile":
        return np.ones(len(states), dtype=bool)
    raise ConfigurationError(f"scenario: no {scenario!r}; there are {get_args(Scenario)}")


def generate_dataset(
    scenario: str,
    rng: np.random.Generator,
    size: int,
    *,
    rho: float,
    heldout: int = 1024,
) -> dict[str, NDArray[np.generic]]:
    """Return states drawn uniformly from rho O_inf with the labels of the experts.

    The good expert is the MPC; the malicious one thrusts outwards.  With the same state of ``rng`` the scenarios have
    the same inputs and differ only in their labels.

    Args:
        scenario: "cooperative" (good labels only), "mixed" (malicious where x_1 > 1) or "hostile" (malicious only).
        rng: source of the states.
        size: training states.
        rho: scale of the region.
        heldout: further states of the same kind, for held-out losses.

    Returns:
        ``inputs`` (size, 2), ``labels`` and ``good_labels`` (size, 1), ``harmful`` (size,) bool; the same four arrays
        for the held-out states, with the prefix ``heldout_``; ``fallbacks`` (), the number of good labels for which
        the MPC was infeasible and the clipped backup took its place.

    Raises:
        ConfigurationError: the scenario is unknown, or there are no states.
    """
    if size < 1 or heldout < 1:
        raise ConfigurationError(f"dataset: expected at least one state of each kind, got {size} and {heldout}")
    states = uniform(backup_invariant_set().scaled(rho), size + heldout, rng)
    harmful = harmful_states(scenario, states)
    good, fallbacks = PredictiveController()(states)
    labels = np.where(harmful[:, None], malicious(states), good)
    arrays = {"inputs": states, "labels": labels, "good_labels": good, "harmful": harmful}
    return (
        {name: array[:size] for name, array in arrays.items()}
        | {f"heldout_{name}": array[size:] for name, array in arrays.items()}
        | {"fallbacks": np.array(fallbacks)}
    )
