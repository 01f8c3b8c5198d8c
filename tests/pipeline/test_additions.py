"""Cheap to extend: the recipes of CONTRIBUTING.md, followed in a copy of the project; the files that each touches."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.pipeline import warm
from tests.replication import synthetic_results
from tests.replication.synthetic_stamps import write_stamps

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[2]
ADDITIONS = Path(__file__).parent / "additions"
PARTS = ("Snakefile", "workflow", "profiles", "config", "notebooks", "paper", "src", "shipped/published-figure")
#: Written by `make schema` and `replicate freeze`, by nobody's hand.
GENERATED = {"config/default.yaml", "config/schema.json", "config/frozen.json"}


class Copy:
    """A copy of the project that knows which of its files were changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for part in PARTS:
            source, target = PROJECT / part, folder / part
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "*.pdf"))
            else:
                shutil.copy(source, target)
        self.before = self.files()

    def files(self) -> dict[str, bytes]:
        """Return the content of every file of the parts that are copied."""
        paths = [path for part in PARTS for path in [self.folder / part, *(self.folder / part).rglob("*")]]
        files = [path for path in paths if path.is_file() and "__pycache__" not in path.parts]
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in files}

    def touched(self) -> set[str]:
        """Return the files that were added or changed by hand."""
        after = self.files()
        return {name for name in after if after[name] != self.before.get(name)} - GENERATED

    def insert(self, name: str, before: str, text: str) -> None:
        """Insert ``text`` into a file, before a line that begins with ``before``."""
        path = self.folder / name
        content = path.read_text()
        assert content.count(f"\n{before}") == 1, f"{name}: no single line {before!r}"
        path.write_text(content.replace(f"\n{before}", f"\n{text}{before}"))

    def append(self, name: str, text: str) -> None:
        """Add ``text`` at the end of a file."""
        path = self.folder / name
        path.write_text(path.read_text() + text)

    def lay(self, name: str) -> None:
        """Add the files of one addition."""
        shutil.copytree(ADDITIONS / name, self.folder, dirs_exist_ok=True)

    def run(self, code: str, *arguments: object) -> str:
        """Run a code in the copy, on the copy's packages, and return what it prints."""
        environment = os.environ | {"PYTHONPATH": str(self.folder / "src")}
        done = warm.python(code, *map(str, arguments), folder=self.folder, environment=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def snakemake(self, *arguments: str) -> str:
        """Run the workflow at the smoke scale."""
        options = ["--profile", "profiles/default", "--cores", "1", *arguments]
        return self.run(warm.MODULE.format("snakemake"), *options, "--config", "scale=smoke")

    def replicate(self, *arguments: object) -> str:
        """Run a command of the replication."""
        return self.run(warm.MODULE.format("replication"), *arguments)


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Copy:
    monkeypatch.chdir(tmp_path)
    return Copy(tmp_path)


def write_synthetic_results() -> None:
    """Write results/synthetic in the copy, with the stamps that its jobs would have written."""
    results = Path("results/synthetic")
    write_stamps(results, synthetic_results.write_results(results))


def test_an_arm_is_one_file(copy: Copy) -> None:
    arm = "    scpo-half: {method: scpo, dataset: normal, overrides: {scpo: {kappa: 0.5}}}\n"
    copy.insert("config/smoke.yaml", "    scpo-adversarial-10:", arm)
    run = "results/smoke/regression/scpo-half/seed-20002/run.json"
    assert "scpo-half" in copy.snakemake("--dry-run", run)
    assert copy.touched() == {"config/smoke.yaml"}


CLAIM = """\
  - id: toy-claim
    statement: No update of the verified arm makes the policy unsafe
    source: ours
    mark: R
    quantity: unsafe-iterates
    statistic: sum
    comparator: equals
    expected: 0
    tier: exact
    reason: Every step was checked.
    needs: {seeds: 1, arms: [regression/scpo-verified]}
    effort: study
"""


FROZEN = """
from replication.study import preregistration
assert preregistration.problem() is None
"""


def test_a_claim_is_one_file_and_the_generated_ones(copy: Copy, tmp_path: Path) -> None:
    copy.append("config/claims.yaml", CLAIM)
    copy.replicate("freeze", "--reason", "one more claim")
    copy.run(FROZEN)
    write_synthetic_results()
    copy.replicate("quantities", "--results", "results/synthetic", "--out", "results/synthetic/quantities.parquet")
    copy.replicate("claims", "--results", "results/synthetic", "--out", "claims.json")
    assert '"toy-claim"' in (tmp_path / "claims.json").read_text()
    assert copy.touched() == {"config/claims.yaml"}


FIGURE = '''

@parts.figure("regression-toy")
def toy(results: Path) -> Figure:
    """Show the final loss of each seed."""
    with style.look():
        figure = style.new_figure(style.TEXT_WIDTH, 2.0)
        figure.subplots().plot([run.final["fresh_loss"] for run in read_arm(results, EXPERIMENT, "scpo")])
    return figure
'''
SHOWN = r"""
Figure~\ref{fig:toy} shows the losses.
\begin{figure}
  \includegraphics{figures/regression-toy}
  \caption{Losses. \stamp{figures/regression-toy}}
  \label{fig:toy}
\end{figure}
"""


def test_a_figure_is_two_files(copy: Copy, tmp_path: Path) -> None:
    copy.append("src/replication/experiments/regression/figures.py", FIGURE)
    copy.append("paper/sections/regression.tex", SHOWN)
    write_synthetic_results()
    copy.replicate("figure", "regression-toy", "--results", "results/synthetic", "--out", "toy.pdf")
    assert (tmp_path / "toy.pdf").stat().st_size > 1000
    assert "figures/regression-toy.pdf" in copy.snakemake("--summary")
    assert copy.touched() == {"src/replication/experiments/regression/figures.py", "paper/sections/regression.tex"}


NOISE = """
import numpy as np
from replication import scales, tasks
plain = scales.load_scale("config/smoke.yaml").section("regression")
noisy = scales.load_scale("config/smoke.yaml", ["regression.datasets.normal.noise=0.1"]).section("regression")
draw = tasks.module_of("regression").generate_data
labels = [draw(section, "normal", np.random.default_rng(0))["labels"] for section in (plain, noisy)]
assert 0.05 < np.std(labels[0] - labels[1]) < 0.2
"""


def test_a_setting_is_two_files_and_the_generated_ones(copy: Copy, tmp_path: Path) -> None:
    settings, use = (f"src/replication/tasks/regression/{name}.py" for name in ("settings", "data"))
    field = '    noise: Fraction = Field(0.0, description="standard deviation of the labels")\n'
    copy.insert(settings, "    adversarial_share:", field)
    copy.insert(use, "    adversarial_share:", "    noise: float,\n")
    copy.insert(use, "    harmful = ", "    labels += noise * rng.standard_normal(size)\n")
    copy.replicate("defaults", "--out", "config/default.yaml")
    copy.replicate("schema", "--out", "config/schema.json")
    assert "noise: 0.0" in (tmp_path / "config/default.yaml").read_text()
    copy.run(NOISE)
    assert copy.touched() == {settings, use}


def test_a_method_is_two_files(copy: Copy) -> None:
    copy.lay("method")
    arm = "    half-steps: {method: half-steps, dataset: normal}\n"
    copy.insert("config/smoke.yaml", "    scpo-adversarial-10:", arm)
    copy.snakemake("results/smoke/regression/half-steps/seed-20002/run.json")
    assert copy.touched() == {"config/smoke.yaml", "src/scpo/baselines/half_steps.py"}


def test_an_experiment_is_its_folders_and_a_registry_line(copy: Copy, tmp_path: Path) -> None:
    copy.lay("experiment")
    registry = "src/replication/config.py"
    copy.insert(registry, "from scpo.errors", "from replication.tasks.toy.settings import ToyConfig\n")
    copy.insert(registry, "    @property\n    def experiments", "    toy: ToyConfig | None = ToyConfig()\n\n")
    copy.replicate("defaults", "--out", "config/default.yaml")
    copy.replicate("schema", "--out", "config/schema.json")
    plan = copy.snakemake("--dry-run")
    assert "train_toy" in plan and "toy-curve" in plan
    runs = [f"results/smoke/toy/{arm}/seed-20002/run.json" for arm in ("scpo", "unconstrained")]
    copy.snakemake(*runs, "results/smoke/config.json")
    copy.replicate("figure", "toy-curve", "--results", "results/smoke", "--out", "toy.pdf")
    found = copy.run("from replication.experiments.quantities import QUANTITIES; print(*QUANTITIES)")
    assert "toy-loss" in found.split()
    own = {path for path in copy.touched() if "toy" in path}
    assert copy.touched() == own | {registry}
