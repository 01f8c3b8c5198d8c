"""The options of the baselines.  The settings of the scales read them too, so importing this module needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

from scpo.options import Options, option


@dataclass(frozen=True, kw_only=True)
class Barrier(Options):
    """The weight eta of the barrier: it decays from update to update, down to a least value."""

    first: float = option(0.1, "eta at the first update", gt=0)
    decay: float = option(0.99, "factor on eta at each update", gt=0, le=1)
    least: float = option(1e-5, "eta falls no lower", gt=0)

    def at(self, update: int) -> float:
        """Return eta at an update.  The first update has the number 1."""
        return max(self.least, self.first * self.decay ** (update - 1))


@dataclass(frozen=True, kw_only=True)
class Charge(Options):
    """The price of a violation in the fixed penalty."""

    weight: float = option(100.0, "rho, in the penalty (rho / 2) sum_i max(0, g_i + tightening)^2", ge=0)


@dataclass(frozen=True, kw_only=True)
class Multipliers(Options):
    """The multipliers lambda_i of the augmented Lagrangian."""

    weight: float = option(10.0, "rho, the weight of the squared violation; 0: the plain Lagrangian", ge=0)
    rate: float = option(1.0, "by this times g + tightening the multipliers change at each update", ge=0)
