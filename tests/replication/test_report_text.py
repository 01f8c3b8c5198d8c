"""The report's text: it types no result, and its figures, tables, citations and references all exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from replication.config import Config, load
from replication.report import parts, text

PAPER = text.FOLDER
TEXT = {path: re.sub(r"(?<!\\)%.*", "", path.read_text(encoding="utf-8")) for path in sorted(PAPER.rglob("*.tex"))}
ALL = "\n".join(TEXT.values())
SECTIONS = {path: content for path, content in TEXT.items() if path.parent.name == "sections"}


def test_the_text_types_no_result() -> None:
    lengths = re.compile(r"\{-?\d*\.?\d+(ex|em|pt|mm)[^}]*\}")
    for path, content in SECTIONS.items():
        typed = re.findall(r"\d+\.\d+", lengths.sub("", content))
        assert not typed, f"{path.name} types {typed}"


def test_every_figure_and_table_is_shown_with_its_stamp() -> None:
    every = text.floats(text.typeset(load(PAPER.parent / "config/study.yaml")))  # with the sections that wait
    assert {name for one in every for name in one.shows} == {
        f"{one.kind}s/{name}" for name, one in parts.all_parts().items()
    }
    for one in every:
        assert one.shows == one.stamps, one.label


def test_a_letter_stands_for_one_thing() -> None:
    rows = re.findall(r"^    (\\\(.*?\\\)) *&", TEXT[PAPER / "sections/symbols.tex"], re.MULTILINE)
    names = [name for row in rows for name in re.split(r",\\ ", row.replace(r"\(", "").replace(r"\)", ""))]
    letters = [re.sub(r"_(\\theta|[ij])|\(.*\)|=.*", "", name).strip() for name in names]
    assert len(rows) > 30
    assert sorted(letters) == sorted(set(letters))


def test_citations_references_and_inputs_are_complete() -> None:
    entries = set(re.findall(r"^@\w+\{([\w-]+),", (PAPER / "references.bib").read_text(), re.MULTILINE))
    cited = {key.strip() for keys in re.findall(r"\\cite[tp]?\{([^}]*)\}", ALL) for key in keys.split(",")}
    assert cited == entries
    labels = re.findall(r"\\label\{([^}]*)\}", ALL)
    referred = {key for keys in re.findall(r"\\[cC]?ref\{([^}]*)\}", ALL) for key in keys.split(",")}
    assert len(labels) == len(set(labels))
    assert referred <= set(labels)
    sections = set(re.findall(r"\\(?:input|sectionwhererun\{[^}]*\})\{(sections/[^}]*)\}", ALL))
    assert sections == {f"sections/{Path(path).stem}" for path in SECTIONS}


@pytest.mark.parametrize("scale", ["paper", "smoke", "study"])
def test_every_scale_has_what_its_text_refers_to(scale: str) -> None:
    """Sections that wait for an arm of the study are left out elsewhere, and nothing else may refer to them."""
    typeset = text.typeset(load(PAPER.parent / f"config/{scale}.yaml"))
    referred = {key for keys in re.findall(r"\\[cC]?ref\{([^}]*)\}", typeset) for key in keys.split(",")}
    assert referred <= set(re.findall(r"\\label\{([^}]*)\}", typeset))


def test_a_section_that_waits_for_an_arm_comes_with_it(tmp_path: Path) -> None:
    (tmp_path / "sections").mkdir()
    (tmp_path / "main.tex").write_text("\\input{sections/a}\\sectionwhererun{regression/scpo}{sections/b}\n")
    (tmp_path / "sections/a.tex").write_text("First.")
    (tmp_path / "sections/b.tex").write_text(r"Second \q{regression/scpo/updates}{sum}.")
    with_it, without = Config(), Config(regression=None)
    assert text.conditions(tmp_path) == ["regression/scpo"]
    for config, there in ((with_it, True), (without, False)):
        assert ("Second" in text.typeset(config, tmp_path)) == there
        assert bool(text.numbers(config, tmp_path)) == there


def test_figures_after_a_section_that_waits_have_the_number_that_is_printed(tmp_path: Path) -> None:
    (tmp_path / "sections").mkdir()
    (tmp_path / "main.tex").write_text("\\sectionwhererun{regression/scpo}{sections/b}\\input{sections/a}\n")
    for name, figure in (("a", "update"), ("b", "regression-safety")):
        shown = rf"\begin{{figure}}\includegraphics{{figures/{figure}}}\end{{figure}}"
        (tmp_path / f"sections/{name}.tex").write_text(shown)
    assert text.title("figures/update", Config(), tmp_path) == "Figure 2"
    assert text.title("figures/update", Config(regression=None), tmp_path) == "Figure 1"


def test_sections_wait_for_arms_of_experiments_that_exist() -> None:
    assert {arm.partition("/")[0] for arm in text.conditions()} <= set(Config().experiments)
