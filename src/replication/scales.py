"""Changes of single settings, and the part of the configuration that each job reads.

A training job reads its experiment, its arm and its data set, and nothing else of the configuration.  If the digest of
this part changes, the job runs again.  More seeds, or another experiment, do not change the digest.
"""

from __future__ import annotations

import copy
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replication import memory, strict_yaml
from replication.config import LIMITS, Config, canonical, load
from replication.invalid import known
from replication.settings import merge
from scpo.errors import ConfigurationError

#: Key of snakemake --config -> what is allowed.
OPTIONS = {
    "scale": "the name of a scale, as scale=smoke for config/smoke.yaml",
    "set": 'settings, as set="regression.bound=1.2 regression.schedule.epochs=7"',
    "from": "from=shipped, for the report of the shipped results, or nothing",
}
#: Settings that are younger than banked runs, as "regression.noise" -> the value that stands for how it was before.
#: With this value they stay out of digests, so that what is banked, and the freeze of the study, stay good.
YOUNGER: dict[str, Any] = {
    "regression.scpo.directions.pieces": 0,
    "double_integrator.scpo.directions.pieces": 0,
}
#: Files in config/ that are no scales.
NO_SCALES = ("claims",)


@dataclass(frozen=True)
class Choice:
    """The options of a call of the workflow: a scale, changes of its settings, and where its runs come from.

    Attributes:
        scale: its name.
        changes: the text for :func:`parse`.
        origin: "shipped" for the shipped results, "" to train.
    """

    scale: str
    changes: str
    origin: str

    @property
    def file(self) -> str:
        """The scale's file, relative to the checkout."""
        return f"config/{self.scale}.yaml"


def choose(options: Mapping[str, Any], command: Sequence[str] = (), given_in: Iterable[Path] = ()) -> Choice:
    """Return the options that ``snakemake --config key=value`` gives, or ``--configfile``.

    Args:
        options: key -> value, as Snakemake passes them on: of a key that is given twice, the last value.
        command: the words of the command, in which such a key is found.
        given_in: files of ``--configfile``, in which such a key is found too.

    Raises:
        ConfigurationError: a key or a scale is unknown, a key is given twice, or a value is not one of those that are
            allowed.
    """
    for path in given_in:
        strict_yaml.read(path)
    given = [word for word in command if word.partition("=")[0] in OPTIONS and "=" in word]
    if twice := [key for key, times in Counter(word.partition("=")[0] for word in given).items() if times > 1]:
        values = " ".join(word for word in given if word.startswith(f"{twice[0]}="))
        raise ConfigurationError(f"--config {values}: {twice[0]} is given twice")
    for key, value in options.items():
        if key not in OPTIONS:
            raise ConfigurationError(f"--config {key}={value}: no such key{known(key, OPTIONS)}")
        if value is not None and not isinstance(value, str):
            raise ConfigurationError(f"--config {key}={value}: expected {OPTIONS[key]}")
    choice = Choice(options.get("scale") or "paper", options.get("set") or "", options.get("from") or "")
    scales = [path.stem for path in Path("config").glob("*.yaml") if path.stem not in NO_SCALES]
    if choice.scale not in scales:
        raise ConfigurationError(
            f"--config scale={choice.scale}: no such scale in config/{known(choice.scale, scales)}"
        )
    if choice.origin not in ("", "shipped"):
        raise ConfigurationError(f"--config from={choice.origin}: expected {OPTIONS['from']}")
    if choice.origin and choice.changes:
        raise ConfigurationError(
            f"--config from={choice.origin} set={choice.changes!r}: the shipped runs are finished, so no setting of "
            "theirs can be changed; leave out either from or set"
        )
    return choice


def parse(assignments: Iterable[str]) -> dict[str, Any]:
    """Return the nested mapping of ``assignments``: ["a.b=1 a.c=x", "d=[2]"] is {"a": {"b": 1, "c": "x"}, "d": [2]}.

    Args:
        assignments: texts of one or several changes, separated by blanks; the values are YAML.

    Raises:
        ConfigurationError: an assignment is not of the form key=value, changes what another one changes, or its value
            is not YAML.
    """
    overlay: dict[str, Any] = {}
    seen: list[list[str]] = []
    for assignment in (part for text in assignments for part in text.split()):
        key, separator, value = assignment.partition("=")
        steps = key.split(".")
        if not separator or not all(steps):
            raise ConfigurationError(f"--set {assignment!r}: expected key=value, for example regression.bound=1.2")
        for other in seen:
            if other[: len(steps)] == steps[: len(other)]:
                raise ConfigurationError(f"--set {assignment!r}: {'.'.join(other)} is set as well; set it once")
        seen.append(steps)
        nested: Any = strict_yaml.parse(value, f"--set {assignment!r}")
        for step in reversed(steps):
            nested = {step: nested}
        overlay = merge(overlay, nested)
    return overlay


def load_scale(path: Path | str, assignments: Iterable[str] = (), jobs: int = 1) -> Config:
    """Return the configuration of a scale's file with single settings changed.

    Args:
        path: the file, config/<scale>.yaml.
        assignments: the changes, as for :func:`parse`.
        jobs: runs side by side on this machine.

    Raises:
        ConfigurationError: as for :func:`replication.config.load`, an assignment is unusable, or the runs would need
            more memory than this machine has.
    """
    config = load(path, parse(assignments))
    memory.require(config, jobs)
    return config


def for_arm(config: Config, experiment: str, arm: str) -> Config:
    """Return the part of ``config`` that the runs of one arm read.

    The arm's number of seeds is set to 1, because each run gets its seed separately.

    Raises:
        ConfigurationError: there is no such experiment or arm.
    """
    _require("arm", arm, config.section(experiment).arms, experiment)
    return Config.model_validate(_arm_part(config.model_dump(), _field(experiment), arm))


def for_dataset(config: Config, experiment: str, dataset: str) -> Config:
    """Return the part of ``config`` that drawing one data set reads.

    Raises:
        ConfigurationError: there is no such experiment or data set.
    """
    _require("data set", dataset, config.section(experiment).datasets, experiment)
    raw = config.model_dump() | {"device": "cpu"}  # data are always drawn on the CPU
    return Config.model_validate(_part(raw, _field(experiment), dataset, {}))


def digest(config: Config) -> str:
    """Return the SHA-256 of a configuration's canonical JSON, in which settings of :data:`YOUNGER` are left out."""
    return _digest(config.model_dump(mode="json"))


def _digest(raw: Mapping[str, Any]) -> str:
    older = copy.deepcopy(dict(raw))
    for path, value in YOUNGER.items():
        *parents, last = path.split(".")
        part: Any = older
        for name in parents:
            part = part.get(name) if isinstance(part, dict) else None
        if isinstance(part, dict) and last in part and part[last] == value:
            del part[last]
    return hashlib.sha256(canonical(older).encode()).hexdigest()


def require_digest(config: Config, planned: str | None) -> None:
    """Refuse settings whose digest is not ``planned``, if that is given.

    Raises:
        ConfigurationError: the digests differ: the scale's file was edited after the workflow had planned the job.
    """
    if planned not in (None, digest(config)):
        raise ConfigurationError("the settings were changed after this job was planned; run the workflow again")


def digest_on_disk(raw: Mapping[str, Any], experiment: str, arm: str) -> str:
    """Return the digest of the part that one arm's runs read, from the content of a config.json.

    The file may be of an earlier version: its own names are kept, so the digest is the one that was stamped then.
    """
    part = _arm_part(raw, _field(experiment), arm)
    return _digest(part)


def _field(experiment: str) -> str:
    return experiment.replace("-", "_")


def _require(kind: str, name: str, known: Mapping[str, Any], experiment: str) -> None:
    if name not in known:
        raise ConfigurationError(f"{experiment}: no {kind} {name!r}; there are {', '.join(sorted(known))}")


def _arm_part(raw: Mapping[str, Any], field: str, arm: str) -> dict[str, Any]:
    chosen = raw[field]["arms"][arm] | {"seeds": 1, "first_seed": 0}
    return _part(raw, field, chosen["dataset"], {arm: chosen})


def _part(raw: Mapping[str, Any], field: str, dataset: str, arms: dict[str, Any]) -> dict[str, Any]:
    """Return ``raw`` with one experiment, one data set and ``arms``, without limits and certificates."""
    others = [name for name, value in raw.items() if isinstance(value, Mapping) and "arms" in value]
    limits = [name for name in LIMITS if name in raw]
    section = raw[field] | {"arms": arms, "datasets": {dataset: raw[field]["datasets"][dataset]}}
    if "certificate" in section:  # certificates are made of finished runs
        section["certificate"] = None
    return {**raw, **dict.fromkeys([*others, *limits]), field: section}
