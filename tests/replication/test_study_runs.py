"""What the study's runs need beside the others: equal rollouts, other starts, audited iterates."""

import numpy as np
import pandas as pd
import pytest

from replication import files
from replication.config import Config
from replication.training import datasets, train
from replication.training.audited import NEAREST, Audited
from scpo.errors import UnsafeStartError

SMALL = {
    "scale": "small",
    "double_integrator": None,
    "regression": {
        "hidden": [8],
        "grid_size": 20,
        "heldout": 200,
        "schedule": {
            "epochs": 10,
            "updates_per_epoch": 2,
            "batch_size": 32,
            "evaluate_every": 4,
            "checkpoint_every": 3,
        },
        "optimizer": {"learning_rate": 0.1, "final_learning_rate": 0.01},
        "scpo": {"directions": {"count": 4, "recycled": 2}},
        "datasets": {"normal": {"size": 128}},
        "arms": {
            "scpo": {"method": "scpo", "dataset": "normal"},
            "random": {"method": "scpo", "dataset": "normal", "overrides": {"start": "random"}},
            "halfway": {"method": "scpo", "dataset": "normal", "overrides": {"start": "halfway"}},
            "short": {"method": "scpo", "dataset": "normal", "overrides": {"schedule": {"max_rollouts": 40}}},
            "audited": {"method": "scpo", "dataset": "normal", "overrides": {"schedule": {"audited_share": 0.5}}},
            "unsafe": {"method": "scpo", "dataset": "normal", "overrides": {"start": "random", "bound": 1e-300}},
        },
    },
}
CONFIG = Config.model_validate(SMALL)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    datasets.main(CONFIG, "regression", "normal", 0, folder / "data.npz")
    made = {}

    def made_of(arm, checkpoint=None):
        if arm not in made:
            train.run_from_files(CONFIG, "regression", arm, 0, folder / "data.npz", folder / arm, checkpoint)
            made[arm] = folder / arm
        return made[arm]

    return made_of


def test_a_run_ends_after_its_rollouts(run):
    whole, short = (pd.read_parquet(run(arm) / "updates.parquet") for arm in ("scpo", "short"))
    assert len(short) < len(whole)
    rollouts = short["rollouts"].to_numpy()
    assert rollouts[-1] >= 40 > rollouts[-2]
    # the final policy is evaluated, and the learning rate has fallen with the rollouts
    evaluations = pd.read_parquet(run("short") / "evaluations.parquet")
    assert evaluations["update"].iloc[-1] == short["update"].iloc[-1]


def test_the_learning_rate_falls_with_the_rollouts():
    schedule = CONFIG.regression.for_arm("short").schedule
    records = train.Records()
    records.rows = [{"rollouts": 1}, {"rollouts": 20}]
    assert train._part(schedule, records) == 0.5
    assert train._part(CONFIG.regression.schedule, records) == pytest.approx(1 / 19)


@pytest.mark.parametrize("arm", ["random", "halfway"])
def test_other_starts_are_safe_and_are_no_backup(run, arm):
    weights, table = files.read_npz(run(arm) / "weights.npz"), pd.read_parquet(run(arm) / "updates.parquet")
    backup = files.read_npz(run("scpo") / "weights.npz")
    assert (table["max_g"] <= 0).all()
    assert table["max_g"].iloc[0] > pd.read_parquet(run("scpo") / "updates.parquet")["max_g"].iloc[0]
    assert np.abs(weights["theta"][0] - backup["theta"][0]).max() > 1e-3
    assert table["rollouts"].iloc[0] <= 2  # those before the start are not the run's


def test_a_random_start_that_no_size_makes_safe_is_refused(run):
    with pytest.raises(UnsafeStartError, match="start = random"):
        run("unsafe")


def test_audited_iterates_are_a_drawn_share_and_the_nearest(run):
    weights, table = (
        files.read_npz(run("audited") / "weights.npz"),
        pd.read_parquet(run("audited") / "updates.parquet"),
    )
    updates = weights["audited_updates"]
    assert len(updates) == 20  # no more than NEAREST, so all are kept
    assert weights["audited_bound"].shape == (20, 40)
    recorded = table.set_index("update").loc[updates]
    np.testing.assert_allclose(weights["audited_bound"].max(axis=1), recorded["step_bound"], rtol=0, atol=1e-12)
    assert len(files.read_npz(run("scpo") / "weights.npz")["audited_updates"]) == 0


def test_the_nearest_are_kept_without_the_draw():
    import torch

    audited, values = Audited(1e-12, 1000, 0), np.random.default_rng(1).random(1000)
    for update, value in enumerate(values, 1):
        audited.add(update, float(value), lambda value=value: torch.tensor([value]), None, 3)
    kept = audited.arrays()
    expected = np.sort(np.argsort(values)[-NEAREST:] + 1)
    np.testing.assert_array_equal(kept["updates"], expected)
    np.testing.assert_array_equal(kept["theta"][:, 0], values[expected - 1])
    again = Audited(1e-12, 1000, 0)
    again.load_state_dict(audited.state_dict())
    np.testing.assert_array_equal(again.arrays()["updates"], expected)
