"""SafeOptimizer: any torch.optim optimiser, its steps projected onto the local safe region.

One update at a safe theta: nominal step p -> sampled basis Q -> probed slopes a -> region S -> projection z* ->
theta + Q z*.  The arithmetic of an update is in :mod:`scpo.update`; this module keeps what lasts between updates.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.linalg import vector_norm

from scpo.arrays import Array
from scpo.constraint import BatchedConstraint, Constraint, ConstraintEvaluator
from scpo.directions import Sampler, SamplingContext, as_sampler
from scpo.errors import ConfigurationError, NonFiniteError, ShapeError, UnsafeStartError
from scpo.parameters import ParameterVector, Rest, same_rest
from scpo.records import Settings, StepInfo, Update
from scpo.smoothness import Smoothness, as_smoothness
from scpo.update import safe_update


class SafeOptimizer:
    """Wrap an optimiser so that every policy it leaves behind is safe, as far as the smoothness constants hold.

    ``step()`` lets the wrapped optimiser propose a step from the gradients that ``backward`` left, takes it back,
    and applies its projection onto the local safe region instead (docs/method.md).

    The wrapped optimiser's state (momentum, Adam's moments) is a statistic of the gradients it has seen at the
    iterates.  It does not depend on the step taken, so it stays as the optimiser made it when the step is altered:
    what the projection removes is removed again at each update for as long as it is proposed.  Optimisers whose state
    does speak of the steps taken are misled where steps are altered: LBFGS's curvature pairs, ASGD's average.

    Args:
        optimizer: any torch.optim optimiser of parameters of ``policy``.
        policy: the policy; frozen parameters and buffers are left alone, but g is evaluated anew when they change.
        constraint: policy -> (k,) numbers, <= 0 is safe.  A black box (NumPy, a simulator, a subprocess), evaluated
            without gradients; it must be deterministic given the parameters.
        samples: N, directions per update; the nominal step is always among them.
        sampler: "tangent", "isotropic", "mixed", or an object with ``draw`` (scpo.directions).
        states: visited states, a tensor or a callable; the tangent sampler needs them (else isotropic, with a warning).
        kappa: share of the slack that one update may use, in (0, 1].
        smoothness: "estimated", a constant, constants (k,), or an object (scpo.smoothness).
        radius: r for constants given as numbers, and the largest r of estimated ones; an object has its own.
        verify: roll a proposal out before it is taken; an unsafe one raises L and is solved again, at most
            ``max_retries`` times, then theta stays.  With False the bound alone decides.
        batched_constraint: name -> (m, *shape) stacked parameters -> (m, k); replaces ``constraint`` everywhere.
        descent: keep the batch loss from rising to first order when the nominal step is not -eta grad L (with
            ``loss_smoothness`` = beta for which L is beta-smooth: from rising at all).
        margin: train with g + margin <= 0.
        buffer: width of a zone before that limit in which steps are turned along it, or back; the limit stays where it
            is (scpo.buffer).  0 turns no step.
        probe_step: nu, or None for a step that balances curvature against rounding.
        safe_probes: choose nu so that each probe is itself covered by the bound.
        gradient_bound: |grad g_i| at the start, scalar or (k,), for safe probes; L carries it on from there.  None
            takes a first look along each basis with the shortest useful probes, which are not covered themselves.
        rounding: eps_g (k,) or scalar, the rounding of g; None measures it at the start, and again whenever |theta|
            has doubled.
        timeout: seconds for one call of the constraint, or None.
        backend: of the projection, see :func:`scpo.project`.
        max_retries: see ``verify``.
        recycle: how many of the ``samples`` directions are gradients that the last probes revealed, of the metrics
            nearest to their limits; 0 draws all of them anew.
        stay_on_solver_failure: when no backend solves a projection, let theta stay and count it, where otherwise
            SolverError is raised; for long runs.
        seed: of the sampled directions.

    Raises:
        UnsafeStartError: g + margin > 0 at the start.
        NonDeterministicConstraintError, ConstraintError, NonFiniteError, ShapeError, ConfigurationError.

    Example:
        >>> import torch, scpo
        >>> policy = torch.nn.Linear(1, 1, bias=False).double()
        >>> _ = torch.nn.init.zeros_(policy.weight)
        >>> inner = torch.optim.SGD(policy.parameters(), lr=0.5)
        >>> limit = lambda policy: [policy.weight.item() - 1.0]          # safe: weight <= 1
        >>> safe = scpo.SafeOptimizer(inner, policy, limit, smoothness=0.0, sampler="isotropic")
        >>> for _ in range(50):
        ...     safe.zero_grad()
        ...     ((policy.weight - 3.0) ** 2).sum().backward()            # the loss wants weight 3
        ...     info = safe.step()
        >>> bool(0.999 < policy.weight.item() <= 1.0)
        True
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        policy: nn.Module,
        constraint: Constraint | None = None,
        *,
        samples: int = 32,
        sampler: str | Sampler = "tangent",
        states: Tensor | Callable[[], Tensor] | None = None,
        kappa: float = 0.5,
        smoothness: str | ArrayLike | Smoothness = "estimated",
        radius: float = np.inf,
        verify: bool = True,
        batched_constraint: BatchedConstraint | None = None,
        descent: bool = True,
        loss_smoothness: float = 0.0,
        margin: float = 0.0,
        buffer: float = 0.0,
        probe_step: float | None = None,
        safe_probes: bool = False,
        gradient_bound: ArrayLike | None = None,
        rounding: ArrayLike | None = None,
        timeout: float | None = None,
        backend: str = "auto",
        max_retries: int = 8,
        recycle: int = 8,
        stay_on_solver_failure: bool = False,
        seed: int = 0,
    ) -> None:
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise ConfigurationError(f"optimizer: expected a torch.optim optimiser, got {type(optimizer).__name__}")
        if not isinstance(policy, nn.Module):
            raise ConfigurationError(f"policy: expected an nn.Module, got {type(policy).__name__}")
        self.settings = Settings(
            samples=samples,
            kappa=kappa,
            verify=verify,
            descent=descent,
            loss_smoothness=loss_smoothness,
            margin=margin,
            buffer=buffer,
            probe_step=probe_step,
            safe_probes=safe_probes,
            backend=backend,
            max_retries=max_retries,
            recycle=recycle,
            stay_on_solver_failure=stay_on_solver_failure,
        )
        self.optimizer, self.policy = optimizer, policy
        self.vector = ParameterVector(policy, self._held())
        self.smoothness = as_smoothness(smoothness, radius)
        self.sampler = as_sampler(sampler, states)
        states_of = states if callable(states) else None if states is None else (lambda: states)
        self._context = SamplingContext(policy, self.vector, states_of)
        self.evaluate = ConstraintEvaluator(policy, self.vector, constraint, batched_constraint, timeout)
        if not isinstance(seed, (int, np.integer)) or not -(2**63) <= seed < 2**64:
            raise ConfigurationError(f"seed: expected an integer of 64 bits, got {seed!r}")
        self._generator = torch.Generator().manual_seed(int(seed))
        self.updates = 0
        self._recycled: Tensor | None = None
        #: parameters (d,) of the last step's proposals that were unsafe
        self.unsafe_proposals: tuple[Tensor, ...] = ()
        #: p (d,), what the wrapped optimiser proposed for the last step; None before the first
        self.nominal: Tensor | None = None
        self._theta, self._rest = self.vector.read(), self.vector.read_rest(policy)
        self._values = self.evaluate.check_determinism(self._theta)
        self._refuse_unsafe(self._values, "at the start")
        k = self._values.size
        self.smoothness.start(k)
        self._gradient_bound = None if gradient_bound is None else _per_metric("gradient_bound", gradient_bound, k)
        self._measured_at = math.inf  # |theta| where eps_g was measured; infinite where it is given
        if rounding is None:
            self.rounding = self.evaluate.rounding_level(self._theta, self._generator)
            self._measured_at = float(vector_norm(self._theta))
        else:
            self.rounding = _per_metric("rounding", rounding, k)

    @property
    def values(self) -> Array:
        """g at the current iterate, shape (k,)."""
        return self._values.copy()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients, as the wrapped optimiser does."""
        self.optimizer.zero_grad(set_to_none=set_to_none)

    def refresh(self) -> None:
        """Forget the stored g, after the constraint itself has changed (new starts, say), and evaluate it again.

        Raises:
            UnsafeStartError: the policy violates the changed constraint (verified mode).
        """
        values = self.evaluate.check_determinism(self._theta)
        if self.settings.verify:
            self._refuse_unsafe(values, "under the changed constraint")
        if math.isfinite(self._measured_at):
            self.rounding = self.evaluate.rounding_level(self._theta, self._generator)
            self._measured_at = float(vector_norm(self._theta))
        self._values = values

    def step(self, closure: Callable[[], float] | None = None) -> StepInfo:
        """Take one projected step and return what happened.

        Args:
            closure: handed to the wrapped optimiser, for those that need one.

        Raises:
            ScpoError: whatever goes wrong, policy, optimiser, L and random state are as before the call.
        """
        theta, entry = self.vector.read(), self.vector.read_rest(self.policy)
        inner = _snapshot(self.optimizer)
        learned = copy.deepcopy(self.smoothness.state_dict())
        generator = self._generator.get_state()
        try:
            self.vector.refuse_change(self._held())
            nominal, gradient = self._propose(theta, closure)
            rest = self.vector.read_rest(self.policy)
            values, gradient_bound = self._known_at(theta, rest)
            rounding, measured_at = self._rounding_at(theta)
            outcome = safe_update(
                Update(theta, values, nominal, gradient, rounding, gradient_bound, self._recycled),
                self.settings,
                self.evaluate,
                self.smoothness,
                self.sampler,
                self._context,
                self._generator,
            )
        except BaseException:
            self.vector.write(theta)
            self.vector.write_rest(self.policy, entry)
            _restore(self.optimizer, inner)
            self.smoothness.load_state_dict(learned)
            self._generator.set_state(generator)
            raise
        self.vector.write(outcome.theta)
        self._theta, self._rest = outcome.theta.clone() if self.vector.exact else self.vector.read(), rest
        self._values, self._gradient_bound = outcome.values, outcome.gradient_bound
        self._recycled, self.unsafe_proposals, self.nominal = outcome.recycled, outcome.unsafe, nominal
        self.rounding, self._measured_at = rounding, measured_at
        self.updates += 1
        return replace(outcome.info, update=self.updates, rollouts=self.evaluate.rollouts)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a resumed run needs, beside the policy's own state, to give the same iterates."""
        return {
            "optimizer": copy.deepcopy(self.optimizer.state_dict()),
            "smoothness": {key: _tensor(value) for key, value in self.smoothness.state_dict().items()},
            "generator": self._generator.get_state(),
            "theta": self._theta.clone(),
            "rest": copy.deepcopy(self._rest),
            "values": torch.from_numpy(self._values.copy()),
            "rounding": torch.from_numpy(self.rounding.copy()),
            "measured_at": self._measured_at,
            "gradient_bound": None if self._gradient_bound is None else torch.from_numpy(self._gradient_bound.copy()),
            "recycled": None if self._recycled is None else self._recycled.clone(),
            "updates": self.updates,
            "rollouts": self.evaluate.rollouts,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`; build on the initial policy, then load the policy's state, then this.

        Raises:
            ConfigurationError: entries are missing, or belong to other parameters or another number of metrics.
        """
        if absent := sorted(self.state_dict().keys() - state.keys()):
            raise ConfigurationError(f"state: no {', '.join(absent)}; expected what state_dict() returned")
        if state["theta"].shape != self._theta.shape or state["values"].numel() != self._values.size:
            raise ConfigurationError(
                f"state: for {state['theta'].numel()} parameters and {state['values'].numel()} metrics, "
                f"here are {self._theta.numel()} and {self._values.size}"
            )
        inner, learned = _snapshot(self.optimizer), copy.deepcopy(self.smoothness.state_dict())
        given = {k: v.numpy().copy() if isinstance(v, Tensor) else v for k, v in state["smoothness"].items()}
        try:
            shapes = [{k: np.shape(v) for k, v in one.items()} for one in (given, learned)]
            if shapes[0] != shapes[1]:
                raise ValueError(f"its smoothness has {shapes[0]}, here are {shapes[1]}")
            for one, other in zip(state["optimizer"]["param_groups"], self.optimizer.param_groups, strict=True):
                if unknown := sorted(one.keys() - other.keys()):
                    raise ValueError(f"{type(self.optimizer).__name__} has no option {', '.join(unknown)}")
            self.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
            self.smoothness.load_state_dict(given)
        except Exception as error:
            _restore(self.optimizer, inner)
            self.smoothness.load_state_dict(learned)
            raise ConfigurationError(f"state: of another optimiser or smoothness, {error}") from error
        self._generator.set_state(state["generator"].cpu())
        self._theta = state["theta"].clone().to(self.vector.device)
        self._rest = copy.deepcopy(state["rest"])
        self._values = state["values"].cpu().numpy().copy()
        self.rounding = state["rounding"].cpu().numpy().copy()
        self._measured_at = float(state["measured_at"])
        bound = state["gradient_bound"]
        self._gradient_bound = None if bound is None else bound.cpu().numpy().copy()
        recycled = state["recycled"]
        self._recycled = None if recycled is None else recycled.clone().to(self.vector.device)
        self.updates = int(state["updates"])
        self.evaluate.rollouts = int(state["rollouts"])

    def _propose(self, theta: Tensor, closure: Callable[[], float] | None) -> tuple[Tensor, Tensor]:
        """Return (p, loss gradient) from a step of the wrapped optimiser that is taken back."""
        gradients: list[Tensor] = []
        ascending = [p for group in self.optimizer.param_groups if group.get("maximize") for p in group["params"]]

        def first_at_theta() -> float:  # LBFGS goes on calling it elsewhere
            assert closure is not None
            loss = closure()
            if loss is not None and not torch.isfinite(torch.as_tensor(loss)).all():
                raise NonFiniteError("the loss that the closure returned is NaN or infinite; the step was not taken")
            if not gradients:
                gradients.append(self.vector.gradient(ascending))
            return loss

        if closure is None:
            gradients.append(self.vector.gradient(ascending))
            self.optimizer.step()
        else:
            self.optimizer.step(first_at_theta)
        nominal = self.vector.read() - theta
        self.vector.write(theta)
        name = type(self.optimizer).__name__
        if not gradients:
            raise ConfigurationError(f"{name} did not call the closure; call backward() and step() without one")
        if not math.isfinite(float(vector_norm(nominal))):
            raise NonFiniteError(f"{name} proposed a step with NaN or infinite entries, or too long to be squared")
        return nominal, gradients[0]

    def _held(self) -> list[Tensor]:
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]

    def _known_at(self, theta: Tensor, rest: Rest) -> tuple[Array, Array | None]:
        """Return g and the bound on |grad g| at theta as known; g evaluated where the policy was changed from outside.

        The bound is carried on where theta alone has changed, and given up otherwise.
        """
        same = same_rest(rest, self._rest)
        if same and torch.equal(theta, self._theta):
            return self._values, self._gradient_bound
        values: Array = self.evaluate(theta[None])[0]
        if self.settings.verify:
            self._refuse_unsafe(values, "after the parameters or buffers were changed from outside")
        if not same or self._gradient_bound is None:
            return values, None
        moved = float(vector_norm(theta - self._theta))
        constants, kinks = np.asarray(self.smoothness.constants()), np.asarray(self.smoothness.kinks())
        return values, np.asarray(self._gradient_bound + 2.0 * kinks + moved * constants)

    def _rounding_at(self, theta: Tensor) -> tuple[Array, float]:
        """Return eps_g (k,) and |theta| where it was measured: rounding grows with the parameters."""
        size = float(vector_norm(theta))
        if size <= 2.0 * self._measured_at:
            return self.rounding, self._measured_at
        return np.maximum(self.rounding, self.evaluate.rounding_level(theta, self._generator)), size

    def _refuse_unsafe(self, values: Array, when: str) -> None:
        worst = int(values.argmax()) if values.size else 0
        if values.size and values[worst] + self.settings.margin > 0:
            margin = f" with margin {self.settings.margin!r}" if self.settings.margin else ""
            raise UnsafeStartError(
                f"{when} metric {worst} is g = {float(values[worst])!r}, which is unsafe{margin}; "
                "start from a policy with g + margin <= 0, a backup say"
            )


def _per_metric(name: str, given: ArrayLike, length: int) -> Array:
    try:
        array = np.broadcast_to(np.asarray(given, dtype=np.float64), (length,)).copy()
    except (TypeError, ValueError) as error:
        raise ShapeError(f"{name}: expected a number, or one for each of {length} metrics") from error
    if not np.isfinite(array).all() or (array < 0).any():
        raise ConfigurationError(f"{name}: must be finite and >= 0, got {array}")
    return array


def _tensor(value: Any) -> Any:
    return torch.from_numpy(np.array(value)) if isinstance(value, np.ndarray) else value


def _snapshot(optimizer: torch.optim.Optimizer) -> tuple[dict[Any, Any], list[dict[str, Any]]]:
    """Copy an optimiser's state, tensors included, and its groups' options."""
    state = {key: copy.deepcopy(value) for key, value in optimizer.state.items()}
    return state, [{k: copy.deepcopy(v) for k, v in group.items() if k != "params"} for group in optimizer.param_groups]


def _restore(optimizer: torch.optim.Optimizer, saved: tuple[dict[Any, Any], list[dict[str, Any]]]) -> None:
    optimizer.state.clear()
    optimizer.state.update(saved[0])
    for group, options in zip(optimizer.param_groups, saved[1], strict=True):
        group.update(options)
