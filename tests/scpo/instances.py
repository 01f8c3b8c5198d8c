"""Random projection problems, ordinary and degenerate, for the tests of the method core."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scpo.arrays import Array
from scpo.projection.region import LocalSafeRegion


@dataclass(frozen=True)
class Instance:
    """One problem: project ``target`` onto ``region``."""

    kind: str
    target: Array
    region: LocalSafeRegion


#: What sets each kind apart; "plain" is drawn first and then altered.
KINDS = {
    "plain": "slack, slope, curvature and probe error over several orders of magnitude",
    "zero slope": "half of the rows without slope",
    "flat and tight": "rows without slope, slack and probe error, but with curvature: only 0 is left",
    "zero slack": "every g is 0",
    "some zero slack": "a fifth of the g is 0",
    "tiny slack": "g between -1e-13 and -1e-7 of the others",
    "duplicate rows": "all rows equal",
    "opposite rows": "rows in pairs a, -a, with little slack",
    "L = 0": "half-spaces and cones only",
    "L = 1e8": "tiny balls",
    "steep probe error": "e around |a|, also equal to it",
    "n = 1": "one direction",
    "k = 0": "no constraint",
    "k = 1": "one constraint, any backend",
    "k = 500": "many constraints",
    "target inside": "a step short enough",
    "target huge": "a step 1e4 to 1e9 times longer",
    "tiny z": "z in units of 1e-6",
    "huge z": "z in units of 1e6",
    "tiny g": "g in units of 1e-6",
    "huge g": "g in units of 1e6",
    "mixed g": "each g in its own unit, from 1e-6 to 1e6",
}


def draw(kind: str, seed: int, *, n: int | None = None, k: int | None = None) -> Instance:
    """Return the problem of this kind and seed; ``n`` and ``k`` are drawn where they are not given."""
    rng = np.random.default_rng([seed, list(KINDS).index(kind)])
    n = {"n = 1": 1}.get(kind, n or int(rng.choice([1, 2, 3, 8, 32])))
    k = {"k = 0": 0, "k = 1": 1, "k = 500": 500}.get(kind, k or int(rng.choice([1, 2, 3, 5, 20, 60])))
    g = -np.exp(rng.normal(-3, 2, k))
    a = rng.normal(size=(k, n))
    smoothness = np.exp(rng.normal(1, 2, k))
    error = np.exp(rng.normal(-4, 2, k)) * (rng.random() < 0.7)
    target = rng.normal(size=n) * np.exp(rng.normal(-2, 2))
    radius = float(rng.choice([np.inf, 0.1, 1.0]))
    kappa = float(rng.choice([1.0, 0.5, 0.1]))
    if kind == "zero slope":
        a[rng.random(k) < 0.5] = 0.0
    elif kind == "flat and tight":
        chosen = rng.random(k) < 0.5
        chosen[0] = True
        g[chosen], a[chosen], error[chosen] = 0.0, 0.0, 0.0
    elif kind == "zero slack":
        g[:] = 0.0
    elif kind == "some zero slack":
        g[rng.random(k) < 0.2] = 0.0
    elif kind == "tiny slack":
        g *= 10.0 ** rng.uniform(-13, -7, k)
    elif kind == "duplicate rows":
        g[:], a[:], smoothness[:], error[:] = g[:1], a[:1], smoothness[:1], error[:1]
    elif kind == "opposite rows":
        a[1::2] = -a[: 2 * (k // 2) : 2]
        g *= rng.choice([1e-6, 1e-3])
        smoothness *= rng.choice([0.0, 1.0])
    elif kind == "L = 0":
        smoothness[:] = 0.0
    elif kind == "L = 1e8":
        smoothness[:] = 1e8
    elif kind == "steep probe error":
        error = np.linalg.norm(a, axis=1) * rng.choice([0.9, 0.999999, 1.0, 1.000001, 1.5], k)
        g[rng.random(k) < 0.1] = 0.0
    elif kind == "target inside":
        target *= 1e-9 * np.abs(g).min(initial=1.0)
    elif kind == "target huge":
        target *= 10.0 ** rng.uniform(4, 9)
    elif kind in ("tiny z", "huge z"):
        unit = 1e-6 if kind == "tiny z" else 1e6
        target, radius = target * unit, radius * unit
        a, error, smoothness = a / unit, error / unit, smoothness / unit**2
    elif kind in ("tiny g", "huge g", "mixed g"):
        unit = {"tiny g": np.full(k, 1e-6), "huge g": np.full(k, 1e6)}.get(kind, 10.0 ** rng.uniform(-6, 6, k))
        g, a, error, smoothness = g * unit, a * unit[:, None], error * unit, smoothness * unit
    return Instance(kind, target, LocalSafeRegion.build(g, a, smoothness, error, radius, kappa))
