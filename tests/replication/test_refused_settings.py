"""Settings that are refused before any work: the message names where, the key, its value and what is allowed."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from replication import memory, scales
from replication.config import Config
from scpo.errors import ConfigurationError

PROJECT = Path(__file__).parents[2]
SCHEDULE = "regression.schedule"
ARM = "regression.arms.scpo"

# in a scale's file: (its text, what the message says beside the file's name)
FILES = [
    ("regresion: {}", "regresion = {}: no such key; did you mean regression"),
    ("double-integrator: {}", "double-integrator = {}: no such key; did you mean double_integrator"),
    ("profile: smoke", "profile = 'smoke': no such key"),
    ("regression: {schedule: {epoch: 3}}", f"{SCHEDULE}.epoch = 3: no such key; did you mean epochs"),
    ("regression: {scpo: {directions: {cout: 3}}}", "directions.cout = 3: no such key; did you mean count"),
    ("regression: {arms: {new: {method: scpo, datset: normal}}}", "arms.new.datset = 'normal': no such key"),
    ("regression: {arms: {new: {method: scpo}}}", "regression.arms.new.dataset"),
    ("scale: a\nscale: b", "the key 'scale' is given twice; first in line 1", "line 2"),
    ("regression: {bound: 1.2, bound: 1.3}", "the key 'bound' is given twice"),
    ("regression: {arms: {scpo: {seeds: 1}, scpo: {seeds: 2}}}", "the key 'scpo' is given twice"),
    ("regression: {heldout: yes}", "regression.heldout = 'yes': must be a valid integer"),
    ("regression: {heldout: true}", "regression.heldout = True: must be a valid integer"),
    ("regression: {heldout: '500'}", "regression.heldout = '500': must be a valid integer"),
    ("regression: {heldout: 500.0}", "regression.heldout = 500.0: must be a valid integer"),
    ("regression: {heldout: 0500}", "0500 is not in decimal digits", "line 1"),
    ("regression: {heldout: 1_000}", "1_000 is not in decimal digits"),
    ("regression: {heldout: 0x1F4}", "0x1F4 is not in decimal digits"),
    ("regression: {heldout: 8:20}", "8:20 is not in decimal digits"),
    ("regression: {heldout: null}", "regression.heldout = None: must be a valid integer"),
    ("regression: {heldout: 2020-01-01}", "regression.heldout = '2020-01-01'"),
    ("regression: {scpo: {verify: on}}", "regression.scpo.verify = 'on': must be a valid boolean"),
    ("regression: {scpo: {verify: 1}}", "regression.scpo.verify = 1: must be a valid boolean"),
    ("regression: {bound: true}", "regression.bound = True: must be a valid number"),
    ("regression: {bound: '1.4'}", "regression.bound = '1.4': must be a valid number"),
    ("regression: {bound: 1,4}", "regression"),
    ("regression: {bound: 0}", "regression.bound = 0: must be greater than 0"),
    ("regression: {bound: .inf}", "regression.bound = inf: must be a finite number"),
    ("regression: {bound: 1e999}", "regression.bound = inf: must be a finite number"),
    ("regression: {scpo: {kappa: .nan}}", "regression.scpo.kappa = nan: must be a finite number"),
    ("regression: {scpo: {kappa: 1.1}}", "regression.scpo.kappa = 1.1: must be less than or equal to 1"),
    ("regression: {scpo: {directions: {count: 0}}}", "count = 0: must be greater than or equal to 1"),
    ("regression: {scpo: {directions: {count: true}}}", "count = True: must be a valid integer"),
    ("regression: {scpo: {directions: {kind: tangents}}}", "kind = 'tangents': must be 'tangent', 'isotropic' or"),
    ("regression: {scpo: {smoothness: {kind: fixed}}}", "constant: kind=fixed needs"),
    ("regression: {scpo: {smoothness: {kind: proven}}}", "kind = 'proven': only for one hidden layer of tanh"),
    ("double_integrator: {scpo: {smoothness: {kind: proven}}}", "kind = 'proven': this experiment has no proof"),
    ("regression: {schedule: {epochs: 0}}", f"{SCHEDULE}.epochs = 0: must be greater than or equal to 1"),
    ("regression: {schedule: {epochs: -5}}", f"{SCHEDULE}.epochs = -5: must be"),
    ("regression: {optimizer: {name: adamw}}", "optimizer.name = 'adamw': must be 'sgd' or 'adam'"),
    ("regression: {optimizer: {momentum: 1}}", "optimizer.momentum = 1: must be less than 1"),
    ("regression: {hidden: 16}", "regression.hidden = 16: must be a valid array"),
    ("regression: {hidden: [16, 0]}", "regression.hidden.1 = 0: must be greater than or equal to 1"),
    ("regression: {activation: sigmoid}", "activation = 'sigmoid': must be 'relu', 'tanh' or 'softplus'"),
    ("double_integrator: {rho: 1.5}", "double_integrator.rho = 1.5: must be less than or equal to 1"),
    ("double_integrator: {starts: 3}", "double_integrator.starts = 3: must be greater than or equal to 16"),
    ("double_integrator: {certificate: {cells: 1}}", "certificate.cells = 1: must be greater than or equal to 2"),
    ("device: gpu", "device = 'gpu': must be 'cpu' or 'cuda'"),
    ("scale: My Scale", "scale = 'My Scale'", "pattern"),
    ("max_seeds: 0", "max_seeds = 0: must be greater than or equal to 1"),
    ("only: scpo", "only = 'scpo': must be a valid array"),
    ("only: [scop]", "only: no arm 'scop'; did you mean scpo"),
    ("only: []", "no experiment and no arm is left"),
    ("{regression: null, double_integrator: null}", "no experiment and no arm is left"),
    ("regression: {arms: {none: null}}", "regression.arms.none = null: no such arm; there are backtracking"),
    ("regression: {arms: {scpo: {seeds: 2.5}}}", f"{ARM}.seeds = 2.5: must be a valid integer"),
    ("regression: {arms: {scpo: {first_seed: 0, seeds: 5000}}}", "seeds from 1000 on are for tuning"),
    ("regression: {arms: {scpo: {dataset: norml}}}", "arm 'scpo': no data set 'norml'; there are"),
    ("regression: {arms: {scpo: {method: spco}}}", "no method 'spco'; there are scpo"),
    ("regression: {arms: {A b: {method: scpo, dataset: normal}}}", "regression.arms.A b"),
    ("regression: {arms: {scpo: {overrides: {heldout: '9'}}}}", "arm 'scpo', overrides: heldout = '9': must be"),
    ("regression: {arms: {scpo: {overrides: {scpo: {verfy: true}}}}}", "scpo.verfy = True: no such key; did you mean"),
    ("regression: {arms: {scpo: {overrides: 5}}}", f"{ARM}.overrides = 5: must be"),
    ("regression: {arms: 5}", "regression.arms = 5: must be an object"),
    ("regression: []", "regression = []: must be an object"),
    ("regression", "expected a mapping at the top level, got str"),
    ("[1, 2]", "expected a mapping at the top level, got list"),
    ("5: {}", "the key 5 is no text"),
    ("regression: {bound: [", "not valid YAML"),
    ("\tscale: a", "not valid YAML"),
    ("scale: a\n---\nscale: b", "expected a single document"),
    ("regression: &x {arms: *x}", "a value may not contain itself"),
    ("regression: !!python/object/apply:os.system [x]", "could not determine a constructor"),
    ("scale: a\x00", "special characters are not allowed"),
]
# in --set: (changes, what the message says)
CHANGES = [
    ("regression.bond=1", "regression.bond = 1: no such key; did you mean bound"),
    ("regression.bound", "'regression.bound': expected key=value"),
    ("=1", "'=1': expected key=value"),
    ("regression..bound=1", "expected key=value"),
    ("regression.bound=", "regression.bound = None: must be a valid number"),
    ("regression.bound=1.2 regression.bound=1.3", "regression.bound is set as well"),
    ("regression=null regression.bound=1.3", "'regression.bound=1.3': regression is set as well"),
    ("regression.arms.no-such-arm=null", "regression.arms.no-such-arm = null: no such arm; there are backtracking"),
    ("regression.arms.scpo.seeds=02", "02 is not in decimal digits"),
    ("regression.arms.scpo={seeds:1,seeds:2}", "no such key"),
    ("regression.hidden=[16, 16]", "'regression.hidden=[16,': not valid YAML"),
]
# in snakemake --config: (options, what the message says)
OPTIONS = [
    ({"profil": "smoke"}, "profil=smoke: no such key; there are from, scale, set"),
    ({"scal": "smoke"}, "scal=smoke: no such key; did you mean scale"),
    ({"scale": "smok"}, "scale=smok: no such scale in config/; did you mean smoke"),
    ({"scale": "claims"}, "scale=claims: no such scale"),
    ({"scale": "../config/smoke"}, "no such scale"),
    ({"scale": 0}, "scale=0: expected the name of a scale"),
    ({"set": 5}, "set=5: expected settings"),
    ({"set": True}, "set=True: expected settings"),
    ({"from": "reference"}, "from=reference: expected from=shipped"),
    ({"from": False}, "from=False: expected from=shipped"),
    ({"from": "shipped", "set": "regression.bound=1"}, "the shipped runs are finished"),
]
# too large for a machine of 24 GB: (changes, the setting that takes most)
LARGE = [
    (f"{SCHEDULE}.batch_size=100000000", "schedule.batch_size = 100000000"),
    (f"{SCHEDULE}.epochs=100000000", "schedule.epochs = 100000000"),
    ("regression.datasets.normal.size=9000000000", "datasets.normal.size = 9000000000"),
    ("regression.heldout=1000000000", "heldout = 1000000000"),
    ("regression.grid_size=100000000", "grid_size = 100000000"),
    ("regression.hidden=[100000,100000]", "hidden = (100000, 100000)"),
    ("double_integrator.starts=100000000", "starts = 100000000"),
    ("double_integrator.horizon=100000000", "horizon = 100000000"),
    ("double_integrator.certificate.cells=100000", "certificate.cells = 100000"),
]
# too many runs to plan: (changes, the arm with the most)
MANY = [
    ("regression.arms.scpo.seeds=100000000", "regression.arms.scpo.seeds = 100000000"),
    ("double_integrator.arms.scpo-mixed.seeds=100000", "double_integrator.arms.scpo-mixed.seeds = 100000"),
    ("regression.arms.scpo.seeds=60000 regression.arms.unconstrained.seeds=60001", "unconstrained.seeds = 60001"),
]


def refusal(text: str, folder: Path, *changes: str) -> str:
    """Return the message with which a scale is refused."""
    path = folder / "scale.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as refused:
        scales.load_scale(path, changes)
    return str(refused.value)


@pytest.mark.parametrize("case", FILES, ids=lambda case: case[0][:50].encode("unicode_escape").decode())
def test_a_scale_is_refused(case, tmp_path):
    text, *said = case
    message = refusal(text, tmp_path)
    assert message.startswith(f"{tmp_path / 'scale.yaml'}: ")
    for part in said:
        assert part in message


@pytest.mark.parametrize(("change", "said"), CHANGES)
def test_a_change_is_refused(change, said, tmp_path):
    message = refusal("scale: scale", tmp_path, change)
    assert message.startswith("--set") and said in message


@pytest.mark.parametrize(("options", "said"), OPTIONS, ids=str)
def test_an_option_of_the_workflow_is_refused(options, said, monkeypatch):
    monkeypatch.chdir(PROJECT)
    with pytest.raises(ConfigurationError) as refused:
        scales.choose(options)
    assert str(refused.value).startswith("--config ") and said in str(refused.value)


def test_an_option_of_the_workflow_that_is_given_twice_is_refused(monkeypatch):
    monkeypatch.chdir(PROJECT)
    command = ["snakemake", "--config", "scale=smoke", "set=regression.bound=1.2", "scale=paper"]
    with pytest.raises(ConfigurationError, match="--config scale=smoke scale=paper: scale is given twice"):
        scales.choose({"scale": "paper"}, command)
    assert scales.choose({"scale": "smoke"}, command[:-1]).scale == "smoke"


def test_a_key_that_a_file_of_options_gives_twice_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(PROJECT)
    path = tmp_path / "options.yaml"
    path.write_text("scale: smoke\nscale: paper\n")
    with pytest.raises(ConfigurationError, match=r"options\.yaml: not valid YAML: the key 'scale' is given twice"):
        scales.choose({"scale": "paper"}, given_in=[path])
    path.write_text("scale: paper\n")
    assert scales.choose({"scale": "paper"}, given_in=[path]).scale == "paper"


@pytest.mark.parametrize(("change", "said"), LARGE)
def test_what_cannot_fit_into_memory_is_refused(change, said, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 24e9)
    message = refusal("scale: scale", tmp_path, change)
    assert said in message and "this machine has 24.0 GB" in message


@pytest.mark.parametrize(("change", "said"), MANY)
def test_more_runs_than_can_be_planned_are_refused(change, said, tmp_path):
    message = refusal("scale: scale", tmp_path, change)
    assert said in message and "more than 100,000 cannot be planned" in message


def test_a_file_that_is_no_text_and_a_folder_are_refused(tmp_path):
    path = tmp_path / "scale.yaml"
    path.write_bytes("scale: größe".encode("latin-1"))
    with pytest.raises(ConfigurationError, match="not UTF-8: byte 9 is 0xf6"):
        scales.load_scale(path)
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        scales.load_scale(tmp_path)


def test_the_shipped_scales_fit_into_two_gigabytes():
    for path in (PROJECT / "config").glob("*.yaml"):
        if path.stem not in scales.NO_SCALES:
            memory.require(scales.load_scale(path), most=2e9)


def test_runs_side_by_side_share_the_memory(tmp_path, monkeypatch):
    """Of 40 runs of one size, 20 fit at a time; no more processes than runs are counted."""
    path = tmp_path / "scale.yaml"
    path.write_text(
        "scale: scale\nonly: [scpo, unconstrained]\ndouble_integrator: null\n"
        "regression: {arms: {scpo: {seeds: 20}, unconstrained: {seeds: 20}}, schedule: {batch_size: 100000}}"
    )
    (section,) = scales.load_scale(path).experiments.values()
    one = memory.PROCESS + sum(memory.of_run(section, "scpo").values())
    monkeypatch.setattr(memory, "available", lambda: 20.5 * one)
    for jobs in (1, 20):
        scales.load_scale(path, jobs=jobs)
    with pytest.raises(ConfigurationError, match=r"21 runs side by side need about .* enough for 20: make JOBS=20"):
        scales.load_scale(path, jobs=21)
    monkeypatch.setattr(memory, "available", lambda: 40.5 * one)
    scales.load_scale(path, jobs=1000)


@pytest.mark.slow
def test_the_estimate_of_memory_is_that_of_a_batch():
    """Take a step with a small batch, then one with a large one: the difference is the large one's memory."""
    units, batch = 128, 200_000
    code = f"""
import json, pathlib, resource, torch
from scpo.policies import ResidualPolicy
policy = ResidualPolicy((1, 64, 64, 1), "relu", generator=torch.Generator().manual_seed(0))
peaks = []
for size in (10, {batch}):
    policy(torch.ones(size, 1, dtype=torch.float64)).square().mean().backward()
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    if pathlib.Path("/proc/self/status").exists():  # where ru_maxrss begins at that of the process that forked this one
        peaks[-1] = int(pathlib.Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
print(json.dumps(peaks))
"""
    run = subprocess.run([sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, check=True)
    before, after = json.loads(run.stdout)
    unit = 1 if sys.platform == "darwin" else resource.getpagesize() // 4  # of ru_maxrss: bytes, or 1,024 of them
    schedule = Config().regression.schedule.model_copy(update={"batch_size": batch})
    section = Config().regression.model_copy(update={"schedule": schedule})
    estimated = section.memory("normal")["schedule.batch_size"]
    assert estimated == 32 * units * batch
    assert 0.25 < (after - before) * unit / estimated < 2  # what is freed in between depends on the allocator


@pytest.mark.slow
def test_snakemake_ends_with_the_message_and_plans_nothing(tmp_path):
    (tmp_path / "twice.yaml").write_text("scale: smoke\nscale: paper\n")
    for options, said in (
        (["--config", "profil=smoke"], "no such key"),
        (["--config", "scale=smoke", "set=5"], "set=5: expected settings"),
        (["--configfile", str(tmp_path / "twice.yaml")], "the key 'scale' is given twice"),
    ):
        run = subprocess.run(
            [sys.executable, "-m", "snakemake", "--dry-run", "--cores", "1", *options],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 1
        assert said in run.stdout + run.stderr and "Job stats" not in run.stdout + run.stderr
