"""The claims that this project checks, read from config/claims.yaml, the one place where they are stated.

A claim names a quantity and a statistic over its values, the expected value with its tolerance and the reason for both,
and the evidence that decides it.  Unknown keys are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from replication import strict_yaml
from replication.experiments.quantities import QUANTITIES
from replication.files import note
from replication.paths import REPOSITORY
from replication.results.quantities import Kind
from replication.settings import Count, Model, Name
from scpo.errors import ConfigurationError

#: The claims of this project.
FILE = REPOSITORY / "config" / "claims.yaml"

#: Experiment and arm, as in paths.
Arm = Annotated[str, Field(pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")]
#: Evidence beside the runs.
Other = Literal["references", "certificates", "referee", "falsification", "published", "benchmarks"]
Text = Annotated[str, Field(min_length=3)]

#: The scales whose results decide.
DECIDING = ("paper", "study")

#: Statistic over the values -> how it is said.
STATISTICS = {
    "sum": "sum over runs",
    "max": "largest of any run",
    "min": "smallest of any run",
    "median": "median over seeds",
    "prediction": "median over seeds, and the interval that holds one more run with 95 %",
    "runs": "share of seeds with any, and its exact one-sided 95 % bounds",
}
#: How the pairing of a run with the baseline's run of the same seed is said.
DIFFERENCE = "difference to the baseline"


class Effort(Model):
    """What it takes to make a claim's evidence."""

    command: Text = Field(description="makes the evidence")
    human: Text = Field(description="time of a person")
    compute: Text = Field(description="time of the machine, on two cores")


class Change(Model):
    """A change to a claim after it was first committed, or the addition of a claim."""

    on: date
    change: Text
    reason: Text


class Needs(Model):
    """The evidence that decides a claim; with less the claim is not run."""

    seeds: Count = Field(1, description="least number of seeds of each arm")
    updates: Count = Field(1, description="least number of updates of each run")
    arms: tuple[Arm, ...] = Field((), description="runs that are judged")
    baselines: tuple[Arm, ...] = Field((), description="runs that they are compared with, arm by arm, seed by seed")
    others: tuple[Other, ...] = ()

    @model_validator(mode="after")
    def _are_paired(self) -> Self:
        if self.baselines and len(self.baselines) != len(self.arms):
            raise ValueError(f"{len(self.arms)} arms and {len(self.baselines)} baselines: expected one for each arm")
        for arm, baseline in zip(self.arms, self.baselines, strict=False):
            if arm.split("/")[0] != baseline.split("/")[0]:
                raise ValueError(f"{arm} and its baseline {baseline}: expected runs of one experiment")
        return self


class Claim(Model):
    """One statement, and how it is decided."""

    id: Name
    statement: Text
    source: Text = Field(description="where it is made: abstract v1, v2 or v3; figure; ours")
    mark: Literal["S", "F", "R"] = Field(
        description="of the setting in which it is judged: S or F the source's, R ours"
    )
    quantity: Name
    statistic: Literal["sum", "max", "min", "median", "prediction", "runs"] = Field(
        description="taken over the quantity's values"
    )
    pairing: Literal["difference"] | None = Field(
        None, description="run less baseline, seed by seed; null without baselines"
    )
    comparator: Literal["equals", "at_most", "at_least", "within", "covers"] = Field(
        description="measured against expected; covers: the prediction interval holds the expected value"
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
        (), description="settings chosen with an expected value in view, on tuning seeds or on the published figure"
    )
    shown_in: tuple[Name, ...] = Field((), description="figures and tables of the report that show what is measured")
    history: tuple[Change, ...] = ()

    @property
    def kind(self) -> Kind:
        """The kind of format in which the measured value is printed."""
        return "share" if self.statistic == "runs" else QUANTITIES[self.quantity].format.kind

    @property
    def measures(self) -> str:
        """What is measured, in words."""
        sentence = QUANTITIES[self.quantity].sentence.rstrip(".")
        paired = [DIFFERENCE] if self.pairing else []
        statistic = [STATISTICS[self.statistic]] if self.needs.arms else []
        return "; ".join([sentence, *paired, *statistic])

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.quantity not in QUANTITIES:
            raise ValueError(
                f"claim {self.id!r}: no quantity {self.quantity!r}; there are {', '.join(sorted(QUANTITIES))}"
            )
        if (self.pairing is not None) != bool(self.needs.baselines):
            raise ValueError(f"claim {self.id!r}: a pairing goes with baselines, and only with them")
        if (self.comparator == "within") != isinstance(self.expected, tuple):
            raise ValueError(f"claim {self.id!r}: a pair is expected with 'within', and only there")
        if isinstance(self.expected, tuple) and self.expected[0] > self.expected[1]:
            raise ValueError(f"claim {self.id!r}: expected [{self.expected[0]}, {self.expected[1]}] is no interval")
        if self.tier == "exact" and self.tolerance:
            raise ValueError(f"claim {self.id!r}: an exact claim has no tolerance, got {self.tolerance}")
        if (self.tier == "statistical") != (self.statistic in ("median", "prediction")):
            raise ValueError(f"claim {self.id!r}: statistic {self.statistic!r} does not go with tier {self.tier!r}")
        if (self.comparator == "covers") != (self.statistic == "prediction"):
            raise ValueError(f"claim {self.id!r}: 'covers' goes with 'prediction', and only with it")
        if self.calibrated and self.mark != "R":
            raise ValueError(f"claim {self.id!r}: calibrated settings are choices of ours: the mark is R")
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
    """Return the claims of ``path``, validated.

    Raises:
        ConfigurationError: the file is missing, no YAML, or holds an unknown key or a bad value.
    """
    try:
        return Claims.model_validate(strict_yaml.read(note(path)))
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, item['loc'])) or 'top level'}: {item['msg']}" for item in error.errors()]
        raise ConfigurationError(f"{path}: invalid claims\n" + "\n".join(lines)) from error
