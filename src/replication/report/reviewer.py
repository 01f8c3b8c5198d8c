"""What REPRODUCE.md holds that is generated: what makes each figure and table, and the times that were measured."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median

from replication import report
from replication.errors import ResultError
from replication.files import read_json, write_text
from replication.report import paper
from replication.shipped import collection

RESTORED = "results/shipped/paper"
NONE = "No shipped results are shipped yet, so there are no times."


def refresh(page: Path, shipped: Path) -> None:
    """Write the generated parts into ``page``.

    Args:
        page: REPRODUCE.md.
        shipped: shipped/results/<scale>; it may be missing, then there are no times.

    Raises:
        ResultError: a marker is missing, or the shipped results are altered.
    """
    write_text(page, updated(page.read_text(encoding="utf-8"), shipped))


def updated(text: str, shipped: Path) -> str:
    """Return ``text`` with what stands between its markers generated again (arguments as for :func:`refresh`)."""
    return _between(_between(text, "map", made_by()), "times", times(shipped))


def made_by(folder: Path = paper.FOLDER) -> str:
    """Return the table of figures and tables: number in the report, rule, module and command."""
    rows = []
    labels = {shown: one.label for one in paper.floats(_typeset(folder)) for shown in one.shows}
    for kind, names, suffix in (("figures", report.FIGURES, ".pdf"), ("tables", report.TABLES, ".tex")):
        for name, item in names.items():
            made = f"`{report.rule_of(name)}` | `{item.module}.{item.function}`"
            target = f"`snakemake $FIGURES {RESTORED}/report/{kind}/{name}{suffix}`"
            label = labels.get(f"{kind}/{name}", "not shown")
            number = int(label.partition("-")[2]) if label in labels.values() else len(names) + 1
            rows.append((kind, number, f"| {label} | {report.caption(name)} | {made} | {target} |"))
    lines = ["| in the report | shows | rule | made by | command |", "|---|---|---|---|---|"]
    lines += [line for *_, line in sorted(rows)]
    for what, rule, module, path in (
        ("every number in the text", "macros", "replication.report.macros", "report/macros.tex"),
        ("the verdicts on the claims", "claims", "replication.claims.decide", "claims.json"),
        ("the PDF", "pdf", "paper/main.tex", "report/report.pdf"),
    ):
        lines.append(f"| -- | {what} | `{rule}` | `{module}` | `snakemake $FIGURES {RESTORED}/{path}` |")
    return "\n".join(lines)


def times(shipped: Path) -> str:
    """Return the table of processor times that the runs behind the shipped results took, and on which machine.

    Raises:
        ResultError: the shipped results are altered.
    """
    if not (shipped / collection.MANIFEST).is_file():
        return NONE
    found: dict[str, list[float]] = {}
    machines: set[str] = set()
    for name in collection.check(shipped)["files"]:
        if name.endswith(collection.TIMING):
            content = read_json(shipped / name)
            found.setdefault(_job(name), []).append(float(content["seconds"]))
            machines |= _machine(content)
    lines = ["| job | how many | one takes (median) | all together |", "|---|---|---|---|"]
    for job, seconds in found.items():
        lines.append(f"| {job} | {len(seconds)} | {median(seconds):.0f} s | {sum(seconds) / 60:.0f} min |")
    total = sum(sum(seconds) for seconds in found.values())
    lines.append(f"| **all** | {sum(map(len, found.values()))} | | **{total / 3600:.1f} h** |")
    return "\n".join([*lines, "", f"Measured with one thread a job on {'; '.join(sorted(machines))}."])


def _job(name: str) -> str:
    experiment, _, kind = name.split("/")[0], *name.split("/")[-2:]
    return f"{experiment}: {'training run' if kind.startswith('run.') else kind.partition('.')[0]}"


def _machine(content: Mapping[str, str]) -> set[str]:
    return {f"{content['processor']} ({content['platform']})"} if "processor" in content else set()


def _typeset(folder: Path) -> str:
    """Return the report's text with every switch on."""
    switches = {name for path in folder.rglob("*.tex") for name in _switches(path)}
    return paper.text(folder, "".join(rf"\{name}true" for name in switches))


def _switches(path: Path) -> Iterator[str]:
    return (found[1] for found in re.finditer(r"\\if([A-Z][A-Za-z]*)", path.read_text(encoding="utf-8")))


def _between(text: str, name: str, content: str) -> str:
    begin, end = f"<!-- generated: {name} -->", f"<!-- end of {name} -->"
    if not (text.count(begin) == text.count(end) == 1 and text.index(begin) < text.index(end)):
        raise ResultError(f"REPRODUCE.md must hold the lines {begin} and {end} once each, in this order")
    before, rest = text.split(begin)
    return f"{before}{begin}\n{content}\n{end}{rest.split(end)[1]}"
