"""Seeds of each axis."""

from __future__ import annotations

import itertools

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from replication.seeds import FIRST_TUNING_SEED, derive, numpy_stream, torch_stream

AXES = ("data", "initialisation", "sampling", "evaluation")


def test_seeds_are_fixed_once_and_for_all() -> None:
    # a change here changes every result
    assert derive(0, "data", 0) == 3066373982719273684
    assert derive(20, "sampling", 3) == 8469411246803444844


def test_axes_runs_and_base_seeds_are_apart() -> None:
    seeds = [derive(base, axis, seed) for base, axis, seed in itertools.product((0, 1, 2024), AXES, range(200))]
    assert len(set(seeds)) == len(seeds)
    first = [derive(0, axis, seed) for axis, seed in itertools.product(AXES, (0, 1, FIRST_TUNING_SEED))]
    draws = [float(torch.rand(1, generator=torch.Generator().manual_seed(seed))) for seed in first]
    assert len(set(draws)) == len(draws)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.integers(0, 2**31), st.text(max_size=8), st.integers(0, 2**31))
def test_streams_repeat(base: int, axis: str, seed: int) -> None:
    assert 0 <= derive(base, axis, seed) < 2**63
    assert derive(base, axis, seed) == derive(base, axis, seed)
    assert (numpy_stream(base, axis, seed).normal(size=3) == numpy_stream(base, axis, seed).normal(size=3)).all()
    assert torch.equal(
        torch.rand(3, generator=torch_stream(base, axis, seed)), torch.rand(3, generator=torch_stream(base, axis, seed))
    )
