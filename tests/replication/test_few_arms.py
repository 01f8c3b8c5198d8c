"""A scale may run any of the arms: what it has is reported in full, and nothing asks for what it leaves out."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from replication import report
from replication.claims import decide
from replication.config import Config, load
from replication.errors import NotRunError
from replication.experiments import quantities
from replication.experiments.overview import by_seed, picture
from replication.report import numbers, parts

from .synthetic_results import small_config, write_results
from .synthetic_stamps import write_stamps

PROJECT = Path(__file__).parents[2]
ARMS = [
    ("scpo",),
    ("unconstrained-adversarial-10",),
    ("backtracking",),
    ("unconstrained-hostile",),
    ("scpo-mixed", "scpo-adversarial-30"),
]


def few(arms: tuple[str, ...]) -> Config:
    """Return the small configuration with these arms alone."""
    config = small_config(epochs=24, seeds=1, double_integrator=True)
    sections = {}
    for name in ("regression", "double_integrator"):
        section = getattr(config, name)
        kept = {arm: settings for arm, settings in section.arms.items() if arm in arms}
        sections[name] = section.model_copy(update={"arms": kept}) if kept else None
    return config.model_copy(update=sections)


@pytest.mark.parametrize("arms", ARMS, ids="+".join)
def test_everything_is_made_of_the_arms_there_are(arms: tuple[str, ...], tmp_path: Path) -> None:
    results = tmp_path / "results/synthetic"
    config = write_results(results, few(arms))
    write_stamps(results, config)
    quantities.main(results, results / "quantities.parquet")
    decide.write(results, results / "claims.json")
    numbers.main(results, results / "numbers.tex")
    for kind in parts.KINDS.values():
        for name in parts.names_for(kind, config):
            report.render(name, results, tmp_path / name)
    for experiment in config.experiments:
        names = {"results": str(results), "experiment": experiment}
        for cell in nbformat.read(PROJECT / f"notebooks/{experiment}.ipynb", as_version=4).cells:
            if cell.cell_type == "code" and "parameters" not in cell.metadata.get("tags", []):
                exec(cell.source, names)


def test_a_figure_is_made_if_a_run_of_it_is_there() -> None:
    names = parts.names_for("figure", few(("scpo-uniform",)))
    assert {"regression-smoothness", "update"} <= set(names)
    assert not {"regression-replication", "double-integrator-training"} & set(names)  # of other arms
    run = [f"regression/scpo-uniform/seed-0/{name}" for name in ("run.json", "updates.parquet", "curve.parquet")]
    for name in names:
        one = parts.part(name)
        assert one.experiment is None or (one.experiment == "regression" and any(map(one.is_read, run))), name
    assert len(parts.names_for("figure", Config())) == len(
        parts.names_for("figure", load(PROJECT / "config/smoke.yaml"))
    )


def test_a_notebook_says_what_was_not_run(tmp_path: Path) -> None:
    def draw(_: Path) -> None:
        raise NotRunError("none of the arms")

    def look_up(arm: str) -> None:
        raise NotRunError(f"no {arm}")

    assert picture(draw, tmp_path) == "none of the arms"
    assert by_seed("loss", look_up, "scpo") == "no scpo"
