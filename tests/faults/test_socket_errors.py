"""Errors of the operating system, at each call on the socket to a service.

The sockets to it fail at a given call; all else is real, the service too. The visitor gets a proper
status or a broken transfer, no descriptor is left, and the next request, on a socket without
faults, is answered.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import ServiceFactory
from tests.support.hostapp import MOUNT, app, may_view
from tests.support.received import recording
from tests.support.urls import path_form
from tests.support.waiting import until
from tests.unit.given import environ
from wsgi_portproxy import PortProxy, Timeouts
from wsgi_portproxy.upstream import connection, recv

BODY = b"hello, world " * 20000  # in several reads
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
UPLOAD = b"x" * 300_000  # in several blocks
ERRNOS = [
    *(errno.ECONNRESET, errno.EPIPE, errno.ETIMEDOUT, errno.ENOTCONN),
    *(errno.ENOBUFS, errno.EMFILE, errno.EHOSTUNREACH),
]


@dataclass
class Fault:
    """Which call fails, by its name and number from 0, and how. `calls`: how many there were."""

    name: str
    number: int
    errno: int
    calls: dict[str, int] = field(default_factory=dict)

    def at(self, name: str) -> None:
        number = self.calls.get(name, 0)
        self.calls[name] = number + 1
        if (name, number) == (self.name, self.number):
            raise OSError(self.errno, os.strerror(self.errno))


class FaultySocket(socket.socket):
    """A socket to a service whose calls may fail."""

    fault: Fault | None = None

    def at(self, name: str) -> None:
        if self.fault is not None:
            self.fault.at(name)

    def connect_ex(self, address: Any) -> int:
        self.at("connect")
        return super().connect_ex(address)

    def send(self, *args: Any) -> int:
        self.fail_at("send")
        return super().send(*args)

    def fail_at(self, name: str) -> None:
        try:
            self.at(name)
        except ConnectionError:  # then it is over for the kernel too
            self.shutdown(socket.SHUT_RDWR)
            raise

    def getsockname(self) -> Any:
        self.at("getsockname")
        return super().getsockname()

    def getpeername(self) -> Any:
        self.at("getpeername")
        return super().getpeername()


receive_really = recv.receive


def receive(sock: socket.socket, size: int) -> bytes:
    """Each read of a service goes through this one."""
    if isinstance(sock, FaultySocket):
        sock.fail_at("recv")
    return receive_really(sock, size)


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[PortProxy]:
    """In this process, with the faulty sockets in place of the plain ones."""
    faulty = SimpleNamespace(**{**vars(socket), "socket": FaultySocket})
    monkeypatch.setattr(connection, "socket", faulty)
    monkeypatch.setattr(recv, "receive", receive)
    one = PortProxy(app, authorizer=may_view, mount=MOUNT, timeouts=Timeouts(head=10))
    yield one
    one.close()


def ask(proxy: PortProxy, port: int, body: bytes) -> tuple[int, bytes, bool]:
    """Status, body, and whether the transfer came to its end."""
    seen: list[str] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        seen.append(status)
        return lambda data: None

    request = environ(
        path_form(port, "/x"),
        method="POST" if body else "GET",
        body=body,
        HTTP_COOKIE="user=alice",
    )
    answer = proxy(request, start_response)
    parts: list[bytes] = []
    try:
        parts += answer
        whole = True
    except ConnectionResetError:
        whole = False
    finally:
        if hasattr(answer, "close"):
            answer.close()
    (status,) = seen
    return int(status[:3]), b"".join(parts), whole


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.case("a full listen queue; errors of the system at any step")
@pytest.mark.promise("An answer that breaks looks broken")
@pytest.mark.parametrize("number", ERRNOS, ids=errno.errorcode.get)
@pytest.mark.parametrize("call", ["connect", "getsockname", "getpeername", "send", "recv"])
@pytest.mark.parametrize("upload", [b"", UPLOAD], ids=["get", "upload"])
def test_an_error_of_the_system_is_a_status_or_a_broken_transfer_and_over_with_the_request(
    proxy: PortProxy,
    service: ServiceFactory,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    number: int,
    upload: bytes,
) -> None:
    seen: list[Any] = []
    upstream = service(recording(seen, ANSWER))
    assert ask(proxy, upstream.port, b"") == (200, BODY, True)
    proxy.close()
    before = open_descriptors()
    for at in range(20):
        fault = Fault(call, at, number)
        monkeypatch.setattr(FaultySocket, "fault", fault)
        status, body, whole = ask(proxy, upstream.port, upload)
        if fault.calls.get(call, 0) <= at:
            break  # there are not so many of these calls
        # Asked of a connection that stands, these say only whether it is one to itself.
        harmless = call in ("getsockname", "getpeername")
        if status == 200:
            assert whole == (body == BODY)
            assert BODY.startswith(body)
            assert not whole or harmless or upload  # the service had answered before it broke
        else:
            assert whole
            assert status in ((502, 503, 504) if call == "connect" else (502,))
        proxy.close()
        monkeypatch.setattr(FaultySocket, "fault", None)
        assert ask(proxy, upstream.port, upload) == (200, BODY, True)
        proxy.close()
    else:
        raise AssertionError(f"{call} is called too often")
    assert at > 0, f"{call} was never called"
    proxy.close()
    until(lambda: open_descriptors() <= before, "the descriptors are closed")
