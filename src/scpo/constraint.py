"""The evaluator of a constraint: it calls the black box, checks its values and counts them, and needs no derivative."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from scpo.arrays import UNIT_ROUNDOFF, Array, in_float32, per_value
from scpo.calling import Answer, answer
from scpo.chance import Sampled
from scpo.errors import (
    ConstraintError,
    NonDeterministicConstraintError,
    NonFiniteError,
    ScpoError,
    UnsafeStartError,
)
from scpo.options import Constraint
from scpo.parallel import Workers
from scpo.parameters import ParameterVector, tensor_roundoff
from scpo.rest import Keeper, undisturbed

#: perturbations by which rounding is measured, and the factor on the largest move of g
ROUNDING_TRIALS, ROUNDING_FACTOR = 4, 8.0
#: probes that are evaluated in one batch have so many numbers at most (16 MB), or are one
TOGETHER = 2**21
#: evaluations on two machines may differ by so much, relative to the values
ELSEWHERE = 1e-6


def differ(one: Array, other: Array, constraint: Constraint) -> bool:
    """Tell whether two evaluations (k,) differ by more than rounding can explain, on whatever machine."""
    given = 0.0 if constraint.rounding is None else 2.0 * per_value("rounding", constraint.rounding, one.size)
    finite = np.isfinite(one) & np.isfinite(other)
    if not finite.all():
        return not np.array_equal(np.isfinite(one), np.isfinite(other))
    return bool((np.abs(one - other) > given + ELSEWHERE * (np.abs(one) + np.abs(other))).any())


class ConstraintEvaluator:
    """Evaluates g at parameter vectors, (m, d) -> (m, k), and counts the rollouts.

    Args:
        policy: the policy whose parameters the constraint reads.
        vector: the flat view of its trainable parameters.
        constraint: the black box and its options.
    """

    def __init__(self, policy: nn.Module, vector: ParameterVector, constraint: Constraint) -> None:
        self.policy, self.vector, self.constraint = policy, vector, constraint
        self.length: int | None = None
        self.rollouts = 0
        # the unit roundoff of the least precise type among the policy's tensors and what the constraint returns
        rest = [one for one in vector.present_rest(policy).values() if one is not None]
        self._roundoff = max([vector.roundoff, *map(tensor_roundoff, rest)])
        self._in_float32: bool | None = None  # whether all values so far look as if they had been computed in it
        self._workers = None if constraint.map is map else Workers(policy, vector, constraint)
        self._careful = False  # the constraint writes to the policy in a way that leaves no marks

    @property
    def phase(self) -> int:
        """The number of the phase: a sampled constraint draws its random numbers by it.  0 for other constraints."""
        function = self.constraint.function
        return function.phase if isinstance(function, Sampled) else 0

    def begin(self, phase: int) -> None:
        """Begin a phase: a sampled constraint gets its random numbers, and workers get the constraint as it is now."""
        function = self.constraint.function
        if isinstance(function, Sampled):
            self.constraint = replace(self.constraint, function=function.in_phase(phase))
        if self._workers is not None:
            self._workers = Workers(self.policy, self.vector, self.constraint)

    def __call__(self, thetas: Tensor) -> Array:
        """Return g, shape (m, k), of parameter vectors (m, d); the policy, its buffers and mode stay as they are.

        Raises:
            ConstraintError: the constraint raised, timed out, or changed its length.
            ShapeError: it did not return a row of numbers for each parameter set.
            NonFiniteError: it returned NaN or infinity.
        """
        values = self._evaluate(thetas)
        if not np.isfinite(values).all():
            where = np.argwhere(~np.isfinite(values))[0]
            parameters, which = where
            raise NonFiniteError(
                f"the constraint's value {which} is {values[tuple(where)]} (parameter set {parameters})"
            )
        return values

    def attempt(self, thetas: Tensor) -> Array:
        """Return g, shape (m, k), with +inf in place of NaN and of both infinities: a rollout that diverged is unsafe.

        Raises:
            ConstraintError, ShapeError: as for a call.
        """
        values = self._evaluate(thetas)
        finite = np.isfinite(values)
        return values if finite.all() else np.where(finite, values, np.inf)

    def attempt_along(self, theta: Tensor, directions: Tensor, length: float) -> Array:
        """Return :meth:`attempt` at theta (d,) + length * direction, for each of ``directions`` (m, d).

        A large theta is not copied m times: a few sets are made and evaluated at a time, unless workers share them.
        """
        parts = self._parts(directions) if len(directions) else [directions]
        return np.concatenate([self.attempt(torch.add(theta, part, alpha=length)) for part in parts])

    def _parts(self, rows: Tensor) -> list[Tensor]:
        """Return ``rows`` (m, d) in parts, each of which is evaluated at once."""
        return list(rows.split(len(rows) if self._workers else max(1, TOGETHER // rows.shape[1])))

    def _evaluate(self, thetas: Tensor) -> Array:
        """Return the values of the constraint, shape (m, k); the policy, its buffers and mode stay as they are."""
        count = thetas.shape[0]
        with torch.no_grad():
            if self.constraint.batched:
                own = thetas.clone() if count == 1 else thetas  # one set may be the iterate itself
                with undisturbed(self.policy, self.vector.keeper(self.policy), everything=True):
                    values, roundoff = answer(self.constraint, self.vector.stack(own), (count,))
            else:
                rows = self._one_by_one(thetas) if self._workers is None else self._workers(thetas)
                if len(sizes := {row.values.size for row in rows}) > 1:
                    raise ConstraintError(f"the constraint changed its length: {sorted(sizes)} values")
                values, roundoff = np.stack([row.values for row in rows]), max(row.roundoff for row in rows)
        self.rollouts += count
        self._roundoff = max(self._roundoff, roundoff)
        if self._in_float32 is not False and (told := in_float32(values)) is not None:
            self._in_float32 = told
        if self.length is None:
            self.length = values.shape[1]
        elif values.shape[1] != self.length:
            raise ConstraintError(f"the constraint returned {values.shape[1]} values, and {self.length} before")
        return values

    def checked(self, theta: Tensor) -> Array:
        """Evaluate theta (d,) twice, compare with this process where workers evaluate, and return g (k,).

        Raises:
            ConstraintError: the constraint fails.
            NonDeterministicConstraintError: the values differ.
            NonFiniteError: a value is NaN or infinite.
        """
        values: Array = self(theta[None])[0]
        self.check_determinism(theta, values)
        self.check_workers(theta, values)
        return values

    def check_start(self, theta: Tensor) -> Array:
        """Return :meth:`checked` at theta (d,): g (k,), which must be safe.

        Raises:
            UnsafeStartError: g + tightening > 0 for a constraint value.
        """
        values = self.checked(theta)
        tightening = self.constraint.tightening
        worst = int(values.argmax()) if values.size else 0
        if values.size and values[worst] + tightening > 0:
            tightened = f" under tightening {tightening!r}" if tightening else ""
            remedy = "start from a policy with g + tightening <= 0, for example from a backup"
            if isinstance(self.constraint.function, Sampled):
                remedy += "; g is a bound, so more rollouts or a narrower span may do as well"
            raise UnsafeStartError(
                f"at the start constraint value {worst} is g = {float(values[worst])!r}, which is unsafe{tightened} "
                f"(safe is g <= 0: if positive is your safe side, return the negative); {remedy}"
            )
        if not values.size and not self.constraint.may_be_flat:
            warnings.warn("the constraint returned no values, so nothing constrains the policy", stacklevel=3)
        return values

    def check_workers(self, theta: Tensor, theirs: Array) -> None:
        """Evaluate theta (d,) in this process and compare with the values ``theirs`` (k,) of the workers.

        A constraint that fails in this process is left alone: it may be made for workers.

        Raises:
            NonDeterministicConstraintError: the values differ by more than another machine's rounding may explain.
        """
        if self._workers is None:
            return
        try:
            own = self._one_by_one(theta[None])[0].values
        except ScpoError:
            return
        self.rollouts += 1
        if own.shape != theirs.shape or differ(own, theirs, self.constraint):
            raise NonDeterministicConstraintError(
                f"the workers compute another constraint than this process ({theirs.tolist()} there, {own.tolist()} "
                "here); what changes must be an attribute of the constraint object, because the globals of a module "
                "stay in the workers as they were; or make a new pool"
            )

    def check_determinism(self, theta: Tensor, first: Array) -> None:
        """Evaluate theta (d,) again and compare with its values ``first`` (k,).

        Values may differ by twice the ``rounding`` of the constraint if that is given, and by nothing otherwise.

        Raises:
            NonDeterministicConstraintError: the values differ by more.
        """
        second: Array = self.attempt(theta[None])[0]
        given = self.constraint.rounding
        allowed = 0.0 if given is None else 2.0 * per_value("rounding", given, first.size)
        if (np.abs(first - second) > allowed).any():
            worst = int((np.abs(first - second) - allowed).argmax())
            raise NonDeterministicConstraintError(
                f"two evaluations of the same parameters differ (value {worst}: {float(first[worst])!r} and "
                f"{float(second[worst])!r}); fix the constraint's random numbers, and switch dropout off; if the "
                "constraint itself has changed, call refresh(); differences of a known size are accepted with "
                "scpo.Constraint(g, rounding=size)"
            )

    @property
    def roundoff(self) -> float:
        """The unit roundoff of the least precise type that was seen, or of float32 if all values look like it."""
        return max(self._roundoff, float(np.finfo(np.float32).eps) if self._in_float32 else 0.0)

    @property
    def is_coarse(self) -> bool:
        """True if a tensor of the policy, or what the constraint returns, has a type coarser than float64."""
        return self.roundoff > UNIT_ROUNDOFF

    def rounding_level(self, theta: Tensor, generator: torch.Generator, size: float = 0.0) -> Array:
        """Estimate eps_g (k,): how far g moves when theta moves by its own rounding, or by that of a step of ``size``.

        The estimate is a factor times the largest move under a few perturbations of about one unit roundoff.  It is
        never below the roundoff of the values themselves, because float32 values may all round to the same one.  The
        roundoff is that of the least precise type that was seen.  A rounding of g that is given is the least: moves of
        theta that change g by more than it explains add to it.
        """
        scale = torch.maximum(theta.abs(), theta.square().mean().sqrt())
        if size > 0.0:
            scale = scale.clamp(min=size / math.sqrt(theta.numel()))
        noise = torch.randn(ROUNDING_TRIALS, theta.numel(), generator=generator, dtype=torch.float64).to(theta.device)
        if self._in_float32:  # by chance, perhaps: values computed in float64 at another place show it
            self(theta + float(np.finfo(np.float32).eps) * torch.where(scale > 0, scale, 1.0) * noise[:1])
        noise *= self.roundoff * scale
        moved = np.concatenate([self(theta + part) for part in self._parts(noise)])
        base = self(theta[None])
        spread = np.abs(moved - base).max(axis=0)
        if self.constraint.rounding is None:
            return np.asarray(ROUNDING_FACTOR * np.maximum(spread, self.roundoff * np.abs(base[0])))
        given = per_value("rounding", self.constraint.rounding, spread.size)
        return np.asarray(given + ROUNDING_FACTOR * np.maximum(spread - 2.0 * given, 0.0))

    def _one_by_one(self, thetas: Tensor) -> list[Answer]:
        """Return g (k,) of each of m parameter vectors (m, d), evaluated in the policy itself."""
        before, keeper = self.vector.read(), self.vector.keeper(self.policy)
        try:
            rows = [self._one(theta, keeper) for theta in thetas]
            if not self._careful and keeper.deceived():  # so the later ones may have seen what the first ones wrote
                self._careful = True
                keeper.restore(everything=True)
                rows = [self._one(theta, keeper) for theta in thetas]
                self.rollouts += len(rows)
        except BaseException:
            keeper.restore(everything=True)
            raise
        finally:
            self.vector.write(before)
        return rows

    def _one(self, theta: Tensor, keeper: Keeper) -> Answer:
        """Return g (k,) of one parameter vector (d,), which stays in the policy."""
        self.vector.write(theta)
        with undisturbed(self.policy, keeper, everything=self._careful):
            return answer(self.constraint, self.policy)
