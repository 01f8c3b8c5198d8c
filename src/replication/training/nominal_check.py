"""Checks whether the nominal step would have been safe, by a rollout at theta + p.

A method rejects a nominal step if its next iterate is not theta + p.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping

from torch import Tensor
from torch.linalg import vector_norm

from replication.tasks.base import Task
from scpo.parameters import ParameterVector

#: Columns of evaluations.parquet: the largest constraint value at theta + p, and whether the next iterate is theta + p.
NAMES = ("nominal_max_g", "nominal_taken")
#: The next iterate is theta + p if it is nearer to it than this share of |p|.
SAME = 1e-9


def checked(
    problem: Task, vector: ParameterVector, before: Tensor, after: Tensor, nominal: Tensor | None
) -> dict[str, float]:
    """Return both columns for a step from ``before`` (d,) to ``after`` (d,), where ``nominal`` (d,) is p.

    A copy of the task does this rollout, so training goes on as it would without it.
    """
    if nominal is None:
        return unknown()
    there = before + nominal
    worst = float(copy.copy(problem).constraint(vector.stack(there[None])).max())
    taken = float(vector_norm(after - there)) <= SAME * float(vector_norm(nominal))
    return {NAMES[0]: math.inf if math.isnan(worst) else worst, NAMES[1]: float(taken)}


def unknown() -> dict[str, float]:
    """Return NaN for both columns, as for the initial policy, before which there was no step."""
    return dict.fromkeys(NAMES, math.nan)


def counts(evaluations: Iterable[Mapping[str, float]]) -> dict[str, int]:
    """Return how many nominal steps were checked, how many of them are unsafe, and how many unsafe ones were taken."""
    known = [row for row in evaluations if not math.isnan(row[NAMES[1]])]
    unsafe = [row for row in known if row[NAMES[0]] > 0]
    return {
        "nominal_checked": len(known),
        "nominal_unsafe": len(unsafe),
        "nominal_unsafe_taken": sum(row[NAMES[1]] == 1.0 for row in unsafe),
    }
