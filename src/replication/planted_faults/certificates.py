"""Faulty policies that the set-based certificate must refuse; as a control it must accept the backup."""

from __future__ import annotations

from functools import cache

import numpy as np

from replication.certificate import certify
from replication.documents import PlantedFault
from replication.planted_faults.loops import build, cycling, pocketed, simulate
from replication.tasks.double_integrator.sets import backup_invariant_set
from replication.tasks.double_integrator.settings import DoubleIntegratorConfig
from replication.tasks.double_integrator.starts import training_starts

#: cells per axis of the certificate
CELLS = 100
#: A certificate is accepted if it covers this share (in scale) of the backup's maximal safe set, ...
LEVEL = 0.85
#: ... or this one, for the policy that does not converge.
SMALL_LEVEL = 0.01
#: centre and half-width of the pocket
POCKET, HALF = (2.2, -1.4), 0.06
#: steps of a training rollout
HORIZON = 30


@cache
def _backup_is_accepted() -> bool:
    return certify(build(), CELLS).covers(backup_invariant_set().facets, LEVEL)


def unsafe_pocket() -> PlantedFault:
    """Plant a policy whose input exceeds its limit in a small pocket that no training rollout enters."""
    loop, facets = pocketed(POCKET, HALF), backup_invariant_set().facets
    starts = training_starts(backup_invariant_set().scaled(LEVEL), DoubleIntegratorConfig().starts)
    seen_by_rollouts = int(simulate(loop, starts, HORIZON)[0].sum())
    pocket_is_unsafe = bool(simulate(loop, np.array([POCKET]), 1)[0][0])
    certificate = certify(loop, CELLS)
    accepted = certificate.covers(facets, LEVEL)
    pocket_certified = bool(certificate.contains(np.array([POCKET]))[0])
    backup_accepted = _backup_is_accepted()
    refused = not accepted and not pocket_certified
    return PlantedFault(
        name="unsafe-pocket",
        planted=f"a policy whose input leaves its bounds only in a pocket of half-width {HALF:g}; set certificate",
        expected="refused, and the pocket is in no certified cell; the backup is accepted",
        observed=f"{_verdict(accepted)}, while {seen_by_rollouts} of the {len(starts)} training rollouts see a "
        f"violation; pocket {'certified' if pocket_certified else 'not certified'}; backup {_verdict(backup_accepted)}",
        numbers={
            "refused": int(not accepted),
            "sampled_violations": seen_by_rollouts,
            "sampled": len(starts),
            "backup": int(backup_accepted),
        },
        caught=pocket_is_unsafe and seen_by_rollouts == 0 and refused and backup_accepted,
    )


def limit_cycle() -> PlantedFault:
    """Plant a policy that is safe for all time but never reaches the origin; rollouts see no violation."""
    loop, facets = cycling(), backup_invariant_set().facets
    unsafe, last = simulate(loop, np.array([[0.01, 0.0], [1.0, 0.0]]), 3000)
    arrives = bool((np.abs(last).max(axis=1) < 0.01).any())
    certificate = certify(loop, CELLS)
    accepted = certificate.covers(facets, SMALL_LEVEL) or certificate.certified
    safe_area = certificate.grid.area(certificate.invariant)
    backup_accepted = _backup_is_accepted()
    as_planted = not unsafe.any() and not arrives
    return PlantedFault(
        name="limit-cycle",
        planted="a policy that is safe but runs into a limit cycle; set certificate",
        expected="refused, no cell certified; that it is safe for all time is still proven on a set; "
        "the backup is accepted",
        observed=f"{_verdict(accepted)}; safe for all time proven on an area of {safe_area:.1f}; "
        f"backup {_verdict(backup_accepted)}",
        numbers={"refused": int(not accepted), "invariant_area": safe_area, "backup": int(backup_accepted)},
        caught=as_planted and not accepted and safe_area > 0 and backup_accepted,
    )


def _verdict(accepted: bool) -> str:
    return "accepted" if accepted else "refused"
