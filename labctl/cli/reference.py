"""The reference page of the command line, from the verbs' own help and the tree of errors.

`python -m labctl.cli.reference > docs/reference/cli.md`; a test compares the two.
"""

import sys
from collections.abc import Iterator

_HEAD = """# The command line

Generated from the program (`python -m labctl.cli.reference`). Answers go to stdout, everything else to
stderr; neither holds control codes where it is no terminal. `-v`, `-q` and `--log-file` may stand anywhere.

## Exit status

| status | meaning |
| --- | --- |
| 0 | done; a run ran to its end, and each of its trials has a result (not converging is one) |
| 1 | a run's trials failed or had no valid load; or labctl failed at something: see stderr |
| 2 | bad input: a file, a flag or a name; the message has the place and the mend |
| 3 | the lab is not usable, is held by another run, or was lost |
| 4 | `labctl compare --fail-if`: a condition holds, something became worse |
| 130 | interrupted (Ctrl-C): what has been measured is kept, `labctl run --resume` goes on |

The errors of the Python API carry the same status (`labctl.errors`):

| error | status | what it says |
| --- | --- | --- |
"""

_COMPLETION = """## Completion

    labctl --install-completion          # for the shell that it is typed in: bash, zsh or fish
    eval "$(_LABCTL_COMPLETE=source_bash labctl)"   # for this session only; source_zsh, source_fish

Verbs and options are completed, and campaign files (here and in `campaigns/`), runs (the newest first,
below `--out`), labs, and the rules and checks that `labctl explain` knows. In bash it is tested; the
scripts for zsh and fish are those of typer, and were not tried.
"""


def cli_page() -> str:
    """The page."""
    return _HEAD + "\n".join((*_errors(), "", _COMPLETION, *_verbs()))


def _errors() -> Iterator[str]:
    from labctl.errors import LabctlError

    pending: list[type[LabctlError]] = [LabctlError]
    while pending:
        error = pending.pop(0)
        about = " ".join((error.__doc__ or "").split("\n\n")[0].split())
        yield f"| `{error.__name__}` | {error.exit_code} | {about} |"
        own = [known for known in error.__subclasses__() if known.__module__ == error.__module__]
        pending = [*own, *pending]


def _verbs() -> Iterator[str]:
    from typer.testing import CliRunner

    from labctl.cli.app import VERBS, app

    runner = CliRunner(env={"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"})
    below = [
        (str(group.name), command.callback.__name__.rstrip("_"))
        for group in app.registered_groups
        for command in (group.typer_instance.registered_commands if group.typer_instance else ())
        if command.callback
    ]
    for words in (*((verb.__name__,) for verb in VERBS), *below):
        said = runner.invoke(app, [*words, "--help"], prog_name="labctl", terminal_width=100).output
        text = "\n".join(line.rstrip() for line in said.strip().splitlines())
        yield f"## `labctl {' '.join(words)}`\n\n```text\n{text}\n```\n"


if __name__ == "__main__":
    sys.stdout.write(cli_page().rstrip("\n") + "\n")
