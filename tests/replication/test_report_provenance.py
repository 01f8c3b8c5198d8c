"""What stands on the page leads to where it comes from, and nothing stale or unreferenced gets there."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from replication import report
from replication.claims import claims, decide
from replication.cli import main
from replication.errors import ResultError
from replication.experiments import quantities
from replication.provenance import stamp
from replication.report import explain, numbers, parts, text
from scpo.errors import ConfigurationError

from . import planted_claims

#: A claim about one arm.
CLAIM = next(claim for claim in claims.load().claims if claim.id == "regression-rejects")
PARTS = {
    "figures/falsification-smoothness": ".pdf",
    "tables/regression-settings": ".tex",
    "tables/claims-figure": ".tex",
}
SHOWN = r"""
\input{numbers}\input{stamps}
\input{sections/text}
"""
TEXT = r"""
\begin{table}[t]\input{tables/claims-figure}\caption{C \stamp{tables/claims-figure}}\end{table}
\setting{regression/bound} of \q{regression/scpo/updates}{sum} % \setting{hidden}
\begin{figure}\includegraphics[width=1cm]{figures/falsification-smoothness}
\caption{F \stamp{figures/falsification-smoothness}}\end{figure}
\begin{table}\input{tables/regression-settings}
\caption{T \stamp{tables/regression-settings}}\end{table}
"""


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small report: a figure, two tables, numbers and claims, with the text that shows them."""
    folder = tmp_path_factory.mktemp("once")
    results, paper = folder / "results/study", folder / "text"
    planted_claims.write(results)
    quantities.main(results, results / "quantities.parquet")
    decide.write(results, results / "claims.json")
    for name, suffix in PARTS.items():
        report.render(name.partition("/")[2], results, results / "report" / f"{name}{suffix}")
    (paper / "sections").mkdir(parents=True)
    (paper / "main.tex").write_text(SHOWN)
    (paper / "sections/text.tex").write_text(TEXT)
    numbers.main(results, results / "report/numbers.tex", paper)
    return folder


@pytest.fixture
def made(once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the report in another place; its registry knows what is in it."""
    shown = {name.partition("/")[2]: parts.part(name.partition("/")[2]) for name in PARTS}
    monkeypatch.setattr(parts, "all_parts", lambda: shown)
    folder = tmp_path / "moved"
    shutil.copytree(once, folder, ignore=shutil.ignore_patterns("regression", "double-integrator"))
    for experiment in ("regression", "double-integrator"):
        (folder / "results/study" / experiment).symlink_to(
            once / "results/study" / experiment, target_is_directory=True
        )
    return folder


def _write(folder: Path) -> str:
    out = folder / "results/study/report/stamps.tex"
    text.write_stamps(folder / "results/study", out, folder / "text")
    return out.read_text()


def _problems(folder: Path) -> list[str]:
    return text.problems(folder / "results/study", folder / "text")


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_every_part_has_a_hash_which_is_that_of_its_stamp(made: Path) -> None:
    hashes = dict(re.findall(r"\\definestamp\{([^}]+)\}\{([0-9a-f]{8})\}", _write(made)))
    assert hashes.keys() == {*PARTS, "numbers", "quantities", "claims"}
    assert len(set(hashes.values())) == len(hashes)
    for name, suffix in PARTS.items():
        content = stamp.read(made / f"results/study/report/{name}{suffix}")
        assert content["hash"] == hashes[name] == stamp.short_hash(content)


def test_the_hash_depends_on_inputs_code_and_settings_only(once: Path, tmp_path: Path) -> None:
    results = planted_claims.copied(once / "results/study", tmp_path / "elsewhere/study", ())
    out = results / "report/tables/regression-settings.tex"
    before = stamp.read(once / "results/study/report/tables/regression-settings.tex")
    report.render("regression-settings", results, out)
    assert stamp.read(out)["hash"] == before["hash"]
    for key in ("commit", "host", "dirty", "versions", "platform"):
        assert stamp.short_hash(before.model_copy(update={key: "other"})) == before["hash"]
    for key in ("name", "module", "code_sha256", "config_sha256", "inputs"):
        assert stamp.short_hash(before.model_copy(update={key: "other"})) != before["hash"]


def test_host_commit_and_dirty_flag_reach_no_hash(once: Path, tmp_path: Path) -> None:
    results = tmp_path / "elsewhere/study"
    shutil.copytree(once / "results/study", results)
    for path in results.rglob("*.stamp.json"):
        content = json.loads(path.read_text())
        path.write_text(json.dumps(content | {"host": "another", "commit": "0" * 40, "dirty": True, "platform": "x"}))
    for path in results.rglob("*.timing.json"):
        path.write_text('{"seconds": 9, "host": "another"}')
    decide.write(results, results / "claims.json")
    assert stamp.read(results / "claims.json")["hash"] == stamp.read(once / "results/study/claims.json")["hash"]


def test_inputs_are_what_was_read(once: Path) -> None:
    results = once / "results/study"
    assert stamp.read(results / "report/tables/regression-settings.tex")["inputs"].keys() == {"results:config.json"}
    figure = stamp.read(results / "report/figures/falsification-smoothness.pdf")
    assert "results:falsification.json" in figure["inputs"]
    decided = stamp.read(results / "claims.json")
    assert {"config/claims.yaml", "results:quantities.parquet"} <= decided["inputs"].keys()
    assert "results:regression/scpo/seed-1/run.json" in stamp.read(results / "quantities.parquet")["inputs"]
    assert not any("../" in name or name.startswith("/") for name in decided["inputs"])
    assert decided["seeds"]["regression/scpo"] == [0, 1]


@pytest.mark.parametrize(
    ("name", "old", "new", "problem"),
    [
        (
            "results/study/report/tables/regression-settings.tex",
            "setting",
            "sitting",
            "regression-settings.tex: altered since it was made",
        ),
        (
            "results/study/falsification.json",
            "refused",
            "accepted",
            r"smoothness.pdf: made from another .*falsification",
        ),
        (
            "results/study/report/tables/regression-settings.stamp.json",
            '"code_sha256": "',
            '"code_sha256": "0',
            "code that has changed",
        ),
        ("results/study/report/numbers.tex", "1.4", "1.5", "numbers.tex: altered since it was made"),
        ("results/study/claims.json", "supported", "reproduced", "claims.json: altered since it was made"),
        (
            "text/sections/text.tex",
            "}{sum}",
            "}{max}",
            r"text.tex:3: .q{regression/scpo/updates}{max} is not in numbers.tex",
        ),
        (
            "text/sections/text.tex",
            r"\input{tables/regression-settings}",
            "",
            "tables/regression-settings: made and not shown",
        ),
        (
            "text/sections/text.tex",
            r"tables/regression-settings",
            "tables/guess",
            "tables/guess: shown in the report and not made",
        ),
        (
            "text/sections/text.tex",
            r"T \stamp{tables/regression-settings}",
            "T",
            r"tab-2 lacks .stamp.tables/regression-settings",
        ),
        (
            "text/sections/text.tex",
            r"{T ",
            r"{T \stamp{figures/none} ",
            "tab-2: .stamp.figures/none. of what it does not show",
        ),
    ],
)
def test_what_is_stale_or_unreferenced_stops_the_report(
    made: Path, name: str, old: str, new: str, problem: str
) -> None:
    assert _problems(made) == []
    _replace(made / name, old, new)
    found = _problems(made)
    assert any(re.search(problem, one) for one in found), found
    with pytest.raises(ResultError, match="the report cannot be typeset"):
        _write(made)


def test_a_part_without_a_stamp_stops_the_report(made: Path) -> None:
    (made / "results/study/report/tables/regression-settings.stamp.json").unlink()
    with pytest.raises(ResultError, match="no stamp"):
        _write(made)


def _explain(name: str, folder: Path, *, make: bool = False) -> tuple[str, bool]:
    return explain.explain(name, folder / "results/study", folder / "text", make=make)


@pytest.mark.parametrize(
    ("name", "heading"),
    [
        ("fig-1", "figures/falsification-smoothness, fig-1 of the report"),
        ("figure 1", "figures/falsification-smoothness, fig-1 of the report"),
        ("falsification-smoothness", "figures/falsification-smoothness, fig-1 of the report"),
        ("table 2", "tables/regression-settings, tab-2 of the report"),
        ("tables/regression-settings", "tables/regression-settings, tab-2 of the report"),
        ("regression/scpo/updates", "quantity  updates: Updates of the run.\nunit      updates\nvalue     1000 from "),
        (
            "unsafe-share",
            "quantity  unsafe-share: Share of the iterates at which a constraint is above 0.\nunit      none\n",
        ),
        (r"\q{regression/scpo/updates}{sum}", "quantity  updates: Updates of the run."),
        ("updates", "quantity  updates: Updates of the run."),
        ("regression/floor-normal", "quantity  floor-normal: Least mean squared error"),
        (
            r"\setting{regression/bound}",
            "setting   regression/bound: the constraint |pi(x)| <= bound on the grid (F)\n",
        ),
        ("regression/scpo/scpo.kappa", "setting   regression/scpo/scpo.kappa: share of "),
        (
            "regression/schedule.updates",
            "setting   regression/schedule.updates: The largest number of updates of a run.",
        ),
        ("regression/datasets.normal.size", "setting   regression/datasets.normal.size: number of training samples\n"),
        (CLAIM.id, f"claim {CLAIM.id} ({CLAIM.source}; setting {CLAIM.mark}): {CLAIM.statement}"),
    ],
)
def test_a_figure_a_table_a_number_and_a_claim_are_explained(made: Path, name: str, heading: str) -> None:
    text, matches = _explain(name, made)
    assert text.startswith(heading)
    assert matches
    assert "seeds     none" not in text
    for fact in ("hash", "commit", "module", "sources", "config", "versions", "host", "again", "inputs"):
        assert re.search(rf"^{fact} +\S", text, re.MULTILINE), fact
    assert re.search(r"^state +as made$", text, re.MULTILINE)


@pytest.mark.parametrize("name", [*PARTS, "numbers", "quantities", "claims"])
def test_the_hash_in_the_report_says_what_is_behind_it(made: Path, name: str) -> None:
    hashes = dict(re.findall(r"definestamp\{(.*?)\}\{(.*?)\}", _write(made)))
    for digits in (hashes[name], hashes[name][:6]):
        text, matches = _explain(digits, made)
        assert text.startswith(f"{name}, ")
        assert f"\nhash      {hashes[name]}\n" in text
        assert matches
    if name not in PARTS:
        assert _explain(name, made) == (text, matches)


def test_digits_that_are_no_hash_or_several_are_refused(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="has the hash 00000000"):
        _explain("00000000", made)
    with pytest.raises(ConfigurationError, match="nothing is called '0000000000'"):
        _explain("0000000000", made)
    monkeypatch.setattr(stamp, "read", lambda path: {"hash": "c0ffee00"})
    with pytest.raises(ConfigurationError, match=r"the hashes of figures/.*, claims begin with c0ff; give more digits"):
        _explain("c0ff", made)


def test_a_claim_says_what_it_was_judged_on(made: Path) -> None:
    text, _ = _explain(CLAIM.id, made)
    assert "judged on regression/scpo/seed-<n>/run.json, n = " in text
    listed, _ = explain.explain(CLAIM.id, made / "results/study", made / "text", list_inputs=True)
    assert "judged on regression/scpo/seed-<n>/run.json, n = " in listed
    for line in ("judged on regression/scpo/seed-1/run.json", "code      config/claims.yaml:"):
        assert line in listed
    assert re.search(r"^runs +\d+ made at c0ffee$", text, re.MULTILINE)
    assert f"because   {CLAIM.reason}" in text
    assert f"effort    {claims.load().efforts[CLAIM.effort].command}: " in text
    assert "verdict   not-run: regression/scpo: needs 10 seeds" in text


def test_what_no_longer_matches_is_said(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _replace(made / "results/study/config.json", '"seeds": 2', '"seeds": 1')
    options = ["--results", str(made / "results/study"), "--paper", str(made / "text")]
    assert main(["explain", "tab-2", *options]) == 1
    out = capsys.readouterr().out
    assert re.search(r"^state +CHANGED\n .*regression-settings.tex: made from another .*config.json", out, re.MULTILINE)
    assert main(["explain", "fig-1", *options]) == 0  # it does not read the settings


def test_an_unknown_name_is_answered_with_those_there_are(made: Path) -> None:
    with pytest.raises(ConfigurationError, match="nothing is called 'fig-9'"):
        _explain("fig-9", made)
    with pytest.raises(ResultError, match="no results of a scale"):
        explain.explain("fig-1", made / "results/none")


def test_without_a_name_all_that_can_be_explained_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^  fig-\d+ +regression-safety +[A-Z]", out, re.MULTILINE)
    assert re.search(r"^  unsafe-iterates +\S.*\.$", out, re.MULTILINE)
    assert re.search(rf"^  {CLAIM.id} +{CLAIM.statement[:15]}", out, re.MULTILINE)


@pytest.mark.usefixtures("made")  # for its registry
def test_what_the_report_lacks_is_made_before_it_is_explained(once: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(once, tmp_path / "copy"))
    results = copy / "results/study"
    shutil.rmtree(results / "report")
    for name in ("claims.json", "quantities.parquet"):
        (results / name).unlink()
    for name in ("fig-1", "tab-1", CLAIM.id, r"\setting{regression/bound}"):
        with pytest.raises(ResultError, match="no such file; the workflow makes it"):
            _explain(name, copy)  # a command that reads writes nothing that the workflow owns
    for name in ("fig-1", "tab-1", CLAIM.id, r"\setting{regression/bound}"):
        text, matches = _explain(name, copy, make=True)
        assert matches, text
        assert re.search(r"^file +\S", text, re.MULTILINE)
    assert (results / "report/figures/falsification-smoothness.png").is_file()


def test_the_code_line_is_that_of_the_figure_and_of_the_quantity(made: Path) -> None:
    declared = {
        "fig-1": "def ",
        "regression/scpo/updates": 'Quantity("updates"',
        "regression/bound": "bound: Positive",
        "regression/scpo/scpo.directions.count": "count: int = option(",
        "regression/schedule.updates": "def updates(self)",
        CLAIM.id: f"id: {CLAIM.id}",
    }
    for name, kind in declared.items():
        found = re.search(r"^code +(\S+?):(\d+)", _explain(name, made)[0], re.MULTILINE)
        assert found
        line = (stamp.REPOSITORY / found[1]).read_text().splitlines()[int(found[2]) - 1]
        assert kind in line


def test_the_values_of_an_arm_share_a_line_and_are_listed_on_request(made: Path) -> None:
    name, folder = "regression/scpo/updates", made / "results/study/regression/scpo"
    short, _ = _explain(name, made)
    assert f"value     1000 from {folder}/seed-<n>, n = 0 to 1\n" in short
    assert not re.search(r"seed-\d", short)
    long, _ = explain.explain(name, made / "results/study", made / "text", list_inputs=True)
    for seed in (0, 1):
        assert f"value     1000 from {folder}/seed-{seed}\n" in long


def test_inputs_are_listed_on_request(made: Path) -> None:
    short, _ = _explain("fig-1", made)
    assert re.search(r"^inputs +\d+ files; --inputs lists them$", short, re.MULTILINE)
    long, _ = explain.explain("fig-1", made / "results/study", made / "text", list_inputs=True)
    assert re.search(r"^ +[0-9a-f]{12}  falsification\.json$", long, re.MULTILINE)
    assert "matplotlib " in short
