"""Pages of services, looked at and corrected by page adapters. Every other body stays opaque.

Owns which answers are looked at, how much of one and for how long, and that what was corrected is a
true answer. What is corrected is `adapters`'s and `attributes`'s.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple

from urllib3.exceptions import ProtocolError

from ..locate.visit import Visit
from ..names import log
from ..rewrite.header_tables import Headers
from ..rewrite.pages import Page, PageAdapter
from ..rewrite.urls import UrlMapper

if TYPE_CHECKING:
    from ..upstream.response import UpstreamResponse

MAX_DOCUMENT = 4 * 1024 * 1024  # bytes; pages are kilobytes, and what is looked at is in memory
# Seconds for which a document without a length may pause, and take in all, and still be looked at:
# longer, and it is one that is meant to appear piece by piece. One with a length is not, but may
# stall, and nothing of it is sent on meanwhile.
_PAUSE, _IN_ALL = 0.25, 1.0
_IN_ALL_WITH_LENGTH = 5.0
_READ_SIZE = 65536
# What speaks of the exact bytes of the answer (RFC 9110 section 8.8, RFC 9530): untrue once they
# were changed. Without a validator the page is asked for anew each time.
_OF_THE_BYTES = ("ETag", "Last-Modified", "Accept-Ranges", "Content-MD5", "Digest",
                 "Content-Digest", "Repr-Digest", "Transfer-Encoding")  # fmt: skip


def may_adapt(service_adapters: Collection[PageAdapter], urls: UrlMapper, visit: Visit) -> bool:
    """Whether the response may be corrected, and so has to come unencoded."""
    target = urls.target
    is_at_home = target.form.keeps_pages and not target.is_astray
    return bool(service_adapters) and is_at_home and visit.shows_page


def adapt(adapters: Collection[PageAdapter], response: UpstreamResponse, urls: UrlMapper) -> None:
    """Correct the body of a response, and its headers with it, if an adapter knows it."""
    came = _document(response)
    if came is None:
        return
    adapted, page = came.data, Page(urls)
    for adapter in adapters:
        if adapter.marker in adapted:
            adapted = _apply(adapter, adapted, page)
    response.unread(adapted, came.broke)
    if adapted is not came.data:
        for name in _OF_THE_BYTES:
            response.headers.discard(name)
        if came.is_whole:
            response.headers["Content-Length"] = str(len(adapted))


def headers_of_adapters(
    adapters: Collection[PageAdapter], urls: UrlMapper, visit: Visit
) -> Headers:
    """What the adapters have the service told, with each request of a browser."""
    target = urls.target
    if not (adapters and visit.is_browser and target.form.keeps_pages):
        return []
    if target.is_astray or urls.preserves_host:
        return []
    page = Page(urls)
    return [(name, value(page)) for one in adapters for name, value in one.request_headers.items()]


def without_compression(headers: Headers) -> Headers:
    """The fields of a request whose answer may be corrected: encoded, it could not be read."""
    others = [field for field in headers if field[0].lower() != "accept-encoding"]
    return [*others, ("Accept-Encoding", "identity")]


def _apply(adapter: PageAdapter, document: bytes, page: Page) -> bytes:
    try:
        adapted = adapter.adapt(document, page)
        if not isinstance(adapted, bytes):
            raise TypeError(f"it returned {type(adapted).__name__}, not bytes")
    except Exception:
        log.exception("port %d: the page adapter %r failed", page.port, adapter.name)
        return document
    return document if adapted == document else adapted


class _Document(NamedTuple):
    """An HTML document as far as it came. `broke`: why there is no more of it, if it should be."""

    data: bytes
    is_whole: bool
    broke: ProtocolError | None = None


def _document(response: UpstreamResponse) -> _Document | None:
    """What an answer has of an HTML document; None if it is none, or none that can be changed.

    Of one that appears piece by piece (Voila's, as the notebook runs) it is the beginning, where
    the data is that adapters correct. What was read is to be put back.
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
