"""Torch optimisers that do not import torch's compiler; the import takes two seconds a process.

The first use of an optimiser imports ``torch._dynamo`` (2 s and 70 MB), because its bookkeeping methods are marked as
"not to be compiled" and the mark looks up the compiler.  Nothing is compiled here, so :func:`eager` returns the same
classes without the marks.  The arithmetic is the same.  If a later torch marks its methods in another way, they are
used as they are, and a process starts more slowly.
"""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any, TypeVar, cast

import torch

Kind = TypeVar("Kind", bound=torch.optim.Optimizer)

#: Marked methods of torch.optim.Optimizer.
MARKED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


def eager(kind: type[Kind]) -> type[Kind]:
    """Return a subclass of the optimiser ``kind``, of the same name, that does not import torch's compiler.

    Its ``step`` records no gradients, so it cannot be differentiated.
    """
    return cast(type[Kind], _eager(cast(Any, kind)))


@cache
def _eager(kind: type[torch.optim.Optimizer]) -> type[torch.optim.Optimizer]:
    members: dict[str, Any] = {name: inspect.unwrap(getattr(kind, name)) for name in MARKED}
    members["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), members | {"__doc__": kind.__doc__, "__module__": __name__})
