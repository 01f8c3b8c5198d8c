"""The colours of the figures: each means one thing, also to readers who see fewer of them."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from replication.typeset import style

#: Linear RGB as seen without one kind of cone (Machado, Oliveira and Fernandes 2009), and with all.
SEEN = {
    "all": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
#: The least distance in CIELAB at which two lines are told apart here.
APART = 12.0


def _lab(colour: str, seen: object) -> np.ndarray:
    """Return a colour in CIELAB, as a reader sees it."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = XYZ @ np.clip(np.asarray(seen) @ linear, 0.0, 1.0) / XYZ.sum(axis=1)
    root = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])


def test_no_arm_has_the_colour_of_something_else() -> None:
    colours = {*style.COLOURS.values(), *(colour for colour, _ in style.BASELINES.values())}
    assert not colours & {style.INK, style.GREY, style.YELLOW}
    looks = [look for arm, look in style.BASELINES.items() if arm != "scpo-short"]  # shorter runs of the same
    assert len({*looks}) == len(looks)


@pytest.mark.parametrize("arm", ["scpo-plain", "filtered"])
@pytest.mark.parametrize("seen", SEEN)
def test_an_arm_is_told_apart_from_the_others_by_any_reader(arm: str, seen: str) -> None:
    own, _ = style.BASELINES[arm]
    others = {colour for name, (colour, _) in style.BASELINES.items() if name != arm} | {style.INK, style.GREY}
    for other in others:
        assert np.linalg.norm(_lab(own, SEEN[seen]) - _lab(other, SEEN[seen])) > APART, other


@pytest.mark.parametrize(
    ("value", "label"),
    [(0.0, "0"), (10.0, "10"), (1e4, r"10$\,$000"), (0.01, "0.01"), (1e-5, "1e$-$5"), (-1e-3, "$-$0.001")],
)
def test_a_tick_of_a_logarithmic_axis_has_no_exponent_above_the_line(value, label):
    assert style.plain(value) == label
