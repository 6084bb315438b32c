"""Which hosts of an inventory make a pair, and what the inventory says of each for labctl.

Everything labctl reads there is a host variable `labctl_*`; VARIABLES says what each means.
"""

import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

from labctl.errors import InputError

Variables = Mapping[str, Mapping[str, Any]]
_OURS: Final = "labctl_"
PAIR: Final = 2
"""hosts"""
MOST: Final = 100
"""times longer"""


def _text(value: Any) -> None:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("write a name")


def _address(value: Any) -> None:
    ipaddress.ip_address(value)


def _interface_address(value: Any) -> None:
    if "/" not in str(value):
        raise ValueError("it lacks its prefix length, as in 10.1.1.1/24")
    ipaddress.ip_interface(value)


def _factor(value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= MOST:
        raise ValueError(f"write a number from 1 to {MOST}")


VARIABLES: Final[dict[str, tuple[Callable[[Any], None], str]]] = {
    "labctl_pair": (
        _text,
        "the pair's name; two hosts have the same. Left out: paired in their order",
    ),
    "labctl_observer": (_text, "the host of the group observers that observes its trials"),
    "labctl_migration_interface": (_text, "the interface that migrations cross"),
    "labctl_migration_address": (_interface_address, "its address with prefix length"),
    "labctl_address": (
        _address,
        "its address for the lab's other hosts; left out: as SSH reaches it",
    ),
    "labctl_qemu": (_text, "the lab's QEMU: a program in PATH, or a path"),
    "labctl_machine": (_text, "the machine type of the lab's QEMU"),
    "labctl_user": (_text, "whom QEMU runs as"),
    "labctl_patience": (
        _factor,
        "how many times longer all of the lab's hosts are waited for: 5 for one that is emulated. The largest holds",
    ),
}


@dataclass(frozen=True)
class PairSpec:
    """Two hosts that migrate to each other, and who observes them."""

    name: str
    a: str
    b: str
    observer: str | None = None
    """None: each trial's destination"""


def pairs_of(
    hypervisors: Sequence[str], observers: Sequence[str], variables: Variables, place: str
) -> tuple[PairSpec, ...]:
    """The pairs of an inventory whose variables were checked, in its order; `place` names it in errors.

    Raises InputError, which names host, variable and mend.
    """
    named: dict[str, list[str]] = {}
    unnamed: list[str] = []
    for host in hypervisors:
        name = variables.get(host, {}).get("labctl_pair")
        (unnamed if name is None else named.setdefault(str(name), [])).append(host)
    for name, hosts in named.items():
        if len(hosts) != PAIR:
            raise InputError(
                f"labctl_pair {name} is said of {len(hosts)} host(s): {', '.join(hosts)}",
                place=place,
                mend="a pair has two hosts: give the name to two",
            )
    if len(unnamed) % PAIR:
        raise InputError(
            f"{unnamed[-1]} has no other host to migrate to",
            place=place,
            mend="list hypervisors by twos, or say who belongs together with labctl_pair",
        )
    found = {name: (hosts[0], hosts[1]) for name, hosts in named.items()}
    for a, b in zip(unnamed[::2], unnamed[1::2], strict=True):
        found[f"{a}-{b}"] = (a, b)
    watchers = [host for host in observers if host not in hypervisors]
    return tuple(
        PairSpec(name, a, b, _observer(a, b, watchers, number, variables, place))
        for number, (name, (a, b)) in enumerate(found.items())
    )


def _observer(
    a: str, b: str, watchers: Sequence[str], number: int, variables: Variables, place: str
) -> str | None:
    """Who observes a pair: whom one of its hosts names, else the group's hosts in turn."""
    for host in (a, b):
        named = variables.get(host, {}).get("labctl_observer")
        if named is not None:
            if named not in watchers:
                raise InputError(
                    f"{host}: labctl_observer {named} is no host of the group `observers`",
                    place=place,
                    mend=_nearest(named, watchers)
                    or "add it to that group, or take the variable out",
                )
            return str(named)
    return watchers[number % len(watchers)] if watchers else None


def check_variables(host: str, variables: Mapping[str, Any], place: str) -> None:
    """See that what an inventory says of a host for labctl has a meaning. InputError."""
    for name, value in variables.items():
        if not name.startswith(_OURS):
            continue
        if name not in VARIABLES:
            raise InputError(
                f"{host}: there is no variable {name}",
                place=place,
                mend=_nearest(name, VARIABLES) or f"labctl reads {', '.join(VARIABLES)}",
            )
        check, meaning = VARIABLES[name]
        try:
            check(value)
        except ValueError as error:
            raise InputError(
                f"{host}: {name} cannot be {value!r}: {error}", place=place, mend=f"it is {meaning}"
            ) from None


def _nearest(word: str, known: Iterable[str]) -> str | None:
    """What may have been meant; what all have in common does not count."""
    bare = {name.removeprefix(_OURS): name for name in known}
    near = get_close_matches(word.removeprefix(_OURS), bare, n=1)
    return f"did you mean {bare[near[0]]}?" if near else None
