"""Every wait on a node, by name, with its time-out in seconds: one place to look and to change."""

from typing import Final

HELLO_S: Final = 15.0
"""a node answers after its process was started"""
CONNECT_S: Final = 10.0
"""a host answers, shows its key, and lets us in: each"""
HANG_UP_S: Final = 5.0
"""the thread that reads a connection sees that it was closed"""
BOOTSTRAP_S: Final = 20.0
"""a host's Python and sudo are tried; the agent is written there"""
ALIVE_EVERY_S: Final = 2.0
"""over a network, an agent is told so often that its controller lives"""
SILENCE_S: Final = 10.0
"""neither end of such a channel goes on when it has heard nothing of the other for so long"""
QUESTION_S: Final = 15.0
"""a node answers a request that does nothing slow"""
SEND_S: Final = 15.0
"""a node takes a request from its channel"""
PROBE_S: Final = 60.0
"""two short QEMU runs per question about capabilities; one per accelerator"""
CLOCKS_S: Final = 5.0
"""relays reach the observer, and their clocks are compared"""
LINK_MEASUREMENT_S: Final = 30.0
"""goodput and round trip of one direction"""
ROUND_TRIPS: Final = 10
"""so many of a link's own are added to that: what is lost is asked for again"""
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
