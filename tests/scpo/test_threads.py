"""Threads: more than one for a small policy on the CPU is worth one warning, and nothing else is."""

from __future__ import annotations

import warnings

import pytest
import torch

import scpo
from scpo import threads


@pytest.fixture
def make():
    """Return a function that wraps an optimiser, in a process that has warned of nothing yet."""

    def wrapped() -> None:
        policy = torch.nn.Linear(1, 1).double()
        inner = torch.optim.SGD(policy.parameters(), lr=0.1)
        scpo.SafeOptimizer(inner, policy, lambda _: [-1.0], directions=scpo.Isotropic())

    threads._warn.cache_clear()
    yield wrapped
    threads._warn.cache_clear()


def test_several_threads_give_one_warning(make, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    with pytest.warns(UserWarning, match="torch uses 8.*OMP_NUM_THREADS=1") as caught:
        make()
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make()


@pytest.mark.parametrize(
    ("count", "parameters", "device"), [(1, 10, "cpu"), (8, threads.SMALL, "cpu"), (8, 10, "cuda")]
)
def test_one_thread_a_large_policy_and_a_gpu_are_fine(count, parameters, device, make, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: count)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        threads.check(parameters, torch.device(device))
