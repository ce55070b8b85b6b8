"""Reads with the interpreter's lock held: what they return and raise is what a socket's own do."""

from __future__ import annotations

import errno
import select
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import pytest

from wsgi_portproxy.upstream import recv
from wsgi_portproxy.upstream.recv import SMALL, is_silent, receive

from .given import table

DATA = bytes(range(256)) * 16
PATIENCE = 30.0  # seconds; only ever waited out by a test that fails


@pytest.fixture(params=["c-library", "python"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As here, and as on a Python without ctypes."""
    if request.param == "python":
        monkeypatch.setattr(recv, "_recv", None)
    else:
        assert recv._recv is not None


Ends: TypeAlias = tuple[socket.socket, socket.socket]
SIZES = pytest.mark.parametrize("size", [SMALL, SMALL + 1])  # with the lock held, and without


@pytest.fixture
def ends() -> Iterator[Ends]:
    """A TCP connection: the service's end, and ours, which does not block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        service = socket.create_connection(listener.getsockname(), timeout=PATIENCE)
        ours, _ = listener.accept()
    ours.setblocking(False)
    with service, ours:
        yield service, ours


def comes(ours: socket.socket) -> None:
    """Wait until something has come: bytes, an end or an error."""
    assert select.select([ours], [], [], PATIENCE)[0]


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.parametrize("size", [1, SMALL, SMALL + 1])
def test_what_has_come_is_read_at_most_the_size(ends: Ends, size: int) -> None:
    service, ours = ends
    service.sendall(DATA)
    comes(ours)
    assert receive(ours, size) == DATA[:size]


@SIZES
def test_where_nothing_has_come_it_would_block(ends: Ends, size: int) -> None:
    with pytest.raises(BlockingIOError):
        receive(ends[1], size)


@SIZES
def test_an_end_is_no_bytes(ends: Ends, size: int) -> None:
    service, ours = ends
    service.sendall(b"last words")
    service.shutdown(socket.SHUT_WR)
    comes(ours)
    assert receive(ours, size) == b"last words"
    comes(ours)
    assert [receive(ours, size) for _ in range(2)] == [b"", b""]


@SIZES
def test_a_reset_is_an_error_of_its_kind(ends: Ends, size: int) -> None:
    """An end instead would make a body that was cut look whole."""
    service, ours = ends
    reset(service)
    comes(ours)
    with pytest.raises(ConnectionResetError) as raised:
        receive(ours, size)
    assert raised.value.errno == errno.ECONNRESET


def test_a_size_below_zero_is_an_error(ends: Ends) -> None:
    """Of a socket; the C library would take it for a very large one."""
    with pytest.raises(ValueError, match="negative"):
        receive(ends[1], -1)


def test_a_closed_socket_is_an_error(ends: Ends) -> None:
    ends[1].close()
    with pytest.raises(OSError, match="Bad file descriptor") as raised:
        receive(ends[1], SMALL)
    assert raised.value.errno == errno.EBADF


def test_bytes_are_not_silent_and_stay(ends: Ends) -> None:
    service, ours = ends
    assert [is_silent(ours) for _ in range(2)] == [True, True]
    service.sendall(DATA)
    comes(ours)
    assert not is_silent(ours)
    assert receive(ours, SMALL) == DATA
    assert is_silent(ours)


@table("end", {"end": lambda sock: sock.shutdown(socket.SHUT_WR), "reset": reset})
def test_an_end_is_not_silent(ends: Ends, end: Callable[[socket.socket], None]) -> None:
    service, ours = ends
    end(service)
    comes(ours)
    assert not is_silent(ours)


@pytest.fixture
def hurried() -> Iterator[None]:
    """The lock goes to another thread as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hurried")
def test_threads_that_read_at_once_get_their_own_bytes() -> None:
    """The lock may go to another thread between the read and the copy of what was read."""
    wrong: list[bytes] = []

    def read(own: bytes) -> None:
        one, other = socket.socketpair()
        other.setblocking(False)
        with one, other:
            for _ in range(2000):
                one.sendall(own)
                if (data := receive(other, SMALL)) != own:
                    wrong.append(data)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(read, [bytes([n]) * 3000 for n in range(6)]))
    assert wrong == []
