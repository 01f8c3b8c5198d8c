"""The freeze of the study: later changes of settings or claims are found, and need a reason."""

import json
import re

import pytest

from replication.claims import claims
from replication.errors import ResultError
from replication.study import preregistration

SCALE = "scale: study\nonly_stated: true\nregression: {arms: {scpo: {seeds: 2, first_seed: 20002}}}\n"


@pytest.fixture
def files(tmp_path):
    scale, stated = tmp_path / "study.yaml", tmp_path / "claims.yaml"
    scale.write_text(SCALE)
    stated.write_text(claims.FILE.read_text())
    return {"path": tmp_path / "frozen.json", "scale": scale, "stated": stated}


def test_before_the_freeze_nothing_is_wrong(files):
    assert preregistration.problem(**files) is None
    assert preregistration.summary(files["path"]) == "study: not frozen yet"


def test_a_change_of_settings_or_claims_needs_a_reason(files):
    preregistration.add("chosen on tuning seeds", **files)
    assert preregistration.problem(**files) is None
    files["scale"].write_text("# a comment\n" + SCALE)
    assert preregistration.problem(**files) is None
    files["scale"].write_text(SCALE.replace("seeds: 2", "seeds: 3"))
    assert "the study's settings are not those of frozen.json" in preregistration.problem(**files)
    preregistration.add("one more seed, since two are few", **files)
    assert preregistration.problem(**files) is None
    text = files["stated"].read_text()
    files["stated"].write_text(re.sub(r"tolerance: \S+", "tolerance: 0.5", text, count=1))
    assert "the study's claims are not those of frozen.json" in preregistration.problem(**files)
    assert "1 change since, with reasons" in preregistration.summary(files["path"])


def test_an_entry_that_changes_nothing_is_refused(files):
    preregistration.add("chosen on tuning seeds", **files)
    with pytest.raises(ResultError, match="nothing to add"):
        preregistration.add("chosen on tuning seeds", **files)


def test_a_reason_is_needed_and_a_damaged_file_is_named(files):
    with pytest.raises(ResultError, match="reason"):
        preregistration.add("because", **files)
    assert not files["path"].exists()
    preregistration.add("chosen on tuning seeds", **files)
    content = json.loads(files["path"].read_text())
    content["entries"][0].pop("claims")
    files["path"].write_text(json.dumps(content))
    with pytest.raises(ResultError, match=r"frozen.json.*claims"):
        preregistration.problem(**files)
