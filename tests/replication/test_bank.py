"""A bank keeps the runs that it holds: those of other settings are lost on purpose alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from replication import bank, scales
from replication.bank import Bank, Key
from replication.errors import ResultError
from replication.study import race
from scpo.errors import ConfigurationError

from .synthetic_stamps import stamp_of

SCALE = """
scale: tuning
only: [scpo, backtracking]
double_integrator: null
regression: {arms: {scpo: {seeds: 3, first_seed: 10000}, backtracking: {seeds: 2, first_seed: 10000}}}
"""
CHANGE = "regression.arms.scpo.overrides.bound=1.2"
LOST = "3 runs of other settings would be lost: 3 of regression/scpo; to keep them, name another folder with --bank"


class Made:
    """A scale of tuning runs with a folder of results and a bank."""

    def __init__(self, folder: Path) -> None:
        self.file, self.results, self.bank = folder / "tuning.yaml", folder / "results", folder / "bank"
        self.file.write_text(SCALE)

    def runs(self, *changes: str) -> dict[Key, str]:
        """Write finished runs with these settings to the results, and return them."""
        wanted = bank.runs_of(scales.load_scale(self.file, changes))
        for key, digest in wanted.items():
            folder = self.results / key.folder
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "run.json").write_text("{}")
            (folder / "run.stamp.json").write_text(json.dumps(stamp_of({}, digest)))
        return wanted

    def opened(self) -> Bank:
        return Bank(self.bank, records_only=True)

    def content(self) -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in self.bank.rglob("*") if path.is_file()}


@pytest.fixture
def made(tmp_path):
    made = Made(tmp_path)
    made.opened().collect(made.results, made.runs())
    return made


def test_runs_of_other_settings_are_not_lost_without_a_word(made):
    before, wanted = made.content(), made.runs(CHANGE)
    with pytest.raises(ResultError, match=LOST) as refused:
        made.opened().collect(made.results, wanted)
    assert str(refused.value).endswith("to lose them on purpose, name their arms with --replace")
    assert made.content() == before


def test_runs_of_other_settings_are_lost_if_their_arm_is_named(made):
    wanted = made.runs(CHANGE)
    assert len(made.opened().collect(made.results, wanted, ["regression/scpo"])) == 3
    assert all(made.opened().holds(key, digest) for key, digest in wanted.items())


def test_runs_of_the_same_settings_stay_if_fewer_seeds_are_asked_for(made):
    held = made.opened().runs()
    other = made.runs("regression.arms.scpo.first_seed=10005")
    made.opened().collect(made.results, other)
    assert made.opened().runs() == sorted({*held, *other})


@pytest.mark.parametrize("racing", [True, False])
def test_a_study_and_a_race_refuse_before_any_training(made, monkeypatch, racing):
    monkeypatch.setattr(race, "ProcessPoolExecutor", None)
    before = made.content()
    with pytest.raises(ResultError, match=LOST):
        race.main(made.file, [CHANGE], made.results, 1, made.bank, racing=racing)
    assert made.content() == before
    with pytest.raises(ConfigurationError, match="--replace regression/scop: the scale has no such arm; did you mean"):
        race.main(made.file, [CHANGE], made.results, 1, made.bank, part=race.Part(replace=("regression/scop",)))


def test_a_study_replaces_an_arm_that_is_named(made, monkeypatch):
    wanted = made.runs(CHANGE)
    monkeypatch.setattr(race, "run", None)  # the new runs are finished
    race.main(made.file, [CHANGE], made.results, 1, made.bank, part=race.Part(replace=("regression/scpo",)))
    assert all(made.opened().holds(key, digest) for key, digest in wanted.items())


def test_a_study_says_which_results_it_replaces(made, monkeypatch, capsys):
    """The arms that are not run now are not named."""
    monkeypatch.setattr(race, "ProcessPoolExecutor", None)
    change = "regression.bound=1.2"
    for part, said in ((race.Part(), "scpo, regression/backtracking"), (race.Part(("regression/scpo",)), "scpo")):
        with pytest.raises(TypeError):  # where training would begin
            race.main(made.file, [change], made.results, 1, part=part)
        assert f"finished runs of regression/{said} were made with other settings" in capsys.readouterr().err
