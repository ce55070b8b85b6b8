"""Step 5 for a visitor whose connection has left its server: responses as bytes.

Nothing was sent before, so the framing is ours to choose: a Content-Length if it is known, else
chunks, and for HTTP/1.0 and uWSGI the end of the connection, which carries this one response.
"""

from __future__ import annotations

from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING

from ..errors import PortProxyError
from ..rewrite.header_tables import Headers
from ..rewrite.response_headers import ResponseHeaders
from ..rewrite.urls import UrlMapper
from ..servers import takes_chunks
from ..subrequest import CapturedResponse
from ..tunnel.records import Reply
from ..tunnel.reframe import Reframer
from ..upstream.framing import LengthDecoder
from ..upstream.response import UpstreamResponse
from .body import visitors_headers
from .error_page import error_response

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


def reply_of(
    response: UpstreamResponse,
    urls: UrlMapper,
    headers_of: ResponseHeaders,
    extra: Headers,
    environ: WSGIEnvironment,
) -> Reply:
    """The service's response. Takes its connection.

    extra: our headers to add.
    """
    status = response.status
    headers = visitors_headers(response, urls, headers_of, environ) + extra
    has_body = environ["REQUEST_METHOD"] != "HEAD" and status not in (204, 304)
    has_length = any(name.lower() == "content-length" for name, _ in headers)
    chunked = has_body and not has_length and takes_chunks(environ)
    if chunked:
        headers = [*headers, ("Transfer-Encoding", "chunked")]
    needs_reset = has_body and not chunked and not has_length
    stream = Reframer(response.framing, chunked=chunked, needs_reset=needs_reset)
    is_sent = response.request_is_sent
    to_service, upload = response.unsent()
    if response.holds_connection:
        service, ready = response.detach()
    else:
        service, ready = None, response.take()
    head = _head(environ, status, response.reason or "", headers)
    body = b"".join(stream.encode([ready] if ready else []))
    return Reply(
        status,
        head,
        body,
        stream,
        service,
        to_service,
        upload,
        is_sent=is_sent,
        is_broken=response.is_broken,
    )


def reply_to_error(error: PortProxyError, environ: WSGIEnvironment) -> Reply:
    """The error page, in the format that the request's Accept prefers."""
    page = CapturedResponse(error_response(error, environ, error.port), environ)
    body = b"".join(page)
    page.close()
    if environ["REQUEST_METHOD"] == "HEAD":
        body = b""
    head = _head(environ, error.status, HTTPStatus(error.status).phrase, page.headers)
    nothing = Reframer(LengthDecoder(0), chunked=False, needs_reset=False)
    return Reply(error.status, head, body, nothing)


def _head(environ: WSGIEnvironment, status: int, reason: str, headers: Headers) -> bytes:
    """A head as bytes. `Connection: close`: the server that would read the next request is gone.

    In the visitor's version, as WSGI servers do.
    """
    lines = [f"{environ['SERVER_PROTOCOL']} {status} {reason}", *map(": ".join, headers)]
    lines += [f"Date: {formatdate(usegmt=True)}", "Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1")
