"""Seeds derived per axis: data, initialisation, sampling.

A run's seed gives an independent stream for each axis, so that runs of two methods with one seed share the data and the
initial policy.  Streams come from :class:`numpy.random.SeedSequence` and are keyed by name.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

#: Settings are tuned on the seeds from the first number on, below the second.  Reported results have other seeds.
FIRST_TUNING_SEED, FIRST_STUDY_SEED = 1000, 20_000
#: Reported results begin at this one: a trial of 20 updates touched the two before (docs/preregistration.md).
FIRST_REPORTED_SEED = 20_002


def are_tuning(seeds: range) -> bool:
    """Return True if any of the seeds is one that settings are tuned on."""
    return seeds.start < FIRST_STUDY_SEED and seeds.stop > FIRST_TUNING_SEED


def are_reported(seeds: range) -> bool:
    """Return True if any of the seeds is one that results are reported for."""
    return seeds.start < FIRST_TUNING_SEED or seeds.stop > FIRST_STUDY_SEED


def derive(base_seed: int, axis: str, seed: int) -> int:
    """Return a 63-bit seed for one ``axis`` ("data", "initialisation", "sampling", ...) of run ``seed``."""
    key = int.from_bytes(hashlib.sha256(axis.encode()).digest()[:8], "little")
    return int(np.random.SeedSequence([base_seed, key, seed]).generate_state(1, np.uint64)[0] >> 1)


def numpy_stream(base_seed: int, axis: str, seed: int) -> np.random.Generator:
    """Return NumPy's generator of one axis."""
    return np.random.default_rng(derive(base_seed, axis, seed))


def torch_stream(base_seed: int, axis: str, seed: int) -> torch.Generator:
    """Return torch's generator of one axis (CPU)."""
    import torch  # here, since reading a configuration needs no torch

    return torch.Generator().manual_seed(derive(base_seed, axis, seed))
