"""A lab of fake nodes, a test double that ships with labctl: they speak the real protocol and do what a script says.

It is for the logic above the nodes: what becomes of a trial and of a run when a node is lost, QEMU refuses, a load is
not reached. It never stands in for QEMU in a claim about migrations: every figure that comes of it is invented.

    with fake_lab([Script(), Script(lose="source:schedule.run")]) as lab:
        Controller(campaign, plan, lab, store).run()
"""

from labctl.lab.fake.lab import CAPABILITIES, FakeLab, fake_lab
from labctl.lab.fake.node import FakeChannel
from labctl.lab.fake.script import Asked, FakePair, Script

__all__ = ["CAPABILITIES", "Asked", "FakeChannel", "FakeLab", "FakePair", "Script", "fake_lab"]
