"""Training on another device: nothing of a task stays behind, and a run on a GPU writes what a run on the CPU does.

The meta device computes shapes only and refuses tensors of other devices, so it finds what was left behind anywhere;
whole runs need a GPU and are skipped, visibly, where there is none.
"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch

from replication import tasks
from replication.config import Config
from replication.scales import for_dataset
from replication.tasks.double_integrator.settings import DoubleIntegratorConfig
from replication.tasks.regression.settings import RegressionConfig
from replication.training import build, datasets, train
from replication.training.device import OnDevice, on_device
from scpo.errors import ConfigurationError

META = torch.device("meta")
SCHEDULE = {"epochs": 4, "updates_per_epoch": 5, "batch_size": 16, "evaluate_every": 2, "checkpoint_every": 2}
SECTIONS = {
    "regression": RegressionConfig(hidden=(8, 8), grid_size=20, heldout=50, schedule=SCHEDULE),
    "double-integrator": DoubleIntegratorConfig(starts=16, hidden=(8,), heldout=1000, schedule=SCHEDULE),
}


@pytest.fixture(params=SECTIONS)
def task(request):
    section = SECTIONS[request.param]
    name = next(iter(section.datasets))
    few = section.model_copy(update={"datasets": {name: section.datasets[name].model_copy(update={"size": 32})}})
    data = tasks.module_of(request.param).generate_data(few, name, np.random.default_rng(0))
    return build.build_task(request.param, section, data)


def test_a_placed_task_has_left_nothing_behind(task):
    there = OnDevice(task, META)
    policy = there.initial_policy(torch.Generator().manual_seed(0))
    loss = there.loss(policy, there.sample_batch(8, torch.Generator().manual_seed(0)))
    loss.backward()
    assert {tensor.device for tensor in (loss, *(p.grad for p in policy.parameters() if p.requires_grad))} == {META}
    stacked = {name: value.detach().expand(3, *value.shape) for name, value in policy.named_parameters()}
    values = there.constraint(stacked)
    here = {name: torch.zeros(value.shape, dtype=value.dtype) for name, value in stacked.items()}
    assert (values.device, values.shape) == (META, task.constraint(here).shape)
    assert there.states().device == META
    rows = policy.output_jacobian(there.states()[:4])
    assert {row.device for row in rows.values()} == {META}


def test_the_task_itself_stays_where_it_was_and_evaluates(task):
    generator = torch.Generator().manual_seed(0)
    expected = task.evaluate(task.initial_policy(generator))
    there = OnDevice(task, torch.device("cpu"))
    there.sample_batch(4, generator)
    OnDevice(task, META)
    assert there.evaluate(there.initial_policy(torch.Generator().manual_seed(0))) == pytest.approx(
        expected, nan_ok=True
    )
    assert task.states().device.type == "cpu"


def test_on_the_cpu_the_task_is_used_as_it_is(task):
    assert on_device(task, "cpu") is task


def test_a_missing_gpu_is_a_typed_error(task, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigurationError, match="device=cpu"):
        on_device(task, "cuda")


def test_data_sets_do_not_depend_on_the_device():
    there = Config(device="cuda")
    assert for_dataset(there, "regression", "normal") == for_dataset(Config(), "regression", "normal")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize(
    ("name", "arm"),
    [("regression", "scpo"), ("regression", "unconstrained"), ("double-integrator", "scpo-verified-mixed")],
)
def test_a_run_on_a_gpu_writes_what_a_run_on_the_cpu_does(name, arm, tmp_path):
    found = {}
    for device in ("cpu", "cuda"):
        sections = {"regression": SECTIONS["regression"], "double_integrator": SECTIONS["double-integrator"]}
        config = Config(device=device, **sections)
        dataset = SECTIONS[name].arms[arm].dataset
        datasets.main(config, name, dataset, 0, tmp_path / "data.npz")
        out = tmp_path / device
        train.run_from_files(config, name, arm, 0, tmp_path / "data.npz", out, tmp_path / f"{device}-checkpoint")
        found[device] = pd.read_parquet(out / "updates.parquet")
        assert json.loads((out / "run.json").read_text())["updates"] == 20
    here, there = found["cpu"], found["cuda"]
    assert list(here.columns) == list(there.columns)
    assert there["loss"].iloc[:3].to_numpy() == pytest.approx(here["loss"].iloc[:3].to_numpy(), rel=1e-6)
    if arm != "unconstrained":
        assert (there["max_g"] <= 0).all() or not (here["max_g"] <= 0).all()
