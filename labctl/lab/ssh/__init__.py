"""Hosts that are reached over SSH.

==================  =======================================================
:mod:`.route`       the way to a host, as OpenSSH's configuration has it
:mod:`.connecting`  a connection by Fabric, and what can be wrong with one
:mod:`.channel`     programs over it, and the channel to an agent
:mod:`.host`        a host for one run: found fit, given the agent
==================  =======================================================
"""

from labctl.lab.ssh.host import RemoteHost, Sudo

__all__ = ["RemoteHost", "Sudo"]
