"""Checks both sides of the WebSocket handshake (RFC 6455 section 4).

The service decides: only a 101 that accepts this visitor's key becomes a tunnel, and we never send
a 101 before the service does. Opens no connection.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING

from urllib3 import HTTPHeaderDict

from ..errors import BadRequest, BadResponse, ForeignOrigin, UpgradeRequired

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
_VERSION = "13"


def check_request(environ: WSGIEnvironment, *, require_origin: bool) -> None:
    """Check a visitor's handshake (section 4.2.1).

    Raises `UpgradeRequired` for another version, `BadRequest` for a bad key or method or for a
    body, and `ForeignOrigin` for a missing Origin if the deployment requires one.
    """
    if environ["REQUEST_METHOD"] != "GET":
        raise BadRequest("A WebSocket handshake must be a GET request.")
    if "HTTP_TRANSFER_ENCODING" in environ or environ.get("CONTENT_LENGTH", "0") not in ("", "0"):
        raise BadRequest("A WebSocket handshake must not have a body.")  # to be read as frames
    if environ.get("HTTP_SEC_WEBSOCKET_VERSION", "").strip() != _VERSION:
        raise UpgradeRequired("Only version 13 of the WebSocket protocol is supported.")
    if not _is_key(environ.get("HTTP_SEC_WEBSOCKET_KEY", "")):
        raise BadRequest("The Sec-WebSocket-Key must be 16 bytes in base64.")
    if require_origin and "HTTP_ORIGIN" not in environ:
        raise ForeignOrigin("This site requires an Origin header in WebSocket handshakes.")


def check_response(headers: HTTPHeaderDict, environ: WSGIEnvironment, port: int) -> None:
    """Raise `BadResponse` unless a 101 accepts the handshake (section 4.1)."""
    upgrade = headers.get("Upgrade", "").strip().lower()
    options = [option.strip() for option in headers.get("Connection", "").lower().split(",")]
    accept = headers.getlist("Sec-WebSocket-Accept")
    if upgrade != "websocket" or "upgrade" not in options:
        raise BadResponse(port, detail="101 without an upgrade to websocket")
    if accept != [accept_value(environ["HTTP_SEC_WEBSOCKET_KEY"].strip())]:
        raise BadResponse(port, detail="101 with a wrong Sec-WebSocket-Accept")


def accept_value(key: str) -> str:
    """The Sec-WebSocket-Accept for a Sec-WebSocket-Key (section 4.2.2, item 5.4)."""
    digest = hashlib.sha1((key + _GUID).encode("latin-1"), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode("ascii")


def _is_key(value: str) -> bool:
    try:
        return len(base64.b64decode(value.strip(), validate=True)) == 16
    except (binascii.Error, ValueError):
        return False
