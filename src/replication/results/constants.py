"""Constants of the method and of the set-up that are not settings.  The report's text names them as quantities."""

from __future__ import annotations

from replication.results.quantities import NUMBER, Provider, Quantity, single
from replication.seeds import FIRST_TUNING_SEED
from scpo import buffer, options

CONSTANTS: dict[Quantity, float] = {
    Quantity(
        "first-tuning-seed", "Seeds from this one on, below the study's, are for tuning and are never reported.", NUMBER
    ): FIRST_TUNING_SEED,
    Quantity(
        "buffer-recovery", "Share of its way out of the buffer that one update asks of a constraint.", NUMBER
    ): buffer.RECOVERY,
    Quantity(
        "buffer-reach", "Constraints nearer than so many buffers to their limits turn a step.", NUMBER
    ): buffer.REACH,
    Quantity("buffer-softness", "How much a turned step may miss a row, against how far it moves.", NUMBER): (
        buffer.SOFTNESS
    ),
    Quantity("look-most", "An update looks along its step so many times at most.", NUMBER): options.MOST_LOOKS,
}


PROVIDERS = (Provider(tuple(CONSTANTS), lambda _: single({one.name: value for one, value in CONSTANTS.items()})),)
