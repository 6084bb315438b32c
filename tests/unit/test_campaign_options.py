"""Options, the forms of a switch, and QEMUs in a campaign file: what loads, and what each fault says."""

import pytest

from labctl.campaign import (
    Campaign,
    cell_name,
    dump_campaign,
    expand,
    parse_campaign,
    parse_cell_name,
)
from labctl.errors import CampaignError

GOOD = """\
name: c
guest: {memory: 256MiB, working_set: 64MiB}
link: {bandwidth: 1Gbit/s}
"""


def load(more: str) -> Campaign:
    return parse_campaign(GOOD + more, "c.yaml")


def faults(more: str) -> str:
    with pytest.raises(CampaignError) as caught:
        load(more)
    return str(caught.value)


def test_the_variant_of_the_issue_loads_and_survives() -> None:
    asked = load(
        "algorithms: {hybrid2: {kind: hybrid, switch: {after_passes: 2}, preempt: true}}\n"
    )
    (cell,) = expand(asked.model_copy(update={"algorithm": "hybrid2"}))
    assert cell.algorithm.switch.after_passes == 2
    assert cell.algorithm.preempt
    assert parse_campaign(dump_campaign(asked), "c.yaml").algorithms == asked.algorithms


@pytest.mark.parametrize(
    ("more", "said", "mend"),
    [
        ("algorithms: {h: {kind: hybrid, switch_after_passes: 2}}", "is not a key", "write `switch: {after_passes: ...}`"),
        ("matrix: {switch_after_passes: [1, 2]}", "is not a factor", "did you mean `switch.after_passes`?"),
        ("algorithms: {h: {kind: hybrid, switch: {}}}", "it does not say when", "after_passes, after_time, on_stall"),
        ("algorithms: {h: {kind: hybrid, switch: {after_passes: 1, on_stall: 5}}}", "together", "write one of"),
        ("algorithms: {h: {kind: hybrid, switch: {after_time: 5}}}", "unit", ""),
        ("algorithms: {h: {kind: hybrid, switch: 2}}", "switch", "write `switch: {...}`"),
        ("matrix: {switch.after_passes: [1], switch.after_time: [1s]}", "exclude each other", "vary one"),
        (
            "algorithms: {h: {kind: hybrid, switch: {after_time: 1s}}}\nmatrix: {algorithm: [h], switch.after_passes: [1, 2]}",
            "the matrix varies it",
            "take it out",
        ),
        ("algorithms: {h: {kind: precopy, xbzrle_cache: 3MiB}}", "not a power of two", "2MiB"),
        ("algorithms: {h: {kind: precopy, multifd_compression: lz4}}", "not one of", ""),
        ("algorithms: {h: {kind: precopy, auto_converge_max: 100}}", "too large", "99"),
        ("qemu: [/a, /b]", "is a list", "write `matrix: {qemu: [...]}`"),
        ("qemu: new", "is no name under `qemus`", ""),
        ("qemus: {new: qemu-system-x86_64}", "not a path", "whole path"),
        ("qemus: {/a: /b}", "is a path, not a name", ""),
        ("matrix: {qemu: [/a b]}", "is not the path", "write a path"),
    ],
)  # fmt: skip
def test_faults_and_their_mends(more: str, said: str, mend: str) -> None:
    text = faults(more + "\n")
    assert said in text
    assert mend in text


def test_qemus_are_levels_by_path_and_by_name() -> None:
    asked = load("qemus: {new: /opt/new/qemu}\nmatrix: {qemu: [none, new, /opt/a-b/qemu_1.0]}\n")
    cells = expand(asked)
    assert [cell.name for cell in cells] == [
        "precopy,qemu=none",
        "precopy,qemu=new",
        "precopy,qemu=+opt+a-b+qemu_1.0",
    ]
    assert [cell.qemu for cell in cells] == [None, "/opt/new/qemu", "/opt/a-b/qemu_1.0"]
    for cell in cells:
        assert parse_cell_name(cell.name, asked.factors) == cell.factors
        assert cell_name(cell.factors) == cell.name
    assert parse_campaign(dump_campaign(asked), "c.yaml").qemus == asked.qemus


def test_the_qemu_of_every_cell() -> None:
    (cell,) = expand(load("qemu: new\nqemus: {new: /opt/new/qemu}\n"))
    assert (cell.name, cell.qemu) == ("precopy", "/opt/new/qemu")


def test_new_options_do_not_change_the_order_of_a_campaign_without_them() -> None:
    """What is left at its default is not in the text that the seed comes from: this is version 0.1's first."""
    assert load("").order_seed == 2985590232574704782
