"""Services of the host: its lock, what dead runs left, the link, and what its QEMU can do."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import time
from typing import Any

from . import (
    AGENT_VERSION,
    command_line,
    describe,
    host,
    interfaces,
    link,
    packets,
    probe,
    rdma,
    rdma_counters,
    shaping,
)
from .protocol import unpack
from .services import Handler, Params, Place


class HostServices:
    """Holds the host's lock."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._lock = host.HostLock()
        self._interfaces = interfaces.Keeper(self._remember)
        self.handlers: dict[str, Handler] = {
            "hello": self._hello,
            "host.lacks": self._lacks,
            "host.trial_user": self._trial_user,
            "host.leftovers": self._leftovers,
            "host.clean": self._clean,
            "file.put": self._put_file,
            "link.find": self._find_link,
            "link.keep": self._keep_link,
            "link.make": self._make_link,
            "link.configure": self._configure_link,
            "link.shape": self._shape_link,
            "link.state": self._link_state,
            "link.describe": self._describe_link,
            "rdma.port": self._rdma_port,
            "link.serve": self._serve_link,
            "link.measure": self._measure_link,
            "packets.serve": self._serve_packets,
            "packets.send": self._send_packets,
            "qemu.probe": self._probe,
            "qemu.accelerators": self._accelerators,
        }

    async def close(self) -> None:
        """Give the host back, as it was."""
        self._interfaces.restore()
        self._lock.release()

    async def _hello(self, params: Params) -> Any:
        """Open this node for a run: take the host's lock where asked, make the live state."""
        shared = False
        if params["lock"]:
            holder = {
                "run": self._place.run, "pid": os.getpid(), "since": time.time(),
                "user": params.get("user") or pwd.getpwuid(os.getuid()).pw_name,
            }  # fmt: skip
            shared = self._lock.take(holder, params["share"])
            host.clean()
        state = self._place.open()
        return {
            "version": AGENT_VERSION, "pid": os.getpid(), "shared_host": shared, "host": describe.describe(),
            "directory": str(state.directory),
        }  # fmt: skip

    async def _lacks(self, params: Params) -> Any:
        return [program for program in params["programs"] if shutil.which(program) is None]

    async def _trial_user(self, params: Params) -> Any:
        return command_line.trial_user(params["name"])

    async def _leftovers(self, _params: Params) -> Any:
        return host.leftovers()

    async def _clean(self, _params: Params) -> Any:
        return host.clean()

    async def _put_file(self, params: Params) -> Any:
        path = self._place.state.directory / os.path.basename(params["name"])
        path.write_bytes(unpack(params["data"]))
        path.chmod(0o644)
        return {"path": str(path)}

    def _remember(self, kept: list[interfaces.Kept]) -> None:
        self._place.state.keep(kept)

    async def _find_link(self, params: Params) -> Any:
        return interfaces.find(params["interface"], params["address"], params["management"])

    async def _keep_link(self, params: Params) -> Any:
        self._interfaces.keep(params["interface"])

    async def _make_link(self, params: Params) -> Any:
        link.make_veth(params["interface"], params["peer_pid"])

    async def _configure_link(self, params: Params) -> Any:
        return {"mtu": link.configure(params["interface"], params["address"], params["mtu"])}

    async def _link_state(self, params: Params) -> Any:
        return {"up": link.is_up(params["interface"])}

    async def _shape_link(self, params: Params) -> Any:
        interface = params["interface"]
        asked = shaping.Shape(params["bits_per_s"], params["delay_s"], params["loss"])
        return shaping.shape(interface, asked, self._interfaces.segments(interface))

    async def _describe_link(self, params: Params) -> Any:
        return shaping.describe(params["interface"])

    async def _rdma_port(self, params: Params) -> Any:
        """The RDMA port of an interface with what it has counted; null where there is none."""
        port = rdma.find(params["interface"])
        if port is None:
            return None
        counters = rdma_counters.everything(port["device"], port["port"])
        return {**port, "counters": counters}

    async def _serve_link(self, params: Params) -> Any:
        return {"port": link.LinkServer(params["address"]).port}

    async def _measure_link(self, params: Params) -> Any:
        names = ("interface", "address", "port", "bits_per_s", "round_trip_s")
        arguments = tuple(params[name] for name in names)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, link.measure, *arguments)

    async def _serve_packets(self, params: Params) -> Any:
        return {"port": packets.PacketServer(params["address"]).port}

    async def _send_packets(self, params: Params) -> Any:
        arguments = (params["address"], params["port"], params["mtu"])
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, packets.send_whole, *arguments)

    async def _probe(self, params: Params) -> Any:
        directory = self._place.state.directory
        return await probe.probe(
            params["qemu"],
            params["machine_type"],
            params["combinations"],
            directory,
            params.get("accelerator", "tcg"),
            params.get("interface"),
        )

    async def _accelerators(self, params: Params) -> Any:
        directory = self._place.state.directory
        return await probe.try_accelerators(
            params["qemu"], params["machine_type"], params["kernel"], directory
        )
