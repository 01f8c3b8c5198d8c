"""The commands: they start fast, refuse bad input with a message, and write what they say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from replication import report, schema
from replication.cli import app, main
from replication.config import load
from replication.experiments import quantities
from replication.shipped import ship

PROJECT = Path(__file__).parents[2]


COMMANDS = [command for command in app if not command.startswith("-")]


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from replication.cli import main\n"
        "assert main(['--help']) == 0\n"
        "heavy = {'torch', 'pandas', 'pydantic', 'matplotlib', 'papermill'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert all(command in run.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained(command, capsys):
    assert main([command, "--help"]) == 0
    assert command in capsys.readouterr().out
    arguments = app[command].assemble_argument_collection(parse_docstring=True)
    assert all(argument.parameter.help for argument in arguments if argument.show)


def test_config_writes_the_whole_configuration(tmp_path):
    scale = str(PROJECT / "config/smoke.yaml")
    out = tmp_path / "config.json"
    assert main(["config", "--scale-file", scale, "--set=", "--out", str(out)]) == 0
    assert json.loads(out.read_text()) == load(scale).model_dump(mode="json")
    changes = ["--set=regression.bound=2 regression.grid_size=50", "--set", "base_seed=3"]
    assert main(["config", "--scale-file", scale, *changes, "--out", str(out)]) == 0
    written = json.loads(out.read_text())
    assert (written["regression"]["bound"], written["regression"]["grid_size"], written["base_seed"]) == (2.0, 50, 3)


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


@pytest.mark.parametrize("arguments", [["none"], ["config"], ["config", "--none"], ["estimate", "--jobs=two"]])
def test_a_wrong_command_line_is_status_2(arguments):
    run = subprocess.run([sys.executable, "-m", "replication", *arguments], capture_output=True, text=True)
    assert run.returncode == 2
    assert "Error" in run.stderr and "Traceback" not in run.stderr and not run.stdout


def test_a_figure_by_name_alone_is_drawn_of_the_shipped_results(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report, "render", lambda name, results, out: drawn.append((name, results, out)))
    monkeypatch.setattr(ship, "restore", lambda shipped, out: drawn.append(("restored", shipped, out)))
    monkeypatch.setattr(quantities, "main", lambda results, out: drawn.append(("counted", results, out)))
    drawn = []
    assert main(["figure", "regression-safety"]) == 0
    assert capsys.readouterr().out == "regression-safety.pdf\n"
    assert main(["table", "referee"]) == 0
    (tmp_path / "results/paper").mkdir(parents=True)
    (tmp_path / "results/paper/quantities.parquet").touch()
    assert main(["figure", "a", "b", "--out", "c", "d"]) == 0
    own = Path("results/paper")
    shipped = Path("results/read/study")  # and nothing where the workflow writes
    assert drawn == [
        ("restored", PROJECT / "shipped/results/study", shipped),
        ("counted", shipped, shipped / "quantities.parquet"),
        ("regression-safety", shipped, Path("regression-safety.pdf")),
        ("restored", PROJECT / "shipped/results/study", shipped),
        ("counted", shipped, shipped / "quantities.parquet"),
        ("referee", shipped, Path("referee.tex")),
        ("a", own, Path("c")),
        ("b", own, Path("d")),
    ]
    (tmp_path / "results/paper/quantities.parquet").unlink()
    (tmp_path / "results/shipped/study").mkdir(parents=True)
    (tmp_path / "results/shipped/study/quantities.parquet").touch()
    assert main(["table", "referee"]) == 0
    assert drawn[-1] == ("referee", Path("results/shipped/study"), Path("referee.tex"))
