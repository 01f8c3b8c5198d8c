"""The iterates that a run keeps for the referee: a random share, drawn before training, and those nearest the limit."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scpo.arrays import Array

#: So many iterates are kept because they have the largest max g.
NEAREST = 50


class Audited:
    """Keeps some of the iterates, each with the step bound that was computed for it.

    Args:
        share: the share of all updates that is drawn at random; 0 keeps no iterates at all.
        updates: the largest number of updates of the run.
        seed: the seed of the draw, which is independent of training.
    """

    def __init__(self, share: float = 0.0, updates: int = 0, seed: int = 0) -> None:
        self._drawn = np.random.default_rng(seed).random(updates) < share
        self._nearest = NEAREST if share > 0.0 else 0
        self._random: dict[int, tuple[Tensor, Tensor]] = {}
        self._near: list[tuple[float, int, Tensor, Tensor]] = []

    def add(
        self, update: int, max_g: float, theta: Callable[[], Tensor], bound: Array | None, constraints: int
    ) -> None:
        """Keep the iterate theta (d,) after ``update`` if it was drawn, or is among those nearest the limit so far.

        Args:
            update: its number, from 1.
            max_g: the largest constraint value at theta.
            theta: returns the parameters (d,); called only if they are kept.
            bound: the step bound U (k,) at theta; None for a method without one.
            constraints: k.
        """
        drawn = self._nearest > 0 and bool(self._drawn[update - 1])
        near = self._nearest > 0 and (len(self._near) < self._nearest or max_g > self._near[0][0])
        if not drawn and not near:
            return
        kept = (
            theta().to("cpu", copy=True),
            torch.from_numpy(np.full(constraints, np.nan) if bound is None else bound),
        )
        if drawn:
            self._random[update] = kept
        if near:  # updates differ, so tensors are never compared
            (heapq.heappush if len(self._near) < self._nearest else heapq.heapreplace)(
                self._near, (max_g, update, *kept)
            )

    def arrays(self) -> dict[str, Array]:
        """Return ``updates`` (n,), ``theta`` (n, d) and ``bound`` (n, k), in the order of the updates."""
        kept = {**self._random, **{update: (theta, bound) for _, update, theta, bound in self._near}}
        thetas = [kept[update][0].numpy() for update in sorted(kept)]
        bounds = [kept[update][1].numpy() for update in sorted(kept)]
        return {
            "updates": np.array(sorted(kept), dtype=np.int64),
            "theta": np.stack(thetas) if kept else np.zeros((0, 0)),
            "bound": np.stack(bounds) if kept else np.zeros((0, 0)),
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the iterates that were kept so far."""
        return {"random": self._random, "near": self._near}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
        self._random, self._near = dict(state["random"]), [tuple(one) for one in state["near"]]
