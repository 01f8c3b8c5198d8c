"""Models of the JSON files that jobs write.  Each is declared once, for the code that writes and that reads it.

A field is read as an attribute, ``run.updates``, or by its name, ``run["updates"]``.  Other keys are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from replication.errors import ResultError
from replication.files import json_text, mend, note, write_text

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
    unsafe: tuple[UnsafeIterate, ...] = ()


class Refereed(Document):
    """referee.json; it exists only if there was no disagreement."""

    tolerance: float
    every: int
    arms: tuple[RefereedArm, ...]


class PlantedFault(Document):
    """A planted fault: what was planted, what had to happen, what happened, and whether that is all that had to.

    ``observed`` holds no path, time or anything else that differs from run to run.  ``numbers`` are the counts and
    values behind it.
    """

    name: str
    planted: str
    expected: str
    observed: str
    numbers: Mapping[str, Any]
    caught: bool


class PlantedFaults(Document):
    """The file of the planted faults; it holds at least one."""

    findings: tuple[PlantedFault, ...] = Field(min_length=1)


class Residual(Document):
    """The KKT residual of a run's final policy, and how many constraints were active."""

    arm: str
    seed: int
    active: int
    residual: float


class Stationarity(Document):
    """stationarity.json: the KKT residuals of the runs; constraints within ``near`` of their limit count as active."""

    near: float
    runs: tuple[Residual, ...]


class PlannedSeeds(Document):
    """planned.json: experiment/arm -> the number of seeds that a study planned."""

    seeds: Mapping[str, Annotated[int, Field(ge=1)]]


class Benchmarks(Document):
    """benchmarks.json: ratios of times by name."""

    ratios: Mapping[str, float]


class Host(Document):
    """The machine that made a file.  Only stamps and timing files name it."""

    host: str
    platform: str
    processor: str


class Timing(Host):
    """The time that a job took, in seconds: run.timing.json and certificate.timing.json."""

    seconds: float
    processor_seconds: float | None = None
    updates: int | None = None
    resumed: bool | None = None


class Stamp(Host):
    """*.stamp.json: the modules, settings, seeds, inputs and versions that made the outputs of a job.

    Files are named with their checksums.  Commit and dirty flag are None outside of a git repository.
    """

    module: str | tuple[str, ...]
    code_sha256: str
    config_sha256: str
    seeds: Mapping[str, Any]
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    versions: Mapping[str, str]
    commit: str | None
    dirty: bool | None


class PartStamp(Stamp):
    """The stamp of a part of the report, of the claims or of the quantities, with the short hash that is printed."""

    name: str
    hash: str
    scale: str
    results: str


class Shard(Document):
    """A shard of a bank: its runs, the seeds that have each file, the settings, and the code that made the runs."""

    experiment: str
    arm: str
    seeds: tuple[int, ...]
    names: Mapping[str, tuple[int, ...]]
    settings: str
    code: tuple[str, ...]
    commits: tuple[str, ...]
    dirty: bool
    sha256: str


class Manifest(Document):
    """manifest.json of a bank.  What it says of the files beside the shards is kept as it is."""

    model_config = ConfigDict(extra="allow")

    shards: Mapping[str, Shard] = {}


class ShippedManifest(Manifest):
    """manifest.json of shipped results: the files beside the shards, with their checksums."""

    scale: str
    made_by: str
    versions: Mapping[str, str]
    files: Mapping[str, str]
    stamps_by_commit: Mapping[str, int] = {}
    dirty_because: str | None = None


D = TypeVar("D", bound=Document)


def read(path: Path, model: type[D]) -> D:
    """Return the document in the file ``path``.

    Raises:
        ResultError: the file is missing or damaged; the message names the file and the field.
    """
    try:
        content = note(path).read_bytes()
    except FileNotFoundError as error:
        raise ResultError(f"{path}: no such file; has the job that makes it finished?") from error
    except OSError as error:
        raise ResultError(f"{path}: cannot be read: {error}") from error
    return parse(content, model, path)


def parse(content: bytes, model: type[D], path: Path) -> D:
    """Return the document with the bytes ``content``, which are those of ``path``, or were.

    Raises:
        ResultError: they are damaged; the message names the file and the field.
    """
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        raise ResultError(f"{path}: damaged, {_problems(error)}; {mend(path)}") from error


def write(path: Path, model: type[Document], content: Mapping[str, Any]) -> None:
    """Write ``content`` to ``path`` as JSON, if it is a document that :func:`read` takes.

    Raises:
        ResultError: a field is missing or of another kind; nothing is written.
    """
    text = json_text(content)
    try:
        model.model_validate_json(text)
    except ValidationError as error:
        raise ResultError(f"{path}: not written: {_problems(error)}") from error
    write_text(path, text)


def _problems(error: ValidationError) -> str:
    """Return the problems of a document in words: the fields that it lacks, and those with an unexpected value."""
    found = [(".".join(map(str, item["loc"])), item["type"], item["msg"]) for item in error.errors()]
    lacks = [field for field, kind, _ in found if kind == "missing"]
    wrong = [f"{field or 'the file'}: {message}" for field, kind, message in found if kind != "missing"]
    return "; ".join([*([f"lacks {', '.join(lacks)}"] if lacks else []), *wrong])
