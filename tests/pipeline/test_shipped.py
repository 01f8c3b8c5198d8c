"""Shipped results: all that the report reads, nothing altered, and figures that are those of the results."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from replication import files, report
from replication.cli import main
from replication.config import Config
from replication.errors import ResultError
from replication.report import numbers, parts
from replication.results.inventory import BENCHMARKS, files_of
from replication.shipped import ship
from replication.typeset import style
from tests.pipeline.test_workflow import Workflow, rules_of
from tests.replication.synthetic_results import small_config, write_results
from tests.replication.synthetic_stamps import write_stamps

PROJECT = Path(__file__).parents[2]
EXPERIMENTS = ("regression", "double-integrator")


@pytest.fixture(scope="module")
def config() -> Config:
    return small_config(epochs=10, seeds=1, double_integrator=True)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, config: Config) -> Path:
    folder = tmp_path_factory.mktemp("project") / "results" / "synthetic"
    write_results(folder, config)
    write_stamps(folder, config)
    return folder


@pytest.fixture(scope="module")
def shipped(results: Path) -> Path:
    folder = results.parents[1] / "shipped" / "results" / "synthetic"
    assert main(["ship", "--results", str(results), "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def copy(shipped: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(shipped, tmp_path / "copy"))


@pytest.fixture
def own(results: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(results, tmp_path / "results"))


COMPARED = ("regression-replication", "double-integrator-training", "referee")


@pytest.fixture
def saves_what_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other figures are built, which reads their results, and not drawn, which takes most of the time."""

    def save(figure: Figure, out: Path, really: Callable[[Figure, Path], list[Path]] = style.save) -> list[Path]:
        if out.name in COMPARED:
            return really(figure, out)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.touch()
        return [out]

    monkeypatch.setattr(style, "save", save)


def _render(results: Path, out: Path, names: Sequence[str]) -> dict[str, bytes]:
    for command, name in (("quantities", "quantities.parquet"), ("claims", "claims.json")):
        assert main([command, "--results", str(results), "--out", str(results / name)]) == 0
    for name in names:
        report.render(name, results, out / name)
    numbers.main(results, out / "numbers.tex")
    made = {path.name: path.read_bytes() for path in out.iterdir() if ".stamp." not in path.name}
    return made | {"claims": (results / "claims.json").read_bytes()}


@pytest.mark.usefixtures("saves_what_is_compared")
def test_what_is_drawn_of_the_copy_is_drawn_of_the_results(
    results: Path, shipped: Path, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1765756800")
    with files.reading() as read:
        made = _render(
            results,
            tmp_path / "made",
            sorted({*parts.names_for("figure", config), *parts.names_for("table", config)}),
        )
    inside = {path.relative_to(results).as_posix() for path in read if path.is_relative_to(results)}
    assert inside <= {*files_of(config), "claims.json", "quantities.parquet"}
    for name in parts.names_for("figure", config):  # the workflow lets them wait for nothing else
        stamp = (tmp_path / f"made/{name}.stamp.json").read_text(encoding="utf-8")
        assert ("run.json" in stamp or "falsification.json" in stamp) != (name == "update")  # a drawing of the method
        assert "referee.json" not in stamp
        assert ("falsification.json" in stamp) == name.startswith("falsification-")
    restored = tmp_path / "restored"
    assert main(["restore", "--shipped", str(shipped), "--out", str(restored)]) == 0
    again = _render(restored, tmp_path / "again", COMPARED)
    drawn = [name for name in COMPARED if parts.part(name).kind == "figure"]
    assert again.keys() == {*COMPARED, *(f"{name}.png" for name in drawn), "numbers.tex", "claims"}
    assert all(again.values())
    assert {name: made[name] for name in again} == again


def test_stamps_and_times_travel_and_raw_records_do_not(shipped: Path) -> None:
    names = {path.name for path in (shipped / "regression/scpo/seed-0").iterdir()}
    assert {"series.parquet", "run.json", "run.stamp.json", "run.timing.json"} <= names
    assert not names & {"updates.parquet", "weights.npz", "final.safetensors"}
    assert (shipped / "regression/policies.npz").is_file()
    assert (shipped / "double-integrator/policies.npz").is_file()
    manifest = ship.check(shipped)
    assert manifest["stamps_by_commit"] == {"c0ffee": sum(".stamp." in name for name in manifest["files"])}
    assert (manifest["scale"], manifest["dirty_because"]) == ("synthetic", None)


def test_altered_missing_and_added_files_are_named(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copy / "regression/scpo/seed-0/evaluations.parquet"
    content = bytearray(path.read_bytes())
    content[50] ^= 1
    path.write_bytes(content)
    (copy / "referee.json").unlink()
    (copy / "more.json").write_text("{}")
    assert main(["restore", "--shipped", str(copy), "--out", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert "ResultError" in message
    assert "seed-0/evaluations.parquet: altered" in message
    assert "referee.json: missing" in message
    assert "more.json: not in manifest.json" in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", ["", "{}", "[]"])
def test_a_damaged_manifest_is_refused(copy: Path, tmp_path: Path, content: str) -> None:
    (copy / "manifest.json").write_text(content)
    with pytest.raises(ResultError, match=r"manifest\.json: .*; restore it: git checkout"):
        ship.restore(copy, tmp_path / "out")


def test_incomplete_results_are_refused(own: Path, copy: Path) -> None:
    (own / "regression/unconstrained/seed-0/series.parquet").unlink()
    with pytest.raises(ResultError, match=r"incomplete, 1 of \d+ .*unconstrained/seed-0/series\.parquet"):
        ship.ship(own, copy)
    ship.check(copy)


def test_altered_results_are_refused(own: Path, tmp_path: Path) -> None:
    path = own / "regression/scpo/seed-0/curve.parquet"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ResultError, match=r"curve\.parquet: not the file that run\.stamp\.json describes"):
        ship.ship(own, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("state", [{"dirty": True}, {"dirty": None, "commit": None}])
def test_results_of_a_changed_checkout_need_a_reason(
    own: Path, config: Config, tmp_path: Path, state: dict[str, object]
) -> None:
    write_stamps(own, config, **state)
    with pytest.raises(ResultError, match="made from a checkout with changes"):
        ship.ship(own, tmp_path / "out")
    assert ship.ship(own, tmp_path / "out", "a reason")["dirty_because"] == "a reason"


def test_collecting_again_replaces_what_was_there(own: Path, copy: Path) -> None:
    (copy / "old.json").write_text("{}")
    before = ship.read_manifest(copy)["files"]
    assert ship.ship(own, copy)["files"] == before
    ship.check(copy)


def test_benchmarks_travel_and_come_back_beside_the_scale(own: Path, tmp_path: Path) -> None:
    (own.parent / BENCHMARKS).write_text("{}")
    ship.ship(own, tmp_path / "shipped")
    ship.restore(tmp_path / "shipped", tmp_path / "restored" / "paper")
    assert (tmp_path / "restored" / BENCHMARKS).read_text() == "{}"


@pytest.fixture(scope="module")
def workflow(tmp_path_factory: pytest.TempPathFactory, shipped: Path) -> Workflow:
    made = Workflow(tmp_path_factory.mktemp("workflow"))
    shutil.copytree(shipped, made.folder / "shipped/results/synthetic")
    (made.folder / "config/synthetic.yaml").write_text("scale: synthetic\n")
    return made


def test_the_workflow_restores_and_draws_and_trains_nothing(workflow: Workflow) -> None:
    planned = workflow.scheduled(scale="synthetic", origin="shipped")
    assert {"restore", "figure", "tables_report_claims", "numbers", "pdf", "explorer", "notebook"} <= planned
    assert not [rule for rule in planned if rule.startswith(("train", "dataset", "referee"))]


def test_an_altered_file_is_refused_before_planning(workflow: Workflow) -> None:
    path = workflow.folder / "shipped/results/synthetic/referee.json"
    before = path.read_bytes()
    path.write_bytes(before + b" ")
    with pytest.raises(AssertionError, match=r"referee\.json: altered"):
        workflow.snakemake("--dry-run", scale="synthetic", origin="shipped")
    path.write_bytes(before)


def test_copies_that_are_altered_or_missing_are_restored(workflow: Workflow) -> None:
    """Also those that no stamp describes, and stamps, which no rule reads."""
    asked = {"scale": "synthetic", "origin": "shipped"}
    copies = workflow.folder / "results/shipped/synthetic"
    names = ship.restored_names(workflow.folder / "shipped/results/synthetic")
    paths = [ship.restored_path(copies, name).relative_to(workflow.folder) for name in names]
    (workflow.folder / "outputs.txt").write_text("\n".join(map(str, paths)))
    workflow.snakemake("restore", **asked)
    ship.restore(workflow.folder / "shipped/results/synthetic", copies)
    assert "restore" not in rules_of(workflow.snakemake("--dry-run", **asked))

    referee, stamp = copies / "referee.json", copies / "regression/scpo/seed-0/run.stamp.json"
    before = stamp.read_bytes()
    stamp.unlink()
    assert "restore" in rules_of(workflow.snakemake("--dry-run", **asked))
    stamp.write_bytes(before)
    referee.write_text("{}")
    plan = workflow.snakemake("--dry-run", **asked)
    assert f"{referee.relative_to(workflow.folder)}: missing, or not the shipped file" in plan
    assert "restore" in rules_of(plan)
    assert referee.read_text() == "{}"  # a dry run changes nothing
    workflow.snakemake("restore", **asked)
    assert referee.read_text() != "{}"
    ship.restore(workflow.folder / "shipped/results/synthetic", copies)
    assert "restore" not in rules_of(workflow.snakemake("--dry-run", **asked))


def test_a_checkout_with_windows_line_ends_has_the_same_files(tmp_path):
    """With core.autocrlf=true git would write CRLF; the checksums and the scripts need LF."""
    git = ["git", "-c", "core.autocrlf=true", "-c", "core.eol=crlf"]
    subprocess.run([*git, "clone", "--quiet", PROJECT, tmp_path / "clone"], check=True, capture_output=True)
    ship.check(tmp_path / "clone" / "shipped" / "results" / "study")
    texts = [*(tmp_path / "clone" / "workflow").rglob("*.sh"), tmp_path / "clone" / "Makefile"]
    assert texts
    assert not [path.name for path in texts if b"\r" in path.read_bytes()]
    status = subprocess.run([*git, "status", "--porcelain"], cwd=tmp_path / "clone", capture_output=True, check=True)
    assert status.stdout == b""
