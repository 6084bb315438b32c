"""Whether packets of a size pass from one host to another, whole: an interface's MTU says nothing of the switches between."""

from __future__ import annotations

import socket
import threading
import time

from .commands import COMMAND_TIMEOUT_S
from .protocol import RequestError

_TRIES = 5
_ANSWER_S = 0.3
_HEADERS_BYTES = {socket.AF_INET: 20 + 8, socket.AF_INET6: 40 + 8}
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _PROBE = 10, 23, 3
"""`_PROBE`: never in fragments, whatever the kernel remembers of the path"""


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class PacketServer:
    """Answers each packet by one byte. Ends by itself."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(_family(address), socket.SOCK_DGRAM)
        try:
            self._socket.bind((address, 0))
        except OSError as error:
            self._socket.close()
            raise RequestError("link", f"{address} cannot be listened on: {error}") from None
        self._socket.settimeout(COMMAND_TIMEOUT_S)
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, name="packet-server", daemon=True).start()

    def _serve(self) -> None:
        deadline = time.monotonic() + COMMAND_TIMEOUT_S
        with self._socket:
            while time.monotonic() < deadline:
                try:
                    _packet, sender = self._socket.recvfrom(1 << 16)
                    self._socket.sendto(b"!", sender)
                except OSError:
                    return


def send_whole(address: str, port: int, mtu: int) -> None:
    """Send packets of `mtu` bytes until one is answered.

    :raise RequestError: ``mtu`` when none is
    """
    family = _family(address)
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        if family == socket.AF_INET:
            sender.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PROBE)
        else:
            sender.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PROBE)
        sender.settimeout(_ANSWER_S)
        said = "no answer came"
        for _ in range(_TRIES):
            try:
                sender.sendto(bytes(mtu - _HEADERS_BYTES[family]), (address, port))
                sender.recv(1)
            except OSError as error:
                said = str(error) or said
            else:
                return
    raise RequestError(
        "mtu",
        f"packets of {mtu} bytes do not pass to {address} ({said}); "
        "mend: give every interface and switch on the way that MTU, or ask for a smaller one",
    )
