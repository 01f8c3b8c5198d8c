"""The explorer of the shipped results in a real browser: what it draws, computes and says."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from replication.claims import claims, verdicts
from replication.cli import main
from replication.experiments import policies
from replication.experiments.double_integrator.read import read_references
from replication.page.verdict_rows import SOURCES
from replication.results import quantities as table_of
from replication.results.read import read_config
from replication.seeds import FIRST_REPORTED_SEED as FIRST
from tests.pipeline.browser import BROWSERS, FLAGS, Page
from tests.replication.test_explorer import rollout

VIEWS = ("verdicts", "regression", "plane")
WIDTHS = (400, 900, 1400)
#: Largest difference between the loops of the page and those of NumPy, relative where they are large.
CLOSE = 1e-9


@pytest.fixture(scope="module")
def results(shipped_study: Path) -> Path:
    return shipped_study


@pytest.fixture(scope="module")
def explorer(tmp_path_factory: pytest.TempPathFactory, results: Path) -> Path:
    out = tmp_path_factory.mktemp("browser") / "explorer.html"
    assert main(["explorer", "--results", str(results), "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    browser, driver = next(filter(None, map(shutil.which, BROWSERS)), None), shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("needs Chromium and its driver (Debian: apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield opened
    opened.quit()


@pytest.fixture
def page(chrome: webdriver.Chrome, explorer: Path) -> Iterator[Page]:
    opened = Page(chrome, explorer)
    yield opened
    assert opened.complaints() == []


@pytest.mark.parametrize("look", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("view", VIEWS)
def test_every_view_fits_its_width_and_loads_nothing(page: Page, view: str, width: int, look: str) -> None:
    page.open(view, width, look)
    assert page.run("return document.documentElement.scrollWidth") <= width
    assert page.run("return performance.getEntriesByType('resource').length") == 0
    for node in page.chrome.find_elements(By.CSS_SELECTOR, f"#{view} .plot"):
        assert node.find_element(By.CSS_SELECTOR, ".main-svg").size["width"] <= width
    ground, ink = (page.run(f"return getComputedStyle(document.body).{name}") for name in ("backgroundColor", "color"))
    light = {name: sum(json.loads(f"[{of[4:-1]}]")) for name, of in (("ground", ground), ("ink", ink))}
    assert (light["ground"] > light["ink"]) == (look == "light")


def test_the_page_is_small_enough_to_send(explorer: Path) -> None:
    assert explorer.stat().st_size <= 10_000_000


def test_the_numbers_shown_are_those_of_the_claims(page: Page, results: Path) -> None:
    decided = verdicts.read(results / verdicts.NAME)
    page.open("verdicts")
    shown = page.chrome.find_elements(By.CSS_SELECTOR, "#claims > li")
    assert [node.get_attribute("data-id") for node in shown] == [one.id for one in decided]
    for node, one in zip(shown, decided, strict=True):
        assert node.find_element(By.CLASS_NAME, "status").text.replace("\N{NON-BREAKING HYPHEN}", "-") == one.said
        if one.measured is not None:
            assert float(node.get_attribute("data-measured")) == one.measured
            text = node.find_element(By.CLASS_NAME, "measured").text.replace("\N{MINUS SIGN}", "-")
            assert text.startswith(one.found.partition(" ")[0].partition("e")[0])
    left = sum(one.left_open for one in decided)
    assert f" deviates ({left} left open)" in page.element("count").text
    for status, count in Counter(one.status for one in decided).items():
        assert f"{count} {status}".replace("not-run", "not\N{NON-BREAKING HYPHEN}run") in page.element("count").text


def test_no_line_ends_before_a_per_cent_sign_or_within_a_verdict(page: Page) -> None:
    page.open("verdicts")
    said = page.run("return document.getElementById('claims').textContent")
    assert "\u00a0%" in said
    assert " %" not in said
    about = page.run("return document.getElementById('about').textContent")
    assert "not\N{NON-BREAKING HYPHEN}run" in about


def test_filters_leave_what_they_ask_for(page: Page, results: Path) -> None:
    decided = verdicts.read(results / verdicts.NAME)
    page.open("verdicts")

    def shown() -> set[str]:
        return {
            node.get_attribute("data-id")
            for node in page.chrome.find_elements(By.CSS_SELECTOR, "#claims > li")
            if node.is_displayed()
        }

    arms = {one.id: one.needs.arms for one in claims.load().claims}
    harmful = {one.id for one in decided if "malicious expert" in one.statement}
    assert harmful
    for status in {one.status for one in decided}:
        Select(page.element("status")).select_by_value(status)
        assert shown() == {one.id for one in decided if one.status == status}
        for source, said in SOURCES.items():
            Select(page.element("origin")).select_by_value(said)
            assert shown() == {one.id for one in decided if one.status == status and one.source.startswith(source)}
        Select(page.element("origin")).select_by_value("")
    Select(page.element("status")).select_by_value(verdicts.OPEN)
    assert shown() == {one.id for one in decided if one.left_open} != set()
    Select(page.element("status")).select_by_value("")
    for experiment in ("regression", "double-integrator"):
        Select(page.element("experiment")).select_by_value(experiment)
        assert shown() == {name for name, of in arms.items() if any(arm.startswith(f"{experiment}/") for arm in of)}
    page.element("search").send_keys("malicious expert")
    assert shown() == harmful


def test_a_claim_opens_by_key_and_says_what_it_rests_on(page: Page, results: Path) -> None:
    claim = next(one for one in claims.load().claims if one.shown_in and len(one.needs.arms) == 1)
    seeds = read_config(results).section("regression").arms[claim.needs.arms[0].partition("/")[2]].seed_range
    page.open("verdicts")
    summary = page.chrome.find_element(By.CSS_SELECTOR, f"[data-id={claim.id}] summary")
    summary.send_keys(Keys.ENTER)
    opened = page.chrome.find_element(By.CSS_SELECTOR, f"[data-id={claim.id}] dl")
    assert opened.is_displayed()
    assert f"{claim.needs.arms[0]}/seed-<n>/run.json, n = {seeds[0]} to {seeds[-1]}" in opened.text
    assert "of the report" in opened.text
    assert claim.shown_in[0] in opened.text


def test_the_slider_moves_policy_time_and_text(page: Page, results: Path) -> None:
    page.open("regression")
    saved = policies.read(results, "regression")
    slider = page.element("time")
    last = len(saved["scpo", FIRST]["updates"]) - 1
    assert (int(slider.get_attribute("max")), int(slider.get_attribute("value"))) == (last, last)
    before = {plot: page.drawn(plot) for plot in ("policy-scpo", "policy-unconstrained")}
    said = page.element("moment").text
    slider.send_keys(Keys.HOME, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    for plot, lines in before.items():
        page.changed(plot, lines)
    assert page.element("moment").text != said
    for arm in ("scpo", "unconstrained"):
        drawn = page.run(f"return Array.from(document.getElementById('policy-{arm}').data.at(-1).y)")
        np.testing.assert_array_equal(np.float32(drawn), saved[arm, FIRST]["pi"][2])
        update = int(saved[arm, FIRST]["updates"][2])
        assert f"update {update:,}," in page.element("moment").text


def _last(results: Path, arm: str = "unconstrained") -> int:
    """Return the last seed of an arm of the regression; that of "scpo" the other arm was not run with."""
    last = read_config(results).section("regression").arms[arm].seed_range[-1]
    assert (arm, last) not in policies.read(results, "regression")
    return last


def _unsafe(results: Path) -> list[int]:
    """Return the seeds at which the regression's SCPO had an unsafe iterate."""
    counts = table_of.read(results).values("regression", "scpo", "unsafe-iterates")
    return counts.index[counts > 0].tolist()


def test_slack_and_unsafe_marks_are_those_of_the_records(page: Page, results: Path) -> None:
    page.open("regression")
    for seed in (FIRST, _last(results), *_unsafe(results), _last(results, "scpo")):
        Select(page.element("seed")).select_by_value(str(seed))
        for arm in ("scpo", "unconstrained"):
            if not (results / f"regression/{arm}/seed-{seed}").is_dir():
                assert "this arm was not run with this seed" in page.element(f"lacking-{arm}").text
                assert not page.element(f"slack-{arm}").is_displayed()
                continue
            assert page.element(f"lacking-{arm}").text == ""
            series = pd.read_parquet(results / f"regression/{arm}/seed-{seed}/series.parquet")
            bins = series[~series["early"]]
            marks, line = page.run(
                f"return document.getElementById('slack-{arm}').data.map((one) => [[...one.x], [...one.y]])"
            )
            unsafe = bins["unsafe_iterates"] > 0
            np.testing.assert_allclose(marks[0], bins.loc[unsafe, "epoch"], rtol=1e-6)
            assert ([height < 0 for height in line[1]] == unsafe).all()
            shown = f"{bins['unsafe_iterates'].sum():,} of {bins['updates'].sum():,} iterates unsafe"
            assert shown in page.element(f"slack-{arm}").text


def test_every_seed_of_any_arm_is_offered_and_unsafe_ones_are_marked(page: Page, results: Path) -> None:
    arms = read_config(results).section("regression").arms
    seeds = sorted({seed for arm in ("scpo", "unconstrained") for seed in arms[arm].seed_range})
    page.open("regression")
    followed = {seed for _, seed in policies.read(results, "regression")}
    groups = {"policy over training": followed, "final policy only": set(seeds) - followed}
    unsafe = _unsafe(results)
    found = page.element("seed").find_elements(By.TAG_NAME, "optgroup")
    assert {
        one.get_attribute("label"): [option.text for option in one.find_elements(By.TAG_NAME, "option")]
        for one in found
    } == {
        label: [f"{seed} (unsafe)" if seed in unsafe else str(seed) for seed in sorted(of)]
        for label, of in groups.items()
        if of
    }


def test_failed_runs_are_marked_and_counted(page: Page) -> None:
    page.open("regression")
    runs = {
        "1": {"updates": 500, "unsafe": 0, "failed": 0},
        "2": {"updates": 7, "unsafe": 1, "failed": 1},
        "30": {"updates": 500, "unsafe": 2, "failed": 0},
    }
    offered = page.run("return explorer.seeds([arguments[0], {4: {unsafe: 9}}], [arguments[0]])", runs)
    assert offered == [["1", "1"], ["2", "2 (failed)"], ["4", "4"], ["30", "30 (unsafe)"]]
    said = page.run("return explorer.unsafe('SCPO', arguments[0])", {"updates": 1007, "unsafe": 3, "failed": 1})
    assert said == "3 of 1,007 (SCPO, with 1 failed run)"


def test_the_unsafe_iterates_can_be_gone_to(page: Page, results: Path) -> None:
    page.open("regression")
    assert not page.element("next-unsafe").is_displayed()
    for seed in _unsafe(results):
        Select(page.element("seed")).select_by_value(str(seed))
        series = pd.read_parquet(results / f"regression/scpo/seed-{seed}/series.parquet")
        for _, bin_ in series[~series["early"] & (series["unsafe_iterates"] > 0)].iterrows():
            page.element("next-unsafe").click()
            span = f"updates {bin_['update'] - bin_['updates'] + 1:,} to {bin_['update']:,}"
            assert re.search(
                rf"least slack on the grid, {span}, \N{{MINUS SIGN}}\S+, unsafe", page.element("moment").text
            )
            lines = page.run("return document.getElementById('slack-scpo').layout.shapes.map((one) => one.x0)")
            assert lines[-1] == pytest.approx(bin_["epoch"])
    Select(page.element("seed")).select_by_value(str(FIRST))
    assert not page.element("next-unsafe").is_displayed()


@pytest.mark.parametrize("arm", ["scpo", "unconstrained"])
def test_a_seed_without_saved_policies_says_so(page: Page, results: Path, arm: str) -> None:
    page.open("regression")
    seed = _last(results, arm)
    Select(page.element("seed")).select_by_value(str(seed))
    followed = sorted({seed for _, seed in policies.read(results, "regression")})
    assert f"only the final policy of seed {seed}" in page.element("kept").text
    assert f"for these seeds alone: {', '.join(map(str, followed))}." in page.element("kept").text
    curve = pd.read_parquet(results / f"regression/{arm}/seed-{seed}/curve.parquet")
    for key in (Keys.END, Keys.HOME):
        page.element("time").send_keys(key)
        assert "final policy" in page.element(f"policy-{arm}").text
        drawn = page.run(f"return Array.from(document.getElementById('policy-{arm}').data.at(-1).y)")
        np.testing.assert_array_equal(np.float32(drawn), np.float32(curve["pi"]))
    assert "Epoch 0." in page.element("moment").text


def current(page: Page) -> dict[str, Any]:
    """Return the start and the loops that the page shows."""
    return page.run(
        "const { start, loops } = explorer.current;"
        "return { start, loops: Object.fromEntries(loops.map(({ name, loop }) => [name, loop])) }"
    )


def agree(found: Any, wanted: np.ndarray) -> None:
    """Compare numbers of the page with those of NumPy."""
    np.testing.assert_allclose(np.asarray(found), wanted, rtol=CLOSE, atol=CLOSE)


def test_a_drag_moves_the_loops_which_are_those_of_numpy(page: Page, results: Path) -> None:
    page.open("plane")
    saved, references = policies.read(results, "double-integrator"), read_references(results)
    gain, widths = np.array(references.numbers.gain), (2, 32, 32, 1)
    plane = page.element("state")
    seen = set()
    for scenario in ("mixed", "hostile", "cooperative"):
        Select(page.element("scenario")).select_by_value(scenario)
        before, said = page.drawn("state"), page.element("loops").text
        drag = ActionChains(page.chrome).move_to_element_with_offset(plane, 0, 0).click_and_hold()
        drag.move_by_offset(40, 25).move_by_offset(30, -60).release().perform()
        page.changed("state", before)
        assert page.element("loops").text != said
        shown = current(page)
        start = np.array([shown["start"]])
        seen.add(tuple(start[0]))
        for name, loop in shown["loops"].items():
            theta = np.zeros(1185) if name == "backup" else saved[f"{name}-{scenario}", FIRST]["theta"][-1]
            states, inputs = rollout(theta, widths, gain, start, 40)
            agree(loop["states"], states[:, 0])
            agree(loop["inputs"], inputs[:, 0])
        assert set(shown["loops"]) == {"backup", "scpo", "unconstrained"}
        before = page.drawn("state")
        ActionChains(page.chrome).move_to_element_with_offset(plane, -60, 40).click().perform()
        page.changed("state", before)


def test_keys_and_fields_move_the_start(page: Page) -> None:
    page.open("plane")
    first = np.array(current(page)["start"])
    before = page.drawn("state")
    page.element("state").send_keys(Keys.ARROW_RIGHT, Keys.ARROW_DOWN)
    page.changed("state", before)
    agree(current(page)["start"], first + np.array([0.1, -0.1]))
    everything = Keys.CONTROL + "a" + Keys.NULL
    page.element("x1").send_keys(everything, "-3.25", Keys.TAB)
    assert current(page)["start"][0] == -3.25
    page.element("x1").send_keys(everything, Keys.DELETE, Keys.TAB)
    assert current(page)["start"][0] == -3.25


@pytest.mark.parametrize("method", ["scpo", "scpo-verified"])
def test_any_saved_iterate_can_be_run(page: Page, results: Path, method: str) -> None:
    page.open("plane")
    Select(page.element("method")).select_by_value(method)
    kept = policies.read(results, "double-integrator")[f"{method}-mixed", FIRST]
    gain = np.array(read_references(results).numbers.gain)
    slider = page.element("iterate")
    slider.send_keys(Keys.HOME)
    assert int(slider.get_attribute("max")) == len(kept["updates"]) - 1
    for index, theta in enumerate(kept["theta"]):
        shown = current(page)
        states, _ = rollout(theta, (2, 32, 32, 1), gain, np.array([shown["start"]]), 40)
        agree(shown["loops"][method]["states"], states[:, 0])
        assert f"after update {kept['updates'][index]:,} of" in page.element("policy").text
        slider.send_keys(Keys.ARROW_RIGHT)
    initial = rollout(kept["theta"][0], (2, 32, 32, 1), gain, np.array([[1.0, 1.0]]), 5)
    agree(initial[1], -(initial[0][:-1, 0] @ gain)[:, None])  # the first iterate is the backup


def test_the_loops_are_those_that_the_runs_recorded(page: Page, results: Path) -> None:
    """The records were made by torch when the runs ended; the page has nothing but the weights."""
    page.open("plane")
    compared = 0
    kept = policies.read(results, "double-integrator")
    for arm, seed in kept:
        method, _, scenario = arm.rpartition("-")
        table = pd.read_parquet(results / f"double-integrator/{arm}/seed-{seed}/trajectories.parquet")
        for _, rows in table.groupby("start"):
            path = rows.sort_values("t")[["x1", "x2"]].to_numpy()
            found = page.run(
                "const [scenario, method, seed] = arguments;"
                "const of = explorer.data.views['double-integrator'].scenarios[scenario][method][seed];"
                "return explorer.closedLoops.rollout(explorer.row(of.theta, -1), arguments[3], arguments[4]).states",
                scenario,
                method,
                str(seed),
                path[0].tolist(),
                len(path) - 1,
            )
            agree(found, path)
            compared += 1
    assert compared >= 4 * len(kept) > 0


def test_tabs_go_by_arrow_keys(page: Page) -> None:
    page.open("verdicts")
    page.element("tab-verdicts").send_keys(Keys.ARROW_RIGHT)
    assert page.element("regression").is_displayed()
    assert not page.element("verdicts").is_displayed()
    assert page.chrome.switch_to.active_element.get_attribute("id") == "tab-regression"


def test_print_has_all_views_drawn_in_the_light_look(page: Page) -> None:
    page.open("verdicts", look="dark")
    page.run("dispatchEvent(new Event('beforeprint'))")
    assert all(page.element(view).is_displayed() for view in VIEWS)
    assert len(page.chrome.find_elements(By.CSS_SELECTOR, ".plot .main-svg")) >= 6
    assert page.run("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.run("dispatchEvent(new Event('afterprint'))")
    assert [page.element(view).is_displayed() for view in VIEWS] == [True, False, False]
