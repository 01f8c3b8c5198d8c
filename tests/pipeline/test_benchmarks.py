"""The benchmarks' tables and ratios, from results made up here; nothing is timed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks import arithmetic, projection, tables, update
from benchmarks.runs import TASKS, begin
from benchmarks.timing import Clock, replaced
from replication import literal
from replication.tasks.double_integrator.rollout import rollout_policy
from scpo.projection.project import project_onto


def stage(update: float, **changes: float) -> dict[str, float]:
    parts = {
        "gradient": 1e-3,
        "directions": 1e-3,
        "probes": 1e-3,
        "projection": 5e-4,
        "verification": 0.0,
        "other": 0.0,
    }
    pieces = {"gradient": 1e-3, "QR": 1e-3, "Gram": 5e-4, "evaluations": 1e-3}
    whole = parts | {f"yardstick {name}": value for name, value in pieces.items()}
    sums = {"update": update, "yardstick": 3e-3, "yardstick with Gram": 2.5e-3, "limit": 1e-3}
    return whole | sums | {"n": 8, "active": 3.0} | changes


RESULTS = {
    "update": {
        "machine": "2 cores, model",
        "found": {
            "now": {
                "regression": {"early": stage(4e-3), "late": stage(6e-3), "literal": 1.2},
                "double-integrator": {"early": stage(3e-3), "late": stage(3e-3), "literal": 0.3},
            },
            "before": {
                "regression": {"early": stage(9e-3), "late": stage(12e-3)},
                "double-integrator": {"early": stage(4e-3), "late": stage(4.5e-3)},
            },
        },
    },
    "projection": {
        "machine": "2 cores, model",
        "found": [{"n": 8, "k": 1, "active": 1.0, "seconds": {"auto": 1e-3, "sqp": 1e-3, "literal": 0.05}}],
    },
    "dimension": {
        "machine": "2 cores, model",
        "found": [
            {"d": d, "update": 1e-7 * d + (5e-3 if d < 5000 else 0.0), "outside": 2e-3, "megabytes": d * 6 * 16 / 2**17}
            for d in (1e3, 1e4, 1e5, 1e6)
        ],
    },
}


@pytest.mark.parametrize("task", TASKS)
def test_an_update_is_measured_part_by_part(task):
    """With a network of a few units and two rounds: every part is found, and they add up to the update."""
    size = {"grid_size": 20} if task == "regression" else {"starts": 16, "horizon": 20}
    found = update.measure(begin(task, hidden=(4,), heldout=1000, **size), rounds=2)
    parts = [found.get(part, 0.0) for part in (*update.PARTS, "other")]
    assert {"directions", "probes", "projection", "verification"} <= found.keys()
    assert 0 < found["limit"] < found["yardstick with Gram"] <= 2 * sum(parts)
    assert max(parts) < found["update"]
    assert found["n"] == round(found["n"]) > 0


def test_ratios_are_those_of_the_worst_state():
    found = tables.ratios(RESULTS)
    assert found["update_over_yardstick_regression"] == pytest.approx(2.0)
    assert found["update_over_yardstick_double_integrator"] == pytest.approx(1.0)
    assert found["update_over_gram_regression"] == pytest.approx(2.4)
    assert found["literal_over_update"] == pytest.approx(100.0)
    assert found["before_over_now_double_integrator"] == pytest.approx(1.5)
    assert found["exponent_in_dimension"] == pytest.approx(1.0)  # the fixed cost at 10^3 does not count


def test_tables_go_between_their_markers():
    made = tables.texts(RESULTS)
    for name in ("update", "yardstick", "literal", "projection", "dimension"):
        assert len({line.count("|") for line in made[name].splitlines()}) == 1, name
    assert "regression, late, before" in made["update"]
    assert made["dimension"].splitlines()[-1].split("|")[-2].strip() == "6.0"
    document = "a\n<!-- bench:literal -->\nold\n<!-- /bench -->\nb <!-- bench:unknown -->\nc\n<!-- /bench -->\n"
    once = tables.inserted(document, made)
    assert "old" not in once and made["literal"] in once
    assert once.startswith("a\n") and "bench:unknown -->\nc\n" in once
    assert tables.inserted(once, made) == once


def test_a_part_inside_a_part_counts_once():
    clock = Clock()
    inner = clock.part("inner", lambda: sum(range(20_000)))
    outer = clock.part("outer", lambda: inner())
    outer()
    assert set(clock.drain()) == {"outer"}
    inner()
    assert set(clock.drain()) == {"inner"} and clock.drain() == {}


def test_what_was_replaced_is_there_again_afterwards():
    class Owner:
        value = 1

    with pytest.raises(KeyError), replaced(Owner, "value", 2):
        assert Owner.value == 2
        raise KeyError
    assert Owner.value == 1


@pytest.mark.parametrize(("n", "k"), [(8, 1), (8, 20), (32, 200)])
def test_instances_bind_and_the_literal_way_agrees(n, k):
    region, target = projection.instance(n, k, 0)
    ours = project_onto(region, target)
    assert ours.status == "projected" and ours.active.any()
    assert 0.0 < np.linalg.norm(ours.point) < np.linalg.norm(target)
    if k <= 20:
        theirs = literal.project(region, target).point
        assert np.linalg.norm(theirs - ours.point) < 1e-2 * np.linalg.norm(target)


@pytest.mark.parametrize("experiment", ["regression", "double-integrator"])
def test_the_yardstick_evaluates_what_the_method_evaluates(experiment):
    measured = begin(experiment, heldout=1000, hidden=(8, 8))
    measured.carry_on(2)
    outputs = arithmetic.evaluations(measured, 3)()
    policy, problem = measured.run.policy, measured.problem
    if experiment == "regression":
        with torch.no_grad():
            expected = policy(problem.grid).T
    else:
        expected = rollout_policy(policy, problem.starts, problem.horizon).states[0, -1].T
    assert outputs.shape == (3, *expected.shape)
    assert torch.allclose(outputs[2], expected, rtol=0.0, atol=1e-12)


@pytest.mark.parametrize("name", ["QR", "Gram"])
def test_both_ways_orthonormalise(name):
    made = arithmetic.orthonormalisations(50, 6)[name]()
    rows = made if name == "Gram" else made.T
    assert torch.allclose(rows @ rows.T, torch.eye(6, dtype=torch.float64), atol=1e-10)
