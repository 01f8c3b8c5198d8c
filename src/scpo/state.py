"""The state that an update starts from, and the method that it applies."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.linalg import vector_norm

from scpo.arrays import Array
from scpo.constraint import ConstraintEvaluator
from scpo.options import Descent, StepOptions
from scpo.sampling import Context, Directions
from scpo.smoothness import Smoothness

#: a nominal step this parallel to -grad loss needs no descent row: its projection descends by itself
PARALLEL = 1.0 - 1e-12


@dataclass(frozen=True)
class Start:
    """What an update starts from.

    Attributes:
        update: number of the update, from 1.
        theta: (d,).
        values: g (k,) at theta.
        nominal: p (d,), the step that the wrapped optimiser proposes.
        gradient: of the batch loss (d,).
        rounding: eps_g (k,).
        gradient_bound: on |grad g_i| (k,), or None.
        recycled: directions (d, m) from the last update, or None.
    """

    update: int
    theta: Tensor
    values: Array
    nominal: Tensor
    gradient: Tensor
    rounding: Array
    gradient_bound: Array | None
    recycled: Tensor | None = None

    @property
    def dimension(self) -> int:
        """Number d of parameters."""
        return self.theta.numel()

    @property
    def unsafe(self) -> bool:
        """Whether theta violates a constraint, so that the update restores it."""
        return bool((self.values > 0).any())


@dataclass(frozen=True)
class Method:
    """What stays the same from update to update; only ``smoothness`` and ``generator`` have a state of their own."""

    evaluate: ConstraintEvaluator
    context: Context
    directions: Directions
    smoothness: Smoothness
    step: StepOptions
    descent: Descent | None
    generator: torch.Generator

    @property
    def tightening(self) -> float:
        """What is added to g."""
        return self.evaluate.constraint.tightening

    def may_rise(self, start: Start) -> bool:
        """Tell whether the projected step needs a descent row.

        Every projection of p = -eta grad loss descends by itself, for a beta-smooth loss while eta <= 2 / beta.
        """
        if self.descent is None:
            return False
        nominal, gradient = float(vector_norm(start.nominal)), float(vector_norm(start.gradient))
        parallel = float(-start.nominal @ start.gradient) >= PARALLEL * nominal * gradient
        return not (parallel and self.descent.loss_smoothness * nominal <= 2.0 * gradient)
