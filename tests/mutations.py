"""Accidents that a campaign file can have: what an editor, a merge, a script or malice makes of a legal one.

`mutant(random, text)` is the bytes of one broken file; it may still be legal.
"""

import random
import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import lru_cache
from typing import Any

from labctl.campaign.tree import MAX_DEPTH, read_tree

LONGEST = 20_000
"""bytes: a bomb that is written out says nothing but that a large file takes its time"""

CHARACTERS = [*"{}[]:,-&*!|>'\"%@`#? \n\t\\~=<0x", "\0", "\x1b", "\x7f", "\x85", "\u2028", "\ufeff"]
CHARACTERS += ["é", "\u202e", "\U0001f4a5", "\r", "\r\n", "\ufffe", "\ud800"]

WORDS = [
    *("40", "-1", "0", "1e9", "0x10", "1_000", ".5", "nan", ".inf", "~", "null", "true", "yes", "''"),
    *("40MB", "40mib/s", "40 MiB / s", "1Gb/s", "1Gbps", "300m", "5 minutes", "1,5GiB", "\u0664\u0660MiB"),
    *("9" * 30, "9" * 5000 + "MiB", "0." + "0" * 40 + "1s", "1e999s", "-40MiB/s", "18446744073709551616"),
    *("precopy", "PRECOPY", "precpy", "guest.write_rate", "link.bandwith", "../../etc/passwd", "none"),
    *("!!int 3", "!!binary aGk=", "!include x", "!!python/object/apply:os.getcwd []", "! x", "!<x> y"),
    *("&a x", "*a", "&a [*a]", "<<: *a", "? [a]", "? {a: b}", "|", ">-", "{}", "[]", "[[]]", "{a: {}}"),
    *('"\\e[2J"', '"\\ud800"', '"\\x00"', "'", '"', "- ", "- - -", "# x", "%TAG ! tag:x,2000:"),
]  # fmt: skip

HEADS = [
    "---\n",
    "%YAML 1.1\n---\n",
    "%YAML 9.9\n---\n",
    "%FOO\n",
    "\ufeff",
    "\ufeff\ufeff",
    "...\n",
    "\t",
]
TAILS = [
    "\n...\nx",
    "\n---\nname: d\n",
    "\n}",
    "\n\t",
    "\n  x: y\n",
    "\n- a\n",
    "\nname: again\n",
    "\0",
]
KEYS = ["name", "guest", "link", "limits", "matrix", "algorithms", "exclude", "include", "timing"]
KEYS += ["repetitions", "until", "of", "min", "max", "noise", "aa"]
KEYS += [
    "kind",
    "memory",
    "write_rate",
    "algorithm",
    "source_text",
    "Name",
    "repetitons",
    "",
    "0",
    "x",
]


def mutant(rng: random.Random, text: str) -> bytes:
    """The file after one to three accidents, the last of which may be one of its bytes."""
    for _ in range(rng.randint(1, 3)):
        text = rng.choice(TEXTUAL)(rng, text)
    return rng.choice(BINARY)(rng, text)[:LONGEST]


def _span(rng: random.Random, text: str, longest: int = 12) -> tuple[int, int]:
    start = rng.randint(0, len(text))
    return start, min(len(text), start + rng.randint(0, longest))


def _characters(rng: random.Random, text: str) -> str:
    """One to four characters put in, taken out or exchanged."""
    for _ in range(rng.randint(1, 4)):
        start, end = _span(rng, text, 1)
        text = text[:start] + rng.choice(["", rng.choice(CHARACTERS)]) + text[end:]
    return text


def _cut(rng: random.Random, text: str) -> str:
    start, end = _span(rng, text, 60)
    return text[:start] + text[end:]


def _words(rng: random.Random, text: str) -> str:
    """A word or a sign: lost, doubled, exchanged with another of the file, or another altogether."""
    words = re.split(r"(\s+|[{}\[\]:,])", text)
    at, other = rng.randrange(len(words)), rng.randrange(len(words))
    what = rng.randrange(4)
    if what == 0:
        words[at] = ""
    elif what == 1:
        words[at] *= 2
    elif what == 2:
        words[at], words[other] = words[other], words[at]
    else:
        words[at] = rng.choice(WORDS)
    return "".join(words)


def _lines(rng: random.Random, text: str) -> str:
    """Lines lost, doubled, moved, or indented by what does not belong there."""
    lines = text.splitlines(keepends=True) or [""]
    at = rng.randrange(len(lines))
    what = rng.randrange(5)
    if what == 0:
        del lines[at]
    elif what == 1:
        lines.insert(rng.randint(0, len(lines)), lines[at])
    elif what == 2:
        rng.shuffle(lines)
    elif what == 3:
        lines[at] = rng.choice(["\t", " ", "  ", "\u00a0", "- "]) + lines[at]
    else:
        lines[at] = lines[at].rstrip("\n")
    return "".join(lines)


def _around(rng: random.Random, text: str) -> str:
    return rng.choice(HEADS) + text if rng.random() < 0.5 else text + rng.choice(TAILS)


def _deep(rng: random.Random, text: str) -> str:
    """A value nested from a little to far too deep."""
    depth = rng.choice([2, MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1, 60, 400])
    opening, closing = rng.choice([("[", "]"), ("{a: ", "}"), ("[{b: ", "}]")])
    key = rng.choice(KEYS)
    return f"{text}\n{key}: {opening * depth}x{closing * rng.choice([depth, depth - 1, 0])}\n"


def _bomb(rng: random.Random, text: str) -> str:
    """Aliases that say little and mean a lot, or that hold themselves."""
    levels, width = rng.randint(1, 4), rng.randint(1, 5)
    if rng.random() < 0.05:  # few go off: each takes the loader to its limit of nodes
        levels, width = 12, 10
    lines = ["x0: &x0 [a]"]
    lines += [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * width)}]" for n in range(1, levels)]
    if rng.random() < 0.2:
        lines = ["x0: &x0 {x: *x0}"]
    if rng.random() < 0.3:
        lines.append(f"matrix: {{seed: *x{levels - 1}}}")
    return text + "\n" + "\n".join(lines) + "\n"


def _structure(rng: random.Random, text: str) -> str:
    """Keys missing, extra, doubled or in the wrong place; values of the wrong kind."""
    try:
        data: Any = deepcopy(_read(text))
    except Exception:  # noqa: BLE001 - it had an accident before
        return text
    places = list(_mappings(data))
    place = rng.choice(places)
    key = rng.choice([*place, rng.choice(KEYS)])
    what = rng.randrange(6)
    if what == 0:
        place.pop(key, None)
    elif what == 1:
        place[rng.choice(KEYS)] = place.pop(key, "x")
    elif what == 2:
        place[key] = rng.choice(WORDS)
    elif what == 3:
        place[key] = rng.choice([[], {}, [place.get(key)], {"x": place.get(key)}, None])
    elif what == 4:
        place[key] = rng.choice(places).copy()
    else:
        return _flow(data) + f"\n{key}: x\n"
    return "".join(f"{name}: {_flow(value)}\n" for name, value in data.items())


@lru_cache
def _read(text: str) -> Any:
    """What a file says. Many are made of one, and to read one takes longest."""
    return read_tree(text, "").data


def _mappings(data: Any) -> Iterator[dict[str, Any]]:
    if isinstance(data, dict):
        yield data
    for inner in (
        data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    ):
        yield from _mappings(inner)


def _flow(value: Any, depth: int = 0) -> str:
    if depth > MAX_DEPTH:  # a mapping that was put into itself
        return "x"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_flow(v, depth + 1)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(item, depth + 1) for item in value) + "]"
    return "" if value is None else str(value)


TEXTUAL: list[Callable[[random.Random, str], str]] = [
    *(_characters, _characters, _cut, _words, _words, _words, _lines, _lines),
    *(_around, _deep, _bomb, _structure, _structure, _structure, _structure),
]


def _utf8(_rng: random.Random, text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _spoilt(rng: random.Random, text: str) -> bytes:
    """Bytes that are no UTF-8, or no longer."""
    data = bytearray(_utf8(rng, text) or b"x")
    at = rng.randrange(len(data))
    data[at : at + rng.randint(0, 1)] = rng.choice(
        [b"\xff", b"\xc3", b"\xe9", b"\x80", b"\xed\xa0\x80", b"\0"]
    )
    return bytes(data)


def _line_ends(rng: random.Random, text: str) -> bytes:
    return _utf8(rng, text.replace("\n", rng.choice(["\r\n", "\r", "\n\n", "\x85"])))


def _encoded(rng: random.Random, text: str) -> bytes:
    return text.encode(
        rng.choice(["utf-16", "utf-16-le", "utf-32", "latin-1", "utf-8-sig"]), "replace"
    )


def _truncated(rng: random.Random, text: str) -> bytes:
    data = _utf8(rng, text)
    return data[: rng.randint(0, len(data))]


BINARY: list[Callable[[random.Random, str], bytes]] = [
    *[_utf8] * 12,
    *(_spoilt, _line_ends, _encoded, _truncated),
]
