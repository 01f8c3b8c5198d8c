"""The columns of the tables of a run of the double integrator."""

from __future__ import annotations

from replication.tasks import FLOAT, INT, Tables

TABLES = Tables(
    evaluations={
        "good_loss": FLOAT,
        "scenario_loss": FLOAT,
        "clean_loss": FLOAT,
        "cost": FLOAT,
        "heldout_max_g": FLOAT,
        "heldout_unsafe": FLOAT,
        "spectral_radius": FLOAT,
    },
    exhibits={
        "trajectories": {"start": INT, "t": INT, "x1": FLOAT, "x2": FLOAT, "u": FLOAT, "psi": FLOAT},
        "surface": {"x1": FLOAT, "x2": FLOAT, "u": FLOAT},
    },
    main_quantity="cost",
    objective="scenario_loss",
    for_referee=("starts",),
)
