"""Settings of the method: defaults and limits are those that the library declares."""

from __future__ import annotations

import inspect
from dataclasses import fields

import pytest

import scpo
from replication.settings import ScpoConfig
from scpo.options import StepOptions
from scpo.sampling import Directions
from scpo.smoothness import EstimatedSmoothness


def test_scales_have_the_defaults_and_limits_of_the_library() -> None:
    config = ScpoConfig()
    for section, options in ((config.directions, Directions), (config.smoothness, EstimatedSmoothness)):
        assert all(getattr(section, field.name) == field.default for field in fields(options))
    assert (config.kappa, config.verify, config.buffer) == (StepOptions.kappa, StepOptions.verify, StepOptions.buffer)
    defaults = {name: one.default for name, one in inspect.signature(scpo.SafeOptimizer).parameters.items()}
    assert (defaults["kappa"], defaults["verify"], defaults["buffer"]) == (config.kappa, config.verify, config.buffer)
    for bad in ({"kappa": 0.0}, {"tightening": -1.0}, {"directions": {"count": 0}}, {"smoothness": {"decay": 2.0}}):
        with pytest.raises(ValueError, match=r"greater|less"):
            ScpoConfig.model_validate(bad)
