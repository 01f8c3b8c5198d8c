"""The interface of a source of directions: its options, its input and its output.

The settings of the scales read the options from here, so importing this module does not import torch.
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
    """The input of a source of directions: the policy at theta, and its parameters as one vector."""

    policy: nn.Module
    vector: ParameterVector


@dataclass(frozen=True)
class Sample:
    """The directions that a source has drawn.

    Attributes:
        vectors: the directions (d, m).  They need not be orthogonal nor of full rank.
        checks: further draws (d, c) that measure the captured energy.  They stay out of the basis.  None: the captured
            energy is not measured.
        exact: True if the vectors span everything that the source could draw.
    """

    vectors: Tensor
    checks: Tensor | None = None
    exact: bool = False


@dataclass(frozen=True, kw_only=True)
class Directions(Options):
    """The options of a source of directions: where g is probed, and how far.

    This is the base class of all sources.  A source of your own is a subclass that defines :meth:`draw`.
    """

    count: int = option(12, "N: most directions of an update, the nominal step among them", ge=1)
    energy: float = option(
        0.95,
        "share of fresh policy derivatives that the directions are to hold: as few are used as do so; 1: always N",
        gt=0,
        le=1,
    )
    recycled: int = option(
        8,
        "at most so many of them are gradients that the last probes showed, of the constraints nearest to their limits",
        ge=0,
    )
    pieces: int = option(
        128, "at most so many planes of constraints with kinks are kept, as further limits of a step; 0: none", ge=0
    )
    probe_length: float | None = option(
        None, "nu: length of a probe in weight space; null: curvature is balanced against rounding", gt=0
    )
    safe_probes: bool = option(False, "shorten the probes until the bound covers each of them")

    def draw(self, context: Context, count: int, generator: torch.Generator) -> Sample:
        """Return at most ``count`` directions.  All random numbers must come from ``generator`` (on the CPU)."""
        raise NotImplementedError(f"{type(self).__name__} must define draw(context, count, generator)")
