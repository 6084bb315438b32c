"""Labs: an inventory becomes hosts and pairs, and each host a node that can be spoken to.

`open_lab` is the way in. A lab is a context manager: leaving it closes every node, and a node that is closed ends all
it started.
"""

from labctl.lab.checking import check_lab
from labctl.lab.inventory import LabSpec, read_lab
from labctl.lab.lab import Lab
from labctl.lab.node import Node, NodeChannel
from labctl.lab.opening import clean_lab, open_lab
from labctl.lab.pair import End, LinkState, Pair
from labctl.lab.probing import Questions

__all__ = [
    "End",
    "Lab",
    "LabSpec",
    "LinkState",
    "Node",
    "NodeChannel",
    "Pair",
    "Questions",
    "check_lab",
    "clean_lab",
    "open_lab",
    "read_lab",
]
