"""A safe optimiser is an optimiser to whoever asks: schedulers, scalers, hooks, copies, shared parameters."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

import scpo
from scpo.errors import ConfigurationError

from .small_networks import STATES, fingerprint, loss, residual, train, wrap


def within(policy: nn.Module) -> Tensor:
    """A constraint that can be pickled."""
    outputs = policy(STATES)[:, 0]
    return torch.cat([outputs, -outputs]) - 0.4


def safe_one(inner: str = "momentum", **options: Any) -> scpo.SafeOptimizer:
    return wrap(residual(), inner, constraint=within, **options)


def test_it_has_the_groups_state_and_defaults_of_the_wrapped_one() -> None:
    safe = safe_one("adam")
    assert isinstance(safe, torch.optim.Optimizer)
    train(safe, 1)
    assert safe.param_groups is safe.optimizer.param_groups
    assert safe.state is safe.optimizer.state
    assert safe.defaults is safe.optimizer.defaults
    assert safe.state
    safe.optimizer.load_state_dict(safe.optimizer.state_dict())  # which makes new groups
    assert safe.param_groups is safe.optimizer.param_groups


SCHEDULERS: dict[str, Callable[[Any], Any]] = {
    "LambdaLR": lambda safe: lr_scheduler.LambdaLR(safe, lambda epoch: 0.9**epoch),
    "MultiplicativeLR": lambda safe: lr_scheduler.MultiplicativeLR(safe, lambda epoch: 0.9),
    "StepLR": lambda safe: lr_scheduler.StepLR(safe, 1),
    "MultiStepLR": lambda safe: lr_scheduler.MultiStepLR(safe, [1]),
    "ConstantLR": lambda safe: lr_scheduler.ConstantLR(safe, total_iters=1),
    "LinearLR": lr_scheduler.LinearLR,
    "ExponentialLR": lambda safe: lr_scheduler.ExponentialLR(safe, 0.9),
    "SequentialLR": lambda safe: lr_scheduler.SequentialLR(
        safe, [lr_scheduler.ConstantLR(safe, total_iters=1), lr_scheduler.ExponentialLR(safe, 0.9)], [1]
    ),
    "CosineAnnealingLR": lambda safe: lr_scheduler.CosineAnnealingLR(safe, 5),
    "ChainedScheduler": lambda safe: lr_scheduler.ChainedScheduler([lr_scheduler.ExponentialLR(safe, 0.9)], safe),
    "ReduceLROnPlateau": lambda safe: lr_scheduler.ReduceLROnPlateau(safe, patience=0),
    "CyclicLR": lambda safe: lr_scheduler.CyclicLR(safe, 0.01, 0.2, step_size_up=3),
    "CosineAnnealingWarmRestarts": lambda safe: lr_scheduler.CosineAnnealingWarmRestarts(safe, 5),
    "OneCycleLR": lambda safe: lr_scheduler.OneCycleLR(safe, 0.2, total_steps=6),
    "PolynomialLR": lr_scheduler.PolynomialLR,
}


def test_every_scheduler_is_tried() -> None:
    assert set(SCHEDULERS) == set(lr_scheduler.__all__) - {"LRScheduler"}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_schedulers_set_the_wrapped_optimisers_learning_rate(name: str) -> None:
    safe, twin = safe_one(), safe_one()
    on_safe, on_wrapped = SCHEDULERS[name](safe), SCHEDULERS[name](twin.optimizer)
    rates = []
    for _ in range(3):
        ends = [train(one, 1)[-1] for one in (safe, twin)]
        assert torch.equal(*ends)
        rates.append(safe.optimizer.param_groups[0]["lr"])
        for scheduler in (on_safe, on_wrapped):
            scheduler.step(*([1.0] if name == "ReduceLROnPlateau" else []))
        assert safe.optimizer.param_groups[0]["lr"] == twin.optimizer.param_groups[0]["lr"]
    assert len({*rates, safe.optimizer.param_groups[0]["lr"]}) > 1


def test_gradient_scaler() -> None:
    """Scaled gradients are unscaled before the step; a batch that overflows is skipped."""
    safe, twin = safe_one(), safe_one()
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for _ in range(2):
        safe.zero_grad()
        scaler.scale(loss(safe.policy)).backward()
        info = scaler.step(safe)
        scaler.update()
    assert info is not None
    assert info.update == 2
    assert torch.equal(safe.vector.read(), train(twin, 2)[-1])
    before = fingerprint(safe)
    safe.zero_grad()
    (scaler.scale(loss(safe.policy)) * torch.inf).backward()
    assert scaler.step(safe) is None
    assert fingerprint(safe) == before


@pytest.mark.parametrize("where", ["safe", "wrapped"])
def test_post_step_hooks_see_the_projected_parameters(where: str) -> None:
    """An average of the parameters that a hook keeps is an average of the iterates."""
    safe = safe_one(verify=False)
    average, before = safe.vector.read(), []
    one = safe if where == "safe" else safe.optimizer

    def update_average(optimizer: Any, args: Any, kwargs: Any) -> None:
        assert optimizer is one
        average.lerp_(safe.vector.read(), 0.5)

    one.register_step_pre_hook(lambda *call: before.append(safe.vector.read()))
    handle = one.register_step_post_hook(update_average)
    start = safe.vector.read()
    iterates, expected = train(safe, 4), start.clone()
    for iterate in iterates:
        expected.lerp_(iterate, 0.5)
    assert torch.equal(average, expected)
    assert torch.equal(torch.stack(before), torch.stack([start, *iterates[:-1]]))
    handle.remove()
    train(safe, 1)
    assert torch.equal(average, expected)


def test_a_failed_step_runs_no_post_step_hook() -> None:
    policy, calls = residual(), []
    safe = wrap(policy)
    safe.optimizer.register_step_post_hook(lambda *call: calls.append(call))
    loss(policy).backward()
    safe._method.directions.__dict__["states"] = STATES.float()
    with pytest.raises(scpo.errors.ScpoError):
        safe.step()
    assert not calls
    safe._method.directions.__dict__["states"] = STATES
    safe.step()
    assert len(calls) == 1


class Counter:
    """Hooks of all optimisers, which note who ran them and where the parameters were."""

    def __init__(self, safe: scpo.SafeOptimizer) -> None:
        self.safe, self.seen = safe, dict[str, list[tuple[Any, Tensor]]](before=[], after=[])

    def before(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        self.seen["before"].append((optimizer, self.safe.vector.read()))

    def after(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        self.seen["after"].append((optimizer, self.safe.vector.read()))


@pytest.mark.parametrize("scheduled", [False, True])
def test_hooks_run_once_and_see_the_projected_parameters(scheduled: bool) -> None:
    safe, other = safe_one(), nn.Linear(1, 1)
    if scheduled:
        lr_scheduler.ConstantLR(safe.optimizer)  # replaces the step method of the wrapped optimiser
    counter = Counter(safe)
    handles = [
        register_optimizer_step_pre_hook(counter.before),
        register_optimizer_step_post_hook(counter.after),
    ]
    try:
        start = safe.vector.read()
        iterates = train(safe, 3)
        alone = torch.optim.SGD(other.parameters(), lr=0.1)
        alone.step()
    finally:
        for handle in handles:
            handle.remove()
    train(safe, 1)
    seen = counter.seen
    for name, expected in (("before", [start, *iterates[:-1]]), ("after", iterates)):
        assert [one for one, _ in seen[name]] == [safe, safe, safe, alone]
        assert torch.equal(torch.stack([theta for _, theta in seen[name][:3]]), torch.stack(expected))


def test_hooks_of_all_optimisers_see_no_step_that_failed() -> None:
    safe = safe_one()
    counter = Counter(safe)
    handle = register_optimizer_step_post_hook(counter.after)
    try:
        with pytest.raises(ConfigurationError, match="backward"):
            safe.step()
        assert not counter.seen["after"]
        safe.optimizer.step()  # by itself it runs them, as ever
        assert len(counter.seen["after"]) == 1
    finally:
        handle.remove()


@pytest.mark.parametrize("answers", ["tensor", "number", "nothing"])
def test_the_record_has_the_loss_that_a_closure_returned(answers: str) -> None:
    safe, twin = safe_one(), safe_one()

    def closure() -> Any:
        safe.zero_grad()
        value = loss(safe.policy)
        value.backward()
        return {"tensor": value, "number": value.item(), "nothing": None}[answers]

    wanted = float(loss(safe.policy).detach())
    info = safe.step(closure)
    assert torch.equal(safe.vector.read(), train(twin, 1)[-1])
    assert np.isnan(info.closure_loss) if answers == "nothing" else info.closure_loss == wanted
    loss(twin.policy).backward()
    assert np.isnan(twin.step().closure_loss)


def test_average_model_beside_it() -> None:
    safe = safe_one()
    average = torch.optim.swa_utils.AveragedModel(safe.policy)
    rate = torch.optim.swa_utils.SWALR(safe, swa_lr=0.01, anneal_epochs=2)
    iterates = []
    for _ in range(3):
        iterates += train(safe, 1)
        average.update_parameters(safe.policy)
        rate.step()
    mean = torch.cat([parameter.detach().reshape(-1) for parameter in average.module.parameters()])
    assert torch.allclose(mean, torch.stack(iterates).mean(dim=0))
    assert safe.param_groups[0]["lr"] == 0.01


def copied(safe: scpo.SafeOptimizer, how: str) -> scpo.SafeOptimizer:
    return copy.deepcopy(safe) if how == "deepcopy" else pickle.loads(pickle.dumps(safe))  # noqa: S301  # our own


@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
@pytest.mark.parametrize("metric", ["auto", "euclidean", torch.linspace(1.0, 2.0, 13)])
def test_copies_go_on_alike_and_apart(how: str, metric: Any) -> None:
    safe = safe_one("adam", smoothness=None, metric=metric)
    scheduler = lr_scheduler.ExponentialLR(safe, 0.9)
    train(safe, 2)
    scheduler.step()
    twin = copied(safe, how)
    assert twin.policy is not safe.policy
    assert twin.param_groups[0]["params"][0] is next(iter(twin.policy.parameters()))
    assert torch.equal(torch.stack(train(safe, 3)), torch.stack(train(twin, 3)))
    assert twin.updates == 5


def test_state_dict_is_saved_and_loaded_without_running_code() -> None:
    safe, file = safe_one("adam", smoothness=None), io.BytesIO()
    train(safe, 3)
    torch.save({"policy": safe.policy.state_dict(), "safe": safe.state_dict()}, file)
    file.seek(0)
    saved, twin = torch.load(file, weights_only=True), safe_one("adam", smoothness=None)
    twin.policy.load_state_dict(saved["policy"])
    twin.load_state_dict(saved["safe"])
    assert torch.equal(torch.stack(train(safe, 3)), torch.stack(train(twin, 3)))


def test_two_constraints_are_one_optimiser() -> None:
    safe = safe_one()
    with pytest.raises(ConfigurationError, match="let one constraint return the values of both"):
        scpo.SafeOptimizer(safe, safe.policy, within)


def actor_and_critic() -> tuple[scpo.SafeOptimizer, nn.Module]:
    policy, critic = residual(), nn.Linear(1, 1).double()
    inner = torch.optim.Adam([*policy.parameters(), *critic.parameters()], lr=0.05)
    return scpo.SafeOptimizer(inner, policy, within, directions=scpo.Tangent(STATES, count=5)), critic


def test_foreign_parameters_are_stepped_as_they_are() -> None:
    torch.manual_seed(0)
    safe, critic = actor_and_critic()
    alone = copy.deepcopy(critic)
    inner, twin = torch.optim.Adam(alone.parameters(), lr=0.05), safe_one("adam", smoothness=None)
    for _ in range(3):
        safe.zero_grad()
        (loss(safe.policy) + loss(critic)).backward()
        safe.step()
        train(twin, 1)
        inner.zero_grad()
        loss(alone).backward()
        inner.step()
    assert safe.vector.dimension == 13
    assert torch.equal(safe.vector.read(), twin.vector.read())
    assert all(torch.equal(a, b) for a, b in zip(critic.parameters(), alone.parameters(), strict=True))


def test_a_step_of_the_critic_alone_leaves_the_policy() -> None:
    safe, critic = actor_and_critic()
    before, weight = safe.vector.read(), critic.weight.clone()
    loss(critic).backward()
    assert safe.step().step_norm == 0.0
    assert torch.equal(safe.vector.read(), before)
    assert not torch.equal(critic.weight, weight)


def test_a_failed_step_takes_the_critics_back_as_well() -> None:
    safe, critic = actor_and_critic()
    kept = copy.deepcopy(critic.state_dict())
    (loss(safe.policy) + loss(critic)).backward()
    safe._method.directions.__dict__["states"] = STATES.float()
    with pytest.raises(scpo.errors.ScpoError):
        safe.step()
    assert all(torch.equal(critic.state_dict()[name], value) for name, value in kept.items())


def test_a_group_that_is_added_later_must_not_be_the_policys() -> None:
    policy, critic = residual(), nn.Linear(1, 1).double()
    inner = torch.optim.SGD(policy.weights.parameters(), lr=0.1)
    safe = scpo.SafeOptimizer(inner, policy, within, directions=scpo.Tangent(STATES, count=5))
    with pytest.raises(ConfigurationError, match="build the safe optimiser again"):
        safe.add_param_group({"params": policy.biases.parameters()})
    assert len(safe.param_groups) == 1
    safe.add_param_group({"params": critic.parameters(), "lr": 0.5})
    weight = critic.weight.clone()
    (loss(policy) + loss(critic)).backward()
    policy.zero_grad(set_to_none=False)
    for bias in policy.biases:
        bias.grad = None
    safe.step()
    assert not torch.equal(critic.weight, weight)


def test_a_record_is_a_flat_dict_of_floats() -> None:
    safe = safe_one()
    loss(safe.policy).backward()
    info = safe.step()
    record = info.as_dict()
    assert set(record) == set(scpo.StepInfo.__dataclass_fields__)
    assert all(type(value) is float for value in record.values())
    assert record["slack"] == info.slack
    assert record["projected"] == float(info.projected)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # its own
def test_lightnings_automatic_optimisation(tmp_path: Path) -> None:
    lightning = pytest.importorskip("pytorch_lightning")

    class Module(lightning.LightningModule):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.policy = residual()

        def training_step(self, batch: Any, index: int) -> Tensor:
            return loss(self.policy)

        def configure_optimizers(self) -> Any:
            safe = wrap(self.policy, constraint=within)
            return {"optimizer": safe, "lr_scheduler": lr_scheduler.ExponentialLR(safe, 0.9)}

    module = Module()
    trainer = lightning.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_progress_bar=False, default_root_dir=tmp_path
    )
    trainer.fit(module, torch.utils.data.DataLoader(STATES, batch_size=2))
    assert trainer.global_step == trainer.optimizers[0].updates == 6
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.1 * 0.9**2)
    assert torch.load(trainer.checkpoint_callback.best_model_path, weights_only=True)["optimizer_states"]
