"""Tables and printed numbers: nothing about safety is rounded away."""

from __future__ import annotations

import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication import files, report
from replication.claims import verdicts
from replication.claims.claims import load as load_claims
from replication.claims.verdicts import Verdict
from replication.config import Config
from replication.experiments.regression import tables
from replication.report import claims as claim_tables
from replication.report import referee as referee_table
from replication.report import study as study_tables
from replication.report.arm_names import arm_name
from replication.results.quantities import COUNT, LOSS, NUMBER, RATIO, SAFETY, SHARE, Format, Kind
from replication.results.read import read_arm
from replication.scales import load_scale
from replication.study import preregistration
from replication.typeset import latex
from replication.typeset.latex import GAP, RULE, Span, Title

from .synthetic_results import EXPERIMENT, small_config, write_quantities, write_results


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    write_results(folder, small_config())
    write_quantities(folder)
    return folder


def test_unsafe_iterates_are_listed_with_their_size(results: Path, tmp_path: Path) -> None:
    assert "none" in _rows(study_tables.unsafe(results))
    copy = tmp_path / "results"
    shutil.copytree(results, copy)
    found = json.loads((copy / "referee.json").read_text())
    arm = next(one for one in found["arms"] if (one["experiment"], one["arm"]) == (EXPERIMENT, "scpo"))
    arm["unsafe"] = [{"seed": 1, "update": 12, "constraint": 0, "g": 3e-9, "miss": None}]
    (copy / "referee.json").write_text(json.dumps(found))
    cells = _rows(study_tables.unsafe(copy))["regression"]
    assert cells[:3] == ["1", latex.count(12), "1"]
    assert cells[3:] == [latex.formatted(3e-9, SAFETY), latex.DASH]


def test_every_arm_of_the_study_has_a_name_of_its_own_in_the_report() -> None:
    for experiment, section in load_scale(preregistration.SCALE).experiments.items():
        names = {arm: arm_name(experiment, arm) for arm in section.arms}
        assert len(set(names.values())) == len(names)
        same = {arm for arm, name in names.items() if arm == name}
        assert same <= {"backtracking", "primal-dual", "unconstrained"}
    assert arm_name("regression", "scpo-no-margin") == "SCPO, no tightening"
    assert arm_name("regression", "scpo-tightened") == "SCPO, larger tightening"
    assert arm_name("double-integrator", "lb-sgd-isotropic-mixed") == "LB-SGD, isotropic, mixed"
    assert arm_name("regression", "of-my-own") == arm_name("another", "of-my-own") == "of-my-own"


def test_the_referee_calls_arms_as_the_other_tables_do(results: Path) -> None:
    shown = referee_table.referee(results)
    assert "SCPO, bound only" in shown
    assert "scpo" not in shown


def test_the_headline_says_how_many_runs_were_planned(results: Path, tmp_path: Path) -> None:
    copy = tmp_path / "results"
    shutil.copytree(results, copy)
    config = small_config()
    runs = len(config.experiments[EXPERIMENT].arms["scpo"].seed_range)
    assert _rows(study_tables.headline(copy))["regression"][0] == latex.count(runs)
    files.write_json(copy / "planned.json", {"seeds": {f"{EXPERIMENT}/scpo": 100}})
    assert _rows(study_tables.headline(copy))["regression"][0] == f"{latex.count(runs)} of 100"


def _rows(table: str) -> dict[str, list[str]]:
    lines = [line.removesuffix(r" \\") for line in table.splitlines() if line.endswith(r" \\") and " & " in line]
    return {cells[0]: cells[1:] for cells in (line.split(" & ") for line in lines)}


def _value(text: str) -> float:
    found = re.fullmatch(r"\\num\{(.*)\}", text)
    assert found, text
    return float(found[1])


@given(st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False))
def test_a_constraint_value_keeps_its_sign_and_is_never_zero(value: float) -> None:
    printed = _value(latex.safety(value))
    assert (printed > 0, printed < 0) == (value > 0, value < 0)
    if abs(value) < 1e300:
        assert printed == pytest.approx(value, rel=6e-4)


def test_constraint_values_that_are_no_number_say_so() -> None:
    assert latex.safety(math.nan) == "not a number"
    assert latex.safety(math.inf) == r"\(+\infty\)"
    assert latex.safety(0.0) == r"\num{0}"
    assert latex.safety(3e-13) == r"\num{+3.000e-13}"


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [
        (0.03033, 3, "+0.0303"),
        (-0.001, 4, "-0.001000"),
        (-0.00099, 2, "-9.9e-4"),
        (0.9996, 3, "+1.00"),
        (123.4, 2, "+123"),
        (999.96, 4, "+1.000e3"),
    ],
)
def test_a_constraint_value_of_common_size_has_no_exponent(value: float, digits: int, expected: str) -> None:
    assert latex.safety(value, digits) == rf"\num{{{expected}}}"


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        (latex.significant(3234.0, 2), "3.2e3"),
        (latex.significant(2.34e-9), "2.34e-9"),
        (latex.significant(-2340.0, 2), "-2.3e3"),
        (latex.significant(44.1), "44.1"),
        (latex.setting(1e9), "1e9"),
        (latex.setting(1e-6), "1e-6"),
        (latex.safety(5.85e3, 3), "+5.85e3"),
        (latex.fixed(1e30, 0), f"{1e30:.0f}"),
        (latex.formatted(18333.1, LOSS), "1.8e4"),
        (latex.size(7e-15), "7e-15"),
        (claim_tables._number(1.5e10, "size"), "1.5e10"),
        (latex.text_with_numbers("1e+03"), "1e3"),
    ],
)
def test_an_exponent_is_printed_without_plus_and_leading_zeros(printed: str, expected: str) -> None:
    assert printed == rf"\num{{{expected}}}"


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        (latex.formatted(3.0, COUNT), r"\num{3}"),
        (latex.formatted(0.25, SHARE), r"\SI{25.0}{\percent}"),
        (latex.formatted(-0.25, SHARE), r"\SI{-25.0}{\percent}"),
        (latex.formatted(1.006, SHARE, 0), r"\SI{101}{\percent}"),
        (latex.formatted(-1e-9, LOSS), r"\num{0.000}"),
        (latex.formatted(-1e-9, SAFETY), r"\num{-1.000e-9}"),
        (latex.formatted(0.01, NUMBER), r"\num{0.01}"),
        (latex.formatted(1e-12, NUMBER), r"\num{1e-12}"),
        (latex.formatted(7.7e-12, Format("size", 1)), r"\num{8e-12}"),
        (latex.formatted(-5.551e-16, SHARE), r"\SI{0}{\percent}"),
        (latex.formatted(-5.551e-16, RATIO), r"\num{0.00}"),
        (latex.difference(-5.551e-16, SHARE), r"\SI{0}{\percent}"),
        (latex.difference(0.0441, LOSS), r"\num{+0.044}"),
        (latex.difference(-2.0, COUNT, 2), r"\num{-2.0}"),
    ],
)
def test_a_quantity_is_printed_in_its_format(printed: str, expected: str) -> None:
    assert printed == expected


def test_a_table_refuses_a_wrong_number_of_cells() -> None:
    rows = [Title("first"), ["a", "1"], GAP, [Span(2, "both")], RULE, ["b", "2"]]
    assert latex.booktabs("lr", [["name", "value"]], rows, pages=True).splitlines() == [
        r"\begin{longtable*}{@{}lr@{}}",
        r"\toprule",
        r"name & value \\",
        r"\midrule",
        r"\endhead",
        r"\multicolumn{2}{@{}l}{\emph{first}} \\*",
        r"a & 1 \\",
        r"\addlinespace",
        r"\multicolumn{2}{c@{}}{both} \\",
        r"\midrule",
        r"b & 2 \\",
        r"\bottomrule",
        r"\end{longtable*}",
    ]
    with pytest.raises(ValueError, match="has 1 cells, and the table 2 columns"):
        latex.booktabs("lr", [], [["alone"]])


@given(st.integers(0, 10**6))
def test_a_share_prints_as_none_or_all_only_if_it_is(part: int) -> None:
    text = latex.percent(part / 10**6)
    assert (text == r"\SI{0}{\percent}") == (part == 0)
    assert (text == r"\SI{100}{\percent}") == (part == 10**6)
    assert r"\SI{0.0}" not in text
    assert r"\SI{100.0}" not in text


def test_results_have_a_column_for_each_arm_and_the_raw_maxima(results: Path) -> None:
    table = tables.regression_results(results)
    rows = _rows(table)
    assert {len(cells) for cells in rows.values()} == {len(tables.RESULTS)}
    assert all(len(line) <= 10 for heading in tables.RESULTS.values() for line in heading)  # none runs into the next
    for line in range(3):
        assert " & ".join(["", *(heading[line] for heading in tables.RESULTS.values())]) + r" \\" in table.splitlines()
    runs = {name: read_arm(results, EXPERIMENT, name) for name in tables.RESULTS}
    for name, cell in zip(runs, rows[r"worst raw \(g\), iterates"], strict=True):
        worst = max(run.series["max_g_high"].max() for run in runs[name])
        assert _value(cell) == pytest.approx(worst, rel=6e-4)
        assert (_value(cell) > 0) == any(run.summary["unsafe_iterates"] for run in runs[name])
    unsafe = [_value(cell) for cell in rows["unsafe iterates"]]
    assert unsafe == [sum(run.summary["unsafe_iterates"] for run in of) for of in runs.values()]
    assert rows["updates with a bound miss"][-1] == "--"
    assert r"\begin{tabular}" in table
    assert table.endswith("\\end{tabular}\n")


def test_settings_print_what_was_used_with_its_origin(tmp_path: Path) -> None:
    raw = small_config().model_dump(mode="json")
    raw[EXPERIMENT]["bound"] = 1.25
    raw[EXPERIMENT]["scpo"]["smoothness"] |= {"kind": "fixed", "constant": 77.0}
    raw[EXPERIMENT]["scpo"]["directions"]["count"] = 9
    write_results(tmp_path, Config.model_validate(raw))
    report.render("regression-settings", tmp_path, tmp_path / "settings.tex")
    table = (tmp_path / "settings.tex").read_text()
    rows = {name.removeprefix(r"\quad "): cells for name, cells in _rows(table).items()}
    assert rows[r"limit of \(|\pi_\theta|\)"] == [r"\num{1.25}", r"\F"]
    assert rows[r"smoothness \(L_i\)"] == [r"fixed, \num{77}", r"\R"]
    assert rows["residual on a frozen backup, last layer zero"][1] == r"\S \R"
    for name in ("training inputs", r"learning rate \(\eta\)", "look along the step", "tightening", "buffer"):
        assert rows[name][1] == r"\R \Cal"
    for name in ("training samples", "hidden widths", "batch size", "projection"):
        assert rows[name][1] == r"\R"
    assert rows[r"\quad optimiser, learning rate"][0] == r"SGD, momentum \num{0.9}, \num{0.05}"
    assert rows["initial weights and biases"][0].startswith("uniform on")
    assert not any("factor, decay" in name for name in rows)  # nothing is estimated here
    origins = {mark for name, cells in rows.items() if name != "setting" for mark in cells[1].split()}
    assert origins == {r"\S", r"\F", r"\R", r"\Cal"}


def test_the_estimator_is_printed_as_it_is_used(results: Path) -> None:
    rows = {name.removeprefix(r"\quad "): cells for name, cells in _rows(tables.settings(results)).items()}
    scpo = small_config().regression.scpo
    used = rf"\num{{{scpo.smoothness.factor:g}}}, \num{{{scpo.smoothness.decay:g}}}"
    assert rows[r"\quad factor, decay"] == [used, r"\R \Cal"]
    assert rows[r"radius \(r\)"][0] == r"\num{2} times the longest reliable step"
    assert rows[r"\quad at most"][0] == "no limit"
    seen = rf"at \num{{{scpo.look.share:g}}} of it, factor \num{{{scpo.look.factor:g}}}"
    assert rows["look along the step"][0] == seen


def test_claims_are_printed_with_what_is_measured(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = next(one for one in load_claims().claims if one.id == "regression-rejects")
    made = [Verdict.of(claim, "supported", measured=0.5)]
    monkeypatch.setattr(verdicts, "read", lambda path: made)
    assert rf"\range{{[{claim.measures}]}} & \R \Cal & \SI{{50}}{{\percent}}" in claim_tables.of_abstract(results)


@pytest.mark.parametrize(
    ("kind", "measured", "interval", "plain", "typeset"),
    [
        ("ratio", 0.0, (-5.551e-16, 4.441e-16), "0 [0, 0]", r"\num{0} \range{[\num{0}, \num{0}]}"),
        ("share", -5.551e-16, None, "0 %", r"\SI{0}{\percent}"),
        ("share", 0.07, None, "7 %", r"\SI{7}{\percent}"),
        (
            "share",
            0.006944,
            (0.0003561, 0.03252),
            "0.6944 % [0.03561 %, 3.252 %]",
            r"\SI{0.694}{\percent} \range{[\SI{0.0356}{\percent}, \SI{3.25}{\percent}]}",
        ),
        ("safety", -5.551e-16, None, "-5.551e-16", r"\num{-5.55e-16}"),
        ("size", 7.737e-12, None, "7.737e-12", r"\num{7.74e-12}"),
    ],
)
def test_what_is_measured_for_a_claim_is_the_same_in_text_and_in_tables(
    kind: Kind, measured: float, interval: tuple[float, float] | None, plain: str, typeset: str
) -> None:
    claim = load_claims().claims[0]
    one = replace(Verdict.of(claim, "supported", measured=measured, interval=interval), kind=kind)
    assert one.found == plain
    assert claim_tables._measured(one) == typeset


def test_what_is_expected_of_a_share_is_a_percentage() -> None:
    claim = load_claims().claims[0]
    one = replace(
        Verdict.of(claim, "supported"), kind="share", comparator="within", expected=(0.05, 0.15), tolerance=0.01
    )
    assert one.wanted == "in [5 %, 15 %] +- 1 %"
    shown = rf"\({claim_tables._SIGNS['within']}\) [\SI{{5}}{{\percent}}, \SI{{15}}{{\percent}}]"
    assert claim_tables._expected(one).startswith(shown)


def test_claims_that_are_left_open_are_counted_beside_those_that_deviate(tmp_path: Path) -> None:
    assert set(claim_tables.COLUMNS) == {*verdicts.STATUSES, claim_tables.LEFT_OPEN}
    stated = {one.source: one for one in load_claims().claims}
    found = [
        Verdict.of(stated["figure"], "deviates", left_open=True),
        Verdict.of(stated["figure"], "deviates"),
        Verdict.of(stated["ours"], "supported"),
    ]
    verdicts.write(tmp_path / verdicts.NAME, found)
    shown = claim_tables.counts(tmp_path)
    assert r"claims of & reproduced & supported & deviates & of which left open & not-run & all \\" in shown
    figure, total = ([rf"\num{{{count}}}" for count in row] for row in ((0, 0, 2, 1, 0, 2), (0, 1, 2, 1, 0, 3)))
    assert f"the published figure & {' & '.join(figure)}" in shown
    assert f"all & {' & '.join(total)}" in shown


def test_a_claim_has_one_number_in_all_tables(tmp_path: Path) -> None:
    stated = load_claims().claims
    verdicts.write(tmp_path / verdicts.NAME, [verdicts.Verdict.of(claim, "not-run", reason="none") for claim in stated])
    shown = "".join(made(tmp_path) for made in (claim_tables.of_abstract, claim_tables.of_figure, claim_tables.of_ours))
    for number, claim in enumerate(stated, start=1):
        assert f"\n{number}. {latex.escaped(claim.statement)} " in shown
    changes = claim_tables.changes(tmp_path)
    named = {int(number): name for number, name in re.findall(r"\\quad (\d+)\. \\texttt\{([^}]*)\}", changes)}
    assert named == {
        number: claim.id for number, claim in enumerate(stated, start=1) if claim.calibrated or claim.history
    }
