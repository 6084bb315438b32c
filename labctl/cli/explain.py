"""`labctl explain`: the page of a plan's rule, or of a check of `labctl doctor`."""

from difflib import get_close_matches

from labctl.cli.console import out, say, say_prose
from labctl.cli.options import RuleArgument
from labctl.errors import InputError


def explain(rule: RuleArgument = None) -> None:
    """Explain a rule of a plan, or a check of doctor.

    Why trials are marked as unsupported, and what to do about it. Without a RULE, lists all.
    """
    from labctl.campaign import RULES
    from labctl.doctor import CHECKS

    rules = {known.id: known for known in RULES}
    checks = {known.id: known for known in CHECKS}
    if rule is None:
        say("rules of a plan:")
        _list([(known.id, known.problem) for known in RULES])
        say("checks of labctl doctor:")
        _list([(check.id, check.what) for check in CHECKS])
        return
    if rule not in rules and rule not in checks:
        near = get_close_matches(rule, [*rules, *checks], n=1)
        raise InputError(
            f"there is no rule or check {rule!r}",
            place="RULE",
            mend=f"did you mean {near[0]}?" if near else "`labctl explain` lists them",
        )
    if rule in rules:
        found = rules[rule]
        _page(f"{rule}, a rule of a plan", found.problem, found.why, found.mend)
    if rule in checks:
        check = checks[rule]
        looks = f"Looks for {check.what}."
        _page(f"{rule}, a check of labctl doctor", looks, check.reason, check.mend)


def _list(known: list[tuple[str, str]]) -> None:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for name, about in known:
        table.add_row(f"  {name}", about)
    out().print(table)


def _page(title: str, problem: str, why: str, mend: str) -> None:
    say(title)
    say_prose(f"  {problem}")
    say_prose(f"  why:  {why}")
    say_prose(f"  mend: {mend}")
