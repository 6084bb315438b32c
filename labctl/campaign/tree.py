"""The YAML of a file as plain data (texts, lists, mappings) with the line of everything in it.

Scalars stay text: what `40` or `1e3` means is for the field to say. Keys given twice, tags, and
files that YAML cannot read are faults; anchors and aliases work.
"""

import warnings
from dataclasses import dataclass, field
from typing import Any

from labctl.campaign.problems import Path, Problem, fault_at
from labctl.errors import CampaignError

MAX_DEPTH = 20
MAX_NODES = 100_000
_YAML_TAG = "tag:yaml.org,2002:"


@dataclass
class Tree:
    """A file's data, its lines (1 is the first) and the faults found while reading it."""

    place: str
    data: dict[str, Any] = field(default_factory=dict)
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    nodes: int = 0

    def line(self, path: Path) -> int:
        """The line of a path, or of the nearest thing around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def read_tree(text: str, place: str) -> Tree:
    """Reads a text whose top is a mapping. Raises CampaignError when there is nothing to go on."""
    root = _compose(text, place)
    if root is None:
        raise fault_at(f"{place}:1", "the file is empty", "`labctl init` writes one to start from")
    tree = Tree(place)
    data = _value(root, (), tree)
    if not isinstance(data, dict):
        raise fault_at(
            f"{place}:{root.start_mark.line + 1}",
            "this is not a campaign",
            "write `key: value` lines, `name: ...` first",
        )
    tree.data = data
    return tree


def _compose(text: str, place: str) -> Any:
    """The node tree. ruamel.yaml is loaded here, when a file is: it takes a while."""
    from ruamel.yaml import YAML
    from ruamel.yaml.composer import MaxDepthExceededError
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.reader import ReaderError

    try:
        with warnings.catch_warnings(action="ignore"):
            yaml = YAML(typ="safe", pure=True)
            yaml.max_depth = MAX_DEPTH + 1
            return yaml.compose(text)
    except MaxDepthExceededError as error:
        raise _too_much(f"{place}:{error.problem_mark.line + 1}") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise fault_at(
            f"{place}:{mark.line + 1 if mark else 1}",
            f"this is not YAML: {error.problem or error.context}",
            "check the indentation, brackets and quotes here and in the line before",
        ) from None
    except Exception as error:  # noqa: BLE001 - `%YAML 9.9` is a KeyError of the parser's own, an odd date another
        said = str(error).strip().splitlines() if isinstance(error, YAMLError) else []
        before = text[: error.position] if isinstance(error, ReaderError) else ""
        raise fault_at(
            f"{place}:{before.count(chr(10)) + 1}",
            f"this is not YAML: {said[0] if said else 'its reader fails on it'}",
            "check the file for characters and nesting that do not belong there",
        ) from None


def _too_much(place: str) -> CampaignError:
    return fault_at(
        place, "this is nested too deep or too large", "write it out flat, without aliases"
    )


def _value(node: Any, path: Path, tree: Tree) -> Any:
    from ruamel.yaml.nodes import MappingNode, ScalarNode

    line = node.start_mark.line + 1
    tree.lines.setdefault(path, line)
    tree.nodes += 1
    if len(path) > MAX_DEPTH or tree.nodes > MAX_NODES:
        raise _too_much(f"{tree.place}:{line}")
    tag = str(node.tag)
    if not tag.startswith(_YAML_TAG):
        tree.problems.append(Problem(path, f"`{tag}` is a tag", "leave tags out"))
    if isinstance(node, ScalarNode):
        return None if tag == f"{_YAML_TAG}null" else _text(str(node.value), path, tree)
    if isinstance(node, MappingNode):
        return _mapping(node, path, tree)
    return [_value(item, (*path, index), tree) for index, item in enumerate(node.value)]


def _text(text: str, path: Path, tree: Tree) -> str:
    """A scalar's text; YAML can write halves of a character, which nothing can print."""
    try:
        text.encode()
    except UnicodeEncodeError:
        tree.problems.append(Problem(path, "this holds half a character", "write all of it"))
        return text.encode("utf-8", "replace").decode()
    return text


def _mapping(node: Any, path: Path, tree: Tree) -> dict[str, Any]:
    from ruamel.yaml.nodes import ScalarNode

    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, ScalarNode):
            tree.lines.setdefault((*path, ""), line)
            tree.problems.append(Problem((*path, ""), "a key is not a word", "write `key: value`"))
            continue
        key = str(key_node.value)
        inner: Path = (*path, key)
        if key in found:
            twice: Path = (*inner, f"again in line {line}")
            tree.lines[twice] = line
            tree.problems.append(
                Problem(
                    twice,
                    f"`{key}` is given twice: first in line {tree.lines[inner]}",
                    "keep one of the two",
                )
            )
            continue
        tree.lines[inner] = line
        found[key] = _value(value_node, inner, tree)
    return found
