"""Hypothesis strategies of the whole suite, in one place."""

import math
import re
import string
from collections.abc import Collection
from functools import cache
from typing import Any

from hypothesis import strategies as st
from pydantic import ValidationError

from labctl.campaign import Campaign, Capabilities, dump_campaign
from labctl.campaign.factors import FACTORS, scalar_fields
from labctl.campaign.profiles import BurstSpec, ProfileSpec, StepSpec
from labctl.campaign.repetitions import METRICS, RELATIVE_INTERVAL
from labctl.campaign.scalars import NONE, Scalar
from labctl.campaign.specs import (
    LINK_DELAY,
    PAGE_BYTES,
    GuestSpec,
    LimitsSpec,
    LinkSpec,
    Spec,
    TimingSpec,
    working_set_room,
)
from labctl.units import MAX_WHOLE, format_size

MIB = 2**20


def _in_units(*units: int) -> st.SearchStrategy[int]:
    """Whole numbers, many of which are exact in a large unit."""
    whole = st.integers(0, MAX_WHOLE)
    scaled = st.builds(lambda n, unit: n * unit, st.integers(0, 4096), st.sampled_from(units))
    return st.one_of(scaled, whole)


sizes_bytes = _in_units(1, 2**10, 2**20, 2**30, 2**40, 10**3, 10**6, 10**9, 10**12)
rates_bytes_per_s = sizes_bytes
bandwidths_bits_per_s = _in_units(1, 10**3, 10**6, 10**9, 10**12, 8 * 2**20)
durations_s = st.one_of(
    st.floats(1e-9, 1e9),
    st.builds(
        lambda n, unit: float(n * unit),
        st.integers(0, 10_000),
        st.sampled_from([0.001, 1.0, 60.0, 3600.0]),
    ),
)

seeds = st.integers(0, 2**63 - 1)
variant_names = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True).filter(
    lambda name: name not in FACTORS
)
campaign_names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True)
lab_names = st.one_of(
    campaign_names,
    st.text(min_size=1, max_size=20).filter(lambda text: text.strip() and text.isprintable()),
)


def texts_of(scalar: Scalar) -> st.SearchStrategy[str]:
    """Canonical texts of one kind of value, from its own description: a new field needs no strategy of its own."""
    if scalar.words:
        found: st.SearchStrategy[str] = st.sampled_from(scalar.words)
    elif scalar.pattern:
        found = st.from_regex(re.compile(scalar.pattern, re.ASCII), fullmatch=True)
    elif scalar.types == (bool,):
        found = st.sampled_from(["true", "false"])
    elif scalar.low is None or scalar.high is None:
        raise TypeError(f"give {scalar.what} limits, or a strategy of its own in LEVELS")
    elif scalar.power_of_two:
        low, high = (int(bound or 0).bit_length() - 1 for bound in (scalar.low, scalar.high))
        found = st.integers(low, high).map(lambda power: scalar.write(1 << power))
    elif float in scalar.types:
        found = st.floats(scalar.low, scalar.high).map(scalar.write)
    else:
        step = scalar.step or 1
        low, high = math.ceil(scalar.low / step), int(scalar.high) // step
        found = st.integers(low, high).map(lambda n: scalar.write(n * step))
    return st.one_of(st.just(NONE), found) if scalar.optional else found


def level_of(key: str, scalar: Scalar) -> st.SearchStrategy[str]:
    """Canonical texts of one field."""
    return OWN[key] if key in OWN else texts_of(scalar)


def _scaled(low: int, high: int, unit: int) -> st.SearchStrategy[str]:
    return st.integers(low, high).map(lambda n: format_size(n * unit))


OWN: dict[str, st.SearchStrategy[str]] = {
    # A working set that no memory can hold is a fault, so that both stay small.
    "memory": _scaled(32, 8192, MIB),
    "working_set": _scaled(1, 4096, PAGE_BYTES),
    # Another is a name of the campaign's own.
    "profile": st.just("constant"),
    "vcpu_parts": st.sampled_from(["equal", "1", "3:1", "1:1:1", "99:1"]),
    # A time that is no whole number of nanoseconds may have more digits than a file takes.
    "delay": st.integers(0, 10**9).map(lambda ns: LINK_DELAY.write(ns / 1e9)),
    # A name has to stand under `qemus`.
    "qemu": st.one_of(st.just(NONE), st.from_regex(r"/[A-Za-z0-9_./-]{1,20}", fullmatch=True)),
}
"""Where a value's own description says too little."""

LEVELS: dict[str, st.SearchStrategy[str]] = {
    name: level_of(name, factor.scalar) for name, factor in FACTORS.items() if name != "algorithm"
}
"""Canonical levels of each factor but `algorithm`, whose levels a campaign's variants decide."""

SECTIONS: dict[str, type[Spec]] = {
    "guest": GuestSpec,
    "link": LinkSpec,
    "limits": LimitsSpec,
    "timing": TimingSpec,
}


def section(
    name: str, but: Collection[str] = (), **required: st.SearchStrategy[str]
) -> st.SearchStrategy[dict[str, str]]:
    """The mapping of one section: what it requires, and any of its other values."""
    known = {field.key: field.scalar for field in scalar_fields(name, SECTIONS[name])}
    return st.fixed_dictionaries(
        required,
        optional={
            key: level_of(key, scalar)
            for key, scalar in known.items()
            if key not in (*required, *but)
        },
    )


_OPTIONS = [
    name for name, factor in FACTORS.items() if factor.section == "algorithm" and not factor.inside
]
_SWITCHES = [name for name, factor in FACTORS.items() if factor.inside == "switch"]
_KINDS = ["stop_and_copy", "precopy", "postcopy", "hybrid"]


def _some(level: st.SearchStrategy[str]) -> st.SearchStrategy[list[str]]:
    """One to three different levels."""
    return st.lists(level, min_size=1, max_size=3, unique=True)


_SOME = {name: _some(level) for name, level in LEVELS.items()}


def levels_of(name: str, variants: list[str]) -> st.SearchStrategy[list[str]]:
    """One to three different levels of a factor."""
    return _some(st.sampled_from(variants)) if name == "algorithm" else _SOME[name]


@st.composite
def factor_levels(draw: st.DrawFn) -> dict[str, str]:
    """A cell's factors with their canonical levels, `algorithm` first."""
    names = draw(st.lists(st.sampled_from(sorted(LEVELS)), unique=True, max_size=5))
    return {"algorithm": draw(variant_names)} | {name: draw(LEVELS[name]) for name in names}


def switches() -> st.SearchStrategy[dict[str, str]]:
    """When a hybrid switches, as a file says it."""
    return st.one_of(
        *(st.fixed_dictionaries({name.partition(".")[2]: LEVELS[name]}) for name in _SWITCHES)
    )


def _part(model: type[Spec]) -> st.SearchStrategy[dict[str, str]]:
    """The mapping of a part of a profile, whole."""
    return st.fixed_dictionaries(
        {field.key: texts_of(field.scalar) for field in scalar_fields("", model)}
    )


def _writes(profile: dict[str, Any]) -> bool:
    """Whether it is a profile: its time has an end, and it writes at all."""
    try:
        ProfileSpec.model_validate(profile)
    except ValidationError:
        return False
    return True


profiles = st.one_of(
    st.fixed_dictionaries({"burst": _part(BurstSpec)}),
    st.fixed_dictionaries({"steps": st.lists(_part(StepSpec), min_size=1, max_size=3)}),
).filter(_writes)
"""How a write rate changes over time; traces are files, and have tests of their own."""

adaptive = st.fixed_dictionaries(
    {
        "until": st.fixed_dictionaries(
            {"relative_interval": texts_of(RELATIVE_INTERVAL)},
            optional={
                "of": st.lists(st.sampled_from(METRICS), min_size=1, max_size=3, unique=True)
            },
        )
    },
    optional={"min": st.integers(6, 8).map(str), "max": st.integers(8, 12).map(str)},
)
"""Repetitions until cells are settled."""

qemus = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9_.-]{0,8}", fullmatch=True).filter(lambda name: name != NONE),
    st.from_regex(r"/[A-Za-z0-9_./-]{1,20}", fullmatch=True),
    max_size=2,
)
"""Names for paths of QEMUs."""


@cache
def _algorithms(varied: frozenset[str]) -> st.SearchStrategy[dict[str, dict[str, Any]]]:
    """A campaign's own algorithms. An option that the matrix varies is not a variant's to set."""
    options: dict[str, st.SearchStrategy[Any]] = {
        name: LEVELS[name] for name in _OPTIONS if name not in varied
    }
    if not varied.intersection(_SWITCHES):
        options["switch"] = switches()
    kind = {"kind": st.sampled_from(_KINDS)}
    return st.dictionaries(variant_names, st.fixed_dictionaries(kind, optional=options), max_size=2)


_MATRIX = st.lists(st.sampled_from(["algorithm", *LEVELS]), unique=True, max_size=4)
_GUEST = section("guest", but=("memory", "working_set"))
_LINK = section("link", bandwidth=LEVELS["bandwidth"])
_OPTIONAL = st.fixed_dictionaries(
    {},
    optional={
        "lab": lab_names,
        "transport": LEVELS["transport"],
        "repetitions": st.one_of(st.integers(1, 7).map(str), adaptive),
        "noise": st.fixed_dictionaries({"aa": st.sampled_from(["true", "false"])}),
        "warmups": st.integers(0, 3).map(str),
        "seed": seeds.map(str),
        "limits": section("limits"),
        "timing": section("timing"),
    },
)
# What is made once is drawn from much faster than what is made in each draw.


@st.composite
def campaign_data(draw: st.DrawFn) -> dict[str, Any]:
    """The plain data of a legal campaign file."""
    factors = draw(_MATRIX)
    forms = [name for name in factors if name in _SWITCHES]
    factors = [name for name in factors if name not in forms[1:]]
    algorithms = draw(_algorithms(frozenset(factors).intersection([*_OPTIONS, *_SWITCHES])))
    variants = [*_KINDS, *algorithms]
    matrix = {name: draw(levels_of(name, variants)) for name in factors}
    memory_mib = draw(st.integers(32, 8192))
    pages = working_set_room(memory_mib * MIB) // PAGE_BYTES
    sizes = {
        "memory": format_size(memory_mib * MIB),
        "working_set": format_size(draw(st.integers(1, pages)) * PAGE_BYTES),
    }
    data: dict[str, Any] = {
        "name": draw(campaign_names),
        "guest": sizes | draw(_GUEST),
        "link": draw(_LINK),
        "algorithms": algorithms,
        "matrix": matrix,
        "exclude": [],
        "include": [],
    }
    data |= draw(_OPTIONAL)
    if draw(st.booleans()):
        data["algorithm"] = draw(st.sampled_from(variants))
    _named(draw, data)
    if matrix:
        _shape(draw, data, variants)
    return data


_PROFILES = st.dictionaries(variant_names, profiles, min_size=1, max_size=2)


def _named(draw: st.DrawFn, data: dict[str, Any]) -> None:
    """Profiles and QEMUs of the campaign's own, and their use, now and then."""
    if draw(st.booleans()):
        data["profiles"] = draw(_PROFILES)
        data["profiles"].pop("constant", None)
        data["guest"]["profile"] = draw(st.sampled_from(["constant", *data["profiles"]]))
    if draw(st.booleans()):
        data["qemus"] = draw(qemus)
        data["qemu"] = draw(st.sampled_from([NONE, *data["qemus"]]))


def _shape(draw: st.DrawFn, data: dict[str, Any], variants: list[str]) -> None:
    """Leaves out the cells of one level, adds a cell with a level of its own, names the one that has a twin, now and then."""
    matrix: dict[str, list[str]] = data["matrix"]
    name = draw(st.sampled_from(sorted(matrix)))
    if len(matrix[name]) > 1 and draw(st.booleans()):
        data["exclude"] = [{name: draw(st.sampled_from(matrix[name]))}]
    level = draw(st.sampled_from(variants) if name == "algorithm" else LEVELS[name])
    if level not in matrix[name] and draw(st.booleans()):
        data["include"] = [{other: levels[0] for other, levels in matrix.items()} | {name: level}]
    if "noise" in data:
        twin = draw(st.sampled_from(sorted(matrix)))
        levels = [it for it in matrix[twin] if {twin: it} not in data["exclude"]]
        data["noise"]["of"] = draw(
            st.fixed_dictionaries({}, optional={twin: st.sampled_from(levels)})
        )


def campaigns() -> st.SearchStrategy[Campaign]:
    """Legal campaigns."""
    return campaign_data().map(Campaign.model_validate)


@st.composite
def capabilities(draw: st.DrawFn) -> Capabilities:
    """What some host could do."""
    known = ["events", "postcopy-ram", "postcopy-preempt", "multifd", "xbzrle"]
    names = st.lists(st.sampled_from(known), unique=True)
    refusable = ["multifd+postcopy-ram", "source:multifd", "destination:postcopy-ram", "rdma"]
    return Capabilities(
        host=draw(st.sampled_from(["", "a", "b"])),
        qemu_version="7.2.22",
        qemu_path="/usr/bin/qemu-system-x86_64",
        accelerator="tcg",
        machine_type="pc-q35-7.2",
        migration_capabilities=draw(names),
        refused=draw(st.dictionaries(st.sampled_from(refusable), st.text(max_size=20))),
        userfaultfd=draw(st.booleans()),
        memory_available_bytes=draw(st.integers(0, 2**36)),
        cpus=draw(st.integers(1, 64)),
        netem_refused=draw(st.none() | st.text(max_size=20)),
        rdma=draw(st.booleans()),
        rdma_provider=draw(st.sampled_from([None, "rxe", "mlx5_core"])),
        rdma_fault=draw(st.none() | st.text(max_size=20)),
    )


_FRAGMENTS = [
    *("{", "}", "[", "]", ":", ",", "- ", "#", "&a ", "*a", "!!int ", "? ", "|", ">", "'", '"'),
    *("\t", "\n", "\n  ", "---\n", "...\n", "%YAML 1.1\n", "<<: ", "~", "null", "\0", "\u2028"),
    *("0", "-1", "1e9", "40", "1Gb/s", "999999TiB", "nan", "true", "algorithm", "write_rate"),
    *("matrix:\n", "include: [{}]\n", "exclude: 3\n", "guest: []\n", "name:\n", "source_text: x\n"),
]


@st.composite
def broken_texts(draw: st.DrawFn) -> str:
    """A legal file's text with a few accidents; it may still be legal."""
    text = dump_campaign(draw(campaigns()))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        to = draw(st.integers(at, min(len(text), at + 12)))
        kind = draw(st.sampled_from(["cut", "put", "replace", "lines"]))
        fragment = draw(st.one_of(st.sampled_from(_FRAGMENTS), st.text(max_size=4)))
        if kind == "cut":
            text = text[:at] + text[to:]
        elif kind == "put":
            text = text[:at] + fragment + text[at:]
        elif kind == "replace":
            text = text[:at] + fragment + text[to:]
        else:
            lines = text.splitlines(keepends=True)
            text = "".join(draw(st.permutations(lines))) + (lines[0] if lines else "")
    return text


def _flow(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    return str(value)


_words = st.one_of(
    st.sampled_from(["40", "40MiB/s", "precopy", "true", "", "~", "1Gbit/s", "256MiB", "-3"]),
    st.text(string.ascii_letters + string.digits, max_size=6),
)
_values = st.recursive(
    _words,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["algorithm", "memory", "name", "kind", "preempt", "x"]),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=6,
)


@st.composite
def misshapen_texts(draw: st.DrawFn) -> str:
    """YAML with a campaign's keys, and under them anything."""
    keys = st.sampled_from([*Campaign.model_fields, "guest.memory", "matrx", "x"])
    data = draw(campaign_data())
    return _flow(data | draw(st.dictionaries(keys, _values, min_size=1, max_size=4)))


def scalars() -> st.SearchStrategy[Scalar]:
    """The kind of value of each factor."""
    return st.sampled_from([factor.scalar for factor in FACTORS.values()])
