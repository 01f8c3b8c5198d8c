"""The linearised baseline: the step is projected onto the linear model of the constraints that the probes give.

The update is SCPO's without curvature and without the error of the slopes:

    argmin { |z - Q^T p| : kappa (g_i + tightening) + a_i^T z <= 0 for all i }.

Two published methods put linear models in the place of constraints: the safety layer of Dalal and others ("Safe
exploration in continuous action spaces", 2018) for actions, and projection-based constrained policy optimisation (Yang,
Rosca, Narasimhan and Ramadge, ICLR 2020) for weights.  A step along a curved constraint ends beyond it.  With
``verify``, a step that a rollout finds unsafe is projected again with the curvature that it has shown, until a step is
safe.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from scpo.optimizer import SafeOptimizer
from scpo.options import Constraint
from scpo.smoothness import FixedSmoothness


class Linearised(SafeOptimizer):
    """The method that projects onto the linear model.

    The arguments are those of :class:`scpo.SafeOptimizer`; ``smoothness`` and ``look`` have no effect.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        policy: nn.Module,
        constraint: Callable[[Any], Any] | Constraint,
        **options: Any,
    ) -> None:
        super().__init__(
            optimizer, policy, constraint, **(options | {"smoothness": FixedSmoothness(0.0), "look": False})
        )
