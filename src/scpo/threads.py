"""Warns if torch uses so many threads that they slow it down."""

from __future__ import annotations

import warnings
from functools import cache

import torch

#: Parameters below which the arithmetic of an update is too small to share out.
SMALL = 100_000


def check(parameters: int, device: torch.device) -> None:
    """Warn once in a process if torch uses several threads for a small policy on the CPU.

    Threads wait for each other after each of hundreds of small operations.  On cores that do other work as well, an
    update takes many times as long.

    Args:
        parameters: number of the policy's parameters.
        device: where they are.
    """
    threads = torch.get_num_threads()
    if device.type == "cpu" and parameters < SMALL and threads > 1:
        _warn(threads)


@cache  # once in a process
def _warn(threads: int) -> None:
    warnings.warn(
        f"threads: torch uses {threads}, but a small policy is updated fastest with one, many times faster if other "
        "work runs; set OMP_NUM_THREADS=1 before Python starts, or call torch.set_num_threads(1)",
        stacklevel=4,
    )
