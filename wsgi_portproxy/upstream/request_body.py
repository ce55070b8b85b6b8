"""Uploads: request bodies, re-framed and streamed to the service in blocks.

Guarantees that a body is as long as announced (RFC 9112 section 6), and that truncation is always
reported. Never copies the visitor's framing: the body that the server decoded is encoded again.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from ..errors import (
    BadRequest,
    BodyTooLarge,
    LengthRequired,
    NotImplementedHere,
    PortProxyError,
    VisitorGone,
)
from ..servers import Block, BodyReader, body_reader

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# Blocks grow from the first to the last size, in bytes: small ones reach the service early, large
# ones cost less per byte (gunicorn's own reader gives 150 MB/s at 16 KiB, 930 MB/s at 1 MiB).
FIRST_BLOCK = 16384
LAST_BLOCK = 1048576
_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)
# Methods for which a Content-Length of 0 means nothing; servers and clients add it needlessly.
_BODY_IS_UNUSUAL = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})


class Upload:
    """A request body, which can be read once.

    length: in bytes; None: the body is chunked.
    complete: `next_block` has returned all of it.
    taken: bytes read so far.
    limit: bytes that a chunked body may have; None: any number.
    """

    def __init__(self, reader: BodyReader, length: int | None, limit: int | None = None) -> None:
        self.reader = reader
        self.length = length
        self.complete = length == 0
        self.taken = 0
        self._limit = limit
        self._remaining = length
        self._block = FIRST_BLOCK

    @property
    def header(self) -> tuple[str, str]:
        """The header that announces this body."""
        if self.length is None:
            return "Transfer-Encoding", "chunked"
        return "Content-Length", str(self.length)

    def next_block(self) -> Block:
        """The next block as it is sent, valid until the next call; may wait for the visitor.

        Raises `VisitorGone` if the body is shorter than announced or the connection breaks,
        `BodyTooLarge` beyond the limit, and the server's own error for a malformed body. The
        service then never sees a complete request.
        """
        limit = self._block
        if self._remaining is not None:
            limit = min(limit, self._remaining)
        try:
            data = self.reader.read(limit)
        except OSError as error:
            raise VisitorGone("reading the request body failed") from error
        if len(data) == self._block < LAST_BLOCK:
            self._block *= 2
        self.taken += len(data)
        if self._limit is not None and self.taken > self._limit:
            raise BodyTooLarge(self._limit)
        if self._remaining is not None:
            if not data:
                raise VisitorGone("request body shorter than its Content-Length")
            self._remaining -= len(data)
            self.complete = not self._remaining
            return data
        self.complete = not data
        return b"".join((b"%x\r\n" % len(data), data, b"\r\n"))  # without data, the last chunk


def upload_of(environ: WSGIEnvironment, limit: int | None = None) -> Upload | None:
    """The upload of a request, or None if it has no body. `limit`: in bytes; None: any number.

    Without Content-Length and Transfer-Encoding there is no body (RFC 9112 section 6.3). Raises
    `BadRequest`, `BodyTooLarge` for a length beyond the limit, `NotImplementedHere` for a coding
    other than chunked, and `LengthRequired` for a chunked body that the server does not decode
    (`wsgi.input_terminated` not set).
    """
    coding = environ.get("HTTP_TRANSFER_ENCODING", "").strip().lower()
    length = environ.get("CONTENT_LENGTH") or ""
    if coding:
        if coding != "chunked":
            raise NotImplementedHere("This Transfer-Encoding is not supported.")
        if not environ.get("wsgi.input_terminated"):
            raise LengthRequired(
                "This server does not accept chunked request bodies.", "Send a Content-Length."
            )
        return Upload(body_reader(environ), None, limit)
    if not length:
        return None
    if _LENGTH.fullmatch(length) is None:
        raise BadRequest("The Content-Length is not a number.")
    if limit is not None and int(length) > limit:
        raise BodyTooLarge(limit)
    if not int(length) and environ["REQUEST_METHOD"] in _BODY_IS_UNUSUAL:
        return None
    return Upload(body_reader(environ), int(length))


def read_out(environ: WSGIEnvironment) -> None:
    """Read and drop an unwanted body, so that the visitor gets the response.

    A browser reads no response while it is still sending. gunicorn discards a little and then cuts
    the connection, so that the browser shows an error instead.
    """
    with contextlib.suppress(PortProxyError):  # no valid body, or the visitor is gone
        upload = upload_of(environ)
        while upload is not None and not upload.complete:
            upload.next_block()
