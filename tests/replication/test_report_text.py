"""The report's text: it types no result, and its figures, tables, citations and references all exist."""

from __future__ import annotations

import re
from pathlib import Path

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
    every = text.floats(text.typeset())
    assert {name for one in every for name in one.shows} == {
        f"{one.kind}s/{name}" for name, one in parts.all_parts().items()
    }
    for one in every:
        assert one.shows == one.stamps, one.label


def test_citations_references_and_inputs_are_complete() -> None:
    entries = set(re.findall(r"^@\w+\{([\w-]+),", (PAPER / "references.bib").read_text(), re.MULTILINE))
    cited = {key.strip() for keys in re.findall(r"\\cite[tp]?\{([^}]*)\}", ALL) for key in keys.split(",")}
    assert cited == entries
    labels = re.findall(r"\\label\{([^}]*)\}", ALL)
    referred = {key for keys in re.findall(r"\\[cC]?ref\{([^}]*)\}", ALL) for key in keys.split(",")}
    assert len(labels) == len(set(labels))
    assert referred <= set(labels)
    sections = set(re.findall(r"\\input\{(sections/[^}]*)\}", ALL))
    assert sections == {f"sections/{Path(path).stem}" for path in SECTIONS}
