"""`labctl schema`: what an editor needs to complete and check campaign files."""

from labctl.cli.console import say


def schema() -> None:
    """Print the JSON Schema of campaign files.

    An editor completes and checks with it: begin a file with `# yaml-language-server: $schema=FILE`.
    """
    from labctl.campaign.jsonschema import schema_text

    say(schema_text().rstrip("\n"))
