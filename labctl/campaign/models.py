"""The campaign: one file's content, checked.

`labctl.campaign.load_campaign` reads one from a file and reports every fault with its line. A
campaign built in Python is checked by the same code, and is always complete: a field that only the
matrix gives (say `link.bandwidth`) takes its first level.
"""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, ValidationInfo, model_validator

from labctl.campaign.factors import fill_from_matrix
from labctl.campaign.profiles import Profile, ProfileSpec
from labctl.campaign.repetitions import REPETITIONS, NoiseSpec, Repetitions, RepetitionsSpec
from labctl.campaign.scalars import COUNT, Scalar, custom_error, name
from labctl.campaign.shape import shape
from labctl.campaign.specs import (
    BUILT_IN_NAMES,
    CONSTANT,
    QEMU,
    TRANSPORT,
    AlgorithmKind,
    AlgorithmSpec,
    GuestSpec,
    LimitsSpec,
    LinkSpec,
    Spec,
    TimingSpec,
    Transport,
    reads,
)
from labctl.errors import InputError

__all__ = [
    "BUILT_IN",
    "AlgorithmKind",
    "AlgorithmSpec",
    "Campaign",
    "GuestSpec",
    "LimitsSpec",
    "LinkSpec",
    "TimingSpec",
    "Transport",
]

BUILT_IN: dict[str, AlgorithmSpec] = {
    kind: AlgorithmSpec.model_validate({"name": kind, "kind": kind}) for kind in BUILT_IN_NAMES
}
"""The variants that every campaign has."""


def _parse_lab(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise InputError(f"{text!r} is not a lab", mend="write a name under `inventory/` or a path")
    return text


CAMPAIGN_NAME = name(
    "a campaign's name",
    r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}",
    "write at most 60 letters, digits, `_`, `.` or `-`, a letter or digit first",
)
LAB_NAME = Scalar("a lab's name or path", _parse_lab, str, (str,))
WARMUPS = COUNT.within(0, 1_000)
OPTIONAL_SEED = COUNT.within(0, 2**63 - 1, optional=True)


COLLECT = {"problems": "collected by the caller"}
"""Validation context of a caller who reports the problems of the matrix itself."""


class Campaign(Spec):
    """One campaign. Frozen; `matrix`, `exclude` and `include` hold canonical names and levels."""

    name: Annotated[str, reads(CAMPAIGN_NAME), CAMPAIGN_NAME]
    """names the campaign and its runs"""
    lab: Annotated[str, reads(LAB_NAME), LAB_NAME] = "local"
    """a name under `inventory/`, or a path; `local` is the embedded lab"""
    guest: GuestSpec
    link: LinkSpec
    limits: LimitsSpec = LimitsSpec()
    algorithm: str = "precopy"
    """the variant of every cell, where the matrix does not vary it"""
    algorithms: dict[str, AlgorithmSpec] = Field(default_factory=dict)
    """variants by name; the four built-in names are always there"""
    transport: Annotated[Transport, reads(TRANSPORT), TRANSPORT] = "tcp"
    """what carries the migration: tcp or rdma"""
    qemu: Annotated[str | None, reads(QEMU), QEMU] = None
    """the QEMU of both ends: its path on the hosts, or a name under `qemus`; `none`: the lab's own"""
    qemus: dict[str, str] = Field(default_factory=dict)
    """names for paths of QEMUs"""
    profiles: dict[str, ProfileSpec] = Field(default_factory=dict)
    """how a write rate may change over time, by name; `constant` is always there"""
    matrix: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """factors and their levels"""
    exclude: tuple[dict[str, str], ...] = ()
    """cells to leave out: those that match every level named"""
    include: tuple[dict[str, str], ...] = ()
    """cells to add: one level for every factor"""
    repetitions: Annotated[Repetitions, REPETITIONS] = 3
    """blocks: each runs every cell once; or `{until: ...}`: until each cell is settled"""
    noise: NoiseSpec = NoiseSpec()
    """the noise floor: a cell that is run against itself"""
    warmups: Annotated[int, reads(WARMUPS), WARMUPS] = 1
    """trials run first and discarded"""
    seed: Annotated[int | None, reads(OPTIONAL_SEED), OPTIONAL_SEED] = None
    """seed of the order of trials; left out: derived from the campaign itself"""
    timing: TimingSpec = TimingSpec()
    source_text: str = Field(default="", exclude=True, repr=False)
    """the file's text, when it came from one"""
    traces: dict[str, str] = Field(default_factory=dict, exclude=True, repr=False)
    """the text of each trace that a profile names, by its file's name"""

    @model_validator(mode="before")
    @classmethod
    def _shaped(cls, data: Any, info: ValidationInfo) -> Any:
        """Canonical matrix, named variants, fields that only the matrix gives.

        Raises CampaignError, unless the context says that the caller collects problems itself.
        """
        if not isinstance(data, Mapping):
            return data
        found = shape(data)
        if info.context is not COLLECT:
            found.raise_problems()
        shaped = {
            **data,
            "matrix": found.matrix,
            "exclude": found.exclude,
            "include": found.include,
            "algorithms": with_names(data.get("algorithms")),
            **found.noise,
        }
        return fill_from_matrix(shaped, found.matrix)

    @model_validator(mode="after")
    def _traces_are_there(self) -> Self:
        for key, spec in self.profiles.items():
            if spec.trace is not None:
                try:
                    self.profile(key)
                except InputError as error:
                    raise custom_error(f"the profile `{key}`: {error.fault}", error.mend) from None
        return self

    def profile(self, key: str) -> Profile:
        """The profile of that name, as the guest is told it. Raises InputError."""
        if key == CONSTANT:
            return Profile()
        spec = self.profiles[key]
        if spec.trace is not None and spec.trace not in self.traces:
            raise InputError(
                f"the trace {spec.trace} was not read",
                mend="load the campaign from its file, or give `traces` its text",
            )
        return Profile.of(spec, self.traces.get(spec.trace or "", ""))

    @property
    def variants(self) -> dict[str, AlgorithmSpec]:
        """Every variant that can be named: the built-in ones and the campaign's own."""
        return BUILT_IN | self.algorithms

    def qemu_path(self, level: str | None) -> str | None:
        """The path of a QEMU that is given by its path or its name; None: the lab's own."""
        return self.qemus.get(level, level) if level is not None else None

    @property
    def adaptive(self) -> RepetitionsSpec | None:
        """The rule by which cells get more repetitions; None where their number is fixed."""
        return self.repetitions if isinstance(self.repetitions, RepetitionsSpec) else None

    @property
    def first_blocks(self) -> int:
        """The blocks that are planned before anything has run."""
        return (
            self.repetitions.min
            if isinstance(self.repetitions, RepetitionsSpec)
            else self.repetitions
        )

    @property
    def factors(self) -> tuple[str, ...]:
        """The factors' names: `algorithm` first (always there), then the matrix's order."""
        return ("algorithm", *(factor for factor in self.matrix if factor != "algorithm"))

    @property
    def order_seed(self) -> int:
        """`seed`, or one derived from the canonical text: the same campaign, the same order."""
        if self.seed is not None:
            return self.seed
        text = self.model_dump_json(exclude_defaults=True)
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1


def with_names(algorithms: object) -> object:
    """Each variant's mapping with the name it is listed under."""
    if algorithms is None:
        return {}
    if not isinstance(algorithms, Mapping):
        return algorithms
    return {
        key: {**variant, "name": key} if isinstance(variant, Mapping) else variant
        for key, variant in algorithms.items()
    }
