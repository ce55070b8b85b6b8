"""Step 4, one exchange: a request and the head of its response, on one connection.

Opens the connection, sends the request, and reads the head by the strict rules of `framing`.
http.client and urllib3 are too lenient: they take a 103 for the response, drop headers after a
malformed one, and turn a truncated head into an empty 200. `client` decides which connection a
request uses and where it goes after the response.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections.abc import Callable
from typing import NamedTuple

from ..errors import (
    BadResponse,
    IPv6Only,
    NoResponse,
    ServiceTimeout,
    ServiceUnreachable,
    VisitorGone,
    from_connect_error,
)
from . import descriptors
from .channel import READ_SIZE, Channel, Route
from .framing import MAX_INTERIM, Decoder, Head, Malformed, body_decoder, find_head_end, parse_head
from .request import UpstreamRequest
from .request_body import Upload
from .steps import Steps, Wait

# Literals, never names: `localhost` may resolve to an address where another user's program listens.
IPV4, IPV6 = "127.0.0.1", "::1"
_LOOPBACK_ANSWERS = 0.5  # seconds; a full accept queue would keep us waiting

#: Called with the headers of each 103 (RFC 8297) that comes before the response.
EarlyHints = Callable[[list[tuple[str, str]]], None]


class Exchange(NamedTuple):
    """A request that was sent, and the head of its response.

    ready: the bytes of the body that came with the head, decoded. The rest comes through `channel`
    and goes into `decoder`.
    """

    head: Head
    decoder: Decoder
    ready: bytes
    channel: Channel


def connect(
    port: int, route: Route, *, timeout: float, make_room: Callable[[], bool]
) -> Steps[UpstreamConnection]:
    """Open a connection to a service.

    timeout: seconds to wait for it.
    make_room: closes idle connections to free descriptors; returns whether there were any.

    Raises `ServiceError`, and `VisitorGone` if the visitor leaves meanwhile.
    """
    until = time.monotonic() + timeout
    try:
        sock = yield from _connected(IPV4, port, route, until, make_room)
    except OSError as error:
        # Without the causes: the errno, which is logged, says everything.
        refused = isinstance(error, ConnectionRefusedError)
        if not (refused and (yield from _listens_on_ipv6(port, route, make_room))):
            raise from_connect_error(error, port) from None
        if not route.ipv6:
            raise IPv6Only(port) from None
        try:
            sock = yield from _connected(IPV6, port, route, until, make_room)
        except OSError as error_of_ipv6:
            raise from_connect_error(error_of_ipv6, port) from None
    if _is_connected_to_itself(sock):
        sock.close()
        raise ServiceUnreachable(port, detail="connected to itself")
    if descriptors.are_scarce(sock.fileno()):
        make_room()
    return UpstreamConnection(port, sock)


def _connected(
    host: str, port: int, route: Route, until: float, make_room: Callable[[], bool]
) -> Steps[socket.socket]:
    """A connected socket; if no descriptor is left for it, idle connections are closed."""
    # Not `socket.create_connection`: resolving names is a third of the cost of connecting.
    family = socket.AF_INET if host == IPV4 else socket.AF_INET6
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE) or not make_room():
            raise
        sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        failed = sock.connect_ex((host, port))
        if failed == errno.EINPROGRESS:
            writable = select.poll()
            writable.register(sock, select.POLLOUT)
            ready = yield Wait(sock, select.POLLOUT, until, route.visitor, writable)
            if not any(ready):
                raise TimeoutError("no connection in time")
            if not ready.service:
                raise VisitorGone("the visitor closed the connection")
            failed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failed:
            raise OSError(failed, os.strerror(failed))
    except BaseException:
        sock.close()
        raise
    return sock


def _listens_on_ipv6(port: int, route: Route, make_room: Callable[[], bool]) -> Steps[bool]:
    """Whether anything accepts connections on [::1]; sends nothing."""
    until = time.monotonic() + _LOOPBACK_ANSWERS
    try:
        sock = yield from _connected(IPV6, port, route, until, make_room)
    except OSError:
        return False
    sock.close()
    return True


def _is_connected_to_itself(sock: socket.socket) -> bool:
    """Whether TCP connected a free ephemeral port to itself: we would be our own service."""
    try:
        return bool(sock.getsockname() == sock.getpeername())
    except OSError:  # reset meanwhile; reading reports it
        return False


class UpstreamConnection:
    """An open connection to one service, see `connect`; one exchange at a time."""

    def __init__(self, port: int, sock: socket.socket) -> None:
        self.port = port
        self.sock = sock
        self.incoming = select.poll()  # for bytes from the service
        self.incoming.register(sock, select.POLLIN)

    def close(self) -> None:
        """Close the connection. May be repeated."""
        self.sock.close()

    def exchange(
        self,
        request: UpstreamRequest,
        head: bytes,
        upload: Upload | None,
        route: Route,
        early_hints: EarlyHints | None,
    ) -> Steps[Exchange]:
        """Send a request and read the head of the response, both at once while there is a body.

        `head`: the head of the request as bytes. Raises `ServiceError`, `VisitorGone`, and any
        error of the server's input; the connection is then closed.
        """
        try:
            channel = Channel(self.sock, self.incoming, upload, route)
            channel.send_head(head)
            del head
            came, begun = yield from _read_head(channel, early_hints, switches=request.websocket)
            decoder = body_decoder(came, request.method)
            channel.begin_body()
            return Exchange(came, decoder, decoder.feed(begun) if begun else b"", channel)
        except Malformed as error:
            self.close()
            raise BadResponse(request.port, detail=str(error)) from error
        except TimeoutError as error:
            self.close()
            raise ServiceTimeout(request.port, detail="no head in time") from error
        except ConnectionError as error:
            self.close()
            raise NoResponse(request.port, detail=type(error).__name__) from error
        except BaseException:
            self.close()
            raise


def _read_head(
    channel: Channel, early_hints: EarlyHints | None, *, switches: bool
) -> Steps[tuple[Head, bytes]]:
    """Read the final response head; return it with the bytes that came after it.

    Skips interim heads that come in time (RFC 9110 section 15.2), up to `MAX_INTERIM`. A 101 is
    final if `switches`, and refused otherwise. Raises ConnectionError only if no bytes came at all;
    the request may then be repeated.
    """
    buffer = yield from channel.receive(READ_SIZE, expect_wait=True)
    if not buffer:
        raise ConnectionResetError("connection closed before the head")
    end, interim = find_head_end(buffer), 0
    while True:
        if end < 0:
            buffer, end = yield from _rest_of_head(channel, buffer)
        head = parse_head(buffer[:end])
        if 200 <= head.status <= 599 or (switches and head.status == 101):
            return head, buffer[end:]
        interim += 1
        if not 100 <= head.status < 200 or head.status == 101 or interim > MAX_INTERIM:
            raise Malformed("status outside 200 to 599")
        channel.check_deadline()
        if head.status == 103 and early_hints is not None:
            try:
                early_hints(head.headers)
            except OSError as error:  # of the visitor's connection, not the service's
                raise VisitorGone("sending early hints failed") from error
        buffer = buffer[end:]
        end = find_head_end(buffer) if buffer else -1


def _rest_of_head(channel: Channel, begun: bytes) -> Steps[tuple[bytes, int]]:
    """Read the rest of a head that starts with `begun`; return all bytes, and where it ends."""
    buffer = bytearray(begun)
    end = -1
    while end < 0:
        searched = len(buffer)
        try:
            data = yield from channel.receive(READ_SIZE)
        except ConnectionError as error:
            raise Malformed("connection reset within the head") from error
        if not data:
            raise Malformed("connection closed within the head")
        buffer += data
        end = find_head_end(buffer, searched)
    return bytes(buffer), end
