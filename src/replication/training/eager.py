"""torch.optim without torch's compiler, whose import would take longer than a short run.

The first use of an optimiser imports ``torch._dynamo`` (a second and a half, 70 MB): its bookkeeping methods are marked
"not to be compiled", and a mark looks the compiler up when it is first called.  Nothing is compiled here, so
:func:`eager` gives the same classes with the marks taken off.  The arithmetic is untouched, and where a later
torch wraps its methods otherwise, they are used as they are: slower to start, and no less right.
"""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any, TypeVar, cast

import torch

Kind = TypeVar("Kind", bound=torch.optim.Optimizer)

#: Methods of torch.optim.Optimizer that carry the mark.
MARKED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


def eager(kind: type[Kind]) -> type[Kind]:
    """Return a subclass of the optimiser ``kind``, of the same name, that never loads torch's compiler.

    Its ``step`` runs without recording gradients, so it is not for differentiable optimisers.
    """
    return cast(type[Kind], _eager(cast(Any, kind)))


@cache
def _eager(kind: type[torch.optim.Optimizer]) -> type[torch.optim.Optimizer]:
    members: dict[str, Any] = {name: inspect.unwrap(getattr(kind, name)) for name in MARKED}
    members["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), members | {"__doc__": kind.__doc__, "__module__": __name__})
