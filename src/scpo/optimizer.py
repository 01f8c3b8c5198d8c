"""SafeOptimizer, which holds the state between updates; the arithmetic of an update is in :mod:`scpo.update`."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.linalg import vector_norm

from scpo import threads
from scpo.arrays import Array, per_value
from scpo.constraint import ConstraintEvaluator
from scpo.directions import as_directions
from scpo.errors import ConfigurationError
from scpo.memory import Memory
from scpo.metric import Metric, as_metric
from scpo.options import Constraint, Descent, Look, OptimizerOptions, StepOptions, as_constraint, as_descent, as_look
from scpo.parameters import ParameterVector
from scpo.records import StepInfo
from scpo.rest import Rest, digest, same_rest
from scpo.rounding import Rounding, known, measured
from scpo.sampling import Context, Directions
from scpo.smoothness import EstimatedSmoothness, Smoothness, as_smoothness, carried
from scpo.snapshot import Snapshot, array_of, learned_state, load_learned
from scpo.state import Method, Refuge, Start
from scpo.update import Outcome, safe_update
from scpo.watch import Watch, check_loaded
from scpo.wrapping import Nominal, Wrapper, check_arguments, propose


class SafeOptimizer(Wrapper):
    """Wrap an optimiser so that every policy it leaves behind is safe, as far as the smoothness constants hold.

    ``step()`` lets the wrapped optimiser propose a step from the gradients that ``backward`` left.  It takes that step
    back and applies its projection onto the local safe region instead (docs/method.md).

    The wrapped optimiser's state (momentum, Adam's moments) depends on the gradients alone, and the projection does not
    change it.  Optimisers that remember their own steps are misled: LBFGS, and ASGD with its average.

    Args:
        optimizer: any torch.optim optimiser of parameters of ``policy``.  Parameters that are not the policy's (a
            critic's) are stepped as they are; the constraint must not depend on them.
        policy: the policy.  Frozen parameters and buffers stay, and g is evaluated anew when they change.
        constraint: policy -> (k,) numbers, safe where all are <= 0; or a :class:`scpo.Constraint` with options.  It is
            a black box (NumPy, a simulator, a subprocess) and must be deterministic.
        directions: where g is probed: ``Tangent(states)``, ``Isotropic()``, ``Mixed(states)`` or your own; None:
            isotropic, with a warning.
        smoothness: ``EstimatedSmoothness()``, ``FixedSmoothness(L)``, numbers, or your own :class:`scpo.Smoothness`;
            None: estimated.
        kappa: share of the slack that one update may use, in (0, 1].
        verify: evaluate g at a proposed step before it is taken.  An unsafe proposal raises L, and a new step is
            computed; after 8 retries theta stays.  With False the bound alone decides.
        look: evaluate g on the way to each proposed policy as well, and shorten the step if g curves more than L
            says; after an unsafe iterate, go back to the last safe one.  ``Look(...)`` has options; False does neither.
        descent: keep the batch loss from rising to first order.  ``Descent(loss_smoothness=L)`` keeps an L-smooth
            loss from rising at all.  False lets it rise.
        buffer: width of a zone before the limit.  In it steps are turned along the limit or away from it; 0: no zone.
        metric: the norm in which steps are projected; safety does not depend on it.  "auto": the wrapped optimiser's
            own norm if it has one (:mod:`scpo.metric`).  None or "euclidean": the Euclidean norm.  Or your own: the
            diagonal of M^-1 (d,), or a callable that takes the optimiser after its step and returns it, or None.
        seed: the seed of the sampled directions.

    Raises:
        UnsafeStartError: g + tightening > 0 at the start.
        ConstraintError: the constraint fails, or gives two answers for the same parameters, or others in workers.
        ConfigurationError: an argument is unusable.
        NonFiniteError: the constraint returned NaN or infinity at the start.
        ShapeError: the constraint, a constant or a rounding has the wrong shape.

    Example:
        >>> import torch, scpo
        >>> policy = torch.nn.Linear(1, 1, bias=False).double()
        >>> _ = torch.nn.init.zeros_(policy.weight)
        >>> inner = torch.optim.SGD(policy.parameters(), lr=0.5)
        >>> limit = lambda policy: [policy.weight.item() - 1.0]          # safe: weight <= 1
        >>> safe = scpo.SafeOptimizer(inner, policy, limit, directions=scpo.Isotropic(), smoothness=0.0)
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
        constraint: Callable[[Any], Any] | Constraint,
        *,
        directions: Directions | None = None,
        smoothness: EstimatedSmoothness | Smoothness | ArrayLike | None = None,
        kappa: float = StepOptions.kappa,
        verify: bool = StepOptions.verify,
        look: Look | bool = True,
        descent: Descent | Literal[False] | None = None,
        buffer: float = StepOptions.buffer,
        metric: Metric | Tensor | str | None = OptimizerOptions.metric,
        seed: int = 0,
    ) -> None:
        super().__init__(optimizer)
        check_arguments(policy, seed)
        self.policy = policy
        self.vector = ParameterVector(policy, self._held())
        threads.check(self.vector.dimension, self.vector.device)
        self._method = Method(
            evaluate=ConstraintEvaluator(policy, self.vector, as_constraint(constraint)),
            context=Context(policy, self.vector),
            directions=as_directions(directions),
            smoothness=as_smoothness(smoothness),
            step=StepOptions(kappa=kappa, verify=verify, buffer=buffer),
            look=as_look(look),
            descent=as_descent(descent),
            generator=torch.Generator().manual_seed(int(seed)),
        )
        self._read_metric = as_metric(metric, self.vector)
        #: the diagonal of M^-1 (d,) in whose norm the last step was projected; None: Euclidean
        self.metric: Tensor | None = None
        self.updates = 0
        self._memory: Memory | None = None
        self._count: int | None = None  # the most directions of the next update; None: N
        self._refuge: Refuge | None = None  # the last safe iterate, while the present one is unsafe
        self._raised: Array | None = None  # the least L (k,) after an unsafe step, until a safe one is taken
        self._watch = Watch()
        self._loaded = False  # a state was loaded, and no step taken since
        self._longest = math.inf  # the longest step, after a rollout that diverged, until a step is safe
        #: parameters (d,) of the last step's proposals that were unsafe
        self.unsafe_proposals: tuple[Tensor, ...] = ()
        self.bound: Array | None = None
        #: p (d,), the last step that the wrapped optimiser proposed; None before the first
        self.nominal: Tensor | None = None
        self._theta = self.vector.read()
        self._rest: Rest | str = self.vector.read_rest(policy)  # or its digest, after a state was loaded
        self._values = self.evaluate.check_start(self._theta)
        k = self._values.size
        self.smoothness.start(k)
        bound = self.smoothness.gradient_bound
        self._gradient_bound = None if bound is None else per_value("gradient_bound", bound, k)
        self._probed = False  # since the start or the last refresh, probes have shown whether g is flat
        self._rounding = known(self._method, self._theta, k)

    @property
    def values(self) -> Array:
        """The values of g at the current iterate, shape (k,)."""
        return self._values.copy()

    @property
    def rounding(self) -> Array:
        """The rounding eps_g of g, shape (k,)."""
        return self._rounding.level

    @property
    def evaluate(self) -> ConstraintEvaluator:
        """The evaluator of the constraint; ``evaluate.rollouts`` counts its calls."""
        return self._method.evaluate

    @property
    def smoothness(self) -> Smoothness:
        """The smoothness model in use."""
        return self._method.smoothness

    @property
    def directions(self) -> Directions:
        """The source of directions in use."""
        return self._method.directions

    def __repr__(self) -> str:
        slack = -self._values.max(initial=-np.inf)
        return (
            f"SafeOptimizer({type(self.optimizer).__name__}, {self.vector.dimension} parameters, "
            f"{self._values.size} constraint values, {self.updates} updates, slack {slack:.3g})"
        )

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters that are not the policy's to the wrapped optimiser.

        Raises:
            ConfigurationError: they are the policy's; the parameters in theta are fixed at the start.
        """
        given = param_group["params"]
        added = [given] if isinstance(given, Tensor) else list(given)
        self.vector.refuse_change(self.policy, [*self._held(), *(p[1] if isinstance(p, tuple) else p for p in added)])
        self.optimizer.add_param_group({**param_group, "params": added})

    def refresh(self) -> None:
        """Evaluate g again after the constraint itself has changed: new starts, or noise drawn anew.

        The constraints of :mod:`scpo.chance` draw their random numbers anew.  Workers get the constraint again.
        If the policy violates the changed constraint, the next steps restore safety.  There is no way back, because the
        last safe iterate was safe under another constraint.

        Raises:
            ConstraintError: the constraint fails, or gives two answers: asked twice, or here and in a worker.
            NonFiniteError: a value is NaN or infinite.

        After an error ``values`` are NaN.  The next step does the same checks first, and raises until they pass.
        """
        self._refuge, self._raised, self._longest, self._gradient_bound = None, None, math.inf, None
        self._probed = False
        self._memory = self._memory and replace(self._memory, pieces=None)
        self._values = np.full_like(self._values, np.nan)  # not known until all checks have passed
        self.evaluate.begin(self.evaluate.phase + 1)
        if not self._rounding.stated:
            self._rounding = self._rounding.outdated()  # should this fail
        values = self.evaluate.checked(self._theta)
        if not self._rounding.stated:
            self._rounding = measured(self._method, self._theta)
        self._values, self._loaded = values, False

    def step(self, closure: Callable[[], float] | None = None) -> StepInfo:  # type: ignore[override]
        """Take one projected step and return its record.

        Args:
            closure: computes the loss and its gradient; the wrapped optimiser calls it.  The record holds the loss.

        Raises:
            ScpoError: the step failed.  Policy, optimiser, L and random numbers are as before the call.
        """
        theta, before = self.vector.read(), Snapshot.take(self.optimizer, self._method, self._rest)
        try:
            self.vector.refuse_change(self.policy, self._held())
            nominal = propose(self.optimizer, self.vector, theta, closure)
            metric = self._read_metric(self.optimizer)
            rest = self.vector.kept = self.vector.read_rest(self.policy, before.rest)
            start = self._start(theta, rest, nominal, metric)
            if self._loaded:
                check_loaded(self.evaluate, start, self._theta, known=start.values is self._values)
            rounding = self._rounding if start.refuge else self._rounding.renewed(start, self._method)
            if rounding is not self._rounding:
                start = replace(start, rounding=rounding.level)
            watch = copy.copy(self._watch)
            outcome = watch.over(safe_update(start, self._method), self._method)
        except BaseException:
            self.vector.write(theta)
            before.restore(self.optimizer, self._method)
            raise
        finally:
            self.vector.kept = None
        self._take(outcome, rest)
        self._watch, self._loaded = watch, False
        self.nominal, self.metric, self._rounding = nominal.step, metric, rounding.after(outcome.start)
        nominal.run_post_hooks()
        return outcome.info if closure is None else replace(outcome.info, closure_loss=nominal.loss)

    def _take(self, outcome: Outcome, rest: Rest) -> None:
        """Store the result of an update."""
        self.vector.write(outcome.theta)
        self._theta, self._rest = outcome.theta.clone() if self.vector.exact else self.vector.read(), rest
        self._values, self._gradient_bound = outcome.values, outcome.gradient_bound
        self._refuge, self._raised, self._longest = outcome.refuge, outcome.raised, outcome.longest
        self._memory, self._count, self.unsafe_proposals = outcome.memory, outcome.count, outcome.unsafe
        self.bound, self._probed = outcome.bound, outcome.start.probed
        self.updates += 1

    def state_dict(self) -> dict[str, Any]:
        """Return the state from which a resumed run gives the same iterates, without the policy's own state."""
        return {
            "optimizer": copy.deepcopy(self.optimizer.state_dict()),
            "smoothness": learned_state(self._method),
            "generator": self._method.generator.get_state(),
            "theta": self._theta.clone(),
            "rest": digest(self._rest),
            "values": torch.from_numpy(self._values.copy()),
            "rounding": torch.from_numpy(self.rounding.copy()),
            "measured_at": self._rounding.measured_at,
            "coarse": self._rounding.coarse,
            "rough_at": self._rounding.rough_at,
            "probed": self._probed,
            "gradient_bound": None if self._gradient_bound is None else torch.from_numpy(self._gradient_bound.copy()),
            "memory": None if self._memory is None else self._memory.state_dict(),
            "count": self._count,
            "refuge": None if self._refuge is None else self._refuge.state_dict(),
            "raised": None if self._raised is None else torch.from_numpy(self._raised.copy()),
            "longest": self._longest,
            "watch": asdict(self._watch),
            "updates": self.updates,
            "rollouts": self.evaluate.rollouts,
            "phase": self.evaluate.phase,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a :meth:`state_dict`.  First build this on the initial policy and load the policy's own state.

        Raises:
            ConfigurationError: entries are missing, or belong to other parameters, another optimiser, another
                smoothness model or another number of constraint values.
        """
        if absent := sorted(self.state_dict().keys() - state.keys() - {"probed"}):  # earlier versions had no "probed"
            raise ConfigurationError(f"state: lacks {', '.join(absent)}; expected what state_dict() returned")
        before, rest, loaded = self.state_dict(), self._rest, self._loaded
        try:
            self._load(state)
        except Exception as error:
            self._load(before)
            self._rest, self._loaded = rest, loaded
            if isinstance(error, ConfigurationError):
                raise
            raise ConfigurationError(
                f"state: cannot be read, {type(error).__name__}: {error}; expected what state_dict() returned"
            ) from error

    def _load(self, state: dict[str, Any]) -> None:
        if state["theta"].shape != self._theta.shape or state["values"].numel() != self._values.size:
            raise ConfigurationError(
                f"state: for {state['theta'].numel()} parameters and {state['values'].numel()} constraint values, "
                f"here are {self._theta.numel()} and {self._values.size}"
            )
        load_learned(state, self.optimizer, self._method)
        device, k = self.vector.device, self._values.size
        self._method.generator.set_state(state["generator"].cpu())
        self._theta = state["theta"].clone().to(device)
        self._rest = copy.deepcopy(state["rest"])
        self._values, self._longest = array_of(state, "values", k), float(state["longest"])
        rounding = Rounding(
            array_of(state, "rounding", k),
            measured_at=float(state["measured_at"]),
            coarse=bool(float(state["coarse"])),
            rough_at=float(state["rough_at"]),
        )
        self._gradient_bound, self._raised = (
            None if state[name] is None else array_of(state, name, k) for name in ("gradient_bound", "raised")
        )
        memory, refuge, count = state["memory"], state["refuge"], state["count"]
        self._memory = None if memory is None else Memory.of_state(memory, k, self._theta)
        self._count = None if count is None else int(count)
        self._refuge = None if refuge is None else Refuge.of_state(refuge, device)
        self._watch = Watch(**state["watch"])
        self.updates = int(state["updates"])
        self._probed = bool(float(state.get("probed", self.updates > 0)))
        self.evaluate.rollouts = int(state["rollouts"])
        self.evaluate.begin(int(state["phase"]))
        self._loaded = True
        self._rounding = known(self._method, self._theta, k, rounding)

    def _start(self, theta: Tensor, rest: Rest, nominal: Nominal, metric: Tensor | None) -> Start:
        """Return the state from which an update starts; if the policy was changed from outside, g is evaluated again.

        After a refresh that failed g is also checked, as the refresh does.  A policy that is unsafe after a change is
        restored.  The update does not go back to the last safe iterate, which may be another policy's.  The gradient
        bound is kept if theta alone has changed, by at most r.
        """
        start = Start(
            update=self.updates + 1,
            theta=theta,
            values=self._values,
            nominal=nominal.step,
            gradient=nominal.gradient,
            rounding=self.rounding,
            gradient_bound=self._gradient_bound,
            memory=self._memory,
            count=self._count,
            metric=metric,
            refuge=self._refuge,
            raised=self._raised,
            longest=self._longest,
            coarse=self._rounding.coarse,
            rough_at=self._rounding.rough_at,
            probed=self._probed,
        )
        same = same_rest(rest, self._rest)
        unknown = bool(np.isnan(self._values).any())
        if same and torch.equal(theta, self._theta) and not unknown:
            return start
        values: Array = self.evaluate.checked(theta) if unknown else self.evaluate(theta[None])[0]
        bound, moved = self._gradient_bound, float(vector_norm(theta - self._theta))
        if not same and start.memory:
            start = replace(start, memory=replace(start.memory, pieces=None))
        if not same or moved > self.smoothness.radius():
            bound = None
        if bound is not None:
            constants, kinks = np.asarray(self.smoothness.constants()), np.asarray(self.smoothness.kinks())
            bound = carried(bound, constants, kinks, moved)
        return replace(start, values=values, gradient_bound=bound, refuge=None, raised=None, longest=math.inf)
