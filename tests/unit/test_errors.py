"""Errors: what they print, how a program exits, and that the drawn tree is the real one."""

import pickle

import pytest

from labctl import errors
from labctl.errors import CampaignError, LabctlError, NodeError, WaitTimeout

CLASSES = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, LabctlError)]


def test_printed_with_place_and_mend() -> None:
    error = LabctlError("no link", place="node1", mend="labctl lab up")
    assert str(error) == "node1: no link\n  mend: labctl lab up"
    assert str(LabctlError("no link")) == "no link"


def test_all_faults_of_a_file_are_printed() -> None:
    first = CampaignError("a", place="f.yaml:1", mend="b")
    second = CampaignError("c", place="f.yaml:2")
    both = CampaignError.of([first, second])
    assert both.faults == (first, second)
    assert str(both) == "f.yaml:1: a\n  mend: b\nf.yaml:2: c"
    assert CampaignError.of([first]) is first
    assert first.faults == (first,)


@pytest.mark.parametrize("error", CLASSES, ids=lambda c: c.__name__)
def test_the_drawn_tree_is_the_real_one(error: type[LabctlError]) -> None:
    lines = (errors.__doc__ or "").splitlines()
    (line,) = [line for line in lines if f" {error.__name__} " in f" {line.strip('│├└─ ')} "]
    depth = (len(line) - len(line.lstrip("│├└─ "))) // 4
    assert depth == len([c for c in error.__mro__ if c in CLASSES])
    if "exit" in line:
        assert int(line.split("exit")[1].split()[0]) == error.exit_code


def test_exit_codes() -> None:
    assert [errors.InputError.exit_code, errors.LabError.exit_code] == [2, 3]
    assert errors.ProvisionError.exit_code == 3
    assert errors.NodeError.exit_code == 1


def test_a_wait_says_its_name_and_limit() -> None:
    error = WaitTimeout("guest boot", 5.0, place="source")
    assert (error.wait, error.timeout_s) == ("guest boot", 5.0)
    assert str(error) == "source: waiting for guest boot took longer than its limit of 5 s"


@pytest.mark.parametrize(
    "error",
    [
        LabctlError("a", place="b", mend="c"),
        NodeError("a", code="qmp", place="b"),
        WaitTimeout("a", 1.0, mend="c"),
    ],
)
def test_errors_cross_processes(error: LabctlError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)
