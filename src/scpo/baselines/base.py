"""The interface of a method for the training loop."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor

from scpo.arrays import Array
from scpo.records import StepInfo


class Method(Protocol):
    """An update rule bound to one policy, one optimiser and one black-box constraint."""

    #: the parameters (d,) of every unsafe proposal of the last update
    unsafe_proposals: tuple[Tensor, ...]

    #: the nominal step p (d,) of the last update; None before the first update
    nominal: Tensor | None

    #: the step bound U (k,) that the last step promised at the iterate; None where it has none
    bound: Array | None

    @property
    def values(self) -> Array:
        """The values of g at the current iterate, shape (k,)."""
        ...

    def zero_grad(self) -> None:
        """Clear the gradients."""
        ...

    def step(self) -> StepInfo:
        """Make one update and return its record."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return the state from which a run can be resumed."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state that :meth:`state_dict` returned."""
        ...
