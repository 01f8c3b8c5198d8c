"""The interface of a method, as the training loop uses it."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor

from scpo.arrays import Array
from scpo.records import StepInfo


class Method(Protocol):
    """An update rule bound to one policy, one optimiser and one black-box constraint."""

    #: parameters (d,) of the last update's proposals that were unsafe
    unsafe_proposals: tuple[Tensor, ...]

    #: the step p (d,) that the last update's optimiser proposed; None before the first update
    nominal: Tensor | None

    @property
    def values(self) -> Array:
        """g at the current iterate, shape (k,)."""
        ...

    def zero_grad(self) -> None:
        """Clear the gradients."""
        ...

    def step(self) -> StepInfo:
        """Take one update."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resumed run needs."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state that :meth:`state_dict` returned."""
        ...
