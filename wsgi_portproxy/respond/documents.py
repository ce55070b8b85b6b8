"""Applies page adapters to the pages of services. Every other body stays opaque.

Owns which responses are read, how much of each and for how long, and keeps the headers of a changed
one true. What is corrected is left to `rewrite.pages`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from urllib3.exceptions import ProtocolError

from ..locate.visit import Visit
from ..names import log
from ..rewrite.header_tables import Headers
from ..rewrite.pages import PageAdapter
from ..rewrite.urls import View

if TYPE_CHECKING:
    from ..upstream.response import UpstreamResponse

MAX_DOCUMENT = 4 * 1024 * 1024  # bytes; pages have kilobytes, and a document is kept in memory
# Seconds. A document without Content-Length is read only while it pauses for at most 0.25 s and
# takes at most 1 s; a slower one is meant to render progressively, and the rest of it passes
# through. A document with a length is not, but may stall, and nothing of it is sent on meanwhile.
_PAUSE, _IN_ALL = 0.25, 1.0
_IN_ALL_WITH_LENGTH = 5.0
_READ_SIZE = 65536
# Headers that describe the exact bytes (RFC 9110 section 8.8, RFC 9530); dropped when the body is
# changed. Without a validator browsers fetch the page again each time.
_OF_THE_BYTES = ("ETag", "Last-Modified", "Accept-Ranges", "Content-MD5", "Digest",
                 "Content-Digest", "Repr-Digest", "Transfer-Encoding")  # fmt: skip


class Pages:
    """Applies adapters to the documents that a browser navigates to."""

    def __init__(self, adapters: Iterable[PageAdapter]) -> None:
        self._adapters = tuple(adapters)
        if not all(isinstance(adapter, PageAdapter) for adapter in self._adapters):
            raise TypeError("page_adapters must be a collection of PageAdapter")

    def may_adapt(self, view: View, visit: Visit) -> bool:
        """Whether the response may be corrected, and so has to come unencoded."""
        target = view.target
        is_at_home = target.form.keeps_pages and not target.is_astray
        return bool(self._adapters) and is_at_home and visit.shows_page

    def adapt(self, response: UpstreamResponse, view: View) -> None:
        """Correct the body of a response, and its headers, if an adapter recognises it."""
        came = _document(response)
        if came is None:
            return
        adapted = came.data
        for adapter in self._adapters:
            if adapter.marker in adapted:
                adapted = _applied(adapter, adapted, view)
        response.unread(adapted, came.broke)
        if adapted is not came.data:
            for name in _OF_THE_BYTES:
                response.headers.discard(name)
            if came.is_whole:
                response.headers["Content-Length"] = str(len(adapted))


def asking_for_plain_text(headers: Headers) -> Headers:
    """The headers of a request whose response may be corrected: it must not be compressed."""
    others = [field for field in headers if field[0].lower() != "accept-encoding"]
    return [*others, ("Accept-Encoding", "identity")]


def _applied(adapter: PageAdapter, document: bytes, view: View) -> bytes:
    try:
        adapted = adapter.adapt(document, view)
        if not isinstance(adapted, bytes):
            raise TypeError(f"it returned {type(adapted).__name__}, not bytes")
    except Exception:
        port = view.target.port
        log.exception("port %d: the page adapter %r failed", port, adapter.name)
        return document
    return document if adapted == document else adapted


class _Document(NamedTuple):
    """An HTML document as far as it has come. `broke`: why the rest is missing."""

    data: bytes
    is_whole: bool
    broke: ProtocolError | None = None


def _document(response: UpstreamResponse) -> _Document | None:
    """The HTML document in a response; None if it is something else, or cannot be changed.

    Of a document that arrives piece by piece (Voila's, as the notebook runs) it is the beginning,
    where the data is that adapters correct. The caller puts back what was read.
    """
    headers = response.headers
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind not in ("text/html", "application/xhtml+xml") or response.status in (204, 206, 304):
        return None
    if headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        return None
    length = headers.get("Content-Length", "").strip()
    if length.isdecimal() and int(length) > MAX_DOCUMENT:
        return None
    began, broke = bytearray(), None
    pause = _IN_ALL_WITH_LENGTH if length else _PAUSE
    deadline = time.monotonic() + (_IN_ALL_WITH_LENGTH if length else _IN_ALL)
    try:
        while len(began) <= MAX_DOCUMENT and (left := deadline - time.monotonic()) > 0:
            if not response.wait(min(pause, left), _READ_SIZE):
                break
            data = response.read1(_READ_SIZE)
            if not data:
                return _Document(bytes(began), is_whole=True)
            began += data
    except ProtocolError as error:
        broke = error
    if length or len(began) > MAX_DOCUMENT:
        response.unread(bytes(began), broke)
        return None
    return _Document(bytes(began), is_whole=False, broke=broke)
