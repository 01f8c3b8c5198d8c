"""The quantities of the regression, in addition to those that every run has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path
from statistics import mode

import numpy as np

from replication.experiments.regression import published
from replication.results.quantities import COUNT, LOSS, NUMBER, RATIO, SHARE, Format, Provider, Quantity, Row, single
from replication.results.read import Run, read_arms, read_section, read_stationarity
from replication.results.run_quantities import final, initial, reduction
from replication.settings import ExperimentSettings
from replication.tasks.regression.settings import RegressionConfig

EXPERIMENT = "regression"
#: Held-out losses: key in run.json and evaluations.parquet -> what the loss is.
LOSSES = {
    "fresh_loss": "loss on fresh inputs",
    "clipped_loss": "loss against the clipped clean target",
    "uniform_loss": "loss on a uniform grid",
}
#: Shares of the nominal step that the projection removes: column -> along which samples.
SHARES = {"rejected_share": "the harmful samples", "clean_rejected_share": "the other samples"}


def side_epochs(arms: Mapping[str, ExperimentSettings]) -> int:
    """Return the length in epochs of the shortest arm with the usual updates per epoch; arms are compared there."""
    usual = mode([settings.schedule.updates_per_epoch for settings in arms.values()])
    return min(settings.schedule.epochs for settings in arms.values() if settings.schedule.updates_per_epoch == usual)


def at_epoch(run: Run, column: str, epoch: float) -> float:
    """Return a held-out value from the last evaluation that is not after ``epoch``."""
    rows = run.evaluations
    return float(rows.loc[rows["epoch"] <= epoch, column].iloc[-1])


def rejected(run: Run, column: str, epoch: float = np.inf) -> float | None:
    """Return the median of a share over the evaluations in the second half of the epochs up to ``epoch``.

    None if no evaluation has it.
    """
    rows, last = run.evaluations, min(epoch, run.epochs)
    shares = rows.loc[(rows["epoch"] > last / 2) & (rows["epoch"] <= last), column].dropna()
    return float(shares.median()) if len(shares) else None


def _section(run: Run) -> RegressionConfig:
    assert isinstance(run.settings, RegressionConfig)
    return run.settings


def _inputs(run: Run) -> str:
    return _section(run).datasets[run.summary.dataset].inputs


def _at_side(column: str) -> Callable[[Run], float]:
    return lambda run: at_epoch(run, column, side_epochs(run.arms))


def _rejected_at_side(column: str) -> Callable[[Run], float | None]:
    return lambda run: rejected(run, column, side_epochs(run.arms))


def _nearest_to(epoch: float) -> Callable[[Run], float]:
    def compute(run: Run) -> float:
        nearest = int(np.abs(run.evaluations["epoch"].to_numpy() - epoch).argmin())
        return float(run.evaluations["fresh_loss"].iloc[nearest])

    return compute


def _late_loss(run: Run) -> float | None:
    late = run.evaluations.loc[run.evaluations["epoch"] >= published.LATE, "fresh_loss"]
    return None if late.empty else float(late.median())


def _removable_loss_removed(run: Run) -> float:
    before, after = initial("fresh_loss")(run), final("fresh_loss")(run)
    return (before - after) / (before - published.floor(_section(run).bound, _inputs(run)))


def _harmful_part_removed(run: Run) -> float | None:
    difference = (run.evaluations["rejected_share"] - run.evaluations["clean_rejected_share"]).dropna()
    return None if difference.empty else float(difference.median())


def _loss_in(place: str) -> Callable[[Run], float | None]:
    def compute(run: Run) -> float | None:
        return _places(run)[place] if _inputs(run) == "normal" else None

    return compute


@lru_cache(maxsize=1)  # the quantities of one run are computed one after the other
def _places(run: Run) -> dict[str, float]:
    return published.loss_by_place(final("fresh_loss")(run), run.exhibits["curve"], _section(run).bound)


def _losses() -> Iterator[Quantity]:
    for key, loss in LOSSES.items():
        name = key.replace("_", "-")
        yield Quantity(name, f"Final {loss}.", LOSS, final(key))
        yield Quantity(f"initial-{name}", f"Initial {loss}.", LOSS, initial(key))
        yield Quantity(f"{name}-reduction", f"Share by which the {loss} fell.", SHARE, reduction(key))
        yield Quantity(
            f"{name}-at-side", f"{loss.capitalize()} after the epochs of the shortest arm.", LOSS, _at_side(key)
        )


def _rejected_shares() -> Iterator[Quantity]:
    for key, along in SHARES.items():
        name = key.replace("_", "-")
        what = f"Share of the nominal step along {along} that the projection removes"
        yield Quantity(name, f"{what}, median over the second half of the run.", RATIO, partial(rejected, column=key))
        yield Quantity(
            f"{name}-at-side",
            f"{what}, median over the second half of the shortest arm's epochs.",
            RATIO,
            _rejected_at_side(key),
        )


#: Where a loss lies: name in :func:`published.loss_by_place` -> what it is.
PLACES = {
    "inside": "Mean squared error for normal inputs within [-pi, pi].",
    "tails": "Loss above the floor from |x| > 2 within [-pi, pi].",
    "peaks": "Loss above the floor from the peaks of f beyond the limits at |x| = 1.1, with their flanks.",
    "rest": "Loss above the floor from the rest of [-pi, pi].",
    "beyond": "Loss above the floor from outside [-pi, pi], with the sampling error of fresh inputs.",
}

RUN = (
    Quantity(
        "adversarial-share",
        "Share of the training labels that are adversarial.",
        Format("share", 0),
        lambda run: _section(run).datasets[run.summary["dataset"]].adversarial_share,
    ),
    *_losses(),
    *_rejected_shares(),
    Quantity(
        "removable-loss-removed",
        "Share of the initial loss above the floor that is gone at the end (fresh inputs).",
        SHARE,
        _removable_loss_removed,
    ),
    Quantity(
        "harmful-part-removed",
        "Rejected share along the harmful samples less that along the others (median of the evaluations).",
        RATIO,
        _harmful_part_removed,
    ),
    Quantity("loss-at-200", "Loss on fresh inputs at the evaluation nearest to epoch 200.", LOSS, _nearest_to(200)),
    Quantity("late-loss", "Loss on fresh inputs from epoch 1,000 on (median of the evaluations).", LOSS, _late_loss),
    Quantity(
        "share-inside-band",
        "Share of the published figure's columns in which the run's losses meet the published band.",
        SHARE,
        published.share_inside,
    ),
    *(Quantity(f"loss-{place}", sentence, LOSS, _loss_in(place)) for place, sentence in PLACES.items()),
)

PUBLISHED = (
    Quantity("published-late-low", "Lower edge of the published loss from epoch 1,000 on, median.", Format("loss", 2)),
    Quantity("published-late-high", "Upper edge of the published loss from epoch 1,000 on, median.", Format("loss", 2)),
    Quantity("published-late-peak", "Highest published loss from epoch 1,000 on.", Format("loss", 2)),
    Quantity("published-policy-error", "Mean squared error of the published policy, uniform over [-pi, pi].", LOSS),
    Quantity("published-reading-epochs", "Reading error of the digitised loss, in epochs.", COUNT, unit="epochs"),
    Quantity("published-reading-loss", "Reading error of the digitised loss.", NUMBER),
    Quantity("floor-normal", "Least mean squared error of any policy within the limits, normal inputs.", LOSS),
    Quantity("floor-uniform", "Least mean squared error of any policy within the limits, uniform inputs.", LOSS),
    Quantity("outer-peak", "|x| of the outer peaks of f that lie beyond the limits.", NUMBER),
    Quantity("flank", "Half the width of a peak with its flanks.", NUMBER),
    Quantity("tails", "|x| from which an input counts as in the tails.", NUMBER),
    Quantity("side-epochs", "Epochs of the shortest arm.", COUNT, unit="epochs"),
)


def _published(results: Path) -> Iterator[Row]:
    section = read_section(results, EXPERIMENT)
    assert isinstance(section, RegressionConfig)
    band, side = published.late_band(), side_epochs(read_arms(results, EXPERIMENT))
    values = {
        "published-late-low": band.low,
        "published-late-high": band.high,
        "published-late-peak": band.peak,
        "published-policy-error": published.policy_error(),
        "published-reading-epochs": published.READING_EPOCHS,
        "published-reading-loss": published.READING_LOSS,
        "floor-normal": published.floor(section.bound, "normal"),
        "floor-uniform": published.floor(section.bound, "uniform"),
        "outer-peak": published.OUTER_PEAK,
        "flank": published.FLANK,
        "tails": published.TAILS,
        "side-epochs": side,
    }
    return single(values, EXPERIMENT)


STATIONARITY = (
    Quantity(
        "kkt-residual",
        "Part of the loss gradient that the active constraints do not balance at the final policy, as a share.",
        SHARE,
    ),
    Quantity("kkt-near", "A constraint counts as active within this of its limit.", NUMBER),
)


def _stationarity(results: Path) -> Iterator[Row]:
    found = read_stationarity(results)
    yield from single({"kkt-near": found.near}, EXPERIMENT)
    for run in found.runs:
        yield EXPERIMENT, run.arm, run.seed, "kkt-residual", run.residual


PROVIDERS = (Provider(PUBLISHED, _published), Provider(STATIONARITY, _stationarity))
