"""The columns of the tables of a run of the regression."""

from __future__ import annotations

from replication.tasks import FLOAT, Tables

TABLES = Tables(
    evaluations={
        "fresh_loss": FLOAT,
        "clipped_loss": FLOAT,
        "uniform_loss": FLOAT,
        "heldout_max_g": FLOAT,
        "heldout_unsafe": FLOAT,
    },
    exhibits={"curve": {"x": FLOAT, "pi": FLOAT}},
    main_quantity="fresh_loss",
    objective="fresh_loss",
)
