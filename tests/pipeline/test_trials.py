"""The trials' tools: what is kept, the tables, and the page that shows them; no trial is run."""

from __future__ import annotations

import importlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.trials import __main__ as trials
from tests.trials import table
from tests.trials.common import NotRun, Options, Row

#: of the trials of the test: what each tries
TRIED = {"first": "Tries one thing.", "second": "Tries another.", "third": "Tries a third."}
PAGE = f"before\n{table.BEGIN}old\n{table.END}after\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(table, "FOLDER", tmp_path / "trials")
    return tmp_path / "trials"


def test_each_trial_has_a_line_that_says_what_it_tries():
    assert {"audit", "environments", "faults", "hosts", "kills", "mutants", "setups", "slurm"} <= set(trials.names())
    for name in trials.names():
        trial = importlib.import_module(f"tests.trials.{name}")
        assert callable(trial.main) and str(trial.__doc__).splitlines()[0].endswith("."), name


def test_what_was_found_is_kept_and_shown_with_date_and_commit(folder: Path, tmp_path: Path):
    rows = [Row("one | thing", "this", "this", True), Row("another", "this", "that\nand more", False)]
    table.keep(table.Outcome.of("first", "Tries one thing.", rows, "", 90.0, Options(settings="only=[scpo]")))
    table.keep(table.Outcome.of("second", "Tries another.", [], "no network", 1.0, Options()))
    content = json.loads((folder / "first.json").read_text())
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    table.update(page, TRIED)
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    first = next(line for line in text.splitlines() if line.startswith("| first "))
    assert "1 of 2 as expected, **1 not**" in first and content["date"] in first and content["commit"] in first
    assert "Tries one thing.; `--settings only=[scpo]`" in first and "| 1.5 |" in first
    assert "| one \\| thing | this | this |  |" in text and "| another | this | that and more | **not** |" in text
    assert "not run: no network" in text and "| third | Tries a third. | never run |" in text
    table.update(page, TRIED)
    assert page.read_text() == text
    (folder / "first.json").unlink()  # another machine has not run it; the page still says what was found
    table.update(page, TRIED)
    assert page.read_text() == text


@pytest.mark.parametrize("passed", [True, False])
def test_the_status_says_whether_all_went_as_expected(passed: bool, folder: Path, monkeypatch: pytest.MonkeyPatch):
    trial = importlib.import_module("tests.trials.faults")
    monkeypatch.setattr(trial, "main", lambda folder, options: [Row("a", "b", "c", passed)])
    monkeypatch.setattr("sys.argv", ["trials", "faults"])
    assert trials.main() == int(not passed)
    assert json.loads((folder / "faults.json").read_text())["rows"][0]["passed"] is passed


def test_what_cannot_be_run_here_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    def main(folder: Path, options: Options) -> list[Row]:
        raise NotRun("no such machine")

    monkeypatch.setattr(importlib.import_module("tests.trials.faults"), "main", main)
    monkeypatch.setattr("sys.argv", ["trials", "faults"])
    assert trials.main() == 0
    assert "not run: no such machine" in capsys.readouterr().out
    assert table.kept()[0].result == "not run: no such machine"


# Instead of the set-up: killed, it leaves a folder behind; else it makes an environment that says yes to everything.
SET_UP = """
left=$(mktemp -d)
sleep 0.5
mkdir -p .venv/bin && ln -sf "$(type -P true)" .venv/bin/python && rmdir "$left"
"""


def test_killed_set_ups_leave_nothing_beside_the_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    setups = importlib.import_module("tests.trials.setups")

    def working_copy(copy: Path) -> Path:
        (copy / "workflow").mkdir(parents=True)
        (copy / "workflow/setup.sh").write_text(SET_UP)
        return copy

    monkeypatch.setattr(setups, "working_copy", working_copy)
    monkeypatch.setattr(setups, "MOMENTS", (0.2,))
    monkeypatch.setattr(setups, "MORE", 0)
    for name in ("theirs", "trial"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "theirs"))
    assert [row.passed for row in setups.main(tmp_path / "trial", Options())] == [True]
    assert not list((tmp_path / "theirs").iterdir())


def test_every_kind_of_file_must_be_the_same_in_both_clones():
    hosts = importlib.import_module("tests.trials.hosts")
    first = {"smoke/explorer.html": "a", "smoke/tutorial/notebook.ipynb": "a", "smoke/report/report.pdf": "a"}
    assert all(row.passed for row in hosts.compared(first, first))
    second = dict.fromkeys(first, "b")  # the report prints processor seconds
    passed = {row.trial: row.passed for row in hosts.compared(first, second)}
    assert passed == {"files .html": False, "files .ipynb": False, "files .pdf": True}
    del second["smoke/report/report.pdf"]
    assert not any(row.passed for row in hosts.compared(first, second))


def test_the_second_clone_has_another_host_and_no_network():
    hosts = importlib.import_module("tests.trials.hosts")
    try:
        start = hosts.elsewhere()
    except NotRun as reason:
        pytest.skip(str(reason))
    asked = subprocess.run([*start, "sh", "-c", "hostname; cat /proc/net/dev"], stdout=subprocess.PIPE, text=True)
    name, *_, interface = asked.stdout.splitlines()
    assert name == "elsewhere" and interface.split(":")[0].strip() == "lo", asked.stdout


def audited(monkeypatch: pytest.MonkeyPatch, said: dict[str, list[dict[str, object]]]) -> Callable[[Path], list[Row]]:
    """Return the audit, in which pip-audit says what ``said`` has for each file of requirements."""
    trial, read = importlib.import_module("tests.trials.audit"), []

    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        if "pip" in command:
            return subprocess.CompletedProcess(command, 0, "", "")
        path = Path(command[command.index("--requirement") + 1])
        read.append(path.read_text())
        return subprocess.CompletedProcess(command, 0, json.dumps({"dependencies": said[path.name]}), "")

    def main(folder: Path) -> list[Row]:
        rows: list[Row] = trial.main(folder, Options())
        assert [line.partition("==")[0] for line in read[1].splitlines()] == ["torch"]
        return rows

    monkeypatch.setattr(trial.subprocess, "run", run)
    return main


def test_torch_which_is_outside_the_lock_is_audited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lock = [{"name": "numpy", "version": "1", "vulns": []}, {"name": "scipy", "version": "1", "vulns": []}]
    torch = {"name": "torch", "version": "2", "vulns": [{"id": "CVE-1"}]}
    rows = audited(monkeypatch, {"requirements.lock": lock, "torch.txt": [torch]})(tmp_path)
    assert [(row.trial, row.observed, row.passed) for row in rows] == [
        ("packages in requirements.lock: 2", "none", True),
        ("torch in requirements.in: 1", "1: torch 2 (CVE-1)", False),
    ]


def test_what_the_audit_skips_is_not_known_to_be_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    good, skipped = {"name": "numpy", "version": "1", "vulns": []}, {"name": "torch", "skip_reason": "not found"}
    rows = audited(monkeypatch, {"requirements.lock": [good], "torch.txt": [skipped]})(tmp_path)
    assert [row.passed for row in rows] == [True, False] and "torch was skipped: not found" in rows[1].observed
    with pytest.raises(NotRun, match="no package was found in the advisories: not found"):
        audited(monkeypatch, {"requirements.lock": [skipped], "torch.txt": [skipped]})(tmp_path)
