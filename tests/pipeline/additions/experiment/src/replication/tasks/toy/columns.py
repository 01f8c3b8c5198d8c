"""What the tables of a run of the toy experiment hold."""

from __future__ import annotations

from replication.tasks import FLOAT, Tables

TABLES = Tables(
    evaluations={"loss": FLOAT, "heldout_max_g": FLOAT, "heldout_unsafe": FLOAT},
    exhibits={"curve": {"x": FLOAT, "pi": FLOAT}},
    main_quantity="loss",
    objective="loss",
)
