"""config/default.yaml and config/schema.json are what the models give."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from replication import schema
from replication.config import Config
from replication.settings import Arm, OptimizerConfig, ScheduleConfig, ScpoConfig
from replication.tasks.regression.settings import RegressionConfig, RegressionData

CONFIG = Path(__file__).parents[2] / "config"
SCALES = [path for path in sorted(CONFIG.glob("*.yaml")) if not path.stem.endswith("claims")]


def test_the_default_file_has_not_drifted():
    assert (CONFIG / "default.yaml").read_text() == schema.default_yaml(), "run `make schema`"


def test_the_schema_file_has_not_drifted():
    assert (CONFIG / "schema.json").read_text() == schema.json_schema_text(), "run `make schema`"


def test_the_default_file_holds_every_setting():
    assert yaml.safe_load(schema.default_yaml()) == json.loads(Config().model_dump_json())


def test_every_described_setting_is_explained_once():
    lines = schema.default_yaml().splitlines()
    comments = " ".join(line.strip(" #") for line in lines if line.lstrip().startswith("#"))
    for model in (Config, ScpoConfig, OptimizerConfig, ScheduleConfig, RegressionConfig, RegressionData, Arm):
        for name, field in model.model_fields.items():
            if field.description:
                assert field.description in comments, f"{model.__name__}.{name}"
    assert comments.count(ScpoConfig.model_fields["kappa"].description) == 1


@pytest.mark.parametrize("path", SCALES, ids=lambda path: path.stem)
def test_the_scales_obey_the_schema(path):
    jsonschema.validate(yaml.safe_load(path.read_text()), schema.json_schema())


def test_the_schema_is_itself_valid():
    jsonschema.Draft202012Validator.check_schema(schema.json_schema())


@pytest.mark.parametrize("where", [(), ("regression",), ("regression", "scpo"), ("regression", "arms", "scpo")])
def test_the_schema_refuses_an_unknown_key_at_every_level(where):
    content = copy.deepcopy(yaml.safe_load(schema.default_yaml()))
    section = content
    for key in where:
        section = section[key]
    section["mistyped"] = 1
    with pytest.raises(jsonschema.ValidationError, match="mistyped"):
        jsonschema.validate(content, schema.json_schema())
