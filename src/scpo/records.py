"""The record of one update."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any


def _entry(meaning: str, default: Any = math.nan) -> Any:
    """Return a field of the record with its meaning.  Its default, NaN, is for methods without a bound."""
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True, kw_only=True)
class StepInfo:
    """The record of one update.  ``print(info)`` shows the main fields."""

    update: int = field(metadata={"meaning": "number of the update, from 1"})
    slack: float = field(metadata={"meaning": "-max g at the new iterate, as evaluated; negative: unsafe"})
    projected: bool = _entry("the nominal step was altered: turned, or outside the safe region", False)
    restoring: bool = _entry("theta violated the constraint, and the step worked on that instead of the loss", False)
    returned: bool = _entry("the last iterate was unsafe, and theta went back to the safe one before it", False)
    step_bound: float = _entry("max U at the new iterate: what the bound promised")
    proposals: int = _entry("steps whose g was evaluated in the hope of taking them", 0)
    unsafe_proposals: int = _entry("proposals with max g > 0; on the bound alone, the new iterate itself", 0)
    unsafe_probes: int = _entry("probes with max g > 0", 0)
    looks: int = _entry("looks along the step", 0)
    unsafe_looks: int = _entry("looks with max g > 0", 0)
    bound_misses: int = _entry("constraint values above their bound by more than rounding, over the proposals", 0)
    near: int = _entry("constraint values whose bound spent at least half of their slack, over the proposals", 0)
    near_misses: int = _entry("of these, values above their bound by more than rounding", 0)
    worst_miss: float = _entry("largest g_i - U_i over the proposals, as evaluated")
    nominal_norm: float = _entry("length of the nominal step")
    step_norm: float = _entry("length of the step")
    smoothness_median: float = _entry("median of the L in use")
    smoothness_max: float = _entry("largest L in use")
    kink_max: float = _entry("largest c in use")
    required_median: float = _entry("median of the smallest L that, beside c, the last proposal needed")
    required_max: float = _entry("largest L that, beside c, a proposal needed")
    captured_energy: float = _entry("share of fresh policy derivatives in the span of the directions; NaN: unknown")
    directions: int = _entry("n, the number of directions", 0)
    active: int = _entry("constraint values that held the step back", 0)
    solver_retries: int = _entry("projections that were repeated by another solver", 0)
    solver_misses: int = _entry("1: no solver reached the tolerances, and the nearest safe point found was taken", 0)
    rollouts: int = _entry("policies evaluated since the start", 0)
    closure_loss: float = _entry("the loss that the closure of step() returned, before the step")

    def as_dict(self) -> dict[str, float]:
        """Return all fields as floats, for any tracker; True is 1.0."""
        return {name: float(value) for name, value in asdict(self).items()}

    def __str__(self) -> str:
        notes = [
            ("back to the last safe iterate", self.returned),
            ("restoring", self.restoring),
            ("projected", self.projected),
            (f"{self.unsafe_proposals} unsafe of {self.proposals} proposals", self.unsafe_proposals),
            (f"{self.unsafe_probes} unsafe probes", self.unsafe_probes),
            (f"{self.unsafe_looks} unsafe looks", self.unsafe_looks),
            (f"{self.bound_misses} bound misses", self.bound_misses),
            ("no solver reached the tolerances", self.solver_misses),
        ]
        said = ", ".join(text for text, applies in notes if applies)
        lengths = f"step {self.step_norm:.3g} of {self.nominal_norm:.3g}"
        return f"update {self.update}: slack {self.slack:.3g}, {lengths}" + (f" ({said})" if said else "")


if StepInfo.__doc__:  # python -OO has none
    StepInfo.__doc__ += "\n\nAttributes:\n" + "\n".join(
        f"    {entry.name}: {entry.metadata['meaning']}." for entry in fields(StepInfo)
    )
