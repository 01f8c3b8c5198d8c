"""Set-up of a process that trains: one thread, and no memory returned to the system."""

from __future__ import annotations

import ctypes

import torch

#: Options of glibc's mallopt: blocks taken from the kernel directly, and free memory kept at the top of the heap.
M_MMAP_MAX, M_TRIM_THRESHOLD = -4, -1
KEPT = 2**31 - 1


def prepare() -> None:
    """Use one thread, because seeds run side by side, and keep freed memory in the process (with glibc).

    Each update allocates and frees the same few megabytes.  By default glibc returns such blocks to the kernel, which
    clears them page by page before it gives them out again.  That takes a fifth of an update's time.
    """
    torch.set_num_threads(1)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, KEPT)
