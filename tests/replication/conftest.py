"""Results that the referee judges: made once for all files that read them."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import ModuleType

import pytest

from replication.config import Config, dump
from replication.experiments.double_integrator import certificates, references
from replication.training import datasets, train

from .judged import CERTIFIED, CONFIG, SCRIPT


@pytest.fixture(scope="session")
def referee() -> ModuleType:
    module = ModuleType("referee")
    exec(compile(SCRIPT.read_text(), str(SCRIPT), "exec"), module.__dict__)
    return module


@pytest.fixture(scope="session")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("results")
    settings = Config.model_validate(CONFIG)
    config = results / "config.json"
    config.write_text(dump(settings))
    for task, section in settings.experiments.items():
        for name, arm in section.arms.items():
            seed = arm.first_seed
            data = results / task / "data" / arm.dataset / f"seed-{seed}.npz"
            datasets.main(settings, task, arm.dataset, seed, data)
            train.run_from_files(settings, task, name, seed, data, results / task / name / f"seed-{seed}")
    references.main(config, results / "double-integrator" / "references.json")
    run = results / CERTIFIED
    certificates.main(
        run, run / "certificate.json", cells=40, cells_over_training=20, iterates=2, rho=settings.double_integrator.rho
    )
    return results


@pytest.fixture
def tampered(honest: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(honest, tmp_path / "results"))
