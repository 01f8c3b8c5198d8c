"""The interface as its users meet it: types, printing, options that are declared once."""

from __future__ import annotations

import inspect
import runpy
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import scpo
from scpo.smoothness import EstimatedSmoothness

from .small_networks import loss, residual, wrap

SNIPPET = """
import torch
import scpo

policy = torch.nn.Linear(1, 1)
sgd = torch.optim.SGD(policy.parameters(), lr=0.1)
safe = scpo.SafeOptimizer(sgd, policy, lambda policy: [-1.0], directions=scpo.Isotropic({count}=4))
slack: float = safe.step().{slack}
public = ({public},)
"""


@pytest.mark.slow
def test_a_type_checker_sees_public_names_and_misspelt_ones(tmp_path: Path) -> None:
    public = ", ".join(f"scpo.{name}" for name in scpo.__all__)
    words = {"right": ("count", "slack"), "keyword": ("cuont", "slack"), "field": ("count", "slakc")}
    for name, (count, slack) in words.items():
        (tmp_path / f"{name}.py").write_text(SNIPPET.format(count=count, slack=slack, public=public))
    files = [str(tmp_path / f"{name}.py") for name in words]
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--follow-imports=silent", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    found = {name: [line for line in done.stdout.splitlines() if f"{name}.py:" in line] for name in words}
    assert found["right"] == [], done.stdout
    assert any("cuont" in line for line in found["keyword"]), done.stdout
    assert any("slakc" in line for line in found["field"]), done.stdout


def test_public_names_are_those_that_a_type_checker_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    public = {name: getattr(scpo, name) for name in scpo.__all__}
    monkeypatch.setattr("typing.TYPE_CHECKING", True)
    seen = runpy.run_path(inspect.getfile(scpo))
    assert public == {name: seen.get(name) for name in public}


def test_a_record_and_an_optimiser_say_their_state_in_a_line() -> None:
    safe = wrap(residual(), "sgd")
    loss(safe.policy).backward()
    info = safe.step()
    assert str(info).startswith("update 1: slack 0.")
    assert "\n" not in str(info) and "nan" not in str(info)
    assert repr(safe).startswith("SafeOptimizer(SGD, 13 parameters, 12 constraint values, 1 updates, slack 0.")


def test_every_field_of_a_record_has_a_meaning() -> None:
    assert all(field.metadata["meaning"] for field in fields(scpo.StepInfo))


def test_one_set_of_options_makes_independent_estimates() -> None:
    options = EstimatedSmoothness()
    first, second = (wrap(residual(), "sgd", smoothness=options) for _ in range(2))
    loss(first.policy).backward()
    first.step()
    assert first.smoothness.measured
    assert not second.smoothness.measured
