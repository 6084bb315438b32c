"""Whether a variant gives an option a value of its own: where the matrix varies that option, one of the two would be a lie."""

from collections.abc import Mapping
from typing import Any

from labctl.campaign.factors import Factor
from labctl.campaign.specs import AlgorithmSpec, file_name_of
from labctl.errors import InputError


def sets(variant: Mapping[Any, Any], option: Factor) -> bool:
    """Whether a variant gives the option another value than its default."""
    if option.inside:  # its forms exclude each other: any of them stands in the way
        default = AlgorithmSpec.model_fields[option.inside].default
        said = variant.get(option.inside, default)
        if isinstance(said, Mapping):
            said = _as_written(said)
        return bool(said not in (default, _as_written(default.model_dump())))
    said = variant.get(option.key, variant.get(option.field))
    if said is None:
        return False
    try:
        return bool(option.scalar.read(said) != AlgorithmSpec.model_fields[option.field].default)
    except InputError:
        return False


def _as_written(data: Mapping[Any, Any]) -> dict[str, str]:
    """A mapping as a file would give it: what a model has, and does not say, is left out."""
    return {file_name_of(str(key)): str(value) for key, value in data.items() if value is not None}
