"""The claims that this project checks, read from config/claims.yaml: the one place where they are stated.

A claim says what is measured (a metric of :mod:`replication.claims.metrics`), what is expected, within which tolerance
and why, and which evidence decides it.  Unknown keys are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from replication.claims.metrics import METRICS
from replication.files import note
from replication.paths import REPOSITORY
from replication.settings import Count, Model, Name
from scpo.errors import ConfigurationError

#: The claims of this project.
FILE = REPOSITORY / "config" / "claims.yaml"

#: Task and arm, as in paths.
Arm = Annotated[str, Field(pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")]
#: Evidence beside the runs.
Other = Literal["references", "certificates", "referee", "falsification", "published", "benchmarks"]
Text = Annotated[str, Field(min_length=3)]


class Effort(Model):
    """What it takes to make a claim's evidence."""

    command: Text = Field(description="makes the evidence")
    human: Text = Field(description="time of a person")
    compute: Text = Field(description="time of the machine, on two cores")


class Change(Model):
    """A change of what is judged or expected after it was first committed, or a claim that was added later."""

    on: date
    change: Text
    reason: Text


class Needs(Model):
    """The evidence that decides a claim; with less the claim is not run."""

    scale: Name = Field("paper", description="the scale whose results decide")
    seeds: Count = Field(1, description="least number of seeds of each arm")
    updates: Count = Field(1, description="least number of updates of each run")
    arms: tuple[Arm, ...] = Field((), description="runs that are judged")
    baselines: tuple[Arm, ...] = Field((), description="runs that they are compared with, arm by arm, seed by seed")
    others: tuple[Other, ...] = ()

    @model_validator(mode="after")
    def _are_paired(self) -> Self:
        if self.baselines and len(self.baselines) != len(self.arms):
            raise ValueError(f"{len(self.arms)} arms and {len(self.baselines)} baselines: expected one for each arm")
        return self


class Claim(Model):
    """One statement, and how it is decided."""

    id: Name
    statement: Text
    source: Text = Field(description="where it stands: abstract v1, v2 or v3; figure; ours")
    mark: Literal["S", "F", "R"] = Field(
        description="of the setting in which it is judged: S or F the source's, R ours"
    )
    metric: str
    comparator: Literal["equals", "at_most", "at_least", "below", "within", "covers"] = Field(
        description="measured against expected; covers: the range over seeds holds the expected value"
    )
    expected: float | tuple[float, float]
    tolerance: Annotated[float, Field(ge=0)] = 0.0
    tier: Literal["exact", "numeric", "statistical"] = Field(
        description="exact: counts; numeric: values; statistical: the interval over seeds must hold as a whole"
    )
    reason: Text = Field(description="why this expected value and this tolerance")
    needs: Needs
    effort: Name
    calibrated: tuple[Text, ...] = Field(
        (), description="what was chosen with an expected value in view, on tuning seeds or on the published figure"
    )
    history: tuple[Change, ...] = ()

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        metric = METRICS.get(self.metric)
        if metric is None:
            raise ValueError(f"claim {self.id!r}: no metric {self.metric!r}; there are {', '.join(sorted(METRICS))}")
        if (self.comparator == "within") != isinstance(self.expected, tuple):
            raise ValueError(f"claim {self.id!r}: a pair is expected with 'within', and only there")
        if isinstance(self.expected, tuple) and self.expected[0] > self.expected[1]:
            raise ValueError(f"claim {self.id!r}: expected [{self.expected[0]}, {self.expected[1]}] is no interval")
        if self.tier == "exact" and self.tolerance:
            raise ValueError(f"claim {self.id!r}: an exact claim has no tolerance, got {self.tolerance}")
        if (self.tier == "statistical") != (metric.over in ("median", "range")):
            raise ValueError(f"claim {self.id!r}: metric {self.metric!r} is taken over {metric.over}: wrong tier")
        if (self.comparator == "covers") != (metric.over == "range"):
            raise ValueError(f"claim {self.id!r}: 'covers' goes with a metric over a range, and only with one")
        if self.calibrated and self.mark != "R":
            raise ValueError(f"claim {self.id!r}: calibrated quantities are choices of ours: the mark is R")
        return self


class Claims(Model):
    """All claims, in the order in which they are printed."""

    efforts: Mapping[Name, Effort]
    claims: tuple[Claim, ...]

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        ids = [claim.id for claim in self.claims]
        if twice := sorted({name for name in ids if ids.count(name) > 1}):
            raise ValueError(f"claims with the same id: {', '.join(twice)}")
        if unknown := sorted({claim.effort for claim in self.claims} - self.efforts.keys()):
            raise ValueError(f"no effort {', '.join(unknown)}; there are {', '.join(sorted(self.efforts))}")
        return self


def load(path: Path = FILE) -> Claims:
    """Read and validate the claims.

    Raises:
        ConfigurationError: the file is missing, no YAML, or holds an unknown key or a bad value.
    """
    try:
        return Claims.model_validate(yaml.safe_load(note(path).read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise ConfigurationError(f"{path}: no such file; work in a checkout of the project") from error
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path}: not valid YAML: {error}") from error
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, item['loc'])) or 'top level'}: {item['msg']}" for item in error.errors()]
        raise ConfigurationError(f"{path}: invalid claims\n" + "\n".join(lines)) from error
