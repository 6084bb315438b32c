"""A page with metrics, for Prometheus to read."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address

from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.registry import Collector

from labctl.errors import InputError, LabctlError

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 9837
PLACE = "--metrics"


def parse_address(text: str) -> tuple[str, int]:
    """`HOST:PORT`, `:PORT`, `PORT` or nothing. Loopback where no host is named. Raises InputError."""
    host, _, port = text.rpartition(":")
    host = host.strip("[]") or DEFAULT_HOST
    try:
        number = int(port) if port else DEFAULT_PORT
        ip_address(host)
        if not 0 <= number < 65536:
            raise ValueError
    except ValueError:
        raise InputError(
            f"{text!r} is no address",
            place=PLACE,
            mend=f"HOST:PORT with a number for HOST, as in {DEFAULT_HOST}:{DEFAULT_PORT}",
        ) from None
    return host, number


@contextmanager
def served(collectors: Iterable[Collector], address: str = "") -> Iterator[str]:
    """A page of these metrics while the context is open; its address. LabctlError when the port is taken."""
    host, port = parse_address(address)
    try:
        server, thread = start_http_server(port, host, _registry(collectors))
    except OSError as error:
        raise LabctlError(
            f"cannot be listened on: {error.strerror}",
            place=f"{PLACE} {host}:{port}",
            mend="another port, or 0 for any that is free",
        ) from None
    try:
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def text_of(collectors: Iterable[Collector]) -> str:
    """What a scrape would read."""
    return generate_latest(_registry(collectors)).decode()


def _registry(collectors: Iterable[Collector]) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=False)
    for collector in collectors:
        registry.register(collector)
    return registry
