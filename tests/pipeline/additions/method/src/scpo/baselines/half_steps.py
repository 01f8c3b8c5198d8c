"""A toy method: half of each nominal step."""

from __future__ import annotations

from scpo.baselines.unconstrained import Unconstrained
from scpo.records import StepInfo


class HalfSteps(Unconstrained):
    """Take half of every nominal step."""

    def step(self) -> StepInfo:
        """Take one step and return its record."""
        for group in self.optimizer.param_groups:
            group["lr"] /= 2
        try:
            return super().step()
        finally:
            for group in self.optimizer.param_groups:
                group["lr"] *= 2
