"""Arrays of floating-point numbers: their type, their rounding, their length, and the check of an argument."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scpo.errors import ConfigurationError, NonFiniteError, ShapeError

#: An array of 64-bit floats, of any shape.
Array = NDArray[np.float64]
#: Distance from 1 to the next larger 64-bit float.
UNIT_ROUNDOFF = float(np.finfo(np.float64).eps)
#: The largest size of an entry that is accepted: its square does not overflow, and the square of its inverse does not
#: underflow.
LARGEST = 1e100


def length_of(z: Array) -> float:
    """Return the length |z| of a vector (n,).  It equals numpy.linalg.norm(z) to the last bit and is much quicker."""
    return math.sqrt(z.dot(z))


def unit_roundoff(dtype: Any) -> float:
    """Return the distance from 1 to the next number of a NumPy type.  A type without fractions counts as float64."""
    return float(np.finfo(dtype).eps) if np.issubdtype(dtype, np.floating) else UNIT_ROUNDOFF


def in_float32(values: Array) -> bool | None:
    """Tell whether values look as if they had been computed in float32; None: they do not tell.

    A simulator may compute in float32 and return Python's floats.  Then float32 holds each value exactly, which is the
    case for one in 2^29 of the values that are computed in float64.  Values that half precision holds, and integers,
    tell nothing, nor do values that are not finite.
    """
    values = values[np.isfinite(values)]
    with np.errstate(over="ignore"):
        if not (values.astype(np.float32) == values).all():
            return False
        return True if ((values.astype(np.float16) != values) & (values != np.round(values))).any() else None


def real_array(name: str, argument: ArrayLike) -> Array:
    """Return ``argument`` as an array of 64-bit floats; ``name`` is used in the error messages.

    Raises:
        ShapeError: the argument is not an array of real numbers.
        NonFiniteError: an entry is NaN, infinite or larger than LARGEST.
    """
    try:
        if np.iscomplexobj(argument):
            raise TypeError("complex")
        array = np.asarray(argument, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ShapeError(f"{name}: expected an array of real numbers ({error})") from error
    unusable = ~(np.abs(array) <= LARGEST)
    if unusable.any():
        raise NonFiniteError(f"{name}: {int(unusable.sum())} entries are NaN, infinite or beyond {LARGEST}; rescale it")
    return array


def per_value(name: str, given: ArrayLike, length: int) -> Array:
    """Return one number >= 0 for each of ``length`` constraint values; a single number counts for all.

    Raises:
        ShapeError: ``given`` is neither one number nor one for each value.
        ConfigurationError: a number is negative or not finite.
    """
    try:
        array = np.broadcast_to(np.asarray(given, dtype=np.float64), (length,)).copy()
    except (TypeError, ValueError) as error:
        raise ShapeError(f"{name}: expected a number, or one for each of {length} constraint values") from error
    if not np.isfinite(array).all() or (array < 0).any():
        raise ConfigurationError(f"{name}: must be finite and >= 0, got {array}")
    return array
