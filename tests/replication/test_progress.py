"""The state of a run from Snakemake's events, its time left, and the text that says so."""

from __future__ import annotations

import io
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from replication import resources
from replication.config import load
from replication.paths import REPOSITORY
from replication.progress import handler, notes, status, training, view
from replication.progress.notes import Note
from replication.progress.state import UNMEASURED, State
from replication.training import train

START = 1_000_000.0
SAID = "update 500/1000  loss 0.1234  max g -2.50e-02  unsafe so far 3  about 40 s left"


def event(at: float, name: str, **fields: Any) -> logging.LogRecord:
    """Return a record as Snakemake's logger makes it."""
    record = logging.makeLogRecord({"event": name, **fields} if name else fields)
    record.created = START + at
    return record


def job(at: float, number: int, rule: str, log: str = "", **fields: Any) -> logging.LogRecord:
    logs = [log] if log else []
    words = {"rule_msg": f"{rule} {number}", "wildcards": {}} | fields
    return event(at, "job_info", jobid=number, rule_name=rule, log=logs, **words)


def ended(at: float, number: int) -> logging.LogRecord:
    return event(at, "job_finished", job_id=number)


def failed(at: float, number: int, rule: str, log: str = "") -> logging.LogRecord:
    return event(at, "job_error", jobid=number, rule_name=rule, log=[log] if log else [])


def begun(plan: dict[str, float] | None = None, cores: int = 2, **jobs: int) -> list[logging.LogRecord]:
    return [
        event(-3, "", plan={"seconds": plan or {}, "made": ["paper/report.pdf"]}),
        event(-2, "", msg="Building DAG of jobs..."),
        event(-1, "resources_info", cores=cores),
        event(0, "run_info", stats={**jobs, "total": sum(jobs.values())}),
    ]


def follow(records: list[logging.LogRecord]) -> State:
    return State.told_by(note for record in records if (note := notes.of(record)))


def counts(state: State) -> tuple[int, int, int, int]:
    return len(state.done), len(state.running), state.waiting.total(), len(state.failed)


def test_jobs_go_from_waiting_to_running_to_done_or_failed() -> None:
    records = begun(train=3, figure=2)
    assert counts(follow(records)) == (0, 0, 5, 0)
    records += [job(1, 7, "train"), job(1, 8, "train")]
    assert counts(follow(records)) == (0, 2, 3, 0)
    records += [ended(5, 7), failed(6, 8, "train")]
    assert counts(follow(records)) == (1, 0, 3, 1)
    records += [job(7, 8, "train"), ended(9, 8)]  # a new attempt
    assert counts(follow(records)) == (2, 0, 3, 0)


def test_a_job_that_failed_before_it_began_is_failed() -> None:
    assert counts(follow([*begun(train=2), failed(1, 7, "train")])) == (0, 0, 1, 1)


def test_other_messages_are_no_notes() -> None:
    assert notes.of(event(0, "", msg="Select jobs to execute...")) is None
    assert notes.of(event(0, "progress", done=3, total=9)) is None
    assert notes.of(event(0, "resources_info")) is None


def test_a_job_without_words_of_its_own_is_named_by_its_rule() -> None:
    note = notes.of(job(0, 1, "certificate", rule_msg=None, wildcards={"arm": "scpo", "seed": "3"}))
    assert note is not None and note["name"] == "certificate, scpo, 3"


def test_time_left_is_what_was_measured_before() -> None:
    state = follow(begun({"train": 100.0}, cores=4, train=8, other=2))
    assert state.left(START) == pytest.approx((8 * 100 + 2 * UNMEASURED) / 4)


def test_time_left_is_what_this_run_has_measured() -> None:
    records = [*begun({"train": 100.0}, cores=1, train=3), job(0, 1, "train"), ended(20, 1)]
    assert follow(records).left(START + 20) == pytest.approx(2 * 20)
    records.append(job(20, 2, "train"))
    assert follow(records).left(START + 25) == pytest.approx(15 + 20)


def test_what_was_measured_before_follows_the_pace_of_this_machine() -> None:
    plan = {"train": 10.0, "referee": 30.0}
    records = [*begun(plan, cores=1, train=1, referee=1, other=1), job(0, 1, "train"), ended(40, 1)]
    assert follow(records).left(START + 40) == pytest.approx(4 * 30 + UNMEASURED)


def test_the_longest_job_bounds_the_time_left() -> None:
    records = [*begun({"train": 100.0, "figure": 1.0}, cores=8, train=1, figure=3), job(0, 1, "train")]
    assert follow(records).left(START + 30) == pytest.approx(70)


def test_a_training_run_says_itself_how_long_it_has_left(tmp_path: Path) -> None:
    log = tmp_path / "seed-0.log"
    log.write_text(f"{SAID}\n")
    os.utime(log, (START + 30, START + 30))
    state = follow([*begun({"train": 500.0}, cores=1, train=2), job(0, 1, "train", str(log))])
    assert state.left(START + 40) == pytest.approx(30 + (40 + 30))  # of the running one, and one more of its length
    assert state.left(START + 90) == pytest.approx(90)


def test_the_log_of_an_earlier_attempt_says_nothing(tmp_path: Path) -> None:
    log = tmp_path / "seed-0.log"
    log.write_text(f"{SAID}\n")
    os.utime(log, (START - 10, START - 10))
    state = follow([*begun(train=1), job(0, 1, "train", str(log))])
    assert state.reading(state.running[1]) is None


def test_a_reading_is_the_last_line_of_progress(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        f"resumed after update 3\n{SAID.replace('500', '450')}\n{SAID}\nupdate 501: no solver; the policy stays\n"
    )
    found = training.reading(log)
    assert found is not None
    assert (found.update, found.updates, found.loss, found.slack, found.unsafe, found.left) == (
        *(500, 1000, 0.1234),
        *(0.025, 3, 40.0),
    )
    log.write_text("Traceback\n")
    assert training.reading(log) is None
    assert training.tail(tmp_path / "none") == ""


def test_logs_are_read_again_when_they_have_grown(tmp_path: Path) -> None:
    log = tmp_path / "log"
    logs = training.Logs()
    assert logs.reading(str(log)) is None
    log.write_text(f"{SAID}\n")
    first = logs.reading(str(log))
    with log.open("a") as stream:
        stream.write(f"{SAID.replace('500', '1000')}\n")
    second = logs.reading(str(log))
    assert first is not None and second is not None and (first.update, second.update) == (500, 1000)


def test_training_writes_the_lines_that_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of the smoke scale: its last report is read as it was meant."""
    from replication.training import datasets

    config = load(REPOSITORY / "config/smoke.yaml")
    datasets.main(config, "regression", "normal", 0, tmp_path / "data.npz")
    said: list[str] = []
    monkeypatch.setattr(train, "_say", said.append)
    train.run_from_files(config, "regression", "scpo", 0, tmp_path / "data.npz", tmp_path / "out")
    (tmp_path / "log").write_text("\n".join(said))
    found = training.reading(tmp_path / "log")
    schedule = config.section("regression").for_arm("scpo").schedule
    assert found is not None and found.update == found.updates == schedule.epochs * schedule.updates_per_epoch
    assert found.unsafe >= 0 and found.loss > 0 and found.slack < 10


def test_a_file_of_notes_gives_the_state_back(tmp_path: Path) -> None:
    path = tmp_path / "notes/progress.jsonl"
    for _ in range(2):  # the second run replaces the first
        writer = notes.Writer(path)
        records = [*begun(train=3), job(1, 7, "train"), job(1, 8, "train"), ended(5, 7)]
        for note in filter(None, map(notes.of, records)):
            writer.write(note)
    assert counts(State.told_by(notes.read(path))) == counts(follow(records))
    with path.open("a") as stream:
        stream.write('{"what": "fin')  # a kill
    assert counts(State.told_by(notes.read(path))) == (1, 1, 1, 0)


def test_a_run_without_jobs_leaves_the_notes_of_the_last_one(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    path.write_text("")
    writer = notes.Writer(path)
    plan = notes.of(begun()[0])
    assert plan is not None
    writer.write(plan)
    writer.end()
    assert path.read_text() == ""


def test_notes_that_cannot_be_written_stop_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    writer = notes.Writer(tmp_path / "file/progress.jsonl")
    begin = notes.of(begun(train=1)[-1])
    assert begin is not None
    writer.write(begin)


def at_work(tmp_path: Path) -> State:
    log = tmp_path / "seed-0.log"
    log.write_text(f"{SAID}\n")
    os.utime(log, (START + 10, START + 10))
    wrong = tmp_path / "wrong.log"
    wrong.write_text("".join(f"line {number}\n" for number in range(100)))
    records = [
        *begun({"train": 100.0}, train=3, figure=2),
        *(job(1, 1, "train", str(log)), job(1, 2, "figure", str(wrong)), failed(2, 2, "figure", str(wrong))),
        *(job(3, 3, "figure"), ended(8, 3), job(9, 4, "train")),
    ]
    return follow(records)


@pytest.mark.parametrize("width", [20, 40, 80, 200])
@pytest.mark.parametrize("height", [5, 24])
def test_the_view_fits_any_terminal(tmp_path: Path, width: int, height: int) -> None:
    console = Console(width=width, height=height, record=True, file=io.StringIO())
    console.print(view.render(at_work(tmp_path), console, START + 20))
    lines = console.export_text().splitlines()
    assert len(lines) < height
    assert max(map(len, lines)) <= width
    assert "1 done, 2" in lines[1]


def test_the_view_shows_what_is_asked_of_it(tmp_path: Path) -> None:
    console = Console(width=100, height=24, record=True, file=io.StringIO())
    console.print(view.render(at_work(tmp_path), console, START + 20))
    text = console.export_text()
    for wanted in (
        "20 s so far, about",
        "1 done, 2 running, 1 waiting, 1 failed",
        "500/1000",
        "0.1234",
        "0.025",
        "30 s",
    ):
        assert wanted in text, text


def test_a_failure_shows_the_end_of_its_log(tmp_path: Path) -> None:
    state = at_work(tmp_path)
    lines = view.failure(state.failed[2], START + 20).splitlines()
    assert "figure 2" in lines[0] and "wrong.log" in lines[0]
    assert lines[-1].strip() == "line 99" and len(lines) == 1 + view.LOG_LINES


def test_a_failure_without_a_log_is_said() -> None:
    state = follow([*begun(train=1, pdf=1), failed(1, 7, "train"), failed(1, 8, "pdf", "none.log")])
    assert "no log" in view.failure(state.failed[7], START + 2)
    assert "none.log, is empty" in view.failure(state.failed[8], START + 2)


def test_the_last_line_names_what_to_look_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    whole = follow([*begun(figure=1, all=1), job(0, 1, "figure"), ended(1, 1), job(1, 2, "all"), ended(2, 2)])
    assert "paper/report.pdf" not in view.summary(whole, START + 2)  # nobody made it: without TeX it is left out
    Path("paper").mkdir()
    Path("paper/report.pdf").touch()
    assert view.summary(whole, START + 2).splitlines()[-1] == "Look at paper/report.pdf"
    part = follow([*begun(figure=1), job(0, 1, "figure"), ended(1, 1)])
    assert "paper/report.pdf" not in view.summary(part, START + 2)
    wrong = follow([*begun(figure=1, all=1), job(0, 1, "figure"), failed(1, 1, "figure")])
    assert "paper/report.pdf" not in view.summary(wrong, START + 2)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (89, "89 s"), (120, "2 min"), (3600, "60 min"), (7500, "2 h 05 min")]
)
def test_durations_are_spoken(seconds: float, words: str) -> None:
    assert view.spoken(seconds) == words


def said_by_status(tmp_path: Path, records: list[logging.LogRecord], *more: Note) -> str:
    writer = notes.Writer(tmp_path / notes.FILE)
    for note in [*filter(None, map(notes.of, records)), *more]:
        writer.write(note)
    console = Console(width=100, height=24, record=True, file=io.StringIO())
    status.show(console)
    return console.export_text()


def test_status_tells_of_a_run_at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "1 running, 1 waiting" in said_by_status(tmp_path, [*begun(train=2), job(0, 1, "train")])


def test_status_tells_of_a_run_that_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "getpid", lambda: 2**22 + 1)  # no process has this number
    said = said_by_status(tmp_path, [*begun(train=2), job(0, 1, "train")])
    assert "the same command goes on" in said


def test_status_tells_of_a_run_that_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    records = [*begun(train=1), job(0, 1, "train"), ended(100, 1)]
    assert "1 jobs done in 2 min" in said_by_status(tmp_path, records, {"what": "end", "at": START + 120})


def test_status_tells_that_nothing_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "No run" in said_by_status(tmp_path, [])


def test_what_was_measured_is_scaled_to_the_scale() -> None:
    paper, smoke = (resources.expected(load(REPOSITORY / f"config/{name}.yaml")) for name in ("paper", "smoke"))
    assert smoke["train_regression"] < paper["train_regression"] / 10
    assert smoke["dataset"] == paper["dataset"] == resources.measured("dataset").seconds


def test_why_a_cluster_ended_a_job_is_said(tmp_path: Path) -> None:
    told = event(1, "job_error", jobid=1, rule_name="train", log=[], rule_msg="SLURM status is: 'TIMEOUT'")
    assert handler._reason(told) == "SLURM status is: 'TIMEOUT'"
    assert handler._reason(failed(1, 1, "train")) == ""
    log = tmp_path / "16.log"
    log.write_text(
        "update 1\nslurmstepd: error: *** JOB 16 ON node2 CANCELLED AT 12:00 DUE TO TIME LIMIT ***\n" + "bye\n" * 50
    )
    group = event(1, "group_error", groupid="training", aux_logs=[str(log)], job_error_info=[])
    said = handler._group_failure(group)
    assert "training" in said
    assert "DUE TO TIME LIMIT" in said
    assert str(log) in said
