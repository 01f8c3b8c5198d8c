"""How a process that trains is set up: one thread, and memory that is kept once it was had."""

from __future__ import annotations

import ctypes

import torch

#: of glibc's mallopt: how many blocks may be the kernel's own, and how much free memory is kept at the top of the heap
M_MMAP_MAX, M_TRIM_THRESHOLD = -4, -1
KEPT = 2**31 - 1


def prepare() -> None:
    """Use one thread (processes run over seeds), and keep freed memory where the C library is glibc.

    An update allocates and frees the same few megabytes over and over.  glibc by default gives blocks of that size
    back to the kernel, which hands them out again cleared page by page: a fifth of an update's time.
    """
    torch.set_num_threads(1)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, KEPT)
