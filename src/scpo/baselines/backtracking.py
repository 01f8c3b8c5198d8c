"""The line-search baseline: it halves the nominal step until a rollout finds it safe.

It needs no step bound, no probes and no constants.  Like the verified mode it is safe by construction.  It does not
project: at a limit it shortens the whole step, so the policy moves less along the limit as well.
"""

from __future__ import annotations

import numpy as np

from scpo.baselines.unconstrained import Unconstrained
from scpo.records import StepInfo

#: after this many halvings the policy stays as it is
MOST_HALVINGS = 20


class Backtracking(Unconstrained):
    """The method that takes the longest of p, p / 2, p / 4 ... with g + tightening <= 0, or no step.

    The arguments are those of :class:`~scpo.baselines.unconstrained.Unconstrained`.  The constraint has the tightening.
    """

    def step(self) -> StepInfo:
        """Take one step and return its record.

        Raises:
            NonFiniteError: the loss gradient is NaN or infinite.
        """
        before, nominal = self._propose()
        tightening = self.evaluate.constraint.tightening
        unsafe, length, taken, share = [], float(nominal.norm()), 0.0, 1.0
        theta, values, proposals = before, self._values, 0
        for _ in range(MOST_HALVINGS + 1):
            trial = before + share * nominal
            trial_values = self.evaluate(trial[None])[0]
            proposals += 1
            if (trial_values > 0).any():
                unsafe.append(trial)
            if (trial_values + tightening <= 0).all():
                theta, values, taken = trial, trial_values, share * length
                break
            share *= 0.5
        self.vector.write(theta)
        self._values, self.unsafe_proposals = values, tuple(unsafe)
        return StepInfo(
            update=self.updates,
            slack=-float(values.max(initial=-np.inf)),
            projected=taken < length,
            proposals=proposals,
            unsafe_proposals=len(unsafe),
            nominal_norm=length,
            step_norm=taken,
            rollouts=self.evaluate.rollouts,
        )
