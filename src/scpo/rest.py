"""The tensors of a policy outside theta: frozen parameters and buffers, which may be far larger than theta."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

#: tensors with at most so many numbers are written back after each probe, which costs no more than to look for a change
SMALL = 4096

Rest = dict[str, Tensor | None]
"""The tensors of a policy outside theta, by name: its buffers, and the parameters that ``own`` does not hold."""


def _places(policy: nn.Module, own: Iterable[Tensor]) -> list[tuple[str, dict[str, Any], str]]:
    """Return (name, table, key) of every buffer and of every parameter that is not in ``own``."""
    known = {id(parameter) for parameter in own}
    return [
        (f"{prefix}.{key}" if prefix else key, table, key)
        for prefix, module in policy.named_modules()
        for table in (module._buffers, module._parameters)
        for key, present in table.items()
        if id(present) not in known
    ]


def present_rest(policy: nn.Module, own: Iterable[Tensor] = ()) -> Rest:
    """Return the buffers of the policy and its parameters other than ``own``, without copying them."""
    return {name: table[key] for name, table, key in _places(policy, own)}


def read_rest(policy: nn.Module, own: Iterable[Tensor] = (), known: Rest | str | None = None) -> Rest:
    """Return copies of all buffers of the policy and of its parameters other than ``own``.

    If the earlier result ``known`` still holds the same, it is returned, and nothing is copied.
    """
    own = tuple(own)
    if isinstance(known, dict) and same_rest(present_rest(policy, own), known):
        return known
    return {
        name: None if table[key] is None else table[key].detach().clone() for name, table, key in _places(policy, own)
    }


def write_rest(policy: nn.Module, saved: Rest, own: Iterable[Tensor] = ()) -> None:
    """Restore the tensors that :func:`read_rest` returned.  A tensor whose shape or type has changed is replaced."""
    with torch.no_grad():
        for name, table, key in _places(policy, own):
            if name not in saved:
                continue
            present, kept = table[key], saved[name]
            if present is None or kept is None:
                table[key] = None if kept is None else kept.clone()
            elif overlaps(present) and _same(present, kept):
                continue  # nothing can be written to it
            elif _writable(present) and present.shape == kept.shape and present.dtype == kept.dtype:
                present.copy_(kept)
            elif isinstance(present, nn.Parameter):
                present.data = kept.clone()
            else:
                table[key] = kept.clone()


def overlaps(tensor: Tensor) -> bool:
    """Return True if entries of a tensor share a place in memory, as those of an expanded tensor do."""
    return any(step == 0 and size > 1 for size, step in zip(tensor.shape, tensor.stride(), strict=True))


def _writable(tensor: Tensor) -> bool:
    return not tensor.is_inference() and not overlaps(tensor)


def same_rest(one: Rest, other: Rest | str) -> bool:
    """Return True if two results of :func:`read_rest` have the same names, types and numbers.

    A :func:`digest` may stand for ``other``.
    """
    if one is other:
        return True
    if isinstance(other, str):
        return digest(one) == other
    return one.keys() == other.keys() and all(_same(kept, other[name]) for name, kept in one.items())


def _same(kept: Tensor | None, there: Tensor | None) -> bool:
    return kept is there or (
        kept is not None and there is not None and kept.dtype == there.dtype and torch.equal(kept, there)
    )


def differing(present: Rest, other: Rest) -> Rest:
    """Return the tensors of ``present`` that ``other`` lacks, or holds with another type or other numbers."""
    return {name: there for name, there in present.items() if name not in other or not _same(other[name], there)}


def digest(rest: Rest | str) -> str:
    """Return a digest of the tensors, which changes when they do; a digest is returned as it is."""
    if isinstance(rest, str):
        return rest
    total = hashlib.blake2b(digest_size=16)
    for name, kept in sorted(rest.items()):
        total.update(repr((name, None if kept is None else (kept.dtype, tuple(kept.shape)))).encode())
        if kept is not None and kept.numel():
            total.update(kept.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


class Keeper:
    """Restores the tensors of a policy outside theta as they were when the keeper was made.

    Small tensors are always written back.  A large tensor is written back if its version, place or identity shows a
    change.  Code can change numbers without these marks (through ``.data`` or NumPy); :meth:`deceived` finds this out.

    Args:
        policy: the policy.
        own: the parameters that make up theta.
        copies: what :func:`read_rest` returned, if the policy is still as it was then.
    """

    def __init__(self, policy: nn.Module, own: Iterable[Tensor] = (), copies: Rest | None = None) -> None:
        self.policy, self.own = policy, tuple(own)
        self.copies = read_rest(policy, self.own) if copies is None else copies
        self._marks = self._read_marks()

    def restore(self, everything: bool = False) -> None:
        """Write back what has changed, or ``everything``."""
        if not self.copies:
            return
        marks = self._read_marks()
        changed = [name for name, mark in marks.items() if everything or not _alike(mark, self._marks.get(name))]
        if changed:
            write_rest(self.policy, {name: self.copies[name] for name in changed if name in self.copies}, self.own)
            self._marks = self._read_marks()

    def deceived(self) -> bool:
        """Return True if the policy differs from the copies, whether marks show it or not."""
        present = present_rest(self.policy, self.own)
        return any(name in self.copies for name in differing(present, self.copies))

    def _read_marks(self) -> dict[str, Mark]:
        if not self.copies:
            return {}
        return {name: _mark(table[key]) for name, table, key in _places(self.policy, self.own)}


Mark = tuple[Tensor | None, int, int] | None
"""A tensor, its version and its place; None for a small tensor, and where there is no version."""


def _mark(present: Tensor | None) -> Mark:
    if present is None:
        return None, 0, 0
    if present.numel() <= SMALL or present.is_inference():  # the latter counts no versions
        return None
    return present, present._version, present.data_ptr()


def _alike(one: Mark, other: Mark) -> bool:
    return one is not None and other is not None and one[0] is other[0] and one[1:] == other[1:]


@contextmanager
def undisturbed(policy: nn.Module, keeper: Keeper, everything: bool = False) -> Iterator[None]:
    """Restore the policy at the end of a ``with`` block: its modes, flags, types, buffers and parameters.

    The caller restores the numbers of the parameters that make up theta.  The others, and the buffers, are written back
    if they show marks of a change; with ``everything`` all of them are.
    """
    modes = [(module, module.training) for module in policy.modules()]
    held = {id(p): p for module, _ in modes for p in module._parameters.values() if p is not None}
    kinds = [(parameter, parameter.dtype, parameter.requires_grad) for parameter in held.values()]
    try:
        yield
    finally:
        for module, training in modes:
            if module.training != training:
                module.training = training
        for parameter, dtype, flag in kinds:
            if parameter.dtype != dtype:
                parameter.data = parameter.data.to(dtype)
            if parameter.requires_grad != flag:
                parameter.requires_grad_(flag)
        keeper.restore(everything)
