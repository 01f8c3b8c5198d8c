"""Start-up: jobs without training do not import torch (1.5 s), and training does not import its compiler (2 s)."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from replication import tasks
from replication.report import parts
from replication.training.eager import eager

SLOW = ("torch", "torch._dynamo", "cvxpy")


def slow_imports(code: str) -> list[str]:
    """Run ``code`` in a process of its own and return which of the slow modules it imported."""
    code += f"\nimport json, sys\nprint(json.dumps([name for name in {SLOW!r} if name in sys.modules]))"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


def test_jobs_that_do_not_train_need_no_torch():
    modules = {parts.part(name).module for name in parts.all_parts()}
    modules |= {
        "replication.page.build",
        "replication.report.numbers",
        "replication.training.datasets",
        "replication.experiments.double_integrator.certificates",
        *tasks.MODULES.values(),
    }
    assert "torch" not in slow_imports("\n".join(f"import {name}" for name in sorted(modules)))


def test_training_loads_no_compiler_and_no_cvxpy():
    assert slow_imports(
        "import numpy as np, torch, replication.training.train\n"
        "from replication import tasks\n"
        "from replication.training import build\n"
        "from replication.settings import OptimizerConfig\n"
        "from replication.tasks.regression.settings import RegressionConfig\n"
        "settings = RegressionConfig(hidden=(4,), grid_size=10, heldout=10)\n"
        "data = tasks.module_of('regression').generate_data(settings, 'normal', np.random.default_rng(0))\n"
        "task = build.build_task('regression', settings, data)\n"
        "for name in ('sgd', 'adam'):\n"
        "    policy = task.initial_policy(torch.Generator().manual_seed(0))\n"
        "    optimizer = build.build_optimizer(OptimizerConfig(name=name, learning_rate=0.5), policy)\n"
        "    method = build.build_method('scpo', settings, optimizer, policy, task, 0)\n"
        "    for _ in range(4):\n"
        "        method.zero_grad()\n"
        "        task.loss(policy, task.sample_batch(8, torch.Generator().manual_seed(0))).backward()\n"
        "        method.step()\n"
        "    method.load_state_dict(method.state_dict())\n"
        "    task.evaluate(policy), task.exhibits(policy)\n"
    ) == ["torch"]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
        (torch.optim.Adam, {"lr": 0.01}),
        (torch.optim.LBFGS, {"lr": 0.5}),
    ],
)
def test_an_optimiser_without_marks_takes_the_same_steps(kind, options):
    def trained(made):
        torch.manual_seed(0)
        model, x = torch.nn.Linear(3, 2).double(), torch.randn(5, 3).double()
        optimizer = made(model.parameters(), **options)
        steps = []
        optimizer.register_step_post_hook(lambda *_: steps.append(1))

        def closure():
            optimizer.zero_grad()
            loss = model(x).square().sum()
            loss.backward()
            return loss

        for update in range(6):
            optimizer.step(closure)
            if update == 2:
                optimizer.load_state_dict(optimizer.state_dict())
        assert len(steps) == 6
        return torch.cat([parameter.detach().ravel() for parameter in model.parameters()])

    made = eager(kind)
    assert issubclass(made, kind) and made.__name__ == kind.__name__
    assert torch.equal(trained(made), trained(kind))
