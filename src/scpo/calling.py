"""One call of the black box: its time limit, its errors, and the check of what it returned."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from scpo.arrays import Array, unit_roundoff
from scpo.errors import ConfigurationError, ConstraintError, ScpoError, ShapeError
from scpo.options import Constraint
from scpo.parameters import tensor_roundoff


class Answer(NamedTuple):
    """What the black box returned.

    Attributes:
        values: (k,), or (m, k) for a batch of m parameter sets.
        roundoff: the unit roundoff of the type in which they were returned.
    """

    values: Array
    roundoff: float


def answer(constraint: Constraint, argument: Any, batch: tuple[int, ...] = ()) -> Answer:
    """Call the black box and return its answer, (k,), or (m, k) for a ``batch`` (m,).

    Raises:
        ConstraintError: it raised or timed out.
        ShapeError: it did not return numbers in this shape.
    """
    try:
        with _time_limit(constraint.timeout):
            raw = constraint.function(argument)
    except ScpoError:
        raise
    except TimeoutError as error:
        raise ConstraintError(f"the constraint timed out ({error}); the step was not taken") from error
    except Exception as error:
        raise ConstraintError(
            f"the constraint raised {type(error).__name__}: {error}; the step was not taken"
        ) from error
    if raw is None:
        raise ShapeError("the constraint returned None: does it lack a return?")
    try:
        if (raw.dtype if isinstance(raw, Tensor) else np.asarray(raw).dtype) in (torch.bool, np.bool_):
            raise TypeError("truth values have no slope; return signed distances, negative where safe")
        if isinstance(raw, Tensor):
            roundoff = tensor_roundoff(raw)
            raw = raw.detach().to("cpu", raw.dtype if raw.is_complex() else torch.float64).numpy()
        else:
            roundoff = unit_roundoff(np.asarray(raw).dtype)
        if np.iscomplexobj(raw):
            raise TypeError("complex numbers have no sign")
        values = np.array(raw, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ShapeError(
            f"the constraint returned {type(raw).__name__}, not numbers: {error}; return a flat list or an array"
        ) from error
    if values.ndim != len(batch) + 1 or values.shape[: len(batch)] != batch:
        expected = "(k,)" if not batch else f"({batch[0]}, k)"
        raise ShapeError(f"the constraint returned shape {values.shape}, expected {expected}{_remedy(values, batch)}")
    return Answer(values, roundoff)


def _remedy(values: Array, batch: tuple[int, ...]) -> str:
    """Return what to do about values of a wrong shape, as the end of a message."""
    if batch:
        return "; return one row of values for each of the stacked parameter sets"
    if values.ndim == 0:
        return "; return a list of values, [value]"
    return "; return one flat row, such as values.ravel()"


@contextmanager
def _time_limit(seconds: float | None) -> Iterator[None]:
    """Raise TimeoutError in the body of the ``with`` statement after so many ``seconds``."""
    if seconds is None:
        yield
        return
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        raise ConfigurationError("timeout: works only in the main thread on Unix; limit the time inside the constraint")

    def expire(signum: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"after {seconds} s")

    previous = signal.signal(signal.SIGALRM, expire)
    started = time.monotonic()
    outer, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        if outer > 0:  # someone else's alarm goes on
            signal.setitimer(signal.ITIMER_REAL, max(outer - (time.monotonic() - started), 1e-3), interval)
