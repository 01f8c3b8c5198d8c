"""Models of the JSON files that jobs write.  Each is declared once, for the code that writes and that reads it.

A field is read as an attribute, ``run.updates``, or by its name, ``run["updates"]``.  Other keys are ignored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from replication.errors import ResultError
from replication.files import mend, note, plain, write_json

#: Held-out values of a policy by name; null where a value was not finite.
Values = Mapping[str, float | None]


class Document(BaseModel):
    """Base of the models: immutable, and a text is not taken for a number."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    def __getitem__(self, name: str) -> Any:
        """Return a field by its name."""
        return getattr(self, name)


class RunIdentity(Document):
    """The fields of run.json that say which run it is."""

    experiment: str
    arm: str
    dataset: str
    method: str
    seed: int


class RunSummary(RunIdentity):
    """run.json: the counts and extremes of a run; None where nothing was counted or a value was not finite."""

    updates: int = Field(gt=0)
    unsafe_iterates: int
    first_unsafe_update: int | None
    diverged_update: int | None = None
    unsafe_proposals: int
    unsafe_probes: int
    looks: int = 0
    unsafe_looks: int = 0
    bound_misses: int
    first_missed_update: int | None
    captured_energy: float | None
    projected_share: float
    restoring_updates: int
    returned_updates: int = 0
    solver_failures: int
    max_g: float
    median_step: float | None
    median_nominal: float | None
    median_smoothness: float | None
    largest_required: float | None
    largest_miss: float | None = None
    near_misses: int = 0
    near_constraints: int = 0
    nominal_checked: int = 0
    nominal_unsafe: int = 0
    nominal_unsafe_taken: int = 0
    rollouts: int
    initial: Values
    final: Values

    @property
    def failed(self) -> bool:
        """Whether a run of the method could not go on, so that it ended early.  It counts as unsafe."""
        return self.method == "scpo" and self.diverged_update is not None

    @property
    def unsafe(self) -> bool:
        """Whether an iterate was unsafe, or the run failed."""
        return self.unsafe_iterates > 0 or self.failed


class UnsafeIterate(Document):
    """An unsafe iterate: its update, the constraint with the largest value g, and by how much g exceeded its bound.

    ``miss`` is None where no bound was promised.
    """

    seed: int
    update: int
    constraint: int
    g: float
    miss: float | None


class RefereedArm(Document):
    """The comparison of the referee's values with the records of an arm."""

    experiment: str
    arm: str
    runs: int
    iterates: int
    values: int
    recorded: int
    recomputed: int
    worst_g: float
    worst_other: float
    unsafe: tuple[UnsafeIterate, ...] = Field((), strict=False)


class Refereed(Document):
    """referee.json; it exists only if there was no disagreement."""

    tolerance: float
    every: int
    arms: tuple[RefereedArm, ...] = Field(strict=False)


class PlantedFault(Document):
    """A planted fault and whether it was caught (:class:`replication.planted_faults.finding.Finding`)."""

    name: str
    planted: str
    expected: str
    observed: str
    numbers: Mapping[str, Any]
    caught: bool


class PlantedFaults(Document):
    """The file of the planted faults; it holds at least one."""

    findings: tuple[PlantedFault, ...] = Field(strict=False, min_length=1)


class Residual(Document):
    """The KKT residual of a run's final policy, and how many constraints were active."""

    arm: str
    seed: int
    active: int
    residual: float


class Stationarity(Document):
    """stationarity.json: the KKT residuals of the runs; constraints within ``near`` of their limit count as active."""

    near: float
    runs: tuple[Residual, ...] = Field(strict=False)


class PlannedSeeds(Document):
    """planned.json: experiment/arm -> the number of seeds that a study planned."""

    seeds: Mapping[str, Annotated[int, Field(ge=1)]]


class Benchmarks(Document):
    """benchmarks.json: ratios of times by name."""

    ratios: Mapping[str, float]


D = TypeVar("D", bound=Document)


def read(path: Path, model: type[D]) -> D:
    """Return the document in the file ``path``.

    Raises:
        ResultError: the file is missing or damaged; the message names the file and the field.
    """
    try:
        content = json.loads(note(path).read_text(encoding="utf-8"))
        return model.model_validate(content)
    except FileNotFoundError as error:
        raise ResultError(f"{path}: no such file; has the job that makes it finished?") from error
    except OSError as error:
        raise ResultError(f"{path}: cannot be read: {error}") from error
    except ValidationError as error:
        raise ResultError(f"{path}: {_problems(error)}; {mend(path)}") from error
    except ValueError as error:
        raise ResultError(f"{path}: damaged, not valid JSON: {error}; {mend(path)}") from error


def write(path: Path, model: type[Document], content: Mapping[str, Any]) -> None:
    """Write ``content`` to ``path`` as JSON, if it is a document that :func:`read` takes.

    Raises:
        ResultError: a field is missing or of another kind; nothing is written.
    """
    try:
        model.model_validate(plain(content))
    except ValidationError as error:
        raise ResultError(f"{path}: not written: {_problems(error)}") from error
    write_json(path, content)


def _problems(error: ValidationError) -> str:
    """Return the problems of a document in words: the fields that it lacks, and those with an unexpected value."""
    found = [(".".join(map(str, item["loc"])), item["type"], item["msg"]) for item in error.errors()]
    lacks = [field for field, kind, _ in found if kind == "missing"]
    wrong = [f"{field or 'the file'}: {message}" for field, kind, message in found if kind != "missing"]
    return "; ".join([*([f"lacks {', '.join(lacks)}"] if lacks else []), *wrong])
