"""The metric of the wrapped optimiser: the diagonal of M^-1, where its step is p = -M gradient.

Projecting p in the norm of M^-1 keeps what M means: the projected step descends by itself, and where it is 0 the
optimality conditions hold in the sampled directions (docs/method.md, section 5).

M is read from the state after the step, so it belongs to this p.  Without momentum and without decoupled weight decay,
p = -M gradient holds up to rounding.  This gradient includes that of the weight penalty, if weight decay is not
decoupled.  With momentum p = -M m, where m is the optimiser's mean of gradients.  Then the projected step descends
along m, and the descent row keeps the loss of the batch from rising.  Decoupled weight decay adds a step of another
form to p; the descent row covers it as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from scpo.errors import ConfigurationError, NonFiniteError, ShapeError
from scpo.parameters import ParameterVector

#: Least entry of the diagonal over its largest.  Raising smaller ones changes M^-1 p by at most this share of the
#: largest entry times |p|; and H keeps a relative accuracy of n roundoffs over it, which the projection asks for.
FLOOR = 1e-6
#: A diagonal whose entries differ by no more than this share is a multiple of the identity.
EQUAL = 1e-12

#: optimiser -> the diagonal of M^-1 (d,), or None for the Euclidean norm; called after the optimiser's step
Metric = Callable[[torch.optim.Optimizer], Tensor | None]

Group = dict[str, Any]
State = dict[str, Any]
Scaling = Callable[[Group, State, Tensor], Tensor]


def _adam(group: Group, state: State, parameter: Tensor) -> Tensor:
    second: Tensor = state["max_exp_avg_sq" if group.get("amsgrad") else "exp_avg_sq"].double()
    bias = 1.0 - float(group["betas"][1]) ** float(state["step"])
    root: Tensor = (second / bias).sqrt()
    return root + float(group["eps"])


def _radam(group: Group, state: State, parameter: Tensor) -> Tensor:
    """Return the root of the rectified second moment; 1 in the first steps, in which RAdam does not use it."""
    decay, step = float(group["betas"][1]), float(state["step"])
    bias, longest = 1.0 - decay**step, 2.0 / (1.0 - decay) - 1.0
    length = longest - 2.0 * step * decay**step / bias
    if length <= 5.0:
        return torch.ones_like(parameter, dtype=torch.float64)
    share = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
    second: Tensor = state["exp_avg_sq"].double()
    return (second.sqrt() + float(group["eps"])) / math.sqrt(bias * share)


def _rmsprop(group: Group, state: State, parameter: Tensor) -> Tensor:
    second: Tensor = state["square_avg"].double()
    if group["centered"]:
        second = second - state["grad_avg"].double().square()
    return second.clamp(min=0.0).sqrt() + float(group["eps"])


def _adagrad(group: Group, state: State, parameter: Tensor) -> Tensor:
    slowed = 1.0 + (float(state["step"]) - 1.0) * group["lr_decay"]
    total: Tensor = state["sum"].double()
    return (total.sqrt() + float(group["eps"])) * float(slowed)


def _adadelta(group: Group, state: State, parameter: Tensor) -> Tensor:
    """Return 1 / D, D = M / lr.  The state holds acc = rho old + (1 - rho) D^2 g^2, D^2 = (old + eps) / (v + eps)."""
    rho, eps = float(group["rho"]), float(group["eps"])
    second: Tensor = state["square_avg"].double()
    moved: Tensor = state["acc_delta"].double()
    gradient = parameter.grad.detach().double() if parameter.grad is not None else torch.zeros_like(second)
    gradient = (-gradient if group["maximize"] else gradient) + group["weight_decay"] * parameter.detach().double()
    seen: Tensor = rho * (second + eps) + (1.0 - rho) * gradient.square()
    return (seen / (moved + rho * eps)).sqrt()


def _plain(group: Group, state: State, parameter: Tensor) -> Tensor:
    return torch.ones_like(parameter, dtype=torch.float64)


#: optimiser -> lr times the diagonal of M^-1 of one parameter, and the part of its state that must be there
RULES: dict[type[torch.optim.Optimizer], tuple[Scaling, str | None]] = {
    torch.optim.Adam: (_adam, "exp_avg_sq"),
    torch.optim.AdamW: (_adam, "exp_avg_sq"),
    torch.optim.NAdam: (_adam, "exp_avg_sq"),
    torch.optim.RAdam: (_radam, "exp_avg_sq"),
    torch.optim.RMSprop: (_rmsprop, "square_avg"),
    torch.optim.Adagrad: (_adagrad, "sum"),
    torch.optim.Adadelta: (_adadelta, "square_avg"),
    torch.optim.SGD: (_plain, None),
}


def own_metric(optimizer: torch.optim.Optimizer, vector: ParameterVector) -> Tensor | None:
    """Return the diagonal of M^-1 (d,) of an optimiser's last step, or None if it has none or scales all entries alike.

    An entry is NaN, for unknown, if the optimiser has seen no gradient but 0 there: its step is 0 whatever M is.  Call
    this with the policy at the parameters from which the step was proposed.
    """
    rule = next((RULES[kind] for kind in type(optimizer).__mro__ if kind in RULES), None)
    if rule is None:
        return None
    groups = {id(parameter): group for group in optimizer.param_groups for parameter in group["params"]}
    if rule[0] is _plain and len({float(groups[id(p)]["lr"]) for p in vector.parameters}) == 1:
        return None
    parts = [_of_parameter(*rule, groups[id(p)], optimizer.state.get(p, {}), p) for p in vector.parameters]
    return torch.cat([part.reshape(-1) for part in parts])


def _of_parameter(scaling: Scaling, key: str | None, group: Group, state: State, parameter: Tensor) -> Tensor:
    """Return the diagonal of M^-1 for one parameter, in its shape; NaN where it is unknown."""
    unknown = torch.full_like(parameter, math.nan, dtype=torch.float64, requires_grad=False)
    if key is not None and state.get(key) is None:
        return unknown
    rate = float(group["lr"])
    diagonal = scaling(group, state, parameter) / rate if rate > 0 else unknown
    return diagonal if key is None else torch.where(state[key] == 0, unknown, diagonal)


def well_posed(diagonal: Tensor) -> Tensor | None:
    """Return the diagonal of M^-1 without NaN (the median replaces it) and without entries below FLOOR of the largest.

    The result is None, for the Euclidean norm, if nothing is known or all entries are equal.
    """
    known = torch.isfinite(diagonal) & (diagonal > 0)
    if not known.all():
        if not known.any():
            return None
        diagonal = torch.where(known, diagonal, diagonal[known].median())
    largest = float(diagonal.max())
    if float(diagonal.min()) >= (1.0 - EQUAL) * largest:
        return None
    return diagonal.clamp(min=FLOOR * largest)


def as_metric(given: Metric | Tensor | str | None, vector: ParameterVector) -> Metric:
    """Return the function that gives the diagonal of M^-1 after each step of the wrapped optimiser.

    Raises:
        ConfigurationError: ``given`` is no metric, or not positive.
        ShapeError: a tensor does not have shape (d,).
        NonFiniteError: it holds NaN or infinity.
    """
    if given is None or (isinstance(given, str) and given == "euclidean"):
        return partial(_fixed, None)
    if isinstance(given, str):
        if given != "auto":
            raise ConfigurationError(f"metric: no {given!r}; there are auto, euclidean, a tensor (d,) or a callable")
        return partial(_own, vector)
    if isinstance(given, Tensor):
        return partial(_fixed, _ready(_checked(given, vector)))
    if not callable(given):
        raise ConfigurationError(f"metric: expected auto, euclidean, a tensor (d,) or a callable, got {given!r}")
    return partial(_given, given, vector)


# partial objects of named functions, because a closure cannot be pickled
def _fixed(diagonal: Tensor | None, optimizer: torch.optim.Optimizer) -> Tensor | None:
    return diagonal


def _own(vector: ParameterVector, optimizer: torch.optim.Optimizer) -> Tensor | None:
    return _ready(own_metric(optimizer, vector))


def _given(metric: Metric, vector: ParameterVector, optimizer: torch.optim.Optimizer) -> Tensor | None:
    return _ready(_checked(metric(optimizer), vector))


def _ready(diagonal: Tensor | None) -> Tensor | None:
    return None if diagonal is None else well_posed(diagonal)


def _checked(given: Any, vector: ParameterVector) -> Tensor | None:
    """Return a diagonal that the user gave, in float64 on the device of the parameters."""
    if given is None:
        return None
    if not isinstance(given, Tensor) or given.shape != (vector.dimension,):
        found = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
        raise ShapeError(f"metric: expected a tensor of shape {(vector.dimension,)}, got {found}")
    diagonal = given.detach().to(vector.device, torch.float64)
    if not torch.isfinite(diagonal).all():
        raise NonFiniteError("metric: the diagonal of M^-1 has NaN or infinite entries")
    if not (diagonal > 0).all():
        raise ConfigurationError(f"metric: the diagonal of M^-1 must be positive, got {float(diagonal.min())!r}")
    return diagonal
