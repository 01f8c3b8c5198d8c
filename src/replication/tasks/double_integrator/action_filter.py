"""An action filter that knows the plant: it changes an input where the backup could not keep the constraints after it.

Let Psi be the gauge of O_inf, x_0 the start and T the horizon.  At step t the filter allows the inputs u after which
the backup alone would satisfy the constraints up to step T:

    |u| <= 1,   Psi(A x + B u) <= 1,   Psi((A - B K)^(T - t - 1) (A x + B u)) <= zeta Psi(x_0).

Each row is linear in u, so these inputs form an interval, and the input is clipped to it.  The backup's own input
always lies in it: it does so at the start, and an input that the filter allows at step t leaves the backup's input
allowed at step t + 1.  So limits and contraction hold along the whole rollout, for every policy.  A designer who has a
model can do this; the method has no model.  Filters of this kind: predictive safety filters (Wabersich and Zeilinger,
2021).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from replication.tasks.double_integrator.sets import backup_invariant_set
from replication.tasks.double_integrator.system import INPUT_LIMIT, A, B, backup_gain, closed_loop
from scpo.arrays import Array

#: limits are lowered by this share, so that rounding exceeds none of them
_INSET = 1e-9


class ActionFilter:
    """Clips inputs to those from which the backup keeps the constraints.

    Args:
        contraction: zeta.
        horizon: T; after T steps the filter starts anew from the present state.
    """

    def __init__(self, contraction: float, horizon: int) -> None:
        self._facets = backup_invariant_set().facets
        self._contraction, self.horizon = contraction, horizon
        self._steps = [self._rows(horizon - t - 1) for t in range(horizon)]

    def level(self, starts: Tensor) -> Tensor:
        """Return zeta Psi (..., M) of starts (..., 2, M)."""
        return self._contraction * (torch.from_numpy(self._facets.copy()) @ starts).amax(dim=-2)

    def __call__(self, step: int, states: Tensor, inputs: Tensor, level: Tensor) -> Tensor:
        """Return the clipped inputs (m, 1, M).

        Args:
            step: t, which starts at 0 again after each horizon.
            states: x_t (m, 2, M).
            inputs: the policy's inputs (m, 1, M).
            level: what :meth:`level` gave at the states of step 0 (m, M).
        """
        ahead, push, limited = self._steps[step % self.horizon]
        limits = torch.where(limited[:, None], 1.0, level.unsqueeze(-2)) * (1.0 - _INSET)
        most = (limits - ahead @ states) / push.abs()[:, None]  # row j: sign(push_j) u <= most_j
        upper = most[:, push > 0].amin(dim=-2, keepdim=True).clamp(max=INPUT_LIMIT * (1.0 - _INSET))
        lower = -most[:, push < 0].amin(dim=-2, keepdim=True).clamp(max=INPUT_LIMIT * (1.0 - _INSET))
        middle = 0.5 * (lower + upper)  # where rounding leaves no interval
        return torch.minimum(torch.maximum(inputs, torch.minimum(lower, middle)), torch.maximum(upper, middle))

    def _rows(self, after: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the rows h_j A (n, 2), h_j B (n,), and which rows have the limit 1, with ``after`` steps left."""
        later: Array = self._facets @ np.linalg.matrix_power(closed_loop(backup_gain()), after)
        rows = np.vstack([self._facets, later])
        push = (rows @ B)[:, 0]
        limited = np.arange(len(rows)) < len(self._facets)
        kept = np.abs(push) > 1e-12 * np.abs(rows).max(axis=1)  # the others limit no input
        return torch.from_numpy(rows[kept] @ A), torch.from_numpy(push[kept]), torch.from_numpy(limited[kept])
