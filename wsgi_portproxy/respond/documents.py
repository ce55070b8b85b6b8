"""Corrects the pages of services with page adapters. Every other body stays opaque.

Decides which responses may be corrected, how much of each is read and for how long. Guarantees that
the headers of a corrected response match its body. `rewrite.pages.adapters` and
`rewrite.pages.attributes` decide which data is corrected.
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
from ..rewrite.pages.kinds import Kind, kind_of
from ..rewrite.urls import UrlMapper
from ..upstream.steps import Steps, Work

if TYPE_CHECKING:
    from ..upstream.response import UpstreamResponse

MAX_DOCUMENT = 4 * 1024 * 1024  # bytes; pages are kilobytes, and a document is held in memory
# Seconds that a document without a length may pause, and take in all. A slower one is meant to
# appear piece by piece: only its beginning is corrected. A document with a length is not meant to,
# but it may stall, and nothing of it is sent on meanwhile: if too slow, it is left unchanged.
_PAUSE, _IN_ALL = 0.25, 1.0
_IN_ALL_WITH_LENGTH = 5.0
_READ_SIZE = 65536
# Headers that describe the exact bytes (RFC 9110 section 8.8, RFC 9530): wrong once the body is
# changed. Without a validator, browsers fetch the page again each time.
_OF_THE_BYTES = ("ETag", "Last-Modified", "Accept-Ranges", "Content-MD5", "Digest",
                 "Content-Digest", "Repr-Digest", "Transfer-Encoding")  # fmt: skip


def may_adapt(service_adapters: Collection[PageAdapter], urls: UrlMapper, visit: Visit) -> bool:
    """Whether the response may be corrected and therefore has to come unencoded."""
    target = urls.target
    is_at_home = target.form.keeps_pages and not target.is_astray
    return bool(service_adapters) and is_at_home and visit.shows_page


def adapt(
    adapters: Collection[PageAdapter], response: UpstreamResponse, urls: UrlMapper
) -> Steps[Kind | None]:
    """Correct the body of a response, and its headers, if an adapter recognises it.

    Returns the kind of a page that cannot work under the target's path.
    """
    came = yield from _document(response)
    if came is None:
        return None
    adapted = came.data
    kind = None

    def work() -> None:
        nonlocal adapted, kind
        kind = kind_of(came.data) if urls.target.form.has_own_path else None
        adapted = _adapted(adapters, came.data, Page(urls))

    yield Work(work)  # of a large page it takes seconds
    response.unread(adapted, came.broke)
    if adapted is not came.data:
        for name in _OF_THE_BYTES:
            response.headers.discard(name)
        if came.is_whole:
            response.headers["Content-Length"] = str(len(adapted))
    return kind


def _adapted(adapters: Collection[PageAdapter], document: bytes, page: Page) -> bytes:
    for adapter in adapters:
        if adapter.marker in document:
            document = _apply(adapter, document, page)
    return document


def headers_of_adapters(
    adapters: Collection[PageAdapter], urls: UrlMapper, visit: Visit
) -> Headers:
    """The headers that the adapters add to a request of a browser, unless it loads an asset."""
    target = urls.target
    if not (adapters and target.form.keeps_pages) or visit.loads_asset or not visit.is_browser:
        return []
    if target.is_astray or urls.preserves_host:
        return []
    page = Page(urls)
    headers: Headers = []
    for adapter in adapters:
        for name, value in adapter.request_headers.items():
            try:
                headers.append((name, _header_value(value(page))))
            except Exception:
                log.exception("port %d: the page adapter %r failed", page.port, adapter.name)
    return headers


def _header_value(value: object) -> str:
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise TypeError(f"a value of request_headers must be printable ASCII, not {value!r}")
    return value


def without_compression(headers: Headers) -> Headers:
    """`headers`, changed to ask for an unencoded response: an encoded one cannot be corrected."""
    others = [field for field in headers if field[0].lower() != "accept-encoding"]
    return [*others, ("Accept-Encoding", "identity")]


def _apply(adapter: PageAdapter, document: bytes, page: Page) -> bytes:
    try:
        adapted = adapter.adapt(document, page)
        if not isinstance(adapted, bytes):
            raise TypeError(f"adapt() must return bytes, not {type(adapted).__name__}")
    except Exception:
        log.exception("port %d: the page adapter %r failed", page.port, adapter.name)
        return document
    return document if adapted == document else adapted


class _Document(NamedTuple):
    """The part of an HTML document that came. `broke`: the error that cut it short, if any."""

    data: bytes
    is_whole: bool
    broke: ProtocolError | None = None


def _document(response: UpstreamResponse) -> Steps[_Document | None]:
    """Read the HTML document of a response; None if there is none, or if it cannot be corrected.

    Of a document that appears piece by piece (Voila's, as the notebook runs), only the beginning
    is read: it holds the data that adapters correct. The caller must put back the bytes.
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
            if not (yield from response.wait(min(pause, left), _READ_SIZE)):
                break
            data = yield from response.read1(_READ_SIZE)
            if not data:
                return _Document(bytes(began), is_whole=True)
            began += data
    except ProtocolError as error:
        broke = error
    if length or len(began) > MAX_DOCUMENT:
        response.unread(bytes(began), broke)
        return None
    return _Document(bytes(began), is_whole=False, broke=broke)
