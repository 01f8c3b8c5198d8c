"""What goes into an update and what comes out of it: options, state, record."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from types import NoneType

import numpy as np
from torch import Tensor

from scpo.arrays import Array
from scpo.errors import ConfigurationError
from scpo.projection.solvers import BACKENDS

COUNTS = ("samples", "max_retries", "recycle")
NUMBERS = ("kappa", "margin", "buffer", "loss_smoothness")


@dataclass(frozen=True)
class Settings:
    """Options of an update; their meaning is told at :class:`scpo.SafeOptimizer`."""

    samples: int
    kappa: float
    verify: bool
    descent: bool
    loss_smoothness: float
    margin: float
    probe_step: float | None
    safe_probes: bool
    backend: str
    max_retries: int
    recycle: int
    buffer: float = 0.0
    stay_on_solver_failure: bool = False

    def __post_init__(self) -> None:
        for names, kind in ((COUNTS, Integral), (NUMBERS, Real), (("probe_step",), (Real, NoneType))):
            for name in names:
                if not isinstance(getattr(self, name), kind):
                    found = getattr(self, name)
                    raise ConfigurationError(f"{name}: expected a number, whole for counts, got {found!r}")
        checks = {
            "backend": (self.backend in ("auto", *BACKENDS), f"auto or one of {', '.join(BACKENDS)}"),
            "samples": (self.samples >= 1, "at least 1"),
            "kappa": (0 < self.kappa <= 1, "in (0, 1]"),
            "loss_smoothness": (np.isfinite(self.loss_smoothness) and self.loss_smoothness >= 0, "finite and >= 0"),
            "buffer": (np.isfinite(self.buffer) and self.buffer >= 0, "finite and >= 0"),
            "margin": (np.isfinite(self.margin) and self.margin >= 0, "finite and >= 0"),
            "probe_step": (self.probe_step is None or 0 < self.probe_step < np.inf, "positive, or None"),
            "max_retries": (self.max_retries >= 0, "at least 0"),
            "recycle": (self.recycle >= 0, "at least 0"),
        }
        for name, (valid, expected) in checks.items():
            if not valid:
                raise ConfigurationError(f"{name}: must be {expected}, got {getattr(self, name)!r}")


@dataclass(frozen=True)
class Update:
    """What an update starts from.

    Attributes:
        theta: (d,).
        values: g (k,).
        nominal: p (d,).
        gradient: of the loss (d,).
        rounding: eps_g (k,).
        gradient_bound: on |grad g_i| (k,), or None.
        recycled: directions (d, m) that the previous update hands on, or None.
    """

    theta: Tensor
    values: Array
    nominal: Tensor
    gradient: Tensor
    rounding: Array
    gradient_bound: Array | None
    recycled: Tensor | None = None


@dataclass(frozen=True)
class StepInfo:
    """What one update did.

    Attributes:
        update: its number, from 1.
        margin: -max g at the new iterate (raw, evaluated).
        projected: the nominal step was altered: turned, or outside the region.
        restoring: theta violated a metric, and the step worked on that instead of the loss.
        bound: max_i u_i at the new iterate, what the bound promised.
        proposals: points whose g was evaluated in the hope of taking them.
        unsafe_proposals: those of them with max g > 0 (bound only: the new iterate itself).
        unsafe_probes: probes with max g > 0.
        bound_misses: metrics whose g exceeded u at a proposal by more than rounding, 2 eps_g.
        worst_miss: max_i g_i - u_i over the proposals, raw.
        nominal_norm, step_norm: |p| and |z|.
        smoothness_median, smoothness_max: L used.
        kink_max: largest c used.
        required_median, required_max: L with which, beside c, no bound had been missed.
        captured_energy: share of fresh policy derivatives that lies in the span of Q; NaN if unknown.
        active: metrics active at the projection.
        solver_retries: solves that missed their tolerances and were repeated by another backend.
        solver_failures: projections that no backend solved, after which theta stayed.
        rollouts: policies evaluated since the start.
    """

    update: int
    margin: float
    projected: bool
    restoring: bool
    bound: float
    proposals: int
    unsafe_proposals: int
    unsafe_probes: int
    bound_misses: int
    worst_miss: float
    nominal_norm: float
    step_norm: float
    smoothness_median: float
    smoothness_max: float
    kink_max: float
    required_median: float
    required_max: float
    captured_energy: float
    active: int
    solver_retries: int
    solver_failures: int
    rollouts: int

    @classmethod
    def unprojected(cls, update: int, values: Array, length: float, unsafe: int, rollouts: int) -> StepInfo:
        """Return the record of a step of ``length`` that was taken as proposed, without any bound."""
        nan = float("nan")
        return cls(
            update=update,
            margin=-float(values.max(initial=-np.inf)),
            projected=False,
            restoring=False,
            bound=nan,
            proposals=1,
            unsafe_proposals=unsafe,
            unsafe_probes=0,
            bound_misses=0,
            worst_miss=nan,
            nominal_norm=length,
            step_norm=length,
            smoothness_median=nan,
            smoothness_max=nan,
            kink_max=nan,
            required_median=nan,
            required_max=nan,
            captured_energy=nan,
            active=0,
            solver_retries=0,
            solver_failures=0,
            rollouts=rollouts,
        )


@dataclass(frozen=True)
class Outcome:
    """What an update leaves.

    Attributes:
        theta: the new parameters (d,).
        values: their g (k,).
        gradient_bound: on |grad g_i| there (k,), or None where unknown.
        info: the record.
        recycled: directions (d, m) for the next update, or None.
        unsafe: the proposals with max g > 0, each (d,).
    """

    theta: Tensor
    values: Array
    gradient_bound: Array | None
    info: StepInfo
    recycled: Tensor | None = None
    unsafe: tuple[Tensor, ...] = ()
