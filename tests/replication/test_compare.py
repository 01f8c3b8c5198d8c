"""Two result folders agree exactly, up to rounding, in their statistics, or not; what differs is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from replication.cli import main
from replication.experiments import quantities
from replication.results import compare as comparison
from replication.results.compare import Agreement

from .synthetic_results import EXPERIMENT, small_config, write_results
from .synthetic_stamps import write_stamps

ARM = f"{EXPERIMENT}/scpo"


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    raw = small_config(epochs=10, seeds=4).model_dump(mode="json")
    raw[EXPERIMENT]["arms"] = {name: raw[EXPERIMENT]["arms"][name] for name in ("scpo", "unconstrained")}
    results = tmp_path_factory.mktemp("first") / "paper"
    config = write_results(results, type(small_config()).model_validate(raw))
    write_stamps(results, config, inputs={"data/seed-0.npz": "abc"})
    return results


@pytest.fixture
def second(first: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(first, tmp_path / "paper"))


def _change(results: Path, change: Callable[[dict[str, Any]], None], name: str = "run.json") -> None:
    for path in (results / ARM).glob(f"seed-*/{name}"):
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))


def compare(first: Path, second: Path) -> list[Agreement]:
    """Compare by tables computed now."""
    return comparison.compare(first, second, (quantities.collect(first), quantities.collect(second)))


def _of(first: Path, second: Path) -> Agreement:
    return next(one for one in compare(first, second) if one.arm == ARM)


def test_a_copy_agrees_exactly(first: Path, second: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert [(one.tier, one.differences) for one in compare(first, second)] == [("exact", ())] * 2
    assert main(["compare", str(first), str(second)]) == 0
    assert capsys.readouterr().out == "regression/scpo           exact\nregression/unconstrained  exact\n"


def test_rounding_is_numeric(first: Path, second: Path) -> None:
    _change(second, lambda run: run["final"].update(fresh_loss=run["final"]["fresh_loss"] + 1e-12))
    assert _of(first, second) == Agreement(ARM, "numeric", ())


def test_other_values_with_overlapping_intervals_are_statistical(first: Path, second: Path) -> None:
    _change(second, lambda run: run["final"].update(fresh_loss=run["final"]["fresh_loss"] * 1.01))
    assert _of(first, second) == Agreement(ARM, "statistical", ())


@pytest.mark.parametrize(
    ("name", "change", "difference"),
    [
        ("run.json", lambda run: run["final"].update(fresh_loss=99.0), "fresh-loss"),
        ("run.json", lambda run: run["final"].update(fresh_loss=None), "fresh-loss"),
        ("run.json", lambda run: run["initial"].update(fresh_loss=99.0), "other data, seed 0 first"),
    ],
)
def test_what_differs_is_named(
    first: Path, second: Path, name: str, change: Callable[[dict[str, Any]], None], difference: str
) -> None:
    _change(second, change, name)
    assert _of(first, second) == Agreement(ARM, "differs", (difference,))
    assert main(["compare", str(first), str(second)]) == 1


def _with_seeds(results: Path, seeds: int, without: str | None = None) -> None:
    config = json.loads((results / "config.json").read_text())
    config[EXPERIMENT]["arms"]["scpo"]["seeds"] = seeds
    if without is not None:
        del config[EXPERIMENT]["arms"][without]
    (results / "config.json").write_text(json.dumps(config))


def test_no_arm_and_no_seed_may_be_absent(first: Path, second: Path) -> None:
    _with_seeds(second, 3, without="unconstrained")
    found = {one.arm: one.differences for one in compare(first, second)}
    assert found == {ARM: (f"seed 3 not in {second}",), f"{EXPERIMENT}/unconstrained": (f"not in {second}",)}


def test_arms_of_the_second_alone_are_not_judged(first: Path, second: Path) -> None:
    _with_seeds(second, 4, without="unconstrained")
    assert [(one.arm, one.tier) for one in compare(second, first)] == [(ARM, "exact")]
    assert main(["compare", str(second), str(first)]) == 0


def test_some_of_the_seeds_are_compared_run_by_run(first: Path, second: Path) -> None:
    _with_seeds(second, 2)
    assert _of(second, first).tier == "exact"
    _change(second, lambda run: run["final"].update(fresh_loss=run["final"]["fresh_loss"] + 1e-12))
    assert _of(second, first).tier == "numeric"
    _change(second, lambda run: run["final"].update(fresh_loss=99.0))
    found = _of(second, first)
    assert found.tier == "drifted" and len(found.differences) == 2
    assert found.differences[1].startswith("seed 1: unsafe iterates 0 and 0, fresh-loss 99 and 1.26")
    assert main(["compare", str(second), str(first)]) == 0


def test_other_settings_are_no_drift(first: Path, second: Path) -> None:
    honest = (second / "config.json").read_text()
    for change in (
        lambda config: config[EXPERIMENT].update(grid_size=99),
        lambda config: config.update(base_seed=99),
        lambda config: config[EXPERIMENT]["datasets"]["normal"].update(size=99),
    ):
        config = json.loads(honest)
        change(config)
        (second / "config.json").write_text(json.dumps(config))
        assert _of(second, first) == Agreement(ARM, "differs", ("other settings",))


def test_data_that_were_compressed_otherwise_are_the_same(first: Path, second: Path) -> None:
    _change(second, lambda of: of.update(inputs={"data/seed-0.npz": "abd"}), "run.stamp.json")
    assert _of(first, second).tier == "exact"
