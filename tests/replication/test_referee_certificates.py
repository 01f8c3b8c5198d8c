"""The referee refutes false certificates by simulation from their cells."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from replication import files
from replication.tasks.double_integrator.system import backup_gain

from .judged import CERTIFIED, PATHS, Arrays, altered, reason_of


def _certify(results: Path, change: Callable[[Arrays], None]) -> None:
    """Change a certificate, and the areas that it states accordingly."""
    altered(results, "certificate", change)
    arrays, path = files.read_npz(results / PATHS["certificate"]), results / CERTIFIED / "certificate.json"
    content = files.read_json(path)
    cell = (arrays["x1"][1] - arrays["x1"][0]) * (arrays["x2"][1] - arrays["x2"][0])
    content["final"] |= {"area": cell * arrays["mask"].sum(), "refuted_area": cell * arrays["refuted"].sum()}
    path.write_text(json.dumps(content))


def _swap(arrays: Arrays) -> None:
    """Certify one cell that was refuted."""
    i, j = np.argwhere(arrays["refuted"])[-1]
    arrays["mask"][i, j], arrays["refuted"][i, j] = True, False


def _refute(arrays: Arrays) -> None:
    """Refute one cell beside the others that was certified."""
    i, j = np.argwhere(arrays["mask"])[0]
    arrays["mask"][i, j], arrays["refuted"][i, j] = False, True


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_swap, "limits are kept from certified cells"),
        (_refute, "a limit is exceeded from refuted cells"),
        (lambda arrays: arrays["refuted"].fill(True), "no cell is certified and refuted"),
        (lambda arrays: arrays.update(x1=arrays["x1"] * 0.9), "cells divide the state limits of x1"),
    ],
)
def test_a_false_certificate_is_found(
    referee: ModuleType, tampered: Path, change: Callable[[Arrays], None], reason: str
) -> None:
    _certify(tampered, change)
    assert reason in reason_of(lambda: referee.judge_data(tampered))


@pytest.mark.parametrize(("name", "value"), [("area", 50.0), ("refuted_area", 0.0), ("level", 1.2)])
def test_false_numbers_of_a_certificate_are_found(referee: ModuleType, tampered: Path, name: str, value: float) -> None:
    path = tampered / CERTIFIED / "certificate.json"
    content = files.read_json(path)
    content["final"][name] = value
    path.write_text(json.dumps(content))
    assert str(path) in reason_of(lambda: referee.judge_data(tampered))


def test_a_certified_policy_must_come_to_the_origin(referee: ModuleType, tampered: Path) -> None:
    def near(arrays: Arrays) -> None:
        """Certify nothing but some cells around the origin, and refute nothing."""
        near = np.abs(arrays["x1"][1:]) < 1
        arrays["mask"] &= near[:, None] & near
        arrays["refuted"].fill(False)

    _certify(tampered, near)
    path = tampered / CERTIFIED / "certificate.json"
    content = files.read_json(path)
    content["final"] |= {"level": 0.0, "covers_starts": False}
    path.write_text(json.dumps(content))

    def backup(states: Any) -> Any:
        return -states @ backup_gain().T

    def elsewhere(states: Any) -> Any:
        return backup(states - [0.5, 0.0])

    referee.check_certificate(tampered / PATHS["certificate"], backup, 0)
    assert "comes within" in reason_of(lambda: referee.check_certificate(tampered / PATHS["certificate"], elsewhere, 0))


def test_another_final_policy_than_the_last_one_saved_is_found(referee: ModuleType, tampered: Path) -> None:
    path = tampered / PATHS["policy"]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert f"{path}: it is not true that it holds the last policy" in reason_of(lambda: referee.judge_data(tampered))
