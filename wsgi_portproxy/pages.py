"""Page adapters: the base URL that a few services write into their pages as data, corrected.

A script that joins URLs from such a value leaves the service's prefix, past all that can be mapped
in headers: JupyterLab moves the address itself there. Owns which answers are looked at and the
table of adapters. Every other body stays opaque.
"""

from __future__ import annotations

import html
import json
import logging
import re
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from urllib3.exceptions import ProtocolError

from .attributes import urls_in_attributes
from .headers import Headers
from .locate import shows_page
from .rewrite import View

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from .answer import UpstreamResponse

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
log = logging.getLogger("wsgi_portproxy")


class PageAdapter(NamedTuple):
    """How the pages of one service are corrected.

    name: for the log.
    marker: bytes that stand in this service's pages, and hardly in others; they are looked for.
    adapt: called with the document and the `View`, returns the document to send. Of a document
        that appears piece by piece it gets what comes first. It must be quick in the size of the
        document, which may be hostile. If it raises, or returns anything but bytes, that is logged
        and the document is sent as it came.
    """

    name: str
    marker: bytes
    adapt: Callable[[bytes, View], bytes]


class Pages:
    """Applies adapters to the documents that a browser navigates to."""

    def __init__(self, adapters: Iterable[PageAdapter]) -> None:
        self._adapters = tuple(adapters)
        if not all(isinstance(adapter, PageAdapter) for adapter in self._adapters):
            raise TypeError("page_adapters must be a collection of PageAdapter")

    def may_adapt(self, view: View, environ: WSGIEnvironment) -> bool:
        """Whether the answer may be corrected, and so has to come unencoded."""
        return bool(self._adapters) and view.target.form in ("path", "host") and shows_page(environ)

    def adapt(self, response: UpstreamResponse, view: View) -> None:
        """Correct the body of an answer, and its fields with it, if an adapter knows it."""
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
    """The fields of a request whose answer may be corrected: encoded, it could not be read."""
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


# --- The table -----------------------------------------------------------------------------------


def _in_json(names: bytes, document: bytes, begin: bytes, end: bytes, view: View) -> bytes:
    """The document with the URLs under `names` (a pattern) mapped, in the JSON from `begin` on."""
    start = document.find(begin)
    stop = document.find(end, start)
    if start < 0 or stop < 0:
        return document
    # A key holds a quote that would end the value before it: no byte is looked at twice. Bounded,
    # since the matcher's notes on each character of a value take a hundred times its memory.
    pattern = rb'("(?:%b)"\s*:\s*)("(?:[^"\\]|\\.){0,2000}")' % names
    data = re.sub(pattern, lambda match: match[1] + _mapped(match[2], view), document[start:stop])
    return document[:start] + data + document[stop:]


def _mapped(literal: bytes, view: View) -> bytes:
    """A JSON string with the URL in it as the visitor's; as it is if it is not the service's."""
    try:
        url = json.loads(literal)
    except ValueError:
        return literal
    mapped = view.to_visitor(url)
    if not url.startswith(("/", "http:", "https:")) or mapped == url:
        return literal
    if not url.endswith("/") and "://" in url:
        mapped = mapped.rstrip("/")
    # `<` as it is could end the script element (HTML standard, "script data state").
    return json.dumps(mapped).replace("<", "\\u003c").encode("ascii")


def jupyter(document: bytes, view: View) -> bytes:
    """JupyterLab, Notebook 7, Voila: `baseUrl` and the `full...Url`s, from which all are made."""
    names = rb"baseUrl|full[A-Za-z]{1,40}Url"
    return _in_json(names, document, b'id="jupyter-config-data"', b"</script>", view)


def jupyter_classic(document: bytes, view: View) -> bytes:
    """Jupyter's older pages, the login among them."""

    def mapped(match: re.Match[bytes]) -> bytes:
        url = html.unescape(match[1].decode("latin-1"))
        return b'data-base-url="%b"' % html.escape(view.to_visitor(url)).encode("latin-1")

    return re.sub(rb'data-base-url="(/[^"]{0,2000})"', mapped, document)


def dash(document: bytes, view: View) -> bytes:
    """Dash: the paths under which its scripts ask for their data."""
    names = rb"requests_pathname_prefix|url_base_pathname"
    return _in_json(names, document, b'id="_dash-config"', b"</script>", view)


def gradio(document: bytes, view: View) -> bytes:
    """Gradio: the address under which its scripts ask, made from the Host that it was sent."""
    return _in_json(rb"root", document, b"window.gradio_config", b"</script>", view)


def chainlit(document: bytes, view: View) -> bytes:
    """Chainlit: the path under which its router, its API and its socket are."""
    empty = b'<meta property="og:root_path" content="'
    place = html.escape(view.to_visitor("/").rstrip("/")).encode("latin-1")
    return document.replace(empty + b'"', empty + place + b'"', 1)


#: Those that a `PortProxy` has unless told otherwise.
DEFAULT_PAGE_ADAPTERS = (
    PageAdapter("URLs in attributes", b"<", urls_in_attributes),
    PageAdapter("Jupyter", b'id="jupyter-config-data"', jupyter),
    PageAdapter("Jupyter, older pages", b'data-base-url="', jupyter_classic),
    PageAdapter("Dash", b'id="_dash-config"', dash),
    PageAdapter("Chainlit", b'property="og:root_path"', chainlit),
    PageAdapter("Gradio", b"window.gradio_config", gradio),
)
