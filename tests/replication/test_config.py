"""The configuration models, scales, overrides and what each job sees of them."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from replication import scales
from replication.config import Config, dump, load
from replication.experiments.double_integrator import study as double_integrator_study
from replication.experiments.regression import study as regression_study
from replication.seeds import FIRST_STUDY_SEED, FIRST_TUNING_SEED
from replication.settings import merge
from scpo.errors import ConfigurationError

PROJECT = Path(__file__).parents[2]
SCALES = [path for path in sorted((PROJECT / "config").glob("*.yaml")) if path.stem not in scales.NO_SCALES]


def write(folder: Path, text: str) -> Path:
    path = folder / "scale.yaml"
    path.write_text(text)
    return path


def test_an_empty_scale_is_the_defaults(tmp_path):
    assert load(write(tmp_path, "# nothing\n")) == Config()


def test_a_scale_changes_what_it_names_and_nothing_else(tmp_path):
    config = load(write(tmp_path, "regression: {schedule: {epochs: 7}, arms: {scpo: {seeds: 1}}}"))
    assert config.regression.schedule.epochs == 7
    assert config.regression.schedule.updates_per_epoch == Config().regression.schedule.updates_per_epoch
    assert config.regression.arms["scpo"].seeds == 1
    assert config.regression.arms["scpo-verified"] == Config().regression.arms["scpo-verified"]


def test_an_arm_set_to_null_is_left_out(tmp_path):
    section = load(write(tmp_path, "regression: {arms: {scpo-uniform: null}}")).regression
    assert "scpo-uniform" not in section.arms
    assert len(section.arms) == len(Config().regression.arms) - 1


def test_harder_data_sets_differ_in_adversarial_labels_alone():
    datasets = Config().regression.datasets
    for share in (10, 30, 50):
        changed = {"adversarial_share": share / 100}
        assert datasets[f"adversarial-{share}"] == datasets["normal"].model_copy(update=changed)


def test_side_experiments_change_one_setting():
    section = Config().regression
    arms = {name: section.for_arm(name) for name in section.arms}
    assert len({arms[name].schedule.epochs for name in arms if "-small" in name or "-proven" in name}) == 1
    proven, small = arms["scpo-proven"], arms["scpo-small"]
    assert proven.scpo.smoothness.kind == "proven"
    same = {"smoothness": small.scpo.smoothness}
    assert proven.model_copy(update={"scpo": proven.scpo.model_copy(update=same)}) == small
    assert (arms["unconstrained-small"].hidden, arms["unconstrained-small"].optimizer) == (
        small.hidden,
        small.optimizer,
    )
    short = {name: getattr(arms["scpo-tanh"], name) for name in ("schedule", "optimizer")}
    for name in ("scpo-no-margin", "scpo-covered", "scpo-no-buffer", "scpo-plain"):
        assert arms[name].model_copy(update={"scpo": arms["scpo"].scpo}) == arms["scpo"].model_copy(update=short)
    assert arms["scpo-covered"].scpo.tightening > arms["scpo"].scpo.tightening
    plain = arms["scpo-plain"].scpo
    usual = arms["scpo"].scpo
    added = {"kappa": 1.0, "tightening": 0.0, "buffer": 0.0, "look": None}
    added["directions"] = replace(usual.directions, kind="isotropic", recycled=0)
    added["smoothness"] = replace(usual.smoothness, factor=2.0)
    assert plain == usual.model_copy(update=added) != usual
    assert arms["scpo-no-buffer"].scpo == arms["scpo"].scpo.model_copy(update={"buffer": 0.0}) != arms["scpo"].scpo
    assert (proven.scpo.tightening, proven.scpo.buffer) == (0.0, 0.0)
    for name, arm in section.arms.items():
        if "look" not in arm.overrides.get("scpo", {}):
            assert arms[name].scpo.look == usual.look is not None, name


def test_short_runs_are_the_first_part_of_long_ones():
    section = Config().regression
    long = section.optimizer
    for name in ("scpo-adversarial-50", "unconstrained-adversarial-50", "scpo-tanh", "scpo-plain"):
        short = section.for_arm(name)
        part = short.schedule.epochs / section.schedule.epochs
        assert part < 1
        for share in (0.0, 0.5, 1.0):
            assert short.optimizer.rate(share) == pytest.approx(long.rate(share * part), rel=1e-3)
    backtracking = section.for_arm("backtracking")  # it ends by its rollouts, and its rate falls with them
    assert backtracking.optimizer == section.for_arm("scpo-tanh").optimizer
    assert backtracking.schedule.max_rollouts == backtracking.schedule.updates


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("regresion: {}", "regresion"),
        ("regression: {schedule: {epoch: 3}}", "regression.schedule.epoch"),
        ("regression: {scpo: {kappa: 0}}", "regression.scpo.kappa"),
        ("regression: {scpo: {kappa: .nan}}", "regression.scpo.kappa"),
        ("regression: {bound: .inf}", "regression.bound"),
        ("regression: {arms: {scpo: {dataset: none}}}", "no data set 'none'"),
        ("regression: {arms: {scpo: {overrides: {scpo: {verfy: true}}}}}", "verfy"),
        ("regression: {arms: {scpo: {overrides: {arms: {}}}}}", "may not change arms"),
        ("double_integrator: {arms: {scpo-mixed: {overrides: {rho: 0.9}}}}", "may not be overridden"),
        ("double_integrator: {arms: {scpo-mixed: {overrides: {heldout: 2000}}}}", "may not be overridden"),
        (f"regression: {{arms: {{scpo: {{first_seed: {FIRST_TUNING_SEED}}}}}}}", "never reported"),
        ("[1, 2]", "expected a mapping"),
        ("a: [", "not valid YAML"),
    ],
)
def test_a_wrong_scale_is_refused_and_the_message_says_where(tmp_path, text, message):
    with pytest.raises(ConfigurationError, match=message):
        load(write(tmp_path, text))


def test_a_missing_scale_is_a_typed_error(tmp_path):
    with pytest.raises(ConfigurationError, match="no such configuration file"):
        load(tmp_path / "none.yaml")


def test_the_overrides_of_an_arm_change_that_arm_only():
    section = Config().regression
    assert section.for_arm("scpo-verified").scpo.verify
    assert not section.for_arm("scpo").scpo.verify


def test_the_canonical_form_survives_a_round_trip():
    config = Config()
    assert Config.model_validate(json.loads(dump(config))) == config
    assert dump(Config.model_validate_json(dump(config))) == dump(config)


@given(*[st.recursive(st.integers(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner), max_leaves=8)] * 2)
def test_merging_lays_one_mapping_over_the_other(base, overlay):
    base, overlay = {"x": base}, {"x": overlay}
    merged = merge(base, overlay)
    assert merge(merged, overlay) == merged  # again changes nothing
    assert merge(base, {}) == base
    if not (isinstance(base["x"], dict) and isinstance(overlay["x"], dict)):
        assert merged == overlay


def test_limits_cap_what_a_scale_does_not_state(tmp_path):
    text = """
max_seeds: 2
max_epochs: 9
regression:
  schedule: {epochs: 30}
  arms:
    scpo: {seeds: 3}
    scpo-tanh: {overrides: {schedule: {epochs: 20}}}
    new: {method: scpo, dataset: normal, seeds: 5}
"""
    section = load(write(tmp_path, text)).regression
    epochs = {name: section.for_arm(name).schedule.epochs for name in section.arms}
    seeds = {name: arm.seeds for name, arm in section.arms.items()}
    assert (seeds.pop("scpo"), seeds.pop("new")) == (3, 5)
    assert set(seeds.values()) == {2}
    assert (epochs["scpo"], epochs["scpo-tanh"], epochs["scpo-softplus"], epochs["backtracking"]) == (30, 20, 9, 9)
    assert load(write(tmp_path, "max_epochs: 9")).double_integrator.schedule.epochs == 9


def test_a_change_wins_over_a_limit(tmp_path):
    changes = ["regression.arms.scpo.seeds=4", "max_epochs=3"]
    section = scales.load_scale(write(tmp_path, "{max_seeds: 1}"), changes).regression
    assert (section.arms["scpo"].seeds, section.arms["unconstrained"].seeds) == (4, 1)
    assert section.for_arm("scpo-tanh").schedule.epochs == 3


def test_only_stated_keeps_the_arms_that_the_file_states(tmp_path):
    config = load(write(tmp_path, "{only_stated: true, regression: {arms: {scpo: {seeds: 2}, unconstrained: null}}}"))
    assert list(config.experiments) == ["regression"]
    assert list(config.regression.arms) == ["scpo"]


def test_seeds_are_either_tuned_on_or_reported(tmp_path):
    tuning = "{{scale: {}, only_stated: true, regression: {{arms: {{scpo: {{seeds: 2, first_seed: {}}}}}}}}}"
    first, last = FIRST_TUNING_SEED, FIRST_STUDY_SEED - 2
    for seed in (first, last):
        assert load(write(tmp_path, tuning.format("tuning", seed))).regression.arms["scpo"].first_seed == seed
        with pytest.raises(ConfigurationError, match="are for tuning, never reported"):
            load(write(tmp_path, tuning.format("study", seed)))
    for seed in (0, first - 1, last + 1, last + 2):
        with pytest.raises(ConfigurationError, match="set first_seed"):
            load(write(tmp_path, tuning.format("tuning", seed)))
    assert load(write(tmp_path, tuning.format("study", last + 2))).regression.arms["scpo"].first_seed == last + 2


def test_only_keeps_the_arms_it_names(tmp_path):
    config = load(write(tmp_path, "only: [scpo, unconstrained]"))
    assert set(config.experiments) == {"regression"}
    assert set(config.regression.arms) == {"scpo", "unconstrained"}
    with pytest.raises(ConfigurationError, match="only: no arm 'scop'; did you mean scpo; there are backtracking"):
        load(write(tmp_path, "only: [scop]"))


@pytest.mark.parametrize("scale", ["smoke", "review"])
def test_no_arm_of_a_small_scale_is_forgotten(scale):
    """One seed each; in smoke few epochs, those of a new arm included.  An arm may end by its rollouts instead."""
    config = load(PROJECT / f"config/{scale}.yaml")
    epochs, rollouts = {"smoke": (6, 60), "review": (5000, 58_000)}[scale]
    for section in config.experiments.values():
        for name, arm in section.arms.items():
            schedule = section.for_arm(name).schedule
            assert arm.seeds == 1
            assert schedule.max_rollouts is None or schedule.max_rollouts <= rollouts
            assert schedule.epochs <= epochs or (scale == "review" and schedule.max_rollouts)


def test_limits_are_no_setting_of_a_run():
    base = Config()
    limited = base.model_copy(update={"max_seeds": 1, "max_epochs": 9999, "only": ("scpo",)})
    digests = {scales.digest(scales.for_arm(config, "regression", "scpo")) for config in (base, limited)}
    digests.add(scales.digest_on_disk(json.loads(dump(limited)), "regression", "scpo"))
    assert len(digests) == 1


def test_assignments_become_an_overlay():
    assert scales.parse(["a.b=1 a.c=x", "d=[2]"]) == {"a": {"b": 1, "c": "x"}, "d": [2]}
    assert scales.parse([""]) == {}


@pytest.mark.parametrize("assignment", ["a", "=1", "a..b=1", "a=["])
def test_a_malformed_assignment_is_refused(assignment):
    with pytest.raises(ConfigurationError, match="--set"):
        scales.parse([assignment])


def test_single_settings_are_laid_over_a_scale():
    config = scales.load_scale(PROJECT / "config/paper.yaml", ["regression.schedule.updates_per_epoch=10"])
    assert config.regression.schedule.updates_per_epoch == 10
    with pytest.raises(ConfigurationError, match=r"regression\.bond"):
        scales.load_scale(PROJECT / "config/paper.yaml", ["regression.bond=1"])


@pytest.mark.parametrize(
    "path",
    SCALES,
    ids=lambda path: path.stem,
)
def test_every_scale_is_valid_and_says_its_name(path):
    assert load(path).scale == path.stem


def test_the_paper_scale_has_the_published_epochs():
    section = load(PROJECT / "config/paper.yaml").regression
    assert (section.schedule.epochs, section.schedule.updates_per_epoch) == (5000, 2)


def test_a_scale_can_leave_an_experiment_out(tmp_path):
    assert set(load(PROJECT / "config/paper.yaml").experiments) == set(Config().experiments)
    assert set(load(write(tmp_path, "double_integrator: null")).experiments) == {"regression"}


@pytest.mark.parametrize(
    ("experiment", "reference", "ablations"),
    [
        ("regression", "scpo-short", regression_study.ABLATIONS),
        ("double-integrator", "scpo-hostile", double_integrator_study.ABLATIONS),
    ],
)
def test_an_ablation_of_the_study_changes_one_thing(experiment, reference, ablations):
    study = load(PROJECT / "config/study.yaml").section(experiment)
    for name in ablations:
        assert study.arms[name].dataset == study.arms[reference].dataset
        beside = "scpo-no-look" if name == "scpo-no-look-factor-2" else reference  # the change is made to that arm
        before, after = (study.for_arm(arm).model_dump() for arm in (beside, name))
        sections = {key for key in before if before[key] != after[key]}
        found = changed(before["scpo"], after["scpo"])
        if sections == {"scpo"}:  # recycled directions are a share of the count; without a look nothing of it is set
            assert found == {"recycled"} or len(found - {"recycled"}) == 1, name
        else:  # another optimiser has another learning rate, and may be projected in another norm
            assert sections <= {"optimizer", "scpo"} and found <= {"metric"}, name


def test_the_study_looks_at_seeds_that_nobody_has_seen():
    for section in load(PROJECT / "config/study.yaml").experiments.values():
        assert {arm.first_seed for arm in section.arms.values()} == {20002}
        assert {arm.seeds for arm in section.arms.values()} <= {6, 10, 20, 100}
        assert section.schedule.audited_share == 0.05


def changed(before, after):
    """Names of the settings that differ, at any depth."""
    names = set()
    for key, value in before.items():
        if isinstance(value, dict) and isinstance(after[key], dict):
            names |= changed(value, after[key])
        elif value != after[key]:
            names.add(key)
    return names


def test_a_job_sees_its_own_arm_and_data_only():
    part = scales.for_arm(Config(), "regression", "scpo-uniform")
    assert set(part.regression.arms) == {"scpo-uniform"}
    assert set(part.regression.datasets) == {"uniform"}
    assert part.regression.for_arm("scpo-uniform").schedule == Config().regression.schedule
    assert set(scales.for_dataset(Config(), "regression", "normal").regression.datasets) == {"normal"}


@pytest.mark.parametrize(
    ("change", "repeats"),
    [
        ("regression.arms.scpo.seeds=2", False),
        ("regression.arms.scpo-uniform.overrides.scpo.kappa=0.9", False),
        ("regression.datasets.uniform.size=9", False),
        ("regression.arms.scpo.overrides.scpo.kappa=0.9", True),
        ("regression.datasets.normal.size=9", True),
        ("regression.schedule.epochs=9", True),
        ("base_seed=1", True),
    ],
)
def test_a_run_is_repeated_for_what_it_sees_alone(change, repeats):
    before = Config()
    after = Config.model_validate(merge(before.model_dump(), scales.parse([change])))
    digests = [scales.digest(scales.for_arm(config, "regression", "scpo")) for config in (before, after)]
    assert (digests[0] != digests[1]) == repeats


@pytest.mark.parametrize(
    ("experiment", "arm", "dataset"),
    [("none", "scpo", "normal"), ("regression", "none", "none")],
)
def test_an_unknown_task_arm_or_data_set_is_refused(experiment, arm, dataset):
    with pytest.raises(ConfigurationError, match=r"no (experiment|arm) 'none'"):
        scales.for_arm(Config(), experiment, arm)
    with pytest.raises(ConfigurationError, match=r"no (experiment|data set) 'none'"):
        scales.for_dataset(Config(), experiment, dataset)


def test_the_default_scale_of_snakemake_goes_on_after_a_kill():
    options = yaml.safe_load((PROJECT / "profiles/default/config.yaml").read_text())
    assert options["rerun-incomplete"] is True


def test_an_arm_has_one_digest_in_memory_and_on_disk():
    config = Config()
    raw = json.loads(dump(config))
    for experiment, arm in (("double-integrator", "scpo-mixed"), ("regression", "scpo")):
        assert scales.digest_on_disk(raw, experiment, arm) == scales.digest(scales.for_arm(config, experiment, arm))


def test_a_younger_setting_at_its_old_value_changes_no_digest(monkeypatch):
    raw = load(PROJECT / "config/smoke.yaml").model_dump(mode="json")
    path, value = "regression.grid_size", raw["regression"]["grid_size"]
    before = scales.digest_on_disk(raw, "regression", "scpo")
    monkeypatch.setitem(scales.YOUNGER, path, value)
    without = copy.deepcopy(raw)
    del without["regression"]["grid_size"]
    assert (
        scales.digest_on_disk(without, "regression", "scpo")
        == scales.digest_on_disk(raw, "regression", "scpo")
        != before
    )
    raw["regression"]["grid_size"] += 1
    assert scales.digest_on_disk(raw, "regression", "scpo") != scales.digest_on_disk(without, "regression", "scpo")
