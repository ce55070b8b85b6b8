"""Reads with the interpreter's lock held: what they return and raise is what a socket's own do."""

from __future__ import annotations

import errno
import socket
import struct
import sys
import threading
from collections.abc import Iterator

import pytest

from wsgi_portproxy import nowait
from wsgi_portproxy.nowait import SMALL, is_silent, receive

DATA = bytes(range(256)) * 16


@pytest.fixture(params=["c-library", "python"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As here, and as on a Python without ctypes."""
    if request.param == "python":
        monkeypatch.setattr(nowait, "_recv", None)
    else:
        assert nowait._recv is not None


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A TCP connection: the service's end, and ours, which does not block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        service = socket.create_connection(listener.getsockname(), timeout=10)
        ours, _ = listener.accept()
    ours.setblocking(False)
    with service, ours:
        yield service, ours


def comes(ours: socket.socket) -> None:
    """Wait until something has come."""
    ours.settimeout(10)
    ours.recv(1, socket.MSG_PEEK)
    ours.setblocking(False)


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.parametrize("size", [1, 100, SMALL, SMALL + 1, 1 << 20])
def test_what_has_come_is_read_at_most_the_size(
    ends: tuple[socket.socket, socket.socket], size: int
) -> None:
    service, ours = ends
    service.sendall(DATA)
    comes(ours)
    assert receive(ours, size) == DATA[:size]


@pytest.mark.parametrize("size", [SMALL, SMALL + 1])
def test_where_nothing_has_come_it_would_block(
    ends: tuple[socket.socket, socket.socket], size: int
) -> None:
    _, ours = ends
    with pytest.raises(BlockingIOError):
        receive(ours, size)


@pytest.mark.parametrize("size", [SMALL, SMALL + 1])
def test_an_end_is_no_bytes(ends: tuple[socket.socket, socket.socket], size: int) -> None:
    service, ours = ends
    service.sendall(b"last words")
    service.shutdown(socket.SHUT_WR)
    comes(ours)
    assert receive(ours, size) == b"last words"
    ours.settimeout(10)
    assert ours.recv(1, socket.MSG_PEEK) == b""  # it has come as well
    ours.setblocking(False)
    assert [receive(ours, size) for _ in range(2)] == [b"", b""]


@pytest.mark.parametrize("size", [SMALL, SMALL + 1])
def test_a_reset_is_an_error_of_its_kind(
    ends: tuple[socket.socket, socket.socket], size: int
) -> None:
    """An end instead would make a body that was cut look whole."""
    service, ours = ends
    reset(service)
    with pytest.raises(ConnectionResetError) as raised:
        until_something_else_than_blocking(ours, size)
    assert raised.value.errno == errno.ECONNRESET


def until_something_else_than_blocking(ours: socket.socket, size: int) -> bytes:
    for _ in range(10_000):
        try:
            return receive(ours, size)
        except BlockingIOError:
            threading.Event().wait(0.001)
    raise AssertionError("nothing came")


def test_a_size_below_zero_is_an_error(ends: tuple[socket.socket, socket.socket]) -> None:
    """Of a socket; the C library would take it for a very large one."""
    with pytest.raises(ValueError, match="negative"):
        receive(ends[1], -1)


def test_a_closed_socket_is_an_error(ends: tuple[socket.socket, socket.socket]) -> None:
    _, ours = ends
    ours.close()
    with pytest.raises(OSError, match="Bad file descriptor") as raised:
        receive(ours, SMALL)
    assert raised.value.errno == errno.EBADF


def test_nothing_is_silent(ends: tuple[socket.socket, socket.socket]) -> None:
    _, ours = ends
    assert is_silent(ours)
    assert is_silent(ours)


def test_bytes_are_not_silent_and_stay(ends: tuple[socket.socket, socket.socket]) -> None:
    service, ours = ends
    service.sendall(DATA)
    comes(ours)
    assert not is_silent(ours)
    assert receive(ours, SMALL) == DATA
    assert is_silent(ours)


@pytest.mark.parametrize("end", [lambda sock: sock.shutdown(socket.SHUT_WR), reset])
def test_an_end_is_not_silent(ends: tuple[socket.socket, socket.socket], end: object) -> None:
    service, ours = ends
    assert callable(end)
    end(service)
    for _ in range(10_000):
        if not is_silent(ours):
            return
        threading.Event().wait(0.001)
    raise AssertionError("still silent")


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

    threads = [threading.Thread(target=read, args=(bytes([n]) * 3000,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
