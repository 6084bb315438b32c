"""The JSON Schema of campaign files, from the models: for editors, which complete and check with it.

`python -m labctl.campaign.jsonschema > docs/reference/campaign.schema.json`; a test compares the two.

Draft 7, which editors know. It accepts every legal file. What relates one part of a file to another
(levels that are equal, a cell that is excluded twice, a working set that does not fit) only
`labctl plan` finds.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator
from inspect import cleandoc
from typing import Annotated, Any, get_args, get_origin

from pydantic.fields import FieldInfo

from labctl.campaign.factors import FACTORS, NAMES, VARIANT_NAME, Factor, scalar_fields
from labctl.campaign.models import Campaign
from labctl.campaign.profiles import MAX_STEPS, BurstSpec, ProfileSpec, StepSpec
from labctl.campaign.repetitions import METRIC, NoiseSpec, RepetitionsSpec, UntilSpec
from labctl.campaign.scalars import NONE, Scalar
from labctl.campaign.specs import (
    PROFILE,
    QEMU,
    AlgorithmSpec,
    Spec,
    SwitchSpec,
    file_name_of,
)

Schema = dict[str, Any]

_WORD = {"type": ["string", "number", "boolean"]}
"""A name may look like a number to YAML."""


def campaign_schema() -> Schema:
    """The schema, as plain data."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "labctl campaign",
        **_object(Campaign, required=("name",)),
        "description": "One campaign: which machine, which link, which algorithms, how often.",
        "definitions": {
            name: _variant() if name == "algorithm" else scalar_schema(factor.scalar)
            for name, factor in FACTORS.items()
        },
        "allOf": [_given(factor) for factor in _required_factors()],
    }


def schema_text() -> str:
    """The schema as a file's text."""
    return json.dumps(campaign_schema(), indent=1, ensure_ascii=False) + "\n"


def _object(model: type[Spec], required: tuple[str, ...] | None = None) -> Schema:
    """A section. What a factor may give is required of the file as a whole: see `_given`."""
    properties = {
        file_name_of(field): _field(model, file_name_of(field), info)
        for field, info in model.model_fields.items()
        if not info.exclude and not (model is AlgorithmSpec and field == "name")
    }
    found: Schema = {
        "type": "object",
        "description": _one_line(cleandoc(model.__doc__ or "").split("\n\n")[0]),
        "additionalProperties": False,
        "properties": properties,
    }
    return found | ({"required": list(required)} if required else {})


def _field(model: type[Spec], key: str, info: FieldInfo) -> Schema:
    scalars = [extra for extra in info.metadata if isinstance(extra, Scalar)]
    nested = _spec_in(info.annotation)
    if scalars:
        found = scalar_schema(scalars[0])
        if nested is not None:  # one value, or a section in its place
            found = {"anyOf": [found, _object(nested, required=_REQUIRED.get(nested))]}
        if not info.is_required() and (info.default is not None or scalars[0].optional):
            found["default"] = _value(scalars[0], info.default)
    elif (model, key) in _SHAPED:
        found = _SHAPED[model, key]()
    elif nested is not None:
        found = _object(nested, required=_REQUIRED.get(nested))
        found |= _ONE if nested is SwitchSpec else {}
    else:
        raise TypeError(f"what may `{key}` hold? Say it in {__name__}")
    return {"description": _one_line(info.description or found.pop("description", "")), **found}


def _spec_in(annotation: Any) -> type[Spec] | None:
    """The section that a field holds, may it be optional."""
    for held in (annotation, *get_args(annotation)):
        known = get_args(held)[0] if get_origin(held) is Annotated else held
        if isinstance(known, type) and issubclass(known, Spec):
            return known
    return None


def scalar_schema(scalar: Scalar) -> Schema:
    """What one value may look like; a quoted number is as good as a plain one."""
    found = _plain_scalar(scalar)
    if not scalar.optional:
        return found
    return {"anyOf": [found, {"const": NONE}, {"type": "null"}]}


def _plain_scalar(scalar: Scalar) -> Schema:
    if scalar.words:
        return {"enum": list(scalar.words)}
    if scalar.types == (bool,):
        return {"anyOf": [{"type": "boolean"}, {"enum": ["true", "false", "True", "False"]}]}
    if scalar.units:
        spelt = [*scalar.units, *(_ps(unit) for unit in scalar.units if unit.endswith("/s"))]
        units = "|".join(re.escape(unit) for unit in spelt)
        pattern = rf"^\s*[0-9]{{1,24}}(\.[0-9]{{1,32}})?\s*({units})\s*$"
        examples = [scalar.write(scalar.types[-1](n)) for n in _examples(scalar)]
        return {"type": "string", "pattern": pattern, "examples": examples}
    if scalar.types == (int,):
        bounds = {"minimum": scalar.low, "maximum": scalar.high}
        whole = {"type": "integer", **{key: n for key, n in bounds.items() if n is not None}}
        return {"anyOf": [whole, {"type": "string", "pattern": "^-?[0-9]{1,19}$"}]}
    return _WORD | ({"pattern": f"^({scalar.pattern})$"} if scalar.pattern else {"minLength": 1})


def _ps(unit: str) -> str:
    """A rate's unit as file names need it."""
    return f"{unit[:-2]}ps"


def _examples(scalar: Scalar) -> Iterator[float]:
    """Round values within the limits."""
    low, high = scalar.low or 0, scalar.high or 0
    for known in (0.3, 10, 2**20, 40 * 2**20, 256 * 2**20, 10**9, 10**10):
        whole = known if float in scalar.types else int(known)
        if low <= whole <= high and whole and not (scalar.step and whole % scalar.step):
            yield whole


def _value(scalar: Scalar, default: Any) -> Any:
    """A default as a file would give it."""
    return (
        default if isinstance(default, bool | int) and not scalar.units else scalar.write(default)
    )


def _variant() -> Schema:
    return scalar_schema(VARIANT_NAME) | {"description": "a built-in algorithm, or a variant"}


def _level(name: str) -> Schema:
    return {"$ref": f"#/definitions/{name}"}


def _algorithms() -> Schema:
    return {
        "type": "object",
        "propertyNames": {"pattern": f"^({VARIANT_NAME.pattern})$"},
        "additionalProperties": _object(AlgorithmSpec, required=("kind",)),
    }


def _profiles() -> Schema:
    return {
        "type": "object",
        "propertyNames": {"pattern": f"^({PROFILE.pattern})$"},
        "additionalProperties": _object(ProfileSpec) | {"minProperties": 1, "maxProperties": 1},
    }


def _profile_steps() -> Schema:
    return {
        "type": "array",
        "minItems": 1,
        "maxItems": MAX_STEPS,
        "items": _object(StepSpec, required=("for", "share")),
    }


def _matrix() -> Schema:
    levels = {
        said: {
            "type": "array",
            "minItems": 1,
            "uniqueItems": True,
            "items": _level(name),
            "description": f"levels of {FACTORS[name].dotted}",
        }
        for said, name in NAMES.items()
    }
    return {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": False,
        "properties": levels,
    }


def _entries() -> Schema:
    return {"type": "array", "items": {**_entry(), "minProperties": 1}}


def _entry() -> Schema:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {said: _level(name) for said, name in NAMES.items()},
    }


def _metrics() -> Schema:
    return {"type": "array", "minItems": 1, "uniqueItems": True, "items": scalar_schema(METRIC)}


def _qemus() -> Schema:
    return {
        "type": "object",
        "propertyNames": {"pattern": f"^({QEMU.pattern})$", "not": {"pattern": "^/"}},
        "additionalProperties": _WORD | {"pattern": f"^({QEMU.pattern})$"},
    }


_ONE = {"minProperties": 1, "maxProperties": 1}
"""Of a section whose fields exclude each other."""

_SHAPED: dict[tuple[type[Spec], str], Callable[[], Schema]] = {
    (Campaign, "qemus"): _qemus,
    (Campaign, "algorithm"): _variant,
    (Campaign, "algorithms"): _algorithms,
    (Campaign, "profiles"): _profiles,
    (ProfileSpec, "steps"): _profile_steps,
    (Campaign, "matrix"): _matrix,
    (Campaign, "exclude"): _entries,
    (Campaign, "include"): _entries,
    (NoiseSpec, "of"): _entry,
    (UntilSpec, "of"): _metrics,
}
"""Fields that hold neither one value nor a section."""


_REQUIRED: dict[type[Spec], tuple[str, ...]] = {
    BurstSpec: ("period", "duty"),
    RepetitionsSpec: ("until",),
    UntilSpec: ("relative_interval",),
}
"""What a section has to say that no matrix can vary."""


def _required_factors() -> Iterator[Factor]:
    """What a campaign has to say, in its section or by its matrix."""
    for section, info in Campaign.model_fields.items():
        model = _spec_in(info.annotation)
        for factor in (
            scalar_fields(section, model) if model and section in _FACTOR_SECTIONS else ()
        ):
            if model is not None and model.model_fields[factor.field].is_required():
                yield factor


_FACTOR_SECTIONS = {factor.section for factor in FACTORS.values()}


def _given(factor: Factor) -> Schema:
    """The section says it, or the matrix varies it."""
    said = {factor.section: {"required": [factor.key]}}
    names = [name for name, canonical in NAMES.items() if FACTORS[canonical] == factor]
    varied = {"matrix": {"anyOf": [{"required": [name]} for name in names]}}
    return {
        "anyOf": [
            {"required": [factor.section], "properties": said},
            {"required": ["matrix"], "properties": varied},
        ]
    }


def _one_line(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    sys.stdout.write(schema_text())
