"""`labctl init`: a campaign file to start from."""

from pathlib import Path
from typing import Annotated

import typer

from labctl.cli.console import say
from labctl.cli.options import as_typed
from labctl.errors import InputError

TEMPLATE = "campaigns/quickstart.yaml"
SCHEMA = "campaign.schema.json"
SUFFIXES = (".yaml", ".yml")

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="The campaign's name, or the file's path.")
]


SchemaOption = Annotated[
    bool, typer.Option("--schema", help=f"Write {SCHEMA} beside it too, and point editors there.")
]


def init(name: NameArgument = "campaign", *, schema: SchemaOption = False) -> None:
    """Write a campaign file to start from.

    A small campaign with comments. Nothing is overwritten.
    """
    from labctl.campaign import parse_campaign
    from labctl.data import data_path

    path = Path(name) if name.endswith(SUFFIXES) else Path(f"{name}.yaml")
    template = data_path(TEMPLATE).read_text()
    quickstart = parse_campaign(template).name
    text = template.replace(TEMPLATE, as_typed(path))
    text = text.replace(f"name: {quickstart}\n", f"name: {path.stem}\n", 1)
    text = text.replace("# The first campaign: which", "# Which", 1)
    if schema:
        text = f"# yaml-language-server: $schema={SCHEMA}\n{text}"
    parse_campaign(text, str(path))  # a name that is none is said before anything is written
    try:
        with path.open("x") as file:
            file.write(text)
    except FileExistsError:
        raise InputError(
            "is there already, and is not overwritten",
            place=str(path),
            mend=f"another name: {as_typed('labctl', 'init', f'{path.stem}-2')}",
        ) from None
    except OSError as error:
        raise InputError(
            f"cannot be written: {error.strerror}", place=str(path), mend="name another folder"
        ) from None
    say(f"wrote {path}")
    if schema:
        _write_schema(path.with_name(SCHEMA))
    say(f"  its trials: {as_typed('labctl', 'plan', path)}")
    say(f"  run it:     {as_typed('labctl', 'run', path)}")


def _write_schema(path: Path) -> None:
    """Beside the campaign, newer than what an older labctl wrote there."""
    from labctl.campaign.jsonschema import schema_text

    try:
        path.write_text(schema_text())
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", place=str(path)) from None
    say(f"wrote {path}")
