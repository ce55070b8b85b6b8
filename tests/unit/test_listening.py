"""Where this process listens, by its own descriptors."""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Iterator

import pytest

from tests.support.ports import bound_socket, free_port
from wsgi_portproxy.servers import listening
from wsgi_portproxy.servers.listening import Listening, forget_listening, listening_at


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    forget_listening()
    yield
    forget_listening()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with bound_socket() as sock:
        sock.listen(1)
        yield sock


def at(address: str, port: int, family: int = socket.AF_INET) -> socket.socket:
    sock = socket.socket(family)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, port))
    sock.listen(1)
    return sock


def test_the_addresses_of_a_port(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    assert listening_at(port) == {"127.0.0.1"}
    with at("127.0.0.2", port):
        forget_listening()
        assert listening_at(port) == {"127.0.0.1", "127.0.0.2"}


@pytest.mark.parametrize("address", ["0.0.0.0", "127.0.0.3"])
def test_addresses_as_they_were_bound(address: str) -> None:
    port = free_port()
    with bound_socket() as other, at("127.0.0.9", other.getsockname()[1]):
        assert listening_at(other.getsockname()[1]) == {"127.0.0.9"}, "bound alone is not listening"
    with socket.socket() as sock:
        sock.bind((address, 0))
        sock.listen(1)
        forget_listening()
        assert listening_at(sock.getsockname()[1]) == {address}
    assert listening_at(port) == frozenset()


def test_ipv6() -> None:
    with at("::1", free_port(), socket.AF_INET6) as sock:
        assert listening_at(sock.getsockname()[1]) == {"::1"}


def test_neither_connections_nor_other_sockets_count(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)) as visitor:
        server, _ = listener.accept()
        with server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.bind(("127.0.0.1", 0))
            own, theirs = visitor.getsockname()[1], datagrams.getsockname()[1]
            assert listening_at(own) == listening_at(theirs) == frozenset()
            assert listening_at(port) == {"127.0.0.1"}


def test_a_unix_socket_is_passed_over(listener: socket.socket, tmp_path: object) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(f"{tmp_path}/socket")
        other.listen(1)
        assert listening_at(listener.getsockname()[1]) == {"127.0.0.1"}


def test_looking_leaves_nothing_open(listener: socket.socket) -> None:
    before = os.listdir("/proc/self/fd")
    assert listening_at(listener.getsockname()[1])
    assert os.listdir("/proc/self/fd") == before


def test_a_port_that_was_not_found_is_searched_for_again_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A front end's numbers are asked about with each request, and never found."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    known, port = Listening(), free_port()
    assert known.at(port) == frozenset()
    with at("127.0.0.1", port):
        now[0] += 9.9
        assert known.at(port) == frozenset()
        now[0] += 0.1
        assert known.at(port) == {"127.0.0.1"}
    now[0] += 3600
    assert known.at(port) == {"127.0.0.1"}  # what a server listens on it keeps


def test_what_was_opened_lately_is_found_once_the_old_is_forgotten() -> None:
    port = free_port()
    assert listening_at(port) == frozenset()
    with at("127.0.0.1", port):
        assert listening_at(port) == frozenset()
        forget_listening()
        assert listening_at(port) == {"127.0.0.1"}


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # it has threads
def test_a_forked_child_looks_for_itself(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    assert listening_at(port) == {"127.0.0.1"}
    child = os.fork()
    if child == 0:  # as a worker that closes what is not its own
        listener.close()
        os._exit(0 if listening_at(port) == frozenset() else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_where_the_system_shows_nothing_there_is_nothing(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "_FOLDERS", ("/nowhere",))
    assert listening_at(listener.getsockname()[1]) == frozenset()
    monkeypatch.setattr(listening, "_FOLDERS", ("/nowhere", "/dev/fd"))
    forget_listening()
    assert listening_at(listener.getsockname()[1]) == {"127.0.0.1"}


def test_without_a_descriptor_to_spare_nothing_is_found_and_nothing_raised(
    listener: socket.socket,
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        found = listening_at(listener.getsockname()[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert found == frozenset()
