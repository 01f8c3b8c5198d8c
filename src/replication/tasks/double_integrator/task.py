"""The task of the double-integrator experiment: imitate experts, one of them malicious, under constraints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from replication.tasks.base import Batch
from replication.tasks.double_integrator import exhibits
from replication.tasks.double_integrator.action_filter import ActionFilter
from replication.tasks.double_integrator.constraints import RolloutConstraint
from replication.tasks.double_integrator.experts import PredictiveController
from replication.tasks.double_integrator.rollout import Rollout, rollout, rollout_policy
from replication.tasks.double_integrator.sets import backup_invariant_set
from replication.tasks.double_integrator.settings import Aggregation
from replication.tasks.double_integrator.stability import equilibrium_jacobian
from replication.tasks.double_integrator.starts import training_starts, uniform
from replication.tasks.double_integrator.system import STAGE_INPUT_WEIGHT, A, B, backup_gain, spectral_radius, step
from scpo.arrays import Array
from scpo.errors import ConfigurationError, NonFiniteError, ShapeError
from scpo.policies import ResidualPolicy


def backup_module() -> nn.Linear:
    """Return the backup u = -K x as a frozen linear layer."""
    module = nn.Linear(2, 1, bias=False, dtype=torch.float64).requires_grad_(False)
    module.weight.copy_(torch.from_numpy(-backup_gain()))
    return module


class DoubleIntegratorTask:
    """Imitation on the double integrator; implements :class:`replication.tasks.base.Task`.

    The policy is u = -K x + phi(x) - phi(0), not clipped.  The constraint is :class:`RolloutConstraint` over rollouts
    from M fixed starts in rho O_inf, k = 3 M.  Held-out starts are uniform in rho O_inf and the same for every run.

    Args:
        data: arrays of :func:`generate_dataset`.
        starts: M, the number of training starts.
        horizon: T, steps of a rollout.
        contraction: zeta, the largest share of Psi(x_0) that may remain at T.
        rho: scale of the region of starts.
        hidden: widths of the residual network.
        aggregation: "max" or "logsumexp", in the training constraint; the held-out constraint always uses "max".
        filtered: an :class:`ActionFilter` changes the inputs in rollouts, and in held-out losses.
        heldout: number of held-out starts.
        visited: number of visited states that :meth:`states` returns.
        activation: the activation of the residual network.
        heldout_seed: seed of the held-out starts.
        cost_starts: the number of held-out starts, from the first on, over which the closed-loop cost is averaged.
        cost_horizon: steps of that cost.

    Raises:
        ConfigurationError: an argument is out of range.
        ShapeError: an array is missing or has a wrong shape.
        NonFiniteError: an array holds NaN or infinity.
    """

    def __init__(
        self,
        data: Mapping[str, Any],
        *,
        starts: int,
        horizon: int,
        contraction: float,
        rho: float,
        hidden: Sequence[int],
        aggregation: Aggregation,
        filtered: bool,
        heldout: int,
        visited: int,
        activation: str = "tanh",
        heldout_seed: int = 1,
        cost_starts: int = 1000,
        cost_horizon: int = 100,
    ) -> None:
        if not 0.0 < rho <= 1.0:
            raise ConfigurationError(f"rho: expected 0 < rho <= 1, got {rho}")
        if not 1 <= cost_starts <= heldout:
            raise ConfigurationError(f"cost_starts: expected 1 ... heldout = {heldout}, got {cost_starts}")
        if not 1 <= visited <= starts * (horizon + 1):
            raise ConfigurationError(f"visited: expected 1 ... {starts * (horizon + 1)}, got {visited}")
        self.inputs, self.labels = _column(data, "inputs", 2), _column(data, "labels", 1)
        self.harmful = torch.from_numpy(np.array(data["harmful"], dtype=bool).reshape(-1))
        self.heldout_inputs = _column(data, "heldout_inputs", 2)
        self.heldout_labels = _column(data, "heldout_labels", 1)
        self.heldout_good_labels = _column(data, "heldout_good_labels", 1)
        self.heldout_clean = torch.from_numpy(~np.asarray(data["heldout_harmful"], dtype=bool).reshape(-1))
        self.region = backup_invariant_set()
        self.horizon, self.cost_horizon, self.cost_starts = horizon, cost_horizon, cost_starts
        self.action_filter = ActionFilter(contraction, horizon) if filtered else None
        self.sizes, self.activation = (2, *hidden, 1), activation
        facets = torch.from_numpy(self.region.facets.copy())
        self.rollout_constraint = RolloutConstraint(facets, contraction, aggregation)
        self.heldout_constraint = RolloutConstraint(facets, contraction, "max")
        inner = self.region.scaled(rho)
        self.common_starts = exhibits.common_starts(inner)
        self.starts = torch.from_numpy(training_starts(inner, starts))
        self.heldout_starts = torch.from_numpy(uniform(inner, heldout, np.random.default_rng(heldout_seed)))
        self._policy = self.initial_policy(
            torch.Generator().manual_seed(0)
        )  # only its architecture and backup are used
        self._chosen = torch.randperm(starts * (horizon + 1), generator=torch.Generator().manual_seed(0))[:visited]
        self._states = self._visited(rollout_policy(self._policy, self.starts, horizon))

    def initial_policy(self, generator: torch.Generator) -> ResidualPolicy:
        """Return the backup: the last layer of the residual network is zero, the others are random."""
        return ResidualPolicy(self.sizes, self.activation, backup=backup_module(), anchored=True, generator=generator)

    def sample_batch(self, size: int, generator: torch.Generator) -> Batch:
        """Return random states (size, 2), labels (size, 1), and True for the malicious expert's labels (size,)."""
        chosen = torch.randint(len(self.inputs), (size,), generator=generator)
        return self.inputs[chosen], self.labels[chosen], self.harmful[chosen]

    def loss(self, policy: ResidualPolicy, batch: Batch) -> Tensor:
        """Return the mean squared imitation error of a batch."""
        inputs, labels = batch[:2]
        error: Tensor = policy(inputs) - labels
        return error.square().mean()

    def constraint(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Return g (m, 3 M) of m stacked parameter sets; see :class:`RolloutConstraint`."""
        trajectories = rollout(self._policy, parameters, self.starts, self.horizon, self.action_filter)
        self._states = self._visited(trajectories)
        return self.rollout_constraint(trajectories)

    def states(self) -> Tensor:
        """Return states (visited, 2) from the latest rollouts of the first parameter set, always at the same places.

        Before the first call of :meth:`constraint` they come from the backup's rollouts.
        """
        return self._states

    def evaluate(self, policy: ResidualPolicy) -> dict[str, float]:
        """Return quantities on held-out data.

        ``good_loss``: imitation error against the good expert's labels; ``scenario_loss``: against the scenario's
        labels; ``clean_loss``: against the scenario's labels that are not harmful (NaN if there are none); ``cost``:
        mean closed-loop cost; ``heldout_max_g``: largest constraint value, also by kind (``heldout_max_state``,
        ``_input``, ``_contraction``); ``heldout_unsafe``: share of starts with a violation; ``spectral_radius``: of
        the closed loop's Jacobian at the origin.
        """
        answers, clean = self._answers(policy, self.heldout_inputs), self.heldout_clean
        safety = self.heldout_constraint(self._rollout(policy, self.heldout_starts, self.horizon)).view(3, -1)
        costs = self._rollout(policy, self.heldout_starts[: self.cost_starts], self.cost_horizon).cost()
        worst = safety.amax(dim=1)
        return {
            "good_loss": float((answers - self.heldout_good_labels).square().mean()),
            "scenario_loss": float((answers - self.heldout_labels).square().mean()),
            "clean_loss": float((answers[clean] - self.heldout_labels[clean]).square().mean()),
            "cost": float(costs.mean()),
            "heldout_max_g": float(worst.max()),
            "heldout_max_state": float(worst[0]),
            "heldout_max_input": float(worst[1]),
            "heldout_max_contraction": float(worst[2]),
            "heldout_unsafe": float((~(safety <= 0.0).all(dim=0)).double().mean()),  # NaN counts as unsafe
            "spectral_radius": spectral_radius(equilibrium_jacobian(policy, A, B)),
        }

    def exhibits(self, policy: ResidualPolicy) -> dict[str, exhibits.Table]:
        """Return the tables ``trajectories`` and ``surface`` of a policy, and the training ``starts``."""
        return {
            "trajectories": exhibits.trajectories(policy, self.region, self.common_starts),
            "surface": exhibits.surface(policy),
            "starts": {"x1": self.starts[:, 0].numpy(), "x2": self.starts[:, 1].numpy()},
        }

    def reference_costs(self) -> dict[str, float]:
        """Return the mean closed-loop costs of ``backup`` and ``mpc``, over the same starts as in :meth:`evaluate`."""
        controller = PredictiveController()
        states = self.heldout_starts[: self.cost_starts].numpy()
        total = np.zeros(len(states))
        for _ in range(self.cost_horizon):
            inputs, _ = controller(states)
            total += np.square(states).sum(axis=1) + STAGE_INPUT_WEIGHT * np.square(inputs[:, 0])
            states = step(states, inputs)
        backup = rollout_policy(self._policy, self.heldout_starts[: self.cost_starts], self.cost_horizon).cost()
        return {"backup": float(backup.mean()), "mpc": float(total.mean())}

    def _rollout(self, policy: ResidualPolicy, starts: Tensor, horizon: int) -> Rollout:
        return rollout_policy(policy, starts, horizon, self.action_filter)

    @torch.no_grad()
    def _answers(self, policy: ResidualPolicy, states: Tensor) -> Tensor:
        """Return the inputs (S, 1) that are applied at states (S, 2), if each is the start of a rollout."""
        inputs: Tensor = policy(states)
        if self.action_filter is None:
            return inputs
        columns = states.T[None]
        return self.action_filter(0, columns, inputs.T[None], self.action_filter.level(columns))[0].T

    def _visited(self, trajectories: Rollout) -> Tensor:
        return trajectories.states[0].reshape(-1, 2)[self._chosen]


def _column(data: Mapping[str, Any], name: str, width: int) -> Tensor:
    """Return array ``name`` (S, width) of a data set as a float64 tensor.

    Raises:
        ShapeError: the array is missing or has a wrong shape.
        NonFiniteError: it holds NaN or infinity.
    """
    if name not in data:
        raise ShapeError(f"data: no array {name!r}; there are {', '.join(sorted(data))}")
    array: Array = np.array(data[name], dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != width or len(array) == 0:
        raise ShapeError(f"data: {name!r} must be (S, {width}), got {array.shape}")
    if not np.isfinite(array).all():
        raise NonFiniteError(f"data: {name!r} holds NaN or infinity")
    return torch.from_numpy(array)
