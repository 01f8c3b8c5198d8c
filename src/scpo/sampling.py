"""What a source of directions is: its options, what it sees, and what it draws.

The settings of the scales read the options from here, so nothing here needs torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scpo.options import Options, option

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from scpo.parameters import ParameterVector


@dataclass(frozen=True)
class Context:
    """What a source of directions may look at: the policy at theta, and the flat view of its parameters."""

    policy: nn.Module
    vector: ParameterVector


@dataclass(frozen=True)
class Sample:
    """Sampled directions.

    Attributes:
        vectors: (d, m), neither orthogonal nor of full rank.
        checks: (d, c), further draws that measure the captured energy and stay out of the basis; None if there is no
            such measure.
        exact: the vectors span everything that the source could ever draw.
    """

    vectors: Tensor
    checks: Tensor | None = None
    exact: bool = False


@dataclass(frozen=True, kw_only=True)
class Directions(Options):
    """Where g is probed, and how far.  Base of every source of directions.

    Write your own as a subclass with :meth:`draw`.
    """

    count: int = option(32, "N: directions per update, the nominal step among them", ge=1)
    recycled: int = option(
        8,
        "most of them that are gradients seen by the last probes, of the constraints nearest to their limits",
        ge=0,
    )
    probe_length: float | None = option(
        None, "nu: length of a probe in weight space; none: curvature is balanced against rounding", gt=0
    )
    safe_probes: bool = option(False, "shorten the probes until the bound covers each of them")

    def draw(self, context: Context, count: int, generator: torch.Generator) -> Sample:
        """Return at most ``count`` directions; take all randomness from ``generator`` (CPU)."""
        raise NotImplementedError(f"{type(self).__name__} must define draw(context, count, generator)")
