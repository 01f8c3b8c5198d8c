"""Faulty policies before the set-based certificate, with the backup as the control."""

from __future__ import annotations

from functools import cache

import numpy as np

from replication.certificate import certify
from replication.planted_faults.finding import Finding
from replication.planted_faults.loops import build, cycling, pocketed, simulate
from replication.tasks.double_integrator.sets import backup_invariant_set
from replication.tasks.double_integrator.starts import training_starts

CELLS, LEVEL = 100, 0.85
#: of the maximal safe set of the backup, for the policy that does not converge
SMALL_LEVEL = 0.01
POCKET, HALF = (2.2, -1.4), 0.06
#: steps of a rollout
HORIZON = 30


@cache
def _backup_is_accepted() -> bool:
    return certify(build(), CELLS).covers(backup_invariant_set().facets, LEVEL)


def unsafe_pocket() -> Finding:
    """Inputs leave their bounds in a pocket that no rollout from the starts of a training run meets."""
    loop, facets = pocketed(POCKET, HALF), backup_invariant_set().facets
    starts = training_starts(backup_invariant_set().scaled(LEVEL))
    sampled = int(simulate(loop, starts, HORIZON)[0].sum())
    there = bool(simulate(loop, np.array([POCKET]), 1)[0][0])
    certificate = certify(loop, CELLS)
    accepted = certificate.covers(facets, LEVEL)
    held = bool(certificate.contains(np.array([POCKET]))[0])
    control = _backup_is_accepted()
    return Finding(
        "unsafe-pocket",
        f"a policy whose input leaves its bounds only in a pocket of half-width {HALF:g}; set certificate",
        "refused, and the pocket is in no certified cell; the backup is accepted",
        f"{_verdict(accepted)}, while {sampled} of the {len(starts)} training rollouts see a violation; pocket "
        f"{'certified' if held else 'not certified'}; backup {_verdict(control)}",
        {"refused": int(not accepted), "sampled_violations": sampled, "sampled": len(starts)}
        | {"backup": int(control)},
        caught=there and not sampled and not accepted and not held and control,
    )


def limit_cycle() -> Finding:
    """A policy that is safe for all time and never arrives; rollouts see no violation."""
    loop, facets = cycling(), backup_invariant_set().facets
    unsafe, last = simulate(loop, np.array([[0.01, 0.0], [1.0, 0.0]]), 3000)
    arrives = bool((np.abs(last).max(axis=1) < 0.01).any())
    certificate = certify(loop, CELLS)
    accepted = certificate.covers(facets, SMALL_LEVEL) or certificate.certified
    area = certificate.grid.area(certificate.invariant)
    control = _backup_is_accepted()
    return Finding(
        "limit-cycle",
        "a policy that is safe but runs into a limit cycle; set certificate",
        "refused, no cell certified; that it is safe for all time is still proven on a set; the backup is accepted",
        f"{_verdict(accepted)}; safe for all time proven on an area of {area:.1f}; backup {_verdict(control)}",
        {"refused": int(not accepted), "invariant_area": area, "backup": int(control)},
        caught=not (unsafe.any() or arrives or accepted) and area > 0 and control,
    )


def _verdict(accepted: bool) -> str:
    return "accepted" if accepted else "refused"
