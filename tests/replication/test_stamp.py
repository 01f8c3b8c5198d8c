"""The stamp says what made a result, from what and with what."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from replication import files
from replication.errors import ResultError
from replication.files import read_json, sha256
from replication.provenance import stamp

PROJECT = Path(__file__).parents[2]


def test_the_stamp_names_code_inputs_outputs_seeds_and_versions(tmp_path):
    data, result = tmp_path / "data", tmp_path / "result"
    data.write_text("d")
    result.write_text("r")
    stamp.write(
        tmp_path / "run.stamp.json",
        module="replication.files",
        config_sha256="c",
        seeds={"run": 3},
        inputs=[data],
        outputs=[result],
    )
    content = read_json(tmp_path / "run.stamp.json")
    assert content["inputs"] == {data.as_posix(): sha256(data)}
    assert content["outputs"] == {result.as_posix(): sha256(result)}
    assert content["seeds"] == {"run": 3}
    assert content["config_sha256"] == "c"
    assert len(content["code_sha256"]) == 64
    assert {"python", "torch", "numpy", "clarabel"} <= set(content["versions"])
    assert {"commit", "dirty", "host", "platform", "processor"} <= set(content)


def test_an_output_that_was_not_written_is_an_error(tmp_path):
    with pytest.raises(ResultError, match="missing"):
        stamp.collect("replication.files", "c", {}, [], [tmp_path / "missing"])


def test_commit_and_dirty_flag_follow_the_repository(tmp_path):
    assert stamp.commit(tmp_path) == {"commit": None, "dirty": None}
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    (tmp_path / "a").write_text("1")
    subprocess.run([*git, "add", "a"], check=True)
    subprocess.run([*git, "-c", "core.hooksPath=/dev/null", "commit", "-q", "-m", "a"], check=True)
    clean = stamp.commit(tmp_path)
    assert clean["dirty"] is False
    assert len(str(clean["commit"])) == 40
    (tmp_path / "a").write_text("2")
    assert stamp.commit(tmp_path) == {"commit": clean["commit"], "dirty": True}
    (tmp_path / "a").write_text("1")
    (tmp_path / "shipped/results/study").mkdir(parents=True)
    (tmp_path / "shipped/results/study/manifest.json").write_text("{}")  # a study that banks its runs
    assert stamp.commit(tmp_path) == clean
    (tmp_path / "shipped/other").write_text("1")
    assert stamp.commit(tmp_path)["dirty"] is True


def test_an_archive_within_another_repository_has_no_commit(tmp_path):
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "another project"], check=True)
    archive = tmp_path / "unpacked"
    archive.mkdir()
    assert stamp.commit(tmp_path)["commit"] is not None
    assert stamp.commit(archive) == {"commit": None, "dirty": None}


def test_results_that_are_a_link_leave_the_checkout_clean(tmp_path):
    shutil.copy(PROJECT / ".gitignore", tmp_path)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", ".gitignore"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "a"], check=True)
    elsewhere = tmp_path.parent / "scratch"
    elsewhere.mkdir()
    for name in ("results", "logs", "dist", ".venv", ".snakemake"):
        (tmp_path / name).symlink_to(elsewhere, target_is_directory=True)
    assert stamp.commit(tmp_path)["dirty"] is False


@pytest.mark.parametrize("content", ["{}", "[]", "null", '{"outputs": {"a"', "", '{"outputs": {}, "inputs": 5}'])
def test_a_damaged_stamp_is_named_with_what_mends_it(tmp_path, content):
    made = tmp_path / "a.pdf"
    made.write_text("x")
    stamp.beside(made).write_text(content)
    for read in (
        lambda: stamp.read(made),
        lambda: stamp.load(stamp.beside(made)),
        lambda: stamp.changed(made, tmp_path),
    ):
        with pytest.raises(ResultError, match=r"a\.stamp\.json: damaged, .*; delete it and run the pipeline again"):
            read()


def test_the_printed_hash_knows_no_host_commit_or_time(tmp_path, monkeypatch):
    results = tmp_path / "results"
    files.write_json(results / "config.json", {"scale": "smoke"})
    hashes = []
    for host, commit in (
        ("here", {"commit": "a" * 40, "dirty": False}),
        ("elsewhere", {"commit": None, "dirty": True}),
    ):
        monkeypatch.setattr(stamp.platform, "node", lambda host=host: host)
        monkeypatch.setattr(stamp, "commit", lambda commit=commit: commit)
        with stamp.stamped(results / "made.json", results, ["replication.files"]):
            files.read_json(results / "config.json")
            files.write_json(results / "made.json", {"by": "the job"})
        found = stamp.read(results / "made.json")
        assert found["host"] == host
        hashes.append(found["hash"])
    assert hashes[0] == hashes[1]
    assert stamp.changed(results / "made.json", results) == []
