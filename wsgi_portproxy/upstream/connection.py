"""Step 4, one exchange: a request and the head of its answer, on one connection.

The connection class, urllib3's with other reading: it does the writing, and the strict reading of
`framing`. The rest of http.client stays unused: it takes a 103 for the answer, drops fields after a
malformed one, and delivers a cut head as an empty 200. What leaves here is `answer`'s
`urllib3.BaseHTTPResponse`. Which connection is used, and when again, is `upstream`'s.
"""

from __future__ import annotations

import errno
import select
import socket
from collections.abc import Callable
from typing import NamedTuple

from urllib3.connection import HTTPConnection

from ..errors import (
    BadRequest,
    BadResponse,
    ClientGone,
    IPv6Only,
    NoResponse,
    ServiceTimeout,
    ServiceUnreachable,
    from_connect_error,
)
from ..servers import VisitorSocket
from . import descriptors
from .channel import Channel, Limits
from .framing import MAX_INTERIM, Head, Malformed, body_decoder, find_head_end, parse_head
from .pool import idle
from .request import Fields
from .request_body import Upload
from .response import READ_SIZE, UpstreamResponse

# Literals, never names: what `localhost` resolves to may be held by another user of the machine.
IPV4, IPV6 = "127.0.0.1", "::1"
_LOOPBACK_ANSWERS = 0.5  # seconds; a full queue of connections would keep us waiting

#: Called with the fields of each 103 (RFC 8297) that comes before the answer.
EarlyHints = Callable[[list[tuple[str, str]]], None]


class UpstreamRequest(NamedTuple):
    """A request as it goes onto the wire: `target` in origin-form, `fields` with Host.

    `websocket`: it asks for an upgrade, so that a 101 is an answer to it.
    """

    port: int
    method: str
    target: str
    fields: Fields
    websocket: bool = False

    def head(self) -> bytes:
        """The bytes up to the empty line. Raises `BadRequest` rather than write two requests."""
        line = f"{self.method} {self.target} HTTP/1.1"
        if "\n" in line or "\r" in line or "\0" in line:
            raise BadRequest("The request contains a character that is not allowed in headers.")
        return f"{line}\r\n{self.fields.text}\r\n".encode("latin-1")


def listens_on_ipv6(port: int) -> bool:
    """Whether somebody accepts connections on [::1]; nothing is sent there."""
    try:
        with socket.create_connection((IPV6, port), timeout=_LOOPBACK_ANSWERS):
            return True
    except OSError:
        return False


class UpstreamConnection(HTTPConnection):
    """A connection to one service; one exchange at a time.

    timeout: seconds for it to open. ipv6: whether [::1] is tried where nothing listens on
    127.0.0.1. owner: whose it is, see `idle`.
    """

    # urllib3 and http.client name it so; typeshed knows http.client's own class only.
    response_class = UpstreamResponse  # type: ignore[assignment]

    def __init__(self, port: int, *, timeout: float, ipv6: bool = False, owner: int = 0) -> None:
        super().__init__(IPV4, port, timeout=timeout)
        self.ipv6 = ipv6
        self.owner = owner
        self.idle_since = 0.0  # monotonic, once it is
        #: Tells what has come on the present socket.
        self.incoming = select.poll()

    def connect(self) -> None:
        """Open a socket to the service. Raises `UpstreamError` in one of its kinds."""
        port = self.port or 0
        self.host = IPV4
        try:
            self._open()
        except OSError as error:
            # Its errno, which the log tells in one line, is all that there is to know.
            if not (isinstance(error, ConnectionRefusedError) and listens_on_ipv6(port)):
                raise from_connect_error(error, port) from None
            if not self.ipv6:
                raise IPv6Only(port) from None
            self._connect_by_ipv6(port)
        if self._is_connected_to_itself():
            self.close()
            raise ServiceUnreachable(port, detail="connected to itself")
        if descriptors.are_scarce(self.sock.fileno()):
            idle.close_all()
        self.sock.setblocking(False)
        self.incoming = select.poll()
        self.incoming.register(self.sock, select.POLLIN)

    def _open(self) -> None:
        """Connect to `host`; where no descriptor is left, idle connections give theirs."""
        try:
            self.sock = self._new_conn()
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE) or not idle.close_all():
                raise
            self.sock = self._new_conn()

    def _new_conn(self) -> socket.socket:
        """Instead of urllib3's, which resolves names: a third of what connecting takes us."""
        family = socket.AF_INET if self.host == IPV4 else socket.AF_INET6
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(self.timeout)
            sock.connect((self.host, self.port))
        except BaseException:
            sock.close()
            raise
        return sock

    def _connect_by_ipv6(self, port: int) -> None:
        self.host = IPV6
        try:
            self._open()
        except OSError as error:
            raise from_connect_error(error, port) from None

    def _is_connected_to_itself(self) -> bool:
        """TCP may connect a free ephemeral port to itself; we would be our own service."""
        try:
            return bool(self.sock.getsockname() == self.sock.getpeername())
        except OSError:  # reset since; reading will tell
            return False

    def exchange(
        self,
        request: UpstreamRequest,
        upload: Upload | None,
        visitor: VisitorSocket | None,
        limits: Limits,
        early_hints: EarlyHints | None,
    ) -> UpstreamResponse:
        """Send a request and read the head of its answer, both at once while there is a body.

        Raises `UpstreamError`, `ClientGone`, and what the server's input raises; the connection is
        closed then.
        """
        try:
            if self.sock is None:
                self.connect()
            channel = Channel(self.sock, self.incoming, upload, visitor=visitor, limits=limits)
            channel.send_head(request.head())
            head, begun = self._read_head(channel, early_hints, switches=request.websocket)
            decoder = body_decoder(head, request.method)
            channel.begin_body()
            ready = decoder.feed(begun) if begun else b""
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
        has_body = upload is not None
        return UpstreamResponse(head, decoder, ready, channel, self, request, has_body=has_body)

    def _read_head(
        self, channel: Channel, early_hints: EarlyHints | None, *, switches: bool
    ) -> tuple[Head, bytes]:
        """The final response head, and what came behind it. Interim heads are skipped, as many as
        come in time (RFC 9110 section 15.2); a 101 is final where `switches`, refused elsewhere.

        Raises ConnectionError only if nothing came at all: the request may be repeated then.
        """
        buffer = channel.receive(READ_SIZE, expect_wait=True)
        if not buffer:
            raise ConnectionResetError("connection closed before the head")
        end, interim = find_head_end(buffer), 0
        while True:
            if end < 0:
                buffer, end = _rest_of_head(channel, buffer)
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
                except OSError as error:  # of the visitor's connection, not of the service's
                    raise ClientGone("sending early hints failed") from error
            buffer = buffer[end:]
            end = find_head_end(buffer) if buffer else -1

    def end_exchange(self, *, reusable: bool) -> None:
        """Wait for the next request, or close."""
        if reusable:
            idle.put(self)
        else:
            self.close()


def _rest_of_head(channel: Channel, begun: bytes) -> tuple[bytes, int]:
    """A head that came in pieces, of which `begun` is there; with all that came, and its end."""
    buffer = bytearray(begun)
    end = -1
    while end < 0:
        searched = len(buffer)
        try:
            data = channel.receive(READ_SIZE)
        except ConnectionError as error:
            raise Malformed("connection reset within the head") from error
        if not data:
            raise Malformed("connection closed within the head")
        buffer += data
        end = find_head_end(buffer, searched)
    return bytes(buffer), end
