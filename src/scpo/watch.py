"""A watch for signs that a constraint is not what it seems: noise, flat slopes, steps of 0, changes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from scpo.arrays import Array
from scpo.constraint import ConstraintEvaluator, differ
from scpo.errors import NonDeterministicConstraintError
from scpo.probing import FLAT
from scpo.state import Method, Start
from scpo.update import Outcome

#: so many steps of 0, or as good as 0, in a row are reported
STILL = 50
#: a step of at most this share of the nominal one is as good as 0
NEGLIGIBLE = 1e-9
#: after so many, theta is evaluated again: a constraint that has changed may hold it in place
SUSPICIOUS = 5
#: noise is looked for at the first step, and then after this number of updates, its square, its cube and so on
CHECK_EVERY = 10
#: the warning that a step is not proven to be the projection
MISSED = (
    "no solver reached the tolerances of a projection, so the nearest point that was found was taken; bound and "
    "descent hold for it as for the projection, and solver_misses counts such updates; please report the case"
)


@dataclass
class Watch:
    """The state of the watch.

    Attributes:
        check_at: the first update at which a step is evaluated twice.
        still: the number of steps of 0 in a row, up to now.
        said: the warnings that were given; none is given twice.
        idle: the number of steps of 0, or as good as 0, in a row.
    """

    check_at: int = 1
    still: int = 0
    said: tuple[str, ...] = ()
    idle: int = 0

    def __post_init__(self) -> None:
        self.idle = max(self.idle, self.still)  # a state of an earlier version has no number of its own

    def over(self, outcome: Outcome, method: Method) -> Outcome:
        """Inspect the ``outcome`` of an update, warn if needed, and return it with all its rollouts counted.

        Raises:
            NonDeterministicConstraintError: an iterate was evaluated again, and its values differ.
        """
        info, start = outcome.info, outcome.start
        if info.step_norm > 0 and not info.returned and info.update >= self.check_at:
            if np.isfinite(outcome.values).all():
                method.evaluate.check_determinism(outcome.theta, outcome.values)
                outcome = replace(outcome, info=replace(info, rollouts=method.evaluate.rollouts))
            while self.check_at <= info.update:
                self.check_at *= CHECK_EVERY
        if outcome.flat and not method.evaluate.constraint.may_be_flat:
            self._say("flat", FLAT)
        if info.solver_misses:
            self._say("solver", MISSED)
        stays = torch.equal(method.context.vector.rounded(outcome.theta), start.theta)
        self.still = self.still + 1 if stays and start.gradient.any() else 0
        idles = stays or info.step_norm <= NEGLIGIBLE * info.nominal_norm
        self.idle = self.idle + 1 if idles and start.gradient.any() else 0
        if self.still == SUSPICIOUS and not start.unsafe:
            method.evaluate.check_determinism(start.theta, start.values)
            outcome = replace(outcome, info=replace(info, rollouts=method.evaluate.rollouts))
        if self.idle >= STILL:
            were = "0" if self.still >= STILL else f"0, or less than {NEGLIGIBLE:g} of the optimiser's own"
            self._say("still", f"the last {STILL} steps were {were}: {_reason(outcome, method, stays)}")
        return outcome

    def _say(self, name: str, text: str) -> None:
        if name not in self.said:
            self.said = (*self.said, name)
            warnings.warn(text, stacklevel=4)


def check_loaded(evaluate: ConstraintEvaluator, start: Start, saved: Tensor, *, known: bool) -> None:
    """Compare policy and constraint with a state that was loaded.  The rollout that this takes is not counted.

    Args:
        evaluate: the constraint.
        start: what the first update after loading starts from.
        saved: the parameters of the state (d,); a warning says that those of the policy are others.
        known: the values of the start are those of the state; if not, they were evaluated just now.

    Raises:
        NonDeterministicConstraintError: g is another now.
    """
    if not torch.equal(start.theta, saved):
        text = "the policy's parameters are not those of the loaded state: load the policy's own state as well"
        warnings.warn(text, stacklevel=4)
    if not known:
        return
    counted = evaluate.rollouts
    now: Array = evaluate.attempt(start.theta[None])[0]
    evaluate.rollouts = counted
    if differ(now, start.values, evaluate.constraint):
        worst = int(np.nan_to_num(np.abs(now - start.values), nan=np.inf).argmax())
        raise NonDeterministicConstraintError(
            f"constraint value {worst} of the loaded policy is {float(now[worst])!r}, and was "
            f"{float(start.values[worst])!r} when the state was saved; if the constraint has changed since, call "
            "refresh() after loading"
        )


def _reason(outcome: Outcome, method: Method, stays: bool) -> str:
    """Return, in words, what holds theta in place, or nearly so where it ``stays`` not."""
    start, info = outcome.start, outcome.info
    if info.nominal_norm == 0 or (stays and info.step_norm > 0):
        return _unresolved(info.step_norm, start, method)
    if outcome.info.unsafe_proposals or outcome.info.unsafe_looks:
        return "every longer one was unsafe where it was evaluated (see unsafe_proposals and unsafe_looks)"
    tightened = start.values + method.tightening_at(start)
    if tightened.size == 0:
        return "no constraint holds theta"
    nearest = int(tightened.argmax())
    slack, rounding = -float(tightened[nearest]), float(start.rounding[nearest])
    why = f"constraint value {nearest} has slack {slack:.3g} and rounding {rounding:.3g}"
    if slack <= 2.0 * rounding / method.step.kappa:
        why += "; a slack within rounding allows only steps away from the limit (float64 has the least rounding)"
    if slack == 0.0:
        why += "; a value that is exactly 0 is at its limit: pad with negative numbers, and return g, not max(0, g)"
    return why


def _unresolved(length: float, start: Start, method: Method) -> str:
    """Return the warning that steps of this ``length`` are too small for the type of the parameters."""
    vector = method.context.vector
    kinds = " and ".join(sorted({str(one.dtype).removeprefix("torch.") for one in vector.parameters}))
    spacing = vector.roundoff * float(start.theta.abs().max())
    whose = f"the step that is safe has length {length:.3g}" if length > 0 else "the optimiser's own step is 0"
    return (
        f"{whose}, and parameters in {kinds} move by about {spacing:.3g} or not at all; keep them in a finer type "
        "(float32 or float64), or take a larger learning rate"
    )
