"""Reads YAML, but only its plain and unambiguous part.

A key that is given twice is refused, and so are numbers that YAML 1.1 reads in other bases (0500 is 320 there).  The
words yes, no, on and off are texts, and 1e-3 is a number, as in YAML 1.2.  Nothing but plain values is ever built.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError
from yaml.nodes import MappingNode, Node, ScalarNode

from scpo.errors import ConfigurationError

_PLAIN_TYPES = ("null", "bool", "int", "float", "str", "seq", "map")
_INT, _FLOAT, _BOOL = (f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool"))
#: What looks like a whole number in YAML 1.1 or 1.2; those in other bases or with separators are refused below.
_WHOLE = re.compile(r"^[-+]?(0b[01_]+|0o[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*(:[0-5]?[0-9])*)$")
_DECIMAL = re.compile(r"^[-+]?(0|[1-9][0-9]*)$")
_REAL = re.compile(r"^([-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$")


def parse(text: str, where: str) -> Any:
    """Return the value of a YAML document.

    Args:
        text: the document.
        where: names it in errors, such as the path of a file.

    Raises:
        ConfigurationError: it is no YAML, has a key twice, or a value other than null, true, false, decimal numbers,
            texts, lists and mappings with texts as keys.
    """
    try:
        loader = _Loader(text)
        loader.name = where
        return loader.get_single_data()
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{where}: not valid YAML: {error}") from error
    except RecursionError as error:
        raise ConfigurationError(f"{where}: not valid YAML: nested too deeply") from error


def read(path: Path) -> Any:
    """Return the value of a YAML file in UTF-8; see :func:`parse`.

    Raises:
        ConfigurationError: the file cannot be read, is not UTF-8, or holds no such value.
    """
    try:
        return parse(path.read_text(encoding="utf-8-sig"), str(path))
    except FileNotFoundError as error:
        raise ConfigurationError(f"{path}: no such configuration file") from error
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not UTF-8: byte {error.start} is {error.object[error.start]:#x}") from error


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the rules of this module."""

    # resolvers are tried in their order: whole numbers before others
    yaml_implicit_resolvers = {  # noqa: RUF012  # replaces that of the base
        first: [(tag, rule) for tag, rule in rules if tag.rpartition(":")[2] in ("null", "merge")]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    yaml_constructors = {  # noqa: RUF012
        tag: build
        for tag, build in yaml.SafeLoader.yaml_constructors.items()
        if tag is None or tag.rpartition(":")[2] in _PLAIN_TYPES
    }

    def construct_yaml_int(self, node: ScalarNode) -> int:
        """Return a whole number in decimal digits."""
        if not _DECIMAL.match(node.value):
            raise _refused(node, f"{node.value} is not in decimal digits; write 500 for five hundred")
        return int(node.value)

    def construct_yaml_float(self, node: ScalarNode) -> float:
        """Return a number."""
        return float(node.value.lower().replace(".inf", "inf").replace(".nan", "nan"))

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return a mapping whose keys are texts, each of which is given once."""
        places: dict[str, Node] = {}
        for key, _ in node.value:
            if key.tag.endswith(":merge"):
                continue
            name = self.construct_object(key, deep=True)
            if not isinstance(name, str):
                raise _refused(key, f"the key {name!r} is no text; put it in quotes")
            if name in places:
                raise _refused(
                    key, f"the key {name!r} is given twice; first in line {places[name].start_mark.line + 1}"
                )
            places[name] = key
        return super().construct_mapping(node, deep)


def _refused(node: Node, problem: str) -> ConstructorError:
    return ConstructorError(None, None, problem, node.start_mark)


for _tag, _rule, _first in (
    (_BOOL, re.compile(r"^(true|True|TRUE|false|False|FALSE)$"), "tTfF"),
    (_INT, _WHOLE, "-+0123456789"),
    (_FLOAT, _REAL, "-+0123456789."),
):
    _Loader.add_implicit_resolver(_tag, _rule, list(_first))
_Loader.add_constructor(_INT, _Loader.construct_yaml_int)
_Loader.add_constructor(_FLOAT, _Loader.construct_yaml_float)
