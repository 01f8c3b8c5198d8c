"""The options of the method.  Each is declared once: its default, its limits and its meaning.

The scales of the replication take defaults, limits and meanings from here.  Nothing in this module needs torch.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from dataclasses import KW_ONLY, Field, dataclass, field, fields
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from scpo.errors import ConfigurationError

#: limit -> (how a value is compared with it, how a message says it)
LIMITS: dict[str, tuple[Callable[[Any, Any], bool], str]] = {
    "gt": (operator.gt, "above"),
    "ge": (operator.ge, "at least"),
    "lt": (operator.lt, "below"),
    "le": (operator.le, "at most"),
}

#: looks of an update, at most
MOST_LOOKS = 30


def option(default: Any, description: str, **limits: float) -> Any:
    """Return a dataclass field with its meaning and its limits (``gt``, ``ge``, ``lt``, ``le``)."""
    return field(default=default, metadata={"description": description, **limits})


@dataclass(frozen=True)
class Options:
    """Base of every group of options: frozen, and checked when it is made.

    Raises:
        ConfigurationError: a value has the wrong type or is outside its limits.
    """

    def __post_init__(self) -> None:
        for one in fields(self):
            if "description" in one.metadata:
                _check(one, getattr(self, one.name))


def _check(one: Field[Any], value: Any) -> None:
    """Check the value of one field that :func:`option` declared; arrays and names are checked by their users."""
    kind = str(one.type).removesuffix(" | None")
    if kind not in ("bool", "int", "float") or (value is None and one.default is None):
        return
    if kind == "bool":
        if not isinstance(value, (bool, np.bool_)):
            raise ConfigurationError(f"{one.name}: expected True or False, got {value!r}")
        return
    expected, words = (Integral, "a whole number") if kind == "int" else (Real, "a number")
    if not isinstance(value, expected) or isinstance(value, bool) or not math.isfinite(value):
        raise ConfigurationError(f"{one.name}: expected {words}, got {value!r}")
    limits = {name: limit for name, limit in one.metadata.items() if name in LIMITS}
    if not all(LIMITS[name][0](value, limit) for name, limit in limits.items()):
        wanted = " and ".join(f"{LIMITS[name][1]} {limit:g}" for name, limit in limits.items())
        raise ConfigurationError(f"{one.name}: must be {wanted}, got {value!r}")


@dataclass(frozen=True, kw_only=True)
class StepOptions(Options):
    """The options of a step that do not belong to a group such as :class:`Look`."""

    kappa: float = option(0.5, "share of the slack that one update may use", gt=0, le=1)
    verify: bool = option(True, "evaluate g at a proposed step before it is taken; otherwise the bound alone decides")
    buffer: float = option(
        0.0, "width of the zone before the limit in which steps are turned along the limit or back; 0 turns none", ge=0
    )


@dataclass(frozen=True, kw_only=True)
class OptimizerOptions(Options):
    """The options that only the optimiser reads: the step gets the norm that they name."""

    metric: str = option(
        "auto", "norm in which steps are projected: auto, that of the wrapped optimiser where it has one; euclidean"
    )


@dataclass(frozen=True)
class Look(Options):
    """The options of the look, a guard against curvature that no step has shown (docs/method.md, sections 5 and 9).

    One more probe, along each proposed step, shortens the step if a constraint curves more than its L says.  If an
    iterate is unsafe in spite of that, the next update goes back to the last safe one.
    """

    share: float = option(0.75, "beta: the part of the step at which g is evaluated", gt=0, lt=1)
    factor: float = option(2.0, "f: safety factor on the curvature that is seen there", ge=1)
    go_back: bool = option(True, "after an unsafe iterate, go back to the last safe one")


@dataclass(frozen=True)
class Descent(Options):
    """The options of the descent row: one more row of the projection, which keeps the loss of a batch from rising.

    Steps that do not go along the negative gradient need it.  It keeps the loss from rising to first order; with the
    smoothness constant of the loss it keeps the loss from rising at all.
    """

    loss_smoothness: float = option(0.0, "smoothness constant of the batch loss", ge=0)


@dataclass(frozen=True, eq=False)
class Constraint(Options):
    """A constraint g(policy) <= 0 with its options.

    Attributes:
        function: the black box, policy -> (k,).  With ``batched``: name -> (m, *shape) stacked parameters -> (m, k).
        batched: the function takes m stacked parameter sets at once.
        tightening: a number that is added to g in training, so that g + tightening <= 0.
        timeout: longest time of one call, in seconds (main thread, Unix); None: no limit.  The projection has a limit
            on its iterations instead.
        rounding: eps_g, the rounding of the values g, a number or (k,); None: it is measured.  What the rounding of
            parameters below float64 adds is measured in either case.
        may_be_flat: accept that the first probes change no value, at the start or after ``refresh()``; by default this
            is an error.  Accept that there are no values; by default there is a warning.
        map: evaluates the policies of a batch side by side.  It takes the arguments of the built-in ``map``, as the
            ``map`` of an executor of threads or processes does.  Each worker has a copy of the policy.
    """

    function: Callable[[Any], Any]
    _: KW_ONLY
    batched: bool = option(False, "the function takes m stacked parameter sets at once")
    tightening: float = option(0.0, "is added to g in training: g + tightening <= 0", ge=0)
    timeout: float | None = option(None, "longest time of one call, in seconds (main thread, Unix)", gt=0)
    rounding: ArrayLike | None = None
    may_be_flat: bool = option(False, "no error if no probe of the first update changes any value")
    map: Callable[..., Iterable[Any]] = map

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.function):
            raise ConfigurationError(f"constraint: expected a callable, got {type(self.function).__name__}")
        if not callable(self.map):
            raise ConfigurationError(f"map: expected a callable like map, got {type(self.map).__name__}")
        if self.batched and self.map is not map:
            raise ConfigurationError("map: a batched constraint takes all sets in one call; give either map or batched")


def as_constraint(given: Callable[[Any], Any] | Constraint) -> Constraint:
    """Return ``given``, wrapped if it is a bare callable."""
    return given if isinstance(given, Constraint) else Constraint(given)


def as_look(given: Look | bool) -> Look | None:
    """Return the options of the look; None without a look."""
    if isinstance(given, bool):
        return Look() if given else None
    if not isinstance(given, Look):
        raise ConfigurationError(f"look: expected Look(...), True or False, got {given!r}")
    return given


def as_descent(given: Descent | Literal[False] | None) -> Descent | None:
    """Return the options of the descent row; None if the loss may rise."""
    if given is None:
        return Descent()
    if given is False:
        return None
    if not isinstance(given, Descent):
        raise ConfigurationError(f"descent: expected Descent(...), False or None, got {given!r}")
    return given
