"""The quantities of the toy experiment, beside those that every run has."""

from __future__ import annotations

from replication.results.quantities import LOSS, Provider, Quantity
from replication.results.run_quantities import final

RUN = (Quantity("toy-loss", "Final loss of the toy experiment.", LOSS, final("loss")),)
PROVIDERS: tuple[Provider, ...] = ()
