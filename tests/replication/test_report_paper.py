"""The report's text: its numbers, figures, tables and references all exist, and none of them is unused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from replication.config import Config
from replication.experiments.regression import side_experiments as regression_extras
from replication.report import macros, parts
from replication.results.read import read_arm

from .synthetic_results import EXPERIMENT, small_config, write_results

PAPER = Path(__file__).parents[2] / "paper"
TEXT = {path: re.sub(r"(?<!\\)%.*", "", path.read_text(encoding="utf-8")) for path in sorted(PAPER.rglob("*.tex"))}
ALL = "\n".join(TEXT.values())


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    write_results(folder, small_config(double_integrator=True))
    return folder


@pytest.fixture(scope="module")
def collected(results: Path) -> dict[str, str]:
    return macros.collect(results)


def test_the_text_uses_exactly_the_macros_that_are_written(results: Path, tmp_path: Path) -> None:
    macros.write(results, tmp_path / "macros.tex")
    written = (tmp_path / "macros.tex").read_text()
    defined = re.findall(r"^\\newcommand\{\\([A-Za-z]+)\}\{", written, re.MULTILINE)
    assert len(defined) == len(set(defined))
    assert set(defined) <= set(re.findall(r"\\([A-Za-z]+)", ALL))
    sections = "\n".join(text for path, text in TEXT.items() if path.parent.name == "sections")
    named_like_macros = set(re.findall(r"\\([A-Z][a-z]+[A-Z][A-Za-z]*)", sections))
    assert named_like_macros - {"FloatBarrier"} <= set(defined)
    assert "nan" not in written.lower().replace("\\infty", "")


def test_numbers_of_arms_that_a_scale_leaves_out_read_not_run(collected: dict[str, str], tmp_path: Path) -> None:
    raw = small_config(double_integrator=True).model_dump(mode="json")
    for arm in ("scpo-no-margin", "scpo-no-buffer", "scpo-curvature", "scpo-uniform", "scpo-plain"):
        raw[EXPERIMENT]["arms"][arm] = None
    write_results(tmp_path, Config.model_validate(raw))
    found = macros.collect(tmp_path)
    assert found.keys() == collected.keys()
    missing = {name for name, text in found.items() if text == regression_extras.NOT_RUN}
    assert {"RegScpoCurvatureResidual", "RegScpoUniformResidual", "RegScpoNoBufferLossMedian", "RegBareLoss"} < missing
    assert not any(text == regression_extras.NOT_RUN for text in collected.values())
    assert "RegScpoLossMedian" not in missing


def test_macros_hold_the_results(results: Path, collected: dict[str, str]) -> None:
    runs = read_arm(results, EXPERIMENT, "unconstrained")
    unsafe = sum(run.summary["unsafe_iterates"] for run in runs)
    assert collected["RegUnconstrainedUnsafeIterates"] == rf"\num{{{unsafe}}}"
    scpo = read_arm(results, EXPERIMENT, "scpo")
    shares, worst = ([run.final[f"heldout_{name}"] for run in scpo] for name in ("unsafe", "max_g"))
    over = [g for g in worst if g > 0]
    assert collected["RegScpoHeldoutUnsafeRuns"] == rf"\num{{{len(over)}}}"
    assert collected["RegScpoHeldoutExcessMost"] == rf"\num{{{max(over, default=0.0):.3f}}}"
    ends = [rf"\SI{{{100 * share:{'.1f' if share else '.0f'}}}}{{\percent}}" for share in (min(shares), max(shares))]
    assert collected["RegScpoHeldoutShares"] == " to ".join(ends)
    unsafe = sum((run.evaluations["heldout_max_g"] > 0).sum() for run in scpo)
    assert collected["RegScpoHeldoutUnsafeEvaluations"] == rf"\num{{{unsafe}}}"
    assert collected["RegScpoSeeds"] == r"\num{2}"
    assert collected["RegDimension"] == r"\num{4353}"


def test_only_the_paper_scale_goes_without_a_notice(tmp_path: Path) -> None:
    raw = small_config(epochs=10, seeds=1).model_dump(mode="json")
    for scale in ("smoke", "paper"):
        write_results(tmp_path / scale, Config.model_validate(raw | {"scale": scale}))
    assert "smoke" in macros.collect(tmp_path / "smoke")["ScaleNotice"]
    assert macros.collect(tmp_path / "paper")["ScaleNotice"] == ""


def test_the_text_types_no_result() -> None:
    lengths = re.compile(r"\{-?\d*\.?\d+(ex|em|pt|mm)[^}]*\}")
    for path, text in TEXT.items():
        if path.parent.name == "sections":
            typed = re.findall(r"\d+\.\d+", lengths.sub("", text))
            assert not typed, f"{path.name} types {typed}"


def test_every_figure_and_table_is_shown() -> None:
    shown = set(re.findall(r"figures/([a-z0-9-]+)", ALL)) | set(re.findall(r"tables/([a-z0-9-]+)", ALL))
    assert shown == set(parts.all_parts())


def test_citations_references_and_inputs_are_complete() -> None:
    entries = set(re.findall(r"^@\w+\{([\w-]+),", (PAPER / "references.bib").read_text(), re.MULTILINE))
    cited = {key.strip() for keys in re.findall(r"\\cite[tp]?\{([^}]*)\}", ALL) for key in keys.split(",")}
    assert cited == entries
    labels = re.findall(r"\\label\{([^}]*)\}", ALL)
    referred = {key for keys in re.findall(r"\\[cC]?ref\{([^}]*)\}", ALL) for key in keys.split(",")}
    assert len(labels) == len(set(labels))
    assert referred <= set(labels)
    sections = set(re.findall(r"\\input\{(sections/[^}]*)\}", ALL))
    assert sections == {f"sections/{path.stem}" for path in TEXT if path.parent.name == "sections"}
