"""The trainable parameters of a policy as one vector theta in R^d (float64), whatever their dtype and device."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from scpo.arrays import UNIT_ROUNDOFF
from scpo.errors import ConfigurationError, NonFiniteError
from scpo.rest import Keeper, Rest, overlaps, present_rest, read_rest, write_rest


def all_finite(x: Tensor) -> bool:
    """Return True if all entries are finite.

    A finite sum decides this quickly.  Only if the sum is not finite are all entries checked.
    """
    return math.isfinite(float(x.sum())) or bool(torch.isfinite(x).all())


def tensor_roundoff(tensor: Tensor) -> float:
    """Return the unit roundoff of a tensor's type.  A type without fractions counts as float64."""
    return float(torch.finfo(tensor.dtype).eps) if tensor.dtype.is_floating_point else UNIT_ROUNDOFF


class ParameterVector:
    """The vector theta (d,) of the trainable parameters of ``policy`` that are among ``optimizer_parameters``.

    Frozen parameters and buffers stay out of theta, and so do parameters that are not the policy's.  All algebra on
    theta is in float64.  Writing theta rounds it to the dtype of each parameter.  This rounding counts as rounding of
    the constraint (docs/method.md, section 1).

    Raises:
        ConfigurationError: nothing is trainable, or the parameters lie on several devices, are sparse, expanded or
            have no real floating dtype; or a lazy module has no shapes yet.
    """

    def __init__(self, policy: nn.Module, optimizer_parameters: Iterable[Tensor]) -> None:
        for name, tensor in (*policy.named_parameters(), *policy.named_buffers()):
            if is_lazy(tensor):
                raise ConfigurationError(
                    f"policy: {name!r} of a lazy module has no shape yet; run the policy on an input before wrapping it"
                )
        wanted = {id(parameter): parameter for parameter in optimizer_parameters}
        named = {name: parameter for name, parameter in policy.named_parameters() if id(parameter) in wanted}
        trainable = {name: parameter for name, parameter in named.items() if parameter.requires_grad}
        if not trainable or sum(parameter.numel() for parameter in trainable.values()) == 0:
            raise ConfigurationError(
                "the optimiser holds no trainable parameter of the policy (all frozen or empty, or another model's); "
                "build it from policy.parameters()"
            )
        if len({parameter.device for parameter in trainable.values()}) > 1:
            raise ConfigurationError("the policy's trainable parameters lie on several devices; use one")
        for name, parameter in trainable.items():
            if not parameter.dtype.is_floating_point:
                raise ConfigurationError(f"parameter {name!r}: expected a real floating dtype, got {parameter.dtype}")
            if parameter.layout is not torch.strided:
                raise ConfigurationError(f"parameter {name!r}: is stored as {parameter.layout}; store it densely")
            if overlaps(parameter):
                raise ConfigurationError(
                    f"parameter {name!r}: is an expanded tensor; give it entries of its own (clone)"
                )
        self.names = tuple(trainable)
        self.parameters = tuple(trainable.values())
        self.shapes = tuple(parameter.shape for parameter in self.parameters)
        self.sizes = tuple(parameter.numel() for parameter in self.parameters)
        self.dimension = sum(self.sizes)
        self.device = self.parameters[0].device
        #: copies of the tensors outside theta, while they are known to be as the policy has them
        self.kept: Rest | None = None
        #: the unit roundoff of the least precise parameter
        self.roundoff = max(torch.finfo(parameter.dtype).eps for parameter in self.parameters)

    @property
    def exact(self) -> bool:
        """True if writing theta rounds nothing."""
        return all(parameter.dtype == torch.float64 for parameter in self.parameters)

    def read(self) -> Tensor:
        """Return a copy of theta, shape (d,)."""
        return torch.cat([parameter.detach().reshape(-1).to(torch.float64) for parameter in self.parameters])

    def read_rest(self, policy: nn.Module, known: Rest | str | None = None) -> Rest:
        """Return copies of all policy tensors outside theta; ``known`` itself, without a copy, if it holds the same."""
        return read_rest(policy, self.parameters, known)

    def present_rest(self, policy: nn.Module) -> Rest:
        """Return all policy tensors outside theta, without copying them."""
        return present_rest(policy, self.parameters)

    def keeper(self, policy: nn.Module) -> Keeper:
        """Return an object that can restore the policy's tensors outside theta as they are now."""
        return Keeper(policy, self.parameters, self.kept)

    def write_rest(self, policy: nn.Module, saved: Rest) -> None:
        """Restore the tensors that :meth:`read_rest` returned."""
        write_rest(policy, saved, self.parameters)

    def write(self, theta: Tensor) -> None:
        """Write ``theta`` (d,) into the policy, rounded to the dtype of each parameter."""
        with torch.no_grad():
            for parameter, part in zip(self.parameters, theta.split_with_sizes(self.sizes), strict=True):
                parameter.copy_(part.view_as(parameter))

    def rounded(self, theta: Tensor) -> Tensor:
        """Return ``theta`` (d,) as the policy has it after it was written."""
        if self.exact:
            return theta
        parts = zip(theta.split_with_sizes(self.sizes), self.parameters, strict=True)
        return torch.cat([part.to(parameter.dtype).to(torch.float64) for part, parameter in parts])

    def refuse_change(self, policy: nn.Module, optimizer_parameters: Iterable[Tensor]) -> None:
        """Check that of the policy's parameters the optimiser moves exactly those in theta.

        Raises:
            ConfigurationError: a parameter was frozen, unfrozen or added since theta was laid out.
        """
        known = {id(parameter) for parameter in self.parameters}
        ours = {id(parameter) for parameter in policy.parameters()}
        held = [parameter for parameter in optimizer_parameters if id(parameter) in ours]
        added = [p for p in held if id(p) not in known and (p.requires_grad or p.grad is not None)]
        frozen = [name for name, p in zip(self.names, self.parameters, strict=True) if not p.requires_grad]
        if added or frozen or known - {id(p) for p in held}:
            stale = any(not p.requires_grad for p in added)
            remedy = "set the .grad of frozen parameters to None" if stale else "build the safe optimiser again"
            raise ConfigurationError(
                f"the trainable parameters have changed since the start ({len(added)} tensors that the optimiser "
                f"would move are new, frozen: {', '.join(frozen) or 'none'}); {remedy}"
            )

    def gradient(self, maximized: Iterable[Tensor] = (), beside: Iterable[Tensor] = ()) -> Tensor:
        """Return the gradient of the loss (d,) that ``backward`` computed.  A parameter without a gradient gets zeros.

        Args:
            maximized: the parameters whose optimiser maximises; their gradient gets the opposite sign.
            beside: parameters outside theta that the optimiser steps.

        Raises:
            ConfigurationError: no parameter in theta has a gradient, and none in ``beside``.
            NonFiniteError: an entry is NaN or infinite.
        """
        if all(parameter.grad is None for parameter in (*self.parameters, *beside)):
            raise ConfigurationError("no parameter has a gradient; call loss.backward() before step()")
        parts = [
            torch.zeros(parameter.numel(), dtype=torch.float64, device=self.device)
            if parameter.grad is None
            else parameter.grad.detach().to_dense().reshape(-1).to(torch.float64)
            for parameter in self.parameters
        ]
        ascending = {id(parameter) for parameter in maximized}
        parts = [-part if id(p) in ascending else part for p, part in zip(self.parameters, parts, strict=True)]
        gradient = torch.cat(parts)
        if not all_finite(gradient):
            bad = next(name for name, part in zip(self.names, parts, strict=True) if not all_finite(part))
            raise NonFiniteError(f"the loss gradient of {bad!r} is NaN or infinite; the step was not taken")
        return gradient

    def stack(self, thetas: Tensor) -> dict[str, Tensor]:
        """Return m parameter vectors ``thetas`` (m, d) as name -> (m, *shape), in the dtype of each parameter."""
        pieces = thetas.split_with_sizes(self.sizes, dim=1)
        return {
            name: piece.reshape(thetas.shape[0], *shape).to(parameter.dtype)
            for name, piece, shape, parameter in zip(self.names, pieces, self.shapes, self.parameters, strict=True)
        }
