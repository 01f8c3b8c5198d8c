"""The evaluator of a constraint: a black box that is called, checked and counted, and never differentiated."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scpo.arrays import Array, per_value
from scpo.errors import (
    ConfigurationError,
    ConstraintError,
    NonDeterministicConstraintError,
    NonFiniteError,
    ScpoError,
    ShapeError,
    UnsafeStartError,
)
from scpo.options import Constraint
from scpo.parameters import ParameterVector
from scpo.rest import Keeper, undisturbed

#: perturbations by which rounding is measured, and the factor on the largest move of g
ROUNDING_TRIALS, ROUNDING_FACTOR = 4, 8.0


class ConstraintEvaluator:
    """Evaluates g at parameter vectors, (m, d) -> (m, k), and counts the rollouts.

    Args:
        policy: whose parameters the constraint reads.
        vector: the flat view of its trainable parameters.
        constraint: the black box and its options.
    """

    def __init__(self, policy: nn.Module, vector: ParameterVector, constraint: Constraint) -> None:
        self.policy, self.vector, self.constraint = policy, vector, constraint
        self.length: int | None = None
        self.rollouts = 0
        self._careful = False  # the constraint writes to the policy in a way that leaves no marks

    def __call__(self, thetas: Tensor) -> Array:
        """Return g, shape (m, k), of parameter vectors (m, d); the policy, its buffers and mode stay as they are.

        Raises:
            ConstraintError: the constraint raised, timed out, or changed its length.
            ShapeError: it returned something that is no row of numbers per parameter set.
            NonFiniteError: it returned NaN or infinity.
        """
        count = thetas.shape[0]
        with torch.no_grad():
            if self.constraint.batched:
                own = thetas.clone() if count == 1 else thetas  # one set may be the iterate itself
                with undisturbed(self.policy, self.vector.keeper(self.policy), everything=True):
                    values = self._call(self.vector.stack(own), (count,))
            else:
                values = self._one_by_one(thetas)
        self.rollouts += count
        if self.length is None:
            self.length = values.shape[1]
        elif values.shape[1] != self.length:
            raise ConstraintError(f"the constraint returned {values.shape[1]} values, and {self.length} before")
        if not np.isfinite(values).all():
            where = np.argwhere(~np.isfinite(values))[0]
            raise NonFiniteError(f"the constraint's value {where[1]} is {values[tuple(where)]} (set {where[0]})")
        return values

    def check_start(self, theta: Tensor) -> Array:
        """Evaluate theta (d,) twice and return g (k,), which must be safe.

        Raises:
            NonDeterministicConstraintError: the values differ.
            UnsafeStartError: g + tightening > 0 anywhere.
        """
        values: Array = self(theta[None])[0]
        self.check_determinism(theta, values)
        tightening = self.constraint.tightening
        worst = int(values.argmax()) if values.size else 0
        if values.size and values[worst] + tightening > 0:
            tightened = f" under tightening {tightening!r}" if tightening else ""
            raise UnsafeStartError(
                f"at the start constraint value {worst} is g = {float(values[worst])!r}, which is unsafe{tightened}; "
                "start from a policy with g + tightening <= 0, for example from a backup"
            )
        return values

    def check_determinism(self, theta: Tensor, first: Array) -> None:
        """Evaluate theta (d,) again and compare with its values ``first`` (k,).

        Values may differ by twice the ``rounding`` of the constraint if that is given, and by nothing otherwise.

        Raises:
            NonDeterministicConstraintError: the values differ by more.
        """
        second: Array = self(theta[None])[0]
        given = self.constraint.rounding
        allowed = 0.0 if given is None else 2.0 * per_value("rounding", given, first.size)
        if (np.abs(first - second) > allowed).any():
            worst = int((np.abs(first - second) - allowed).argmax())
            raise NonDeterministicConstraintError(
                f"two evaluations of the same parameters differ (value {worst}: {float(first[worst])!r} and "
                f"{float(second[worst])!r}); fix the constraint's random numbers, and switch dropout off; "
                "differences of a known size are accepted with scpo.Constraint(g, rounding=size)"
            )

    def rounding_level(self, theta: Tensor, generator: torch.Generator) -> Array:
        """Estimate eps_g (k,): how far g moves when theta moves by its own rounding.

        The estimate is the largest move under a few perturbations of about one unit roundoff, times a factor.  It is
        never below the roundoff of the values themselves in the policy's own precision, because the outputs of a
        float32 policy may all round to the same value.
        """
        scale = torch.maximum(theta.abs(), theta.square().mean().sqrt())
        noise = torch.randn(ROUNDING_TRIALS, theta.numel(), generator=generator, dtype=torch.float64)
        moved = self(theta + self.vector.roundoff * scale * noise.to(theta.device))
        base = self(theta[None])
        spread = np.abs(moved - base).max(axis=0)
        return np.asarray(ROUNDING_FACTOR * np.maximum(spread, self.vector.roundoff * np.abs(base[0])))

    def _one_by_one(self, thetas: Tensor) -> Array:
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
        if len({row.size for row in rows}) > 1:
            raise ConstraintError(f"the constraint changed its length: {sorted({row.size for row in rows})} values")
        return np.stack(rows)

    def _one(self, theta: Tensor, keeper: Keeper) -> Array:
        """Return g (k,) of one parameter vector (d,), which stays in the policy."""
        self.vector.write(theta)
        with undisturbed(self.policy, keeper, everything=self._careful):
            return self._call(self.policy, ())

    def _call(self, argument: Any, batch: tuple[int, ...]) -> Array:
        """Call the black box and return its answer as an array, (k,) or (m, k)."""
        try:
            with _time_limit(self.constraint.timeout):
                raw = self.constraint.function(argument)
        except ScpoError:
            raise
        except TimeoutError as error:
            raise ConstraintError(f"the constraint timed out ({error}); the step was not taken") from error
        except Exception as error:
            raise ConstraintError(
                f"the constraint raised {type(error).__name__}: {error}; the step was not taken"
            ) from error
        try:
            if isinstance(raw, Tensor):
                raw = raw.detach().to("cpu", raw.dtype if raw.is_complex() else torch.float64).numpy()
            if np.iscomplexobj(raw):
                raise TypeError("complex numbers have no sign")
            values = np.array(raw, dtype=np.float64)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ShapeError(f"the constraint returned {type(raw).__name__}, not numbers") from error
        if values.ndim != len(batch) + 1 or values.shape[: len(batch)] != batch:
            expected = "(k,)" if not batch else f"({batch[0]}, k)"
            raise ShapeError(f"the constraint returned shape {values.shape}, expected {expected}")
        return values


@contextmanager
def _time_limit(seconds: float | None) -> Iterator[None]:
    """Interrupt the body after ``seconds`` with TimeoutError."""
    if seconds is None:
        yield
        return
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        raise ConfigurationError("timeout: works in the main thread on Unix only; time out inside the constraint")

    def expire(signum: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"after {seconds} s")

    previous = signal.signal(signal.SIGALRM, expire)
    started = time.monotonic()
    outer, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        if outer > 0:  # someone else's alarm goes on
            signal.setitimer(signal.ITIMER_REAL, max(outer - (time.monotonic() - started), 1e-3), interval)
