"""The notebooks of the experiments: tracked without outputs, parameterised, and every cell runs on a results folder."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from replication.experiments import quantities
from replication.experiments.overview import by_seed, overview, summary
from replication.results.quantities import of_rows
from tests.replication.synthetic_results import small_config, write_results

FOLDER = Path(__file__).parents[2] / "notebooks"
EXPERIMENTS = {"regression": "published late band", "double-integrator": "closed-loop cost: backup 42.00, MPC 23.00"}


@pytest.fixture(params=EXPERIMENTS)
def experiment(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def notebook(experiment: str) -> nbformat.NotebookNode:
    return nbformat.read(FOLDER / f"{experiment}.ipynb", as_version=4)


def test_it_is_valid_and_tracked_without_outputs(notebook: nbformat.NotebookNode) -> None:
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert [cell.id for cell in code if "parameters" in cell.metadata.get("tags", [])] == ["parameters"]


def test_every_cell_runs(
    notebook: nbformat.NotebookNode, experiment: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_results(tmp_path, small_config(epochs=20, double_integrator=True))
    quantities.main(tmp_path, tmp_path / "quantities.parquet")
    space: dict[str, object] = {}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, f"cell {cell.id}", "exec"), space)
            if cell.id == "parameters":
                assert space["experiment"] == experiment
                space["results"] = str(tmp_path)
    assert EXPERIMENTS[experiment] in capsys.readouterr().out
    shown = overview(quantities.collect(tmp_path), experiment, space["safety"])  # type: ignore[arg-type]
    assert set(shown.index) == set(config.experiments[experiment].arms)
    assert (shown != "").any().all()


def test_a_summary_is_no_wider_with_more_seeds_and_has_only_arms_with_a_value() -> None:
    values = {"scpo": range(100), "unconstrained": (3,)}
    rows = [("regression", arm, seed, "gap-closed", seed / 100) for arm, seeds in values.items() for seed in seeds]
    table = of_rows([*rows, ("regression", "scpo-plain", 0, "updates", 10.0)])
    shown = summary(table, "regression", "gap-closed")
    assert shown.to_dict("list") == {
        "seeds": ["100", "1"],
        "median": ["49.5 %", "3.0 %"],
        "interval": ["[39.0 %, 60.0 %]", "[3.0 %, 3.0 %]"],
        "range": ["[0.0 %, 99.0 %]", "[3.0 %, 3.0 %]"],
    }
    assert list(shown.index) == ["scpo", "unconstrained"]
    assert list(summary(table, "regression", "gap-closed", ["unconstrained", "other"]).index) == ["unconstrained"]
    single = by_seed("share", table.values, "regression", "scpo", "gap-closed")
    assert not isinstance(single, str)
    assert single.shape == (100, 1)
