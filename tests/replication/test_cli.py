"""The commands: they start fast, refuse bad input with a message, and write what they say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from replication import schema
from replication.cli import main
from replication.config import load

PROJECT = Path(__file__).parents[2]


def test_help_lists_the_commands_without_importing_what_they_need():
    code = (
        "import sys; from replication.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'pandas', 'pydantic', 'matplotlib', 'papermill'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    stages = "config budget dataset train notebook figure table macros falsify claims verify provenance explain compare"
    for command in (*stages.split(), "schema", "defaults"):
        assert command in run.stdout


def test_config_writes_the_whole_configuration_and_each_part(tmp_path):
    scale = str(PROJECT / "config/smoke.yaml")
    out = tmp_path / "config.json"
    assert main(["config", "--scale-file", scale, "--out", str(out)]) == 0
    assert json.loads(out.read_text()) == load(scale).model_dump(mode="json")
    arguments = ["config", "--scale-file", scale, "--set=regression.bound=2", "--experiment", "regression"]
    assert main([*arguments, "--arm", "scpo", "--out", str(out)]) == 0
    written = json.loads(out.read_text())["regression"]
    assert (list(written["arms"]), list(written["datasets"]), written["bound"]) == (["scpo"], ["normal"], 2.0)
    assert main([*arguments, "--dataset", "uniform", "--out", str(out)]) == 0
    assert list(json.loads(out.read_text())["regression"]["datasets"]) == ["uniform"]


def test_an_error_on_purpose_is_one_message_and_status_2(tmp_path, capsys):
    out = tmp_path / "config.json"
    assert main(["config", "--scale-file", str(tmp_path / "none.yaml"), "--out", str(out)]) == 2
    assert "replicate config: ConfigurationError" in capsys.readouterr().err
    assert not out.exists()


def test_an_unknown_figure_is_refused(tmp_path, capsys):
    assert main(["figure", "none", "--results", str(tmp_path), "--out", str(tmp_path / "none.pdf")]) == 2
    assert "no figure or table 'none'" in capsys.readouterr().err


def test_every_table_needs_a_file_of_its_own(tmp_path, capsys):
    two = ["table", "referee", "regression-settings", "--results", str(tmp_path)]
    assert main([*two, "--out", str(tmp_path / "one.tex")]) == 2
    assert "2 names, but 1 files after --out" in capsys.readouterr().err


@pytest.mark.parametrize(("command", "text"), [("schema", schema.json_schema_text), ("defaults", schema.default_yaml)])
def test_generated_files_are_printed_or_written(tmp_path, capsys, command, text):
    assert main([command]) == 0
    assert capsys.readouterr().out == text()
    assert main([command, "--out", str(tmp_path / "f")]) == 0
    assert (tmp_path / "f").read_text() == text()


def test_the_module_can_be_run():
    run = subprocess.run([sys.executable, "-m", "replication", "none"], capture_output=True, text=True)
    assert run.returncode == 2
    assert "invalid choice" in run.stderr
