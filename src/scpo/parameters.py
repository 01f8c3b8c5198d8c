"""The trainable parameters of a policy as one vector theta in R^d (float64), whatever their dtype and device."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from scpo.errors import ConfigurationError, NonFiniteError


def all_finite(x: Tensor) -> bool:
    """Tell whether no entry is NaN or infinite; the sum says so at once unless it overflows."""
    return math.isfinite(float(x.sum())) or bool(torch.isfinite(x).all())


def read_buffers(policy: nn.Module) -> dict[str, Tensor]:
    """Return copies of the policy's buffers by name."""
    return {name: buffer.detach().clone() for name, buffer in policy.named_buffers()}


def write_buffers(policy: nn.Module, saved: dict[str, Tensor]) -> None:
    """Set the policy's buffers to ``saved``."""
    with torch.no_grad():
        for name, buffer in policy.named_buffers():
            if name in saved:
                buffer.copy_(saved[name])


@contextmanager
def undisturbed(policy: nn.Module) -> Iterator[None]:
    """Give the policy its buffers and its training mode back at the end, whatever the body calls."""
    buffers = read_buffers(policy)
    modes = [(module, module.training) for module in policy.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        write_buffers(policy, buffers)


class ParameterVector:
    """A flat view of those parameters of ``policy`` that ``optimizer_parameters`` holds and that are trainable.

    Frozen parameters and buffers stay out of theta.  All algebra on theta is in float64; writing rounds to each
    parameter's own dtype, and that rounding belongs to the rounding level of the constraint (docs/method.md).

    Raises:
        ConfigurationError: nothing is trainable, or the optimiser holds a tensor that the policy does not.
    """

    def __init__(self, policy: nn.Module, optimizer_parameters: Iterable[Tensor]) -> None:
        wanted = {id(parameter): parameter for parameter in optimizer_parameters}
        named = {name: parameter for name, parameter in policy.named_parameters() if id(parameter) in wanted}
        foreign = set(wanted) - {id(parameter) for parameter in named.values()}
        if foreign:
            raise ConfigurationError(
                f"the optimiser holds {len(foreign)} tensors that are no parameters of the policy; "
                "build it from policy.parameters()"
            )
        trainable = {name: parameter for name, parameter in named.items() if parameter.requires_grad}
        if not trainable or sum(parameter.numel() for parameter in trainable.values()) == 0:
            raise ConfigurationError("the optimiser holds no trainable parameter of the policy (all frozen or empty)")
        if len({parameter.device for parameter in trainable.values()}) > 1:
            raise ConfigurationError("the policy's trainable parameters lie on several devices; use one")
        for name, parameter in trainable.items():
            if not parameter.dtype.is_floating_point:
                raise ConfigurationError(f"parameter {name!r}: expected a real floating dtype, got {parameter.dtype}")
        self.names = tuple(trainable)
        self.parameters = tuple(trainable.values())
        self.shapes = tuple(parameter.shape for parameter in self.parameters)
        self.sizes = tuple(parameter.numel() for parameter in self.parameters)
        self.dimension = sum(self.sizes)
        self.device = self.parameters[0].device
        #: unit roundoff of the least precise parameter
        self.roundoff = max(torch.finfo(parameter.dtype).eps for parameter in self.parameters)

    def read(self) -> Tensor:
        """Return theta, shape (d,), a copy."""
        return torch.cat([parameter.detach().reshape(-1).to(torch.float64) for parameter in self.parameters])

    def write(self, theta: Tensor) -> None:
        """Set the policy to ``theta`` (d,), rounded to each parameter's dtype."""
        with torch.no_grad():
            for parameter, part in zip(self.parameters, theta.split_with_sizes(self.sizes), strict=True):
                parameter.copy_(part.view_as(parameter))

    def refuse_change(self, optimizer_parameters: Iterable[Tensor]) -> None:
        """Check that the optimiser would move just the parameters of theta.

        Raises:
            ConfigurationError: a parameter was frozen, unfrozen or added since theta was laid out.
        """
        known = {id(parameter) for parameter in self.parameters}
        held = list(optimizer_parameters)
        added = [p for p in held if id(p) not in known and (p.requires_grad or p.grad is not None)]
        frozen = [name for name, p in zip(self.names, self.parameters, strict=True) if not p.requires_grad]
        if added or frozen or known - {id(p) for p in held}:
            raise ConfigurationError(
                f"the trainable parameters have changed since the start ({len(added)} tensors that the optimiser "
                f"would move are new, frozen: {', '.join(frozen) or 'none'}); build the safe optimiser again"
            )

    def gradient(self) -> Tensor:
        """Return the loss gradient (d,) that ``backward`` left; a parameter without one counts as zero.

        Raises:
            ConfigurationError: no parameter has a gradient.
            NonFiniteError: an entry is NaN or infinite.
        """
        if all(parameter.grad is None for parameter in self.parameters):
            raise ConfigurationError("no parameter has a gradient; call loss.backward() before step()")
        parts = [
            torch.zeros(parameter.numel(), dtype=torch.float64, device=self.device)
            if parameter.grad is None
            else parameter.grad.detach().to_dense().reshape(-1).to(torch.float64)
            for parameter in self.parameters
        ]
        gradient = torch.cat(parts)
        if not all_finite(gradient):
            bad = next(name for name, part in zip(self.names, parts, strict=True) if not all_finite(part))
            raise NonFiniteError(f"the loss gradient of {bad!r} is NaN or infinite; the step was not taken")
        return gradient

    def stack(self, thetas: Tensor) -> dict[str, Tensor]:
        """Return m parameter sets (m, d) as name -> (m, *shape), in the parameters' own dtypes."""
        pieces = thetas.split_with_sizes(self.sizes, dim=1)
        return {
            name: piece.reshape(thetas.shape[0], *shape).to(parameter.dtype)
            for name, piece, shape, parameter in zip(self.names, pieces, self.shapes, self.parameters, strict=True)
        }
