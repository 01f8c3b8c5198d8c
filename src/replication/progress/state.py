"""The state of a run: which jobs are done, running, waiting or failed, and how long the rest will take."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from replication.progress.notes import Note
from replication.progress.training import Logs, Reading

#: Seconds of a job whose rule nobody has measured, here or before.
UNMEASURED = 3.0


@dataclass(frozen=True)
class Job:
    """A job that has begun.

    Attributes:
        number: Snakemake's.
        rule: its rule.
        name: what it does, in words.
        log: the path of its log, "" if it has none.
        command: what its shell runs, "" if it has no shell.
        began: seconds since 1970.
        ended: the same; None while it runs.
    """

    number: int
    rule: str
    name: str
    log: str
    command: str
    began: float
    ended: float | None = None

    def seconds(self, now: float) -> float:
        """Return how long the job took, or has run until ``now``."""
        return (now if self.ended is None else self.ended) - self.began


@dataclass
class State:
    """The state of a run, which its notes change one after the other."""

    planned: Counter[str] = field(default_factory=Counter)
    expected: dict[str, float] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    cores: int | None = None
    host: str = ""
    process: int = 0
    began: float | None = None
    ended: float | None = None
    running: dict[int, Job] = field(default_factory=dict)
    done: dict[int, Job] = field(default_factory=dict)
    failed: dict[int, Job] = field(default_factory=dict)
    _logs: Logs = field(default_factory=Logs)

    @classmethod
    def told_by(cls, notes: Iterable[Note]) -> State:
        """Return the state after all of ``notes``."""
        state = cls()
        for note in notes:
            state.apply(note)
        return state

    def apply(self, note: Note) -> Job | None:
        """Change the state by one note; return the job that the note is about, or None."""
        at = note["at"]
        match note["what"]:
            case "plan":
                self.expected, self.made = dict(note["seconds"]), list(note["made"])
            case "cores":
                self.cores = note["cores"]
            case "begin":
                self.began, self.host, self.process = at, note["host"], note["process"]
                self.planned = Counter(note["jobs"])
            case "end":
                self.ended = at
            case "start":
                job = Job(note["job"], note["rule"], note["name"], note["log"], note.get("command", ""), at)
                self.failed.pop(job.number, None)  # a new attempt
                self.running[job.number] = job
                return job
            case "finish" if note["job"] in self.running:
                return self._move(note["job"], self.done, at)
            case "fail":
                number = note["job"]
                self.running.setdefault(number, Job(number, note["rule"], note["rule"], note["log"], "", at))
                return self._move(number, self.failed, at)
        return None

    def _move(self, number: int, to: dict[int, Job], at: float) -> Job:
        to[number] = replace(self.running.pop(number), ended=at)
        return to[number]

    @property
    def waiting(self) -> Counter[str]:
        """Jobs that have not begun, by rule."""
        begun = Counter(job.rule for jobs in (self.running, self.done, self.failed) for job in jobs.values())
        return self.planned - begun

    @property
    def at_work(self) -> bool:
        """Whether the process of the run is still there, as far as this machine can tell."""
        if self.began is None or self.ended is not None:
            return False
        if self.host != os.uname().nodename:
            return True
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return True

    def reading(self, job: Job) -> Reading | None:
        """Return the progress of a training run; None for other jobs and before its first report."""
        found = self._logs.reading(job.log)
        return found if found is None or found.at >= job.began else None  # the log of an earlier attempt says nothing

    def elapsed(self, now: float) -> float:
        """Return the seconds that the run has taken."""
        return 0.0 if self.began is None else (self.ended or now) - self.began

    def left(self, now: float | None = None) -> float:
        """Return the seconds that are left.

        A job is expected to take as long as the jobs of its rule took in this run.  If none has ended, the time that
        was measured before is used, at this machine's pace.  A training run states itself how long it has left.
        """
        now = time.time() if now is None else now
        samples: dict[str, list[float]] = {}
        readings = {number: self.reading(job) for number, job in self.running.items()}
        for job in self.done.values():
            samples.setdefault(job.rule, []).append(job.seconds(now))
        for number, job in self.running.items():
            if said := readings[number]:
                samples.setdefault(job.rule, []).append(job.seconds(now) + said.left_at(now))
        each = {rule: sum(taken) / len(taken) for rule, taken in samples.items()}
        before = {rule: self._pace(now) * seconds for rule, seconds in self.expected.items()}
        each = {**dict.fromkeys(self.planned, UNMEASURED), **before, **each}
        rests = [
            max(0.0, each.get(job.rule, UNMEASURED) - job.seconds(now)) if said is None else said.left_at(now)
            for job, said in ((job, readings[number]) for number, job in self.running.items())
        ]
        work = sum(rests) + sum(count * each[rule] for rule, count in self.waiting.items())
        return max([work / (self.cores or max(1, len(self.running))), *rests])

    def _pace(self, now: float) -> float:
        """Return the time of the finished jobs here, divided by the time that was measured for them before."""
        known = [job for job in self.done.values() if job.rule in self.expected]
        return sum(job.seconds(now) for job in known) / sum(self.expected[job.rule] for job in known) if known else 1.0
