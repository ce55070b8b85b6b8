"""What several of these tables need: a plain visit, uploads, and services that go wrong once."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.chunks import chunk, plain
from tests.support.client import Client, Reply, ask, request_bytes
from tests.support.ports import free_port
from tests.support.received import OK
from tests.support.servers import Server, gunicorn
from tests.support.service import Exchange, Script, Service
from tests.support.urls import query_form
from tests.support.waiting import PATIENCE

Encode = Callable[[bytes], bytes]

UPLOAD_FRAMINGS = pytest.mark.parametrize(
    ("framing", "encode"),
    [("Content-Length", plain), ("chunked", chunk)],
    ids=["length", "chunked"],
)


def get(host: Server, upstream: Service, *, method: str = "GET") -> Reply:
    return ask(host.port, method, query_form(upstream.port, "/x"))


def upload_head(target: str, framing: str, size: int) -> bytes:
    """The head of a POST with `size` bytes, or, if `framing` is chunked, with any number."""
    is_chunked = framing == "chunked"
    field = ("Transfer-Encoding", framing) if is_chunked else ("Content-Length", str(size))
    return request_bytes("POST", target, headers=[field])


@contextlib.contextmanager
def sending(client: Client, data: bytes, times: int, *, tail: bytes = b"") -> Iterator[None]:
    """Send in the background, until the server will have no more of it or the block ends."""

    def run() -> None:
        with contextlib.suppress(OSError):
            for _ in range(times):
                client.send(data)
            client.send(tail)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            client.sock.shutdown(socket.SHUT_RDWR)
        thread.join(PATIENCE)


def read_until(client: Client, mark: bytes) -> None:
    """Take what comes, up to and with `mark`; fails if the connection ends or falls silent."""
    while mark not in client.buffer:
        assert client.fill(), f"closed before {mark!r}: {client.buffer!r}"
    client.buffer = client.buffer.partition(mark)[2]


def once_then_well(bad: bytes, *, keep_open: bool = True) -> Script:
    """A script that sends `bad` on its first connection, and good answers on all others."""

    def script(exchange: Exchange) -> None:
        while exchange.read_head():
            exchange.send(OK if exchange.number else bad)
            if not exchange.number and not keep_open:
                return

    return script


def assert_not_valid_http(reply: Reply, upstream: Service) -> None:
    """The constant text: nothing of what the service sent is in it."""
    assert reply.status == 502
    assert reply.complete
    assert reply.text == (
        f"The service on port {upstream.port} did not send a valid HTTP response.\n"
        "Does it speak plain HTTP (not HTTPS, SSH or a database protocol) on this port?\n"
    )


def all_at_once(visits: Iterable[Callable[[], object]]) -> None:
    """Make visits that mostly wait, each in a thread; raises what the first of them raises."""
    visits = list(visits)
    with ThreadPoolExecutor(len(visits)) as pool:
        for future in [pool.submit(visit) for visit in visits]:
            future.result()


@contextlib.contextmanager
def limits_hosts(*names: str, worker: str = "gthread") -> Iterator[dict[str, Server]]:
    """One gunicorn with variants of `limitsapp`, each on a port of its own."""
    ports = {name: free_port() for name in names}
    binds = [part for port in ports.values() for part in ("-b", f"127.0.0.1:{port}")]
    env = {"VARIANTS": ",".join(f"{port}={name}" for name, port in ports.items())}
    with gunicorn("tests.support.limitsapp:by_port", worker=worker, threads=20,
                  options=tuple(binds), env=env) as server:  # fmt: skip
        yield {name: Server(port, server.pid, server.log) for name, port in ports.items()}
        assert "Traceback" not in server.output()


# The head of a request, without its end: whatever comes next on the connection is a field of it.
PLANTED = b"GET /planted HTTP/1.1\r\nHost: x\r\nX-Rest: "
LINE = re.compile(rb"[A-Z]+ (/\S*) HTTP/1\.1\r\n")


def told(target: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(target)}\r\n\r\n{target}".encode()


class NotReading:
    """A script that reads no bodies and keeps every connection; it answers with the target that was
    asked for. `seen`: on which connection each was, by its number."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, str]] = []

    def __call__(self, exchange: Exchange) -> None:
        while head := exchange.read_head():
            found = LINE.search(head)
            assert found is not None, head
            target = found[1].decode()
            self.seen.append((exchange.number, target))
            answer = told(target)
            exchange.send(answer.partition(target.encode())[0] if head[:4] == b"HEAD" else answer)
