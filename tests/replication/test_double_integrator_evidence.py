"""What stands beside the double integrator's runs: exhibits, references, certificates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from replication import files
from replication.config import Config, dump, load
from replication.errors import ResultError
from replication.experiments.double_integrator import certificates, references
from replication.scales import digest, for_arm
from replication.tasks.double_integrator import system
from replication.tasks.double_integrator.exhibits import GRID, STEPS
from scpo.errors import ConfigurationError
from scpo.parameters import ParameterVector

from .default_tasks import double_integrator, imitation

EXPERIMENT = double_integrator(imitation("mixed", 1, 64, heldout=64), starts=24, hidden=[8])


def test_exhibits_of_the_backup_are_its_own_trajectories() -> None:
    shown = EXPERIMENT.exhibits(EXPERIMENT.initial_policy(torch.Generator().manual_seed(0)))
    assert set(shown) == {"trajectories", "surface", "starts"}
    paths = shown["trajectories"]
    assert len(paths["t"]) == 12 * (STEPS + 1)
    state = np.column_stack([paths["x1"], paths["x2"]]).reshape(12, STEPS + 1, 2)
    matrix = system.closed_loop(system.backup_gain())
    np.testing.assert_allclose(state[:, 1:], state[:, :-1] @ matrix.T, atol=1e-13)
    np.testing.assert_allclose(paths["u"], -(state.reshape(-1, 2) @ system.backup_gain().T)[:, 0], atol=1e-13)
    initial = paths["psi"][paths["t"] == 0]
    np.testing.assert_allclose(initial[:8], 0.95)  # on the boundary of rho O_inf, and half-way in
    np.testing.assert_allclose(initial[8:], 0.475)
    surface = shown["surface"]
    assert len(surface["u"]) == GRID**2
    assert surface["u"][(surface["x1"] == 0) & (surface["x2"] == 0)] == 0.0
    assert np.column_stack([shown["starts"]["x1"], shown["starts"]["x2"]]).shape == (24, 2)


def test_references_are_those_of_the_system(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(dump(Config.model_validate({"double_integrator": {"heldout": 1000, "starts": 24}})))
    references.main(config, tmp_path / "references.json")
    found, arrays = files.read_json(tmp_path / "references.json"), files.read_npz(tmp_path / "references.npz")
    assert found["area"] == pytest.approx(41.57, abs=0.01)
    assert found["area_of_starts"] == pytest.approx(0.95**2 * found["area"])
    assert found["area_control_invariant"] == pytest.approx(50.0)
    assert found["gain"] == pytest.approx([0.07946, 0.44814], abs=1e-5)
    assert found["costs"]["mpc"] < 0.6 * found["costs"]["backup"]
    assert found["gamma_lyapunov"] < found["gamma_tightest"] < found["gain"][0] * (1 + 1e-6)
    assert arrays["heldout_starts"].shape == (1000, 2)
    assert (np.abs(arrays["mpc_states"]) <= 5.0 + 1e-9).all()
    assert (np.abs(arrays["mpc_inputs"]) <= 1.0).all()
    assert arrays["backup_states"].shape == (STEPS + 1, 12, 2)
    np.testing.assert_array_equal(arrays["backup_states"][0], arrays["mpc_states"][0])
    config.write_text(dump(Config(double_integrator=None)))
    with pytest.raises(ConfigurationError, match="double-integrator"):
        references.main(config, tmp_path / "none.json")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of three saved policies: the backup, a harmless residual, and one that pushes outwards."""
    policy = EXPERIMENT.initial_policy(torch.Generator().manual_seed(0))
    vector = ParameterVector(policy, policy.parameters())
    start = dict(zip(vector.names, np.cumsum([0, *vector.sizes[:-1]]), strict=True))["weights.1"]
    theta = np.stack([vector.read().numpy()] * 3)
    theta[1, start : start + 8], theta[2, start : start + 8] = 1e-3, 3.0  # the last layer's weights
    shapes = np.zeros((len(vector.shapes), 2), dtype=np.int64)
    for row, shape in enumerate(vector.shapes):
        shapes[row, : len(shape)] = shape
    order = {"names": np.array(vector.names), "shapes": shapes, "updates": np.array([0, 10, 20])}
    files.write_npz(tmp_path / "weights.npz", theta=theta, **order)
    files.write_json(
        tmp_path / "run.json",
        {"experiment": "double-integrator", "arm": "a", "dataset": "mixed", "method": "scpo", "seed": 3},
    )
    return tmp_path


def test_a_certificate_is_carried_on_until_the_policy_changes(run: Path) -> None:
    certificates.main(run, run / "c.json", cells=80, cells_over_training=60, iterates=3, rho=0.8)
    found, arrays = files.read_json(run / "c.json"), files.read_npz(run / "c.npz")
    assert [row["update"] for row in found["over_training"]] == [0, 10, 20]
    assert found["over_training"][0]["area"] > 30.0
    assert found["over_training"][0]["level"] > 0.5
    assert found["over_training"][1]["area"] > 30.0
    assert found["final"]["area"] < 10.0  # the last policy is not safe on most of the box
    assert not found["final"]["covers_starts"]
    assert arrays["mask"].shape == (80, 80)
    assert arrays["mask"].sum() == found["final"]["certified_cells"]
    assert (found["arm"], found["seed"], found["cells"]) == ("a", 3, 80)
    assert "seconds" not in found
    assert files.read_json(run / "c.timing.json")["seconds"] > 0
    again = run / "again.json"
    certificates.main(run, again, cells=80, cells_over_training=60, iterates=3, rho=0.8)
    assert again.read_bytes() == (run / "c.json").read_bytes()


def test_the_level_is_the_largest_that_is_covered(run: Path) -> None:
    found = certificates.certify(certificates.closed_loop(files.read_npz(run / "weights.npz"), 0), 100)
    level = certificates.level(found)
    facets = certificates.backup_invariant_set().facets
    assert found.covers(facets, level)
    assert not found.covers(facets, level + 0.01)


def test_weights_that_do_not_fit_their_shapes_are_refused(run: Path) -> None:
    weights = files.read_npz(run / "weights.npz")
    with pytest.raises(ResultError, match="theta has 34 numbers, its shapes ask for 33"):
        certificates.closed_loop(weights | {"theta": np.pad(weights["theta"], ((0, 0), (0, 1)))}, 0)


def test_a_scale_names_what_differs_or_leaves_the_task_out(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("double_integrator:\n  starts: 20\n  arms:\n    scpo-mixed: {seeds: 1}\n")
    section = load(path).double_integrator
    assert section is not None
    assert (section.starts, section.horizon) == (20, 20)
    assert (section.arms["scpo-mixed"].seeds, section.arms["scpo-hostile"].seeds) == (1, 10)
    path.write_text("double_integrator: null\n")
    assert load(path).double_integrator is None


def test_settings_of_certificates_are_no_settings_of_runs() -> None:
    configs = [
        Config.model_validate({"double_integrator": {"certificate": of}}) for of in ({"cells": 50}, {"cells": 60}, None)
    ]
    arms = {digest(for_arm(config, "double-integrator", "scpo-mixed")) for config in configs}
    assert len(arms) == 1
    assert len({digest(config) for config in configs}) == 3
