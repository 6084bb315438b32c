"""Every wait on a node, by name, with its time-out in seconds: one place to look and to change."""

from typing import Final

HELLO_S: Final = 15.0
"""a node answers after its process was started"""
QUESTION_S: Final = 15.0
"""a node answers a request that does nothing slow"""
SEND_S: Final = 15.0
"""a node takes a request from its channel"""
PROBE_S: Final = 60.0
"""two short QEMU runs per question about capabilities; one per accelerator"""
LINK_MEASUREMENT_S: Final = 30.0
"""goodput and round trip of one direction"""
CLOSE_S: Final = 15.0
"""a node ends what it started after its channel closed"""
TRANSFER_S: Final = 120.0
"""one trial's samples or beats, at their largest"""
ANSWER_GRACE_S: Final = 10.0
"""beyond a node's own named time-out, before its answer is given up"""
SUDO_S: Final = 120.0
"""a person types a password"""
INVENTORY_S: Final = 60.0
"""ansible-inventory prints a lab"""
