"""The JSON Schema of a model of grafana-foundation-sdk, made of the model.

The SDK is generated, and so is the JSON Schema in its repository, from the same source; no package has the latter. A model
says what its keys are in `to_json` and of which type each is in its annotations: both are read here. Nothing else is allowed
in an object, as in the schema of the repository.
"""

import ast
import enum
import inspect
import textwrap
import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from grafana_foundation_sdk.cog.variants import Dataquery

Schema = dict[str, Any]
_SCALARS: dict[Any, Schema] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    object: {},
    Any: {},
    Dataquery: {"type": "object"},  # of any data source
}


def schema_of(model: type) -> Schema:
    """Of one model and all that it holds."""
    definitions: dict[str, Schema] = {}
    first = _of(model, definitions)
    return {"$schema": "http://json-schema.org/draft-07/schema#", "definitions": definitions} | first  # fmt: skip


def _of(hint: Any, definitions: dict[str, Schema]) -> Schema:
    origin, inner = get_origin(hint), get_args(hint)
    if hint in _SCALARS:
        return _SCALARS[hint]
    if origin in {Union, types.UnionType}:
        ways = [_of(one, definitions) for one in inner if one is not types.NoneType]
        return ways[0] if len(ways) == 1 else {"anyOf": ways}
    if origin is list:
        return {"type": "array", "items": _of(inner[0], definitions)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _of(inner[1], definitions)}
    if origin is Literal:
        return {"enum": list(inner)}
    if issubclass(hint, enum.Enum):
        return {"enum": [member.value for member in hint]}
    name = f"{hint.__module__}.{hint.__qualname__}"
    if name not in definitions:
        definitions[name] = {}  # one may hold another of its kind
        definitions[name] |= _object(hint, definitions)
    return {"$ref": f"#/definitions/{name}"}


def _object(model: type, definitions: dict[str, Schema]) -> Schema:
    hints = get_type_hints(model)
    always, sometimes = _keys(model)
    known = {key: _of(hints[name], definitions) for key, name in (always | sometimes).items()}
    for key, name in always.items():
        if types.NoneType in get_args(
            hints[name]
        ):  # written even then: the first threshold has no value
            known[key] = {"anyOf": [known[key], {"type": "null"}]}
    return {
        "type": "object",
        "additionalProperties": False,
        "required": sorted(always),
        "properties": known,
    }


def _keys(model: Any) -> tuple[dict[str, str], dict[str, str]]:
    """The attribute of each key, for keys that are always there and for others: as `to_json` writes them.

    It begins with `payload = {"key": self.attribute, ...}`; then come `payload["key"] = self.attribute`.
    """
    always: dict[str, str] = {}
    sometimes: dict[str, str] = {}
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(model.to_json)))):
        match node:
            case ast.AnnAssign(value=ast.Dict(keys=keys, values=values)):
                for key, value in zip(keys, values, strict=True):
                    assert isinstance(key, ast.Constant)
                    assert isinstance(value, ast.Attribute)
                    always[str(key.value)] = value.attr
            case ast.Assign(targets=[ast.Subscript(slice=ast.Constant(value=key))]):
                assert isinstance(node.value, ast.Attribute)
                sometimes[str(key)] = node.value.attr
    return always, sometimes
