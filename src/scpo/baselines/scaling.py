"""The scaling baseline: the nominal step is shortened until it lies in SCPO's safe region, and not turned.

The region is SCPO's along one direction, the nominal step p.  So one probe is enough, and the projection of p onto it
is s p with the largest s <= 1 for which the step bound holds.  At a limit the policy moves less along the limit as
well.  The difference from SCPO shows the worth of projecting in several directions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from scpo.directions import Isotropic, as_directions
from scpo.optimizer import SafeOptimizer
from scpo.options import Constraint


class Scaling(SafeOptimizer):
    """The method that takes the longest part of the nominal step that the step bound allows.

    The arguments are those of :class:`scpo.SafeOptimizer`.  Of ``directions`` only the options on the
    length of the probes have an effect, and ``buffer``, which turns steps, has none.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        policy: nn.Module,
        constraint: Callable[[Any], Any] | Constraint,
        **options: Any,
    ) -> None:
        given = as_directions(options["directions"]) if options.get("directions") is not None else Isotropic()
        ray = Isotropic(count=1, recycled=0, probe_length=given.probe_length, safe_probes=given.safe_probes)
        super().__init__(optimizer, policy, constraint, **(options | {"directions": ray, "buffer": 0.0}))
