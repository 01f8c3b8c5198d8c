"""The line-search baseline: the nominal step, halved until a rollout finds it safe.

It needs no bound, no probes and no constants, and like the verified mode it is safe by construction.  What it lacks is
the projection: a step that pushes against one limit is shortened as a whole, and nothing is left of it along the limit.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from scpo.baselines.unconstrained import Unconstrained
from scpo.constraint import BatchedConstraint
from scpo.records import StepInfo

#: halvings after which the policy stays
MOST_HALVINGS = 20


class Backtracking(Unconstrained):
    """Take the longest of p, p / 2, p / 4 ... with g + margin <= 0, or stay.

    Args:
        optimizer, policy, constraint: as for :class:`~scpo.baselines.unconstrained.Unconstrained`.
        margin: room that an accepted step must leave, >= 0.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, policy: nn.Module, constraint: BatchedConstraint, margin: float = 0.0
    ) -> None:
        super().__init__(optimizer, policy, constraint)
        self.margin = margin

    def step(self) -> StepInfo:
        """Take one step; a loss gradient that is not finite is refused."""
        before, nominal = self._propose()
        unsafe, length, taken, share = [], float(nominal.norm()), 0.0, 1.0
        theta, values, proposals = before, self._values, 0
        for _ in range(MOST_HALVINGS + 1):
            trial = before + share * nominal
            found = self.evaluate(trial[None])[0]
            proposals += 1
            if (found > 0).any():
                unsafe.append(trial)
            if (found + self.margin <= 0).all():
                theta, values, taken = trial, found, share * length
                break
            share *= 0.5
        self.vector.write(theta)
        self._values, self.unsafe_proposals = values, tuple(unsafe)
        info = StepInfo.unprojected(self.updates, values, taken, len(unsafe), self.evaluate.rollouts)
        return replace(info, nominal_norm=length, projected=taken < length, proposals=proposals)
