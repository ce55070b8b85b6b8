"""The limits of a deployment: size of a request's body, pauses of a response, time for a head."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.conftest import ServiceFactory
from tests.support.chunks import chunk
from tests.support.client import Client, Reply, ask
from tests.support.limitsapp import HEAD, IDLE, MAX_BODY
from tests.support.ports import bound_socket
from tests.support.received import OK, Received, read_request, recording
from tests.support.servers import Server
from tests.support.service import Exchange, Script, answers
from tests.support.streams import CHUNKED, CLOSE, FRAMINGS, LENGTH, Framing, StreamVisitor
from tests.support.urls import query_form
from tests.support.waiting import PATIENCE, peer_left, until

from .common import UPLOAD_FRAMINGS, Encode, all_at_once, limits_hosts, sending, upload_head

Hosts = dict[str, Server]


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    """`limited`, whose streams leave their threads at once; `staying`, where they never do; and
    `hasty`, which does not wait long for a head."""
    with limits_hosts("limited", "staying", "hasty") as by_name:
        yield by_name


# --- The body of a request -----------------------------------------------------------------------


def assert_too_large(reply: Reply) -> None:
    assert (reply.status, reply.complete) == (413, True)
    assert reply.text == f"The request body exceeds the limit of {MAX_BODY} bytes.\n"


@pytest.mark.parametrize("size", [MAX_BODY + 1, 10**15])
def test_a_length_beyond_the_limit_is_413_before_there_is_a_connection(
    hosts: Hosts, service: ServiceFactory, size: int
) -> None:
    upstream = service(answers(OK))
    with Client(hosts["staying"].port) as client:
        client.send(upload_head(query_form(upstream.port, "/up"), "Content-Length", size))
        with contextlib.suppress(ConnectionError):
            client.send(b"x" * min(size, 50_000))
        assert_too_large(client.reply())
    assert upstream.connections == 0


@UPLOAD_FRAMINGS
def test_a_body_of_the_largest_size_passes(
    hosts: Hosts, service: ServiceFactory, framing: str, encode: Encode
) -> None:
    seen: list[Received] = []
    path = query_form(service(recording(seen)).port, "/up")
    body = bytes(range(250)) * 4
    assert len(body) == MAX_BODY
    with Client(hosts["staying"].port) as client:
        client.send(upload_head(path, framing, MAX_BODY))
        client.send(encode(body[:999]) + encode(body[999:]) + encode(b""))
        assert client.reply().status == 200
    assert (seen[0].body, seen[0].complete) == (body, True)


@pytest.mark.parametrize("pieces", [[MAX_BODY, 1], [200_000]], ids=["just-not", "by-far"])
def test_a_chunked_body_beyond_the_limit_is_413_and_never_complete_at_the_service(
    hosts: Hosts, service: ServiceFactory, pieces: list[int]
) -> None:
    seen: list[Received] = []

    def script(exchange: Exchange) -> None:
        if (request := read_request(exchange)) is not None:
            seen.append(request)

    path = query_form(service(script).port, "/up")
    with Client(hosts["staying"].port) as client:
        client.send(upload_head(path, "chunked", 0))
        with contextlib.suppress(ConnectionError):
            for size in pieces:
                client.send(chunk(b"x" * size))
            client.send(chunk(b""))
        assert_too_large(client.reply())
    (request,) = until(lambda: seen, "the service sees the end")
    assert not request.complete
    assert len(request.body) <= MAX_BODY


def test_a_body_that_grows_too_large_behind_an_early_answer_cuts_that(
    hosts: Hosts, service: ServiceFactory
) -> None:
    left = threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"early"))
        while exchange.sock.recv(65536):
            pass
        left.set()

    with Client(hosts["staying"].port) as client:
        client.send(upload_head(query_form(service(script).port, "/up"), "chunked", 0))
        client.sock.settimeout(0.1)
        while b"early" not in client.buffer:
            client.send(chunk(b"x"))  # gunicorn's reading of chunks waits for more, and we with it
            with contextlib.suppress(TimeoutError):
                client.fill()
        client.sock.settimeout(PATIENCE)
        client.send(chunk(b"x" * MAX_BODY))
        reply = client.reply()
    assert (reply.status, reply.body, reply.complete) == (200, b"early", False)
    assert left.wait(PATIENCE)


# --- Pauses of a response ------------------------------------------------------------------------


def falls_silent(
    host: Server, service: ServiceFactory, framing: Framing, first: bytes, version: str = "HTTP/1.1"
) -> None:
    """It is cut visibly. A visitor without chunks sees the cut of a stream in the relay as a
    reset: a server can do no more than close the connection."""
    left = threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(framing.head(100) + (framing.encode(first) if first else b""))
        until(lambda: peer_left(exchange.sock), "the proxy leaves")
        left.set()

    with StreamVisitor(host.port) as visitor:
        begin = time.monotonic()
        visitor.ask(query_form(service(script).port, "/x"), version)
        reply = visitor.reply()
        assert time.monotonic() - begin > IDLE * 0.9
    assert (reply.status, reply.body, reply.complete) == (200, first, False), (framing, first)
    assert left.wait(PATIENCE)


def test_a_response_that_falls_silent_is_cut_visibly(hosts: Hosts, service: ServiceFactory) -> None:
    kinds = [*((framing, b"begin") for framing in FRAMINGS), (CHUNKED, b"")]
    visits = [
        partial(falls_silent, hosts[name], service, framing, first)
        for name in ("limited", "staying")
        for framing, first in kinds
    ]
    all_at_once(
        [*visits, partial(falls_silent, hosts["limited"], service, CLOSE, b"begin", "HTTP/1.0")]
    )


def pauses_shortly(host: Server, service: ServiceFactory, framing: Framing) -> None:
    """For longer than a pause may be, and than the relay takes between looks."""

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(framing.head(18))
        for _ in range(9):
            time.sleep(IDLE / 4)
            exchange.send(framing.encode(b"x1"))
        exchange.send(framing.end)

    with StreamVisitor(host.port) as visitor:
        visitor.ask(query_form(service(script).port, "/x"))
        reply = visitor.reply()
    assert (reply.body, reply.complete) == (b"x1" * 9, True), framing


def has_a_visitor_who_pauses(host: Server, service: ServiceFactory) -> None:
    size = 20_000_000

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(LENGTH.head(size) + b"x" * size)

    with StreamVisitor(host.port, receive_buffer=262144) as visitor:
        visitor.ask(query_form(service(script).port, "/x"))
        visitor.read_head()
        time.sleep(IDLE + 1.3)  # longer than a pause may be, and than the relay's look at it
        received = len(visitor.buffer)
        while received < size and (data := visitor.sock.recv(1 << 20)):
            received += len(data)
    assert received == size


def takes_an_upload(host: Server, service: ServiceFactory) -> None:
    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(LENGTH.head(4) + b"ea")
        exchange.read(9)
        exchange.send(b"rl")

    with StreamVisitor(host.port) as visitor:
        path = query_form(service(script).port, "/x")
        visitor.send(upload_head(path, "Content-Length", 9))
        for _ in range(9):
            time.sleep(IDLE / 4)
            visitor.send(b"x")
        reply = visitor.reply()
    assert (reply.body, reply.complete) == (b"earl", True)


def test_what_is_no_silence_of_the_service(hosts: Hosts, service: ServiceFactory) -> None:
    ways = [partial(pauses_shortly, framing=framing) for framing in (LENGTH, CHUNKED, CLOSE)]
    ways += [partial(has_a_visitor_who_pauses), partial(takes_an_upload)]
    names = ("limited", "staying")
    all_at_once(partial(way, hosts[name], service) for name in names for way in ways)


# --- One deadline --------------------------------------------------------------------------------


def says_nothing(exchange: Exchange) -> None:
    until(lambda: peer_left(exchange.sock), "the proxy leaves")


def reads_and_says_nothing(exchange: Exchange) -> None:
    exchange.read(10_000_000)


def sends_only_an_interim_response(exchange: Exchange) -> None:
    exchange.read_head()
    exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    exchange.peer_closed(PATIENCE)


def drips(seconds: float) -> Script:
    """A byte of a head now and then: each is progress, but there is one deadline for the head."""

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        for byte in itertools.chain(b"HTTP/1.1 200 OK\r\nA: ", itertools.repeat(ord("x"))):
            exchange.send(bytes([byte]))
            time.sleep(seconds)

    return script


def redirects_slowly(exchange: Exchange) -> None:
    """Those that are followed share the deadline: each by itself is in time."""
    while exchange.read_head():
        if exchange.peer_closed(HEAD * 0.6):
            return
        exchange.send(b"HTTP/1.1 302 x\r\nLocation: /on\r\nContent-Length: 0\r\n\r\n")


NO_HEAD = [says_nothing, reads_and_says_nothing, sends_only_an_interim_response, redirects_slowly]


@contextlib.contextmanager
def full_queue() -> Iterator[int]:
    """A port whose listener accepts nobody, with its queue full: connecting takes for ever."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(bound_socket())
        listener.listen(0)
        port: int = listener.getsockname()[1]
        for _ in range(4):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
        yield port


def is_too_late(host: Server, port: int, visit: Callable[[str], Reply]) -> None:
    begin = time.monotonic()
    reply = visit(query_form(port, "/x"))
    assert time.monotonic() - begin > HEAD * 0.9
    assert (reply.status, reply.text) == (504, (
        f"The service on port {port} did not respond in time.\n"
        "It accepts connections but may be busy or stuck. Try again, or restart it.\n"
    ))  # fmt: skip


@pytest.mark.case("refused, no head in time, garbage")
def test_no_head_in_time_is_504(hosts: Hosts, service: ServiceFactory) -> None:
    host = hosts["hasty"]
    block = b"x" * 1_000_000

    def asks(path: str) -> Reply:
        return ask(host.port, "GET", path)

    def uploads(framing: str, data: bytes, path: str) -> Reply:
        """The buffers in between fill up, and then there is no progress."""
        with Client(host.port) as client:
            client.send(upload_head(path, framing, 100 * len(block)))
            with sending(client, data, 100):
                return client.reply()

    with full_queue() as port:
        ports = [service(script).port for script in [*NO_HEAD, drips(0.1), drips(0.0005)]]
        visits = [partial(is_too_late, host, each, asks) for each in [*ports, port]]
        for framing, data in [("Content-Length", block), ("chunked", chunk(block))]:
            upload = partial(uploads, framing, data)
            visits.append(partial(is_too_late, host, service(says_nothing).port, upload))
        all_at_once(visits)


def test_a_request_that_is_repeated_has_no_second_deadline(
    hosts: Hosts, service: ServiceFactory
) -> None:
    """It ends before one that begins when it is repeated."""
    repeated = threading.Event()
    ended: list[str] = []

    def script(exchange: Exchange) -> None:
        exchange.read_head()
        if exchange.number == 0:  # kept alive, and closed late in the second request
            exchange.send(OK)
            exchange.read_head()
            exchange.peer_closed(HEAD * 0.5)
        else:
            repeated.set()
            exchange.peer_closed(PATIENCE)

    def visit(name: str, path: str) -> None:
        assert ask(hosts["hasty"].port, "GET", path).status == 504
        ended.append(name)

    path = query_form(service(script).port, "/x")
    assert ask(hosts["hasty"].port, "GET", path).status == 200
    first = threading.Thread(target=visit, args=("repeated", path))
    first.start()
    assert repeated.wait(PATIENCE)
    visit("fresh", query_form(service(says_nothing).port, "/x"))
    first.join(PATIENCE)
    assert ended == ["repeated", "fresh"]


def has_a_slow_body(host: Server, service: ServiceFactory) -> None:
    def script(exchange: Exchange) -> None:
        exchange.read_head()
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        time.sleep(HEAD * 1.3)
        exchange.send(b"world")

    reply = ask(host.port, "GET", query_form(service(script).port, "/x"))
    assert (reply.status, reply.body, reply.complete) == (200, b"helloworld", True)


def has_a_slow_visitor(pieces: int, host: Server, service: ServiceFactory) -> None:
    """The deadline for the head counts from the last byte of the request that the service took."""
    seen: list[Received] = []
    with Client(host.port) as client:
        path = query_form(service(recording(seen)).port, "/x")
        client.send(upload_head(path, "Content-Length", pieces + 1) + b"x")
        for _ in range(pieces):
            time.sleep(HEAD * 1.3 / pieces)
            client.send(b"x")
        assert client.reply().status == 200
    assert seen[0].body == b"x" * (pieces + 1)


def test_what_has_no_deadline(hosts: Hosts, service: ServiceFactory) -> None:
    host = hosts["hasty"]
    visits = [partial(has_a_slow_visitor, pieces, host, service) for pieces in (1, 6)]
    all_at_once([*visits, partial(has_a_slow_body, host, service)])
