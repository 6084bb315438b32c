"""The reference page of the results directory, written from the registries and docstrings.

`python -m labctl.results.reference > docs/reference/results.md`; a test compares the two.
"""

import sys
from collections.abc import Iterable, Iterator
from inspect import cleandoc
from types import UnionType
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from labctl.node.describe import KEYS as HOST_KEYS
from labctl.node.describe.keys import Key
from labctl.results import columns, environment, layout
from labctl.results.frame import frame_columns
from labctl.results.schema import OUTCOMES, SCHEMA_VERSION, VERDICTS, TrialRecord

_FACTOR = columns.Column(
    "<factor...>", "text", "", "each factor of the campaign: its level, as written in the campaign",
    "plan.json",
)  # fmt: skip

_HEAD = """# The results directory

Files are the truth: whatever labctl shows is read from a run's directory, with no lab and years
later. This page is the contract of every file in it. It is generated from the code that writes and
reads them (`python -m labctl.results.reference`).

Schema version: {version}. Every file but the campaign's own text says its version: JSON in
`schema_version`, JSON lines in their first line, parquet in the metadata key
`labctl.schema_version`. New keys and columns do not change the version, and a reader keeps those it
does not know. An older version is lifted when it is read; a newer one is refused.

```text
{layout}
```

A trial is written beside its place, brought to the disk, and renamed into it: a folder
`<nnnn>-<cell>` is a whole result, and the trial's only one. One process writes a run at a time; it
holds a lock on `journal.jsonl`, which ends with the process. Names of more than 200 bytes are cut
and end in a hash; the full name stands in `trial.json`.

Times called `t_ns`, `..._ns` are CLOCK_MONOTONIC in nanoseconds unless the column says otherwise.
What is not known is empty (null), never 0 and never a guess."""

_FRAME = """One row for each trial that has a result and each that is unsupported, by number; a trial
that is still to come has none. `labctl.load_run(RUN).frame()` gives it to pandas, without the
warm-ups unless asked. It is derived: it is made anew when the plan, a trial or the columns changed.

A figure stands for one trial. Blackout, stalls, brownout and work lost are the guest's own account;
downtime and total time are QEMU's."""

_SAMPLES = """One long table: rows of kind `migrate` and of kind `host`, every 10 ms each where QEMU and
the host kept up. Times asked for and achieved are both kept, and nothing is interpolated."""

_EVENTS = """One JSON object a line, after a first line that says the schema version."""

_JOURNAL = """What the controller did and when: one JSON object a line with `utc`, `event` and what
belongs to it. The last line may be torn, when the controller was killed; readers skip it. A line
with a `pid` says who opened the run. `PairSetAside` names a pair that gave its trials to the others,
its hosts, the fault and the mend; `PairReturned` one that works again. `PlanGrown` says which blocks were
added to the plan, of which cells, after `plan.json` has them and before the first of them begins."""

_ENVIRONMENT = """What was found on the hosts before the first trial, as far as it can change a result: for every end of
every pair what its QEMU said of itself, and what the agent found on its host. What could not be read is null or absent.
There is no address of a network card in it, no serial number and no secret. `varies` marks what differs from one moment to the
next on the same hosts; `labctl.results.environment.differences` compares two environments and leaves that out. `<name>`
stands for any name, `*` for all that is below."""

_END = """For each end of each pair, below `pairs.<name>.ends.<name>`."""

_HOST = (
    """For each end of each pair, below `pairs.<name>.ends.<name>.host`. Units are in the names."""
)

_OTHERS = """| file | holds |
| --- | --- |
| `campaign.yaml` | the campaign's text as it was run |
| `*.csv` | the traces that the campaign's profiles name |
| `plan.json` | every trial in the order it runs, with what is unsupported and why, and the lab's pairs (`labctl.campaign.Plan`) |
| `*.log` | what each QEMU and node printed |
| `report.html` | derived: the report |
| `live.json` | while the run goes on: phase, newest progress and last curves of each trial under way, for `labctl watch`; no result, and no contract |"""


def reference_page() -> str:
    """The text of docs/reference/results.md."""
    before, after = frame_columns()
    parts = [
        _HEAD.format(version=SCHEMA_VERSION, layout=layout.TREE.rstrip()),
        "## results.parquet: the frame",
        _FRAME,
        _table((*before, _FACTOR, *after)),
        "### Outcomes",
        _meanings(OUTCOMES.items(), "outcome"),
        "### Verdicts",
        _meanings(VERDICTS.items(), "verdict"),
        "## trial.json",
        "Unknown keys are kept, at any depth.",
        "| key | type | meaning |\n| --- | --- | --- |\n" + "\n".join(_fields(TrialRecord)),
        "## beats.parquet",
        _table(columns.BEATS),
        "## samples.parquet",
        _SAMPLES,
        _table(columns.SAMPLES),
        "## events.jsonl",
        _EVENTS,
        _table(columns.EVENTS),
        "## journal.jsonl",
        _JOURNAL,
        "## environment.json",
        _ENVIRONMENT,
        _keys(environment.RUN_KEYS),
        "### An end",
        _END,
        _keys(environment.END_KEYS),
        "### Its host",
        _HOST,
        _keys(HOST_KEYS),
        "## The other files",
        _OTHERS,
    ]
    return "\n\n".join(parts) + "\n"


def _table(rows: Iterable[columns.Column]) -> str:
    head = "| column | type | unit | definition | source |\n| --- | --- | --- | --- | --- |"
    lines = [
        f"| `{c.name}` | {c.kind} | {c.unit} | {_cell(c.definition)} | {_cell(c.source)} |"
        for c in rows
    ]
    return "\n".join([head, *lines])


def _keys(keys: Iterable[Key]) -> str:
    head = "| key | type | meaning | |\n| --- | --- | --- | --- |"
    lines = [
        f"| `{key.path}` | {key.kind} | {_cell(key.meaning)} | {'varies' if key.varies else ''} |"
        for key in keys
    ]
    return "\n".join([head, *lines])


def _meanings(rows: Iterable[tuple[str, str]], what: str) -> str:
    head = f"| {what} | meaning |\n| --- | --- |"
    return "\n".join([head, *(f"| `{name}` | {_cell(text)} |" for name, text in rows)])


def _fields(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, info in model.model_fields.items():
        inner = _model_in(info.annotation)
        text = info.description or (cleandoc(inner.__doc__ or "") if inner else "")
        yield f"| `{prefix}{name}` | {_type_name(info.annotation)} | {_cell(text)} |"
        if inner:
            key = "<name>." if get_origin(info.annotation) is dict else ""
            yield from _fields(inner, f"{prefix}{name}.{key}")


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that a field holds, alone, in a list, or by name."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for arg in get_args(annotation) if (found := _model_in(arg))), None)


def _type_name(annotation: Any) -> str:
    if annotation is type(None):
        return "null"
    if isinstance(annotation, UnionType):
        return " or ".join(_type_name(arg) for arg in get_args(annotation))
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is list:
        return f"list of {_type_name(args[0])}"
    if origin is dict:
        return f"object of {_type_name(args[1])}"
    if annotation is Any:
        return "anything"
    if _model_in(annotation):
        return "object"
    plain = {bool: "bool", int: "int", float: "float", str: "text"}
    return plain.get(annotation, "text")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(reference_page())
