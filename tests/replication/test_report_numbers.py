"""The numbers of the report's text are looked up, none is typed, and a wrong name is found."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from replication.cli import main
from replication.config import Config
from replication.report import numbers, text
from replication.report.text import Number
from replication.results import quantities
from replication.results.quantities import NO_SEED, of_rows
from replication.results.read import read_arm, read_config
from scpo.errors import ConfigurationError

from .synthetic_results import EXPERIMENT, small_config, write_quantities, write_results

LEFT_OUT = ("scpo-no-margin", "scpo-no-buffer", "scpo-uniform", "scpo-proven")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    write_results(folder, small_config(double_integrator=True))
    write_quantities(folder)
    return folder


def _q(name: str, statistic: str, digits: int | None = None) -> Number:
    return Number("q", name, statistic, digits, "x.tex:1")


def _setting(name: str) -> Number:
    return Number("setting", name, "", None, "x.tex:1")


def _arms(one: Number) -> list[str]:
    return re.split(r" - |\+", numbers.split(one.name)[1])


def _print(one: Number, results: Path) -> str:
    return numbers.lookup(one, quantities.read(results), read_config(results))


def _written(results: Path, out: Path, folder: Path = text.FOLDER) -> dict[str, str]:
    assert main(["numbers", "--results", str(results), "--out", str(out), "--paper", str(folder)]) == 0
    return dict(re.findall(r"^\\definenumber\{([^{}]*)\}\{(.*)\}$", out.read_text(), re.MULTILINE))


def _text(folder: Path, content: str) -> Path:
    """Write a report of one section and return its folder."""
    (folder / "sections").mkdir(parents=True)
    (folder / "main.tex").write_text("\\input{sections/words}\n")
    (folder / "sections/words.tex").write_text(content)
    return folder


def test_all_numbers_of_the_text_are_written(results: Path, tmp_path: Path) -> None:
    written = _written(results, tmp_path / "numbers.tex")
    assert written.keys() == {one.key for one in text.numbers(read_config(results))}
    assert len(written) > 200
    assert not any("nan" in shown for shown in written.values())
    for one in text.numbers(read_config(results)):
        assert written[one.key] != numbers.NOT_RUN, one


def test_a_further_number_needs_its_line_in_the_text_alone(results: Path, tmp_path: Path) -> None:
    line = r"Of \q{regression/scpo-tanh/updates}{sum} updates % \q{none/of/these}{sum}" + "\n"
    line += r"\q[2]{regression/scpo-tanh/worst-g}{max} are \setting{regression/scpo-tanh/activation}, \quad{x}."
    written = _written(results, tmp_path / "numbers.tex", _text(tmp_path / "paper", line))
    assert written["regression/scpo-tanh/updates:sum"] == r"\num{80}"
    assert written["regression/scpo-tanh/activation"] == "tanh"
    assert written.keys() == {
        "regression/scpo-tanh/updates:sum",
        "regression/scpo-tanh/worst-g:max:2",
        "regression/scpo-tanh/activation",
    }


def test_words_agree_with_the_number_before_them(results: Path, tmp_path: Path) -> None:
    line = r"\agree{regression/scpo/unsafe-iterates}{sum}{was}{were} \agree{regression/scpo/updates}{seeds}{was}{were}"
    written = _written(results, tmp_path / "numbers.tex", _text(tmp_path / "paper", line))
    table = quantities.read(results)
    for name, statistic in (("unsafe-iterates", "sum"), ("updates", "seeds")):
        value = table.statistic(EXPERIMENT, "scpo", name, statistic)
        expected = numbers.ONE if value == 1 else numbers.MANY
        assert written[f"agree:regression/scpo/{name}:{statistic}"] == expected
    for value, expected in ((0.0, numbers.MANY), (1.0, numbers.ONE), (2.0, numbers.MANY)):
        one = Number("agree", "regression/side-epochs", "value", None, "x.tex:1")
        rows = [(EXPERIMENT, "", quantities.NO_SEED, "side-epochs", value)]
        assert numbers.lookup(one, quantities.of_rows(rows), read_config(results)) == expected


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (r"\q{regression/scpo/unsafe-iterate}{sum}", "no quantity 'unsafe-iterate'"),
        (r"\q{regression/scpo/unsafe-iterates}{total}", "no statistic 'total'; there are value, sum"),
        (r"\q{regression/scpoo/unsafe-iterates}{sum}", "regression has no arm 'scpoo'; it has scpo"),
        (r"\q{regresion/scpo/unsafe-iterates}{sum}", "no experiment 'regresion'; there are regression"),
        (r"\q{regression/scpo/seed-0/unsafe-iterates}{sum}", "expected experiment/arm/quantity"),
        (r"\setting{regression/scpo/schedule.epoch}", "no setting 'epoch'"),
        (r"\setting{regression/hidden}", "hidden is no number"),
    ],
)
def test_an_unknown_number_names_file_and_line(
    results: Path, tmp_path: Path, wrong: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    paper = _text(tmp_path / "paper", f"% a comment\nWords,\nand {wrong}.\n")
    assert main(["numbers", "--results", str(results), "--out", str(tmp_path / "n.tex"), "--paper", str(paper)]) == 2
    message = capsys.readouterr().err
    assert f"words.tex:3: {wrong}: " in message
    assert why in message
    assert not (tmp_path / "n.tex").exists()


def test_numbers_of_arms_that_a_scale_leaves_out_read_not_run(results: Path, tmp_path: Path) -> None:
    raw = small_config(seeds=1).model_dump(mode="json")
    for arm in LEFT_OUT:
        raw[EXPERIMENT]["arms"][arm] = None
    write_results(tmp_path, Config.model_validate(raw))
    write_quantities(tmp_path)
    written = _written(tmp_path, tmp_path / "numbers.tex")
    for one in text.numbers(read_config(tmp_path)):
        left_out = one.name.startswith("double-integrator/") or not set(_arms(one)).isdisjoint(LEFT_OUT)
        if one.kind == "agree":
            assert not left_out or written[one.key] == numbers.MANY, one
        else:
            assert (written[one.key] == numbers.NOT_RUN) == left_out, one


def test_numbers_hold_the_results(results: Path) -> None:
    scpo, unconstrained = (read_arm(results, EXPERIMENT, arm) for arm in ("scpo", "unconstrained"))
    unsafe = sum(run.summary["unsafe_iterates"] for run in unconstrained)
    assert _print(_q("regression/unconstrained/unsafe-iterates", "sum"), results) == rf"\num{{{unsafe}}}"
    over = [run.final["heldout_max_g"] for run in scpo if run.final["heldout_max_g"] > 0]
    found = _print(_q("regression/scpo/final-heldout-worst-g", "nonzero"), results)
    assert found == rf"\num{{{len(over)}}}"
    assert _print(_q("regression/scpo/updates", "seeds"), results) == r"\num{2}"
    losses = [np.array([run.final["clipped_loss"] for run in of]) for of in (scpo, unconstrained)]
    found = _print(_q("regression/scpo - unconstrained/clipped-loss", "median"), results)
    assert found == rf"\num{{{np.median(losses[0] - losses[1]):+.3f}}}"
    both = _print(_q("regression/scpo+unconstrained/updates", "sum"), results)
    assert both == rf"\num{{{sum(run.summary['updates'] for run in (*scpo, *unconstrained))}}}"


def test_settings_are_those_of_the_arm(results: Path) -> None:
    assert _print(_setting("regression/bound"), results) == r"\num{1.4}"
    assert _print(_setting("regression/scpo-proven/hidden.0"), results) == r"\num{16}"
    assert _print(_setting("regression/scpo-proven/parameters"), results) == r"\num{49}"
    assert _print(_setting("regression/parameters"), results) == r"\num{4353}"
    assert _print(_setting("double-integrator/constraints"), results) == r"\num{672}"
    assert _print(_setting("regression/scpo-tanh/scpo.smoothness.max_radius"), results) == numbers.NONE


def test_a_quantity_that_no_run_has_reads_none(results: Path) -> None:
    assert _print(_q("regression/unconstrained/bound-misses", "sum"), results) == numbers.NONE
    with pytest.raises(ConfigurationError, match="no quantity"):
        _print(_q("regression/unconstrained/misses", "sum"), results)


def test_only_a_whole_study_goes_without_a_notice() -> None:
    whole, part = (
        of_rows([("", "", NO_SEED, "finished-runs", finished), ("", "", NO_SEED, "planned-runs", 7.0)])
        for finished in (7.0, 3.0)
    )
    smoke, study = (small_config().model_copy(update={"scale": scale}) for scale in ("smoke", "study"))
    assert "smoke" in numbers.notice(smoke, whole)
    assert numbers.notice(study, whole) == ""
    assert "3 of 7 planned runs" in numbers.notice(study, part)
