"""From a campaign to a file's text that loads as the same campaign."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from labctl.campaign.models import Campaign
from labctl.campaign.scalars import NONE, Scalar
from labctl.campaign.specs import Spec, file_name_of

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]*", re.ASCII)


def dump_campaign(campaign: Campaign) -> str:
    """A file's text that loads as this campaign: every field written out, units canonical."""
    data = _plain(campaign)
    data["algorithms"] = {
        name: _plain(variant, but={"name", *_at_default(variant)})
        for name, variant in campaign.algorithms.items()
    }
    data["profiles"] = {
        name: _plain(profile, but=_at_default(profile))
        for name, profile in campaign.profiles.items()
    }
    data["noise"] = _plain(campaign.noise, but=_at_default(campaign.noise))
    lines: list[str] = []
    for key, value in data.items():
        if key in ("algorithms", "profiles", "matrix", "qemus") and value:
            lines.append(f"{key}:")
            lines += [f"  {_flow(name)}: {_flow(inner)}" for name, inner in value.items()]
        elif key in ("exclude", "include") and value:
            lines.append(f"{key}:")
            lines += [f"  - {_flow(entry)}" for entry in value]
        elif value not in ({}, ()):
            lines.append(f"{key}: {_flow(value)}")
    return "\n".join(lines) + "\n"


def _at_default(spec: Spec) -> Iterator[str]:
    """The fields that say nothing new."""
    for field, info in type(spec).model_fields.items():
        if getattr(spec, field) == info.get_default(call_default_factory=True):
            yield field


def _plain(spec: Spec, but: Iterable[str] = ()) -> dict[str, Any]:
    """A model as a file's plain data, some fields left out."""
    plain: dict[str, Any] = {}
    but = set(but)
    for field, info in type(spec).model_fields.items():
        value = getattr(spec, field)
        scalars = [extra for extra in info.metadata if isinstance(extra, Scalar)]
        if field in but:
            continue
        if isinstance(value, Spec):
            plain[file_name_of(field)] = _plain(value)
        elif isinstance(value, tuple) and value and isinstance(value[0], Spec):
            plain[file_name_of(field)] = [_plain(item) for item in value]
        elif value is None and any(scalar.optional for scalar in scalars):
            plain[file_name_of(field)] = NONE  # left out, the matrix would fill it
        elif value is not None and not info.exclude:
            plain[file_name_of(field)] = scalars[0].write(value) if scalars else value
    return plain


def _flow(value: object) -> str:
    """Plain data on one line of YAML."""
    if isinstance(value, Mapping):
        inner = (f"{_flow(key)}: {_flow(item)}" for key, item in value.items())
        return "{" + ", ".join(inner) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    text = str(value)
    if _PLAIN.fullmatch(text) and text.lower() != "null":
        return text
    return json.dumps(text, ensure_ascii=False)
