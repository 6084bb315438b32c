"""From a file's text to a campaign.

Every fault of a file is reported at once, each with its line and how to mend it. What can be wrong
is found in three readings of the same text: its YAML (`tree`), its matrix (`shape`), its fields
(the models).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from labctl.campaign.factors import FACTORS
from labctl.campaign.models import COLLECT, Campaign
from labctl.campaign.problems import Path, Problem, path_text
from labctl.campaign.profiles import TRACE, Profile, ProfileSpec
from labctl.campaign.repetitions import PLAIN, UNTIL, NoiseSpec, RepetitionsSpec
from labctl.campaign.scalars import nearest, shown
from labctl.campaign.shape import Shape, shape
from labctl.campaign.specs import (
    MEMORY,
    WORKING_SET,
    AlgorithmSpec,
    GuestSpec,
    LimitsSpec,
    LinkSpec,
    Spec,
    TimingSpec,
    file_name_of,
    working_set_room,
)
from labctl.campaign.tree import Tree, read_tree
from labctl.errors import CampaignError, InputError

MAX_BYTES = 2**20
"""What a file may hold: reading it takes seconds, and a device has no end."""

_NOT_IN_A_FILE = {"source_text", "traces"}
"""Fields of a campaign that its file has not."""

_SECTIONS: dict[str, type[Spec]] = {
    "guest": GuestSpec,
    "link": LinkSpec,
    "limits": LimitsSpec,
    "timing": TimingSpec,
    "repetitions": RepetitionsSpec,
    "noise": NoiseSpec,
}

_NO_KEYS = ("[key]", PLAIN, UNTIL)
"""What pydantic puts into a path that is no part of the file."""


def load_campaign(path: str | FilePath) -> Campaign:
    """The campaign of a file. Raises CampaignError with all of the file's faults."""
    try:
        with FilePath(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise CampaignError(
            f"cannot be read: {error.strerror}",
            place=str(path),
            mend="`labctl init` writes a campaign file to start from",
        ) from None
    if len(data) > MAX_BYTES:
        raise CampaignError(
            f"is no campaign: it is larger than {MAX_BYTES // 2**20} MiB",
            place=str(path),
            mend="a matrix of factors says in a line what a list of cells says in thousands",
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise CampaignError(
            f"is not text in UTF-8 (byte {data[error.start]:#04x})",
            place=f"{path}:{line}",
            mend="save it as UTF-8",
        ) from None
    return parse_campaign(text, str(path), FilePath(path).parent)


def parse_campaign(text: str, place: str = "campaign", beside: FilePath | None = None) -> Campaign:
    """The campaign of a text; `place` names it in errors, traces are files `beside` it. Raises CampaignError."""
    tree = read_tree(text, place)
    problems = list(tree.problems)
    data = tree.data
    problems += [_unknown(path) for path in _keys_not_in_a_file(data)]
    found = shape(data)
    problems += found.problems
    if data.get("matrix") == {}:
        problems.append(
            Problem(("matrix",), "the matrix is empty", "name a factor, or leave it out")
        )
    problems += _too_large_working_set(data, found)
    data["traces"], unread = _traces(data.get("profiles"), beside)
    problems += unread
    campaign: Campaign | None = None
    try:
        campaign = Campaign.model_validate(data, by_alias=True, by_name=False, context=COLLECT)
    except ValidationError as error:
        said = {problem.path for problem in problems} | ({()} if problems else set())
        found_too = [_problem(details) for details in error.errors(include_url=False)]
        problems += [problem for problem in found_too if problem.path not in said]
    if problems or campaign is None:
        raise CampaignError.of(_located(problems, tree, place))
    return campaign.model_copy(update={"source_text": text})


def _located(problems: list[Problem], tree: Tree, place: str) -> list[CampaignError]:
    """One error a problem, in the order of the file's lines."""
    located = {(tree.line(problem.path), problem): None for problem in problems}
    return [
        problem.at(f"{place}:{line}") for line, problem in sorted(located, key=lambda pair: pair[0])
    ]


def _keys_not_in_a_file(data: Mapping[str, Any]) -> Iterator[Path]:
    """Keys that a model has for Python's use only."""
    yield from ((key,) for key in _NOT_IN_A_FILE if key in data)
    algorithms = data.get("algorithms")
    for name, variant in algorithms.items() if isinstance(algorithms, dict) else ():
        if isinstance(variant, dict) and "name" in variant:
            yield ("algorithms", name, "name")


def _traces(profiles: object, beside: FilePath | None) -> tuple[dict[str, str], list[Problem]]:
    """The text of every trace that a profile names, and what is wrong with them."""
    texts: dict[str, str] = {}
    problems: list[Problem] = []
    for key, profile in profiles.items() if isinstance(profiles, dict) else ():
        said = profile.get("trace") if isinstance(profile, dict) else None
        try:
            trace = None if said is None or beside is None else TRACE.read(said)
        except InputError:
            continue  # its field says so
        if trace is None or beside is None:
            continue
        try:
            with (beside / trace).open("rb") as file:
                text = file.read(MAX_BYTES).decode("utf-8-sig")
            Profile.of(ProfileSpec.model_validate({"trace": trace}), text)
            texts[trace] = text
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not text"
            problems.append(
                Problem(
                    ("profiles", key, "trace"),
                    f"the trace {trace} cannot be read: {why}",
                    "put it beside the campaign's file",
                )
            )
        except InputError as error:
            problems.append(
                Problem(("profiles", key, "trace"), f"{trace}: {error.fault}", error.mend or "")
            )
    return texts, problems


def _too_large_working_set(data: Mapping[str, Any], found: Shape) -> list[Problem]:
    """A working set that no cell can hold; where it varies, a rule of the plan decides."""
    guest = data.get("guest")
    if not isinstance(guest, dict) or {"memory", "working_set"} & found.matrix.keys():
        return []
    try:
        memory, working_set = (
            MEMORY.read(guest.get("memory")),
            WORKING_SET.read(guest.get("working_set")),
        )
    except InputError:
        return []
    room = working_set_room(memory)
    if working_set <= room:
        return []
    said, held = guest["working_set"], guest["memory"]
    return [
        Problem(
            ("guest", "working_set"),
            f"a working set of {said} does not fit a memory of {held}",
            f"write at most {room // 2**20}MiB: the guest needs some memory for itself",
        )
    ]


def _problem(details: ErrorDetails) -> Problem:
    """A fault that pydantic found, in the user's words."""
    path: Path = tuple(part for part in details["loc"] if part not in _NO_KEYS)
    kind, context = details["type"], details.get("ctx", {})
    name = path_text(path)
    if kind == "labctl":
        return Problem(path, f"{name}: {context['fault']}", str(context["mend"]))
    if kind == "missing":
        return Problem(path, f"`{name}` is missing", f"add `{path[-1]}: ...`")
    if kind == "extra_forbidden":
        return _unknown(path)
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return Problem(
            path, f"`{name}` is {shown(details['input'])}", f"write `{path[-1]}: {{...}}`"
        )
    return Problem(path, f"{name}: {details['msg']}", "see the reference of campaign files")


def _unknown(path: Path) -> Problem:
    return Problem(path, f"`{path[-1]}` is not a key {_where(path)}", _key_mend(path))


def _where(path: Path) -> str:
    return f"of `{path_text(path[:-1])}`" if path[:-1] else "of a campaign"


def _key_mend(path: Path) -> str:
    """The nearest key that is known there, or where else the key belongs."""
    *section, key = (str(part) for part in path)
    for nested in (factor for factor in FACTORS.values() if factor.inside):
        if key in (nested.key, nested.key.replace(".", "_")):
            return f"write `{nested.inside}: {{{file_name_of(nested.field)}: ...}}`"
    factor = FACTORS.get(key)
    if factor and factor.section in _SECTIONS and len(section) < 2:
        return f"it belongs under `{factor.section}`"
    if factor and factor.section == "algorithm" and not section:
        return "it belongs to a variant under `algorithms`"
    model = _SECTIONS.get(section[0], AlgorithmSpec) if section else Campaign
    named = section and section[0] not in _SECTIONS  # a variant's own name comes first
    for name in section[2 if named else 1 :]:
        held = model.model_fields[name].annotation if name in model.model_fields else None
        model = held if isinstance(held, type) and issubclass(held, Spec) else model
    hidden = _NOT_IN_A_FILE if model is Campaign else {"name"}
    known = [file_name_of(field) for field in model.model_fields if field not in hidden]
    return nearest(key, known)
