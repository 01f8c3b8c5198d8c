"""The basis: orthonormal, the nominal step in its span, whatever the directions; what its tolerance costs a step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from replication.planted_faults.smooth import quadratics
from scpo.basis import ORTHONORMAL, SHORTEST, extend_basis, orthonormal_basis
from scpo.errors import NonFiniteError
from scpo.smoothness import FixedSmoothness

from .small_networks import follow


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def orthonormality(basis: Tensor) -> float:
    return (
        float((basis.T @ basis - torch.eye(basis.shape[1], dtype=torch.float64)).abs().max()) if basis.shape[1] else 0.0
    )


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**31),
    d=st.integers(1, 30),
    leading=st.integers(1, 2),
    sampled=st.integers(0, 40),
    rank=st.integers(0, 30),
    log_scale=st.floats(-8, 8),
)
def test_basis_is_orthonormal_and_holds_the_leading_directions(
    seed: int, d: int, leading: int, sampled: int, rank: int, log_scale: float
) -> None:
    first = 10.0**log_scale * noise(seed, d, leading)
    rest = noise(seed + 1, d, min(rank, d)) @ noise(seed + 2, min(rank, d), sampled)
    basis = orthonormal_basis(first, rest)
    assert basis.shape[0] == d
    assert basis.shape[1] <= min(d, leading + sampled)
    assert orthonormality(basis) <= 1e-13
    residue = first - basis @ (basis.T @ first)
    # the first one, the nominal step, lies in the span to rounding
    assert float(residue[:, 0].norm()) <= 1e-14 * float(first[:, 0].norm())
    assert bool((residue.norm(dim=0) <= 1e-7 * first.norm(dim=0)).all())


@pytest.mark.parametrize("scale", [1e-165, 1e-162, 1e-160, 1e-150, 1e-100, 1e100])
def test_no_scale_of_the_directions_harms_the_basis(scale: float) -> None:
    basis = orthonormal_basis(noise(0, 40, 1), scale * noise(1, 40, 8))
    assert basis.shape[1] == (9 if scale > SHORTEST else 1)
    assert orthonormality(basis) <= ORTHONORMAL


@pytest.mark.parametrize(("count", "remainder"), [(8, 0.1), (100, 0.3), (1000, 0.1), (1000, 1e-2)])
def test_near_duplicates_leave_the_basis_orthonormal(count: int, remainder: float) -> None:
    alike = noise(0, 1100, 1) + remainder * noise(1, 1100, count)
    basis = orthonormal_basis(noise(2, 1100, 1), alike)
    assert basis.shape[1] == count + 1
    assert orthonormality(basis) <= ORTHONORMAL


def test_directions_too_long_to_be_squared_are_refused() -> None:
    with pytest.raises(NonFiniteError, match="too long"):
        orthonormal_basis(noise(0, 10, 1), 1e155 * noise(1, 10, 3))


def test_nothing_zero_or_repeated_adds_a_direction() -> None:
    p, more = noise(0, 10, 1), noise(1, 10, 3)
    for leading in (p, torch.cat([p, p], dim=1), torch.cat([p, 0 * p], dim=1), torch.cat([p, -3.0 * p], dim=1)):
        assert orthonormal_basis(leading).shape == (10, 1)
    assert orthonormal_basis(0 * p).shape == (10, 0)
    assert orthonormal_basis(0 * p, more).shape == (10, 3)
    assert orthonormal_basis(p, torch.cat([more, more, p, 0 * p], dim=1)).shape == (10, 4)
    assert orthonormal_basis(p, torch.zeros(10, 2, dtype=torch.float64)).shape == (10, 1)
    assert orthonormal_basis(p, noise(2, 10, 60)).shape == (10, 10)


def test_nearly_dependent_directions_stay_orthonormal() -> None:
    for size in (1e-3, 1e-6, 1e-9, 1e-12, 1e-15):
        base = noise(3, 40, 6)
        basis = orthonormal_basis(base[:, :1], torch.cat([base, base + size * noise(4, 40, 6)], dim=1))
        assert orthonormality(basis) <= 1e-13
        assert 6 <= basis.shape[1] <= 12


@pytest.mark.parametrize("seed", range(20))
def test_blocks_near_the_span_of_the_basis_leave_it_orthonormal(seed: int) -> None:
    basis = orthonormal_basis(noise(seed, 300, 20))
    beyond = noise(seed + 2, 300, 5)
    beyond = beyond - basis @ (basis.T @ beyond)
    left = torch.tensor([2.5e-8, 6e-8, 0.0, 1e-4, 1.5e-9], dtype=torch.float64)  # as was seen in a run
    grown = extend_basis(basis, basis @ noise(seed + 1, 20, 5) + left * beyond)
    assert torch.allclose(grown[:, :20], basis, atol=1e-12)
    assert (grown.T @ grown - torch.eye(grown.shape[1])).abs().max() < 1e-13


@pytest.mark.parametrize("seed", range(20))
def test_blocks_of_which_only_rounding_is_left_add_nothing(seed: int) -> None:
    basis = orthonormal_basis(noise(seed, 300, 20))
    assert extend_basis(basis, basis @ noise(seed + 1, 20, 5)) is basis


def test_bounds_allow_for_a_rounded_basis(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a tolerance of 1 in place of 1e-12, lengths in theta may be twice those in z: L counts four times."""
    problem, push = quadratics(0), 100.0 * np.ones((1, quadratics(0).dimension))

    def step(curvature: float, radius: float) -> float:
        return follow(problem, FixedSmoothness(curvature * problem.constants, radius), push, 1)[1][0].step_norm

    four, small = step(4.0, np.inf), step(1.0, 1e-3)
    monkeypatch.setattr("scpo.proposals.ORTHONORMAL", 1.0)
    assert step(1.0, np.inf) == pytest.approx(four, rel=1e-4) and four < 0.9 * step(0.1, np.inf)
    assert small == pytest.approx(1e-3, rel=1e-9) and step(1.0, 1e-3) == pytest.approx(5e-4, rel=1e-9)
