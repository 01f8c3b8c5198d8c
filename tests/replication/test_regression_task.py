"""The regression task: its data, its constraints and its held-out quantities."""

import numpy as np
import pytest
import torch

from replication.tasks.regression.data import target

from .default_tasks import regression, samples


def dataset(**changes):
    return samples(3, **{"size": 500, "heldout": 1000} | changes)


@pytest.fixture
def task():
    return regression(dataset(), hidden=(8, 8))


def test_target_at_hand_computed_points():
    assert target(np.array([0.0]))[0] == 0.0
    assert target(np.array([np.pi / 2]))[0] == pytest.approx(1 - 1 - 1)


def test_clean_labels_are_the_target():
    normal, uniform = dataset(size=20_000), dataset(inputs="uniform", size=20_000)
    np.testing.assert_array_equal(normal["labels"], target(normal["inputs"]))
    assert not normal["harmful"].any()
    assert normal["inputs"].std() == pytest.approx(1.0, abs=0.03)
    assert np.abs(uniform["inputs"]).max() <= np.pi
    assert uniform["inputs"].std() == pytest.approx(np.pi / np.sqrt(3), abs=0.03)


def test_adversarial_labels_oppose_the_target():
    clean, attacked = dataset(), dataset(adversarial_share=0.3, adversarial_label=5.0)
    np.testing.assert_array_equal(clean["inputs"], attacked["inputs"])
    np.testing.assert_array_equal(clean["heldout"], attacked["heldout"])
    harmful = attacked["harmful"]
    assert 0.2 < harmful.mean() < 0.4
    np.testing.assert_array_equal(attacked["labels"][~harmful], clean["labels"][~harmful])
    np.testing.assert_array_equal(np.abs(attacked["labels"][harmful]), 5.0)
    assert (attacked["labels"][harmful] * clean["labels"][harmful] <= 0).all()


def test_initial_policy_is_zero_and_safe_by_the_bound(task):
    policy = task.initial_policy(torch.Generator().manual_seed(0))
    stacked = {name: value.detach()[None] for name, value in policy.named_parameters()}
    g = task.constraint(stacked)
    assert g.shape == (1, 200)
    assert (g == -task.bound).all()
    scores = task.evaluate(policy)
    assert scores["heldout_max_g"] == -task.bound
    assert scores["heldout_unsafe"] == 0.0
    assert scores["fresh_loss"] == pytest.approx(float(np.mean(target(task.heldout.numpy()) ** 2)))


def test_constraint_agrees_with_the_policy_itself(task):
    policy = task.initial_policy(torch.Generator().manual_seed(1))
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        outputs = policy(task.grid)[:, 0]
        g = task.constraint({name: value.detach()[None] for name, value in policy.named_parameters()})[0]
    torch.testing.assert_close(g[:100], outputs - 1.4, rtol=0, atol=1e-12)
    torch.testing.assert_close(g[100:], -outputs - 1.4, rtol=0, atol=1e-12)
    assert task.evaluate(policy)["heldout_max_g"] >= float(g.max()) - 0.5


def test_heldout_points_are_not_the_constraint_grid(task):
    distance = (task.dense - task.grid.T).abs().min()
    assert float(distance) > 0


def test_which_samples_are_harmful():
    for data, expected in (
        (dataset(), lambda data: np.abs(data["labels"]) > 1.4),
        (dataset(adversarial_share=0.3), lambda data: data["harmful"]),
    ):
        inputs, labels, harmful = regression(data, hidden=(8, 8)).sample_batch(200, torch.Generator().manual_seed(4))
        known = dict(zip(zip(data["inputs"], data["labels"], strict=True), expected(data), strict=True))
        drawn = zip(inputs[:, 0].tolist(), labels[:, 0].tolist(), strict=True)
        assert [known[sample] for sample in drawn] == harmful.tolist()
        assert 0 < int(harmful.sum()) < 200


def test_batches_come_from_the_training_data(task):
    first = task.sample_batch(64, torch.Generator().manual_seed(5))
    again = task.sample_batch(64, torch.Generator().manual_seed(5))
    torch.testing.assert_close(first[0], again[0], rtol=0, atol=0)
    assert set(first[0][:, 0].tolist()) <= set(task.inputs[:, 0].tolist())
    policy = task.initial_policy(torch.Generator().manual_seed(0))
    assert float(task.loss(policy, first).detach()) == pytest.approx(float(first[1].square().mean()))
