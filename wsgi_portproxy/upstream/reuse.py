"""Step 4: whether a connection to a service carries more than one request.

The visitors of a port are strangers to each other, and so a connection that one used is given to
another only where nothing of the one can be left on it. The rule stands here and nowhere else: who
may take a connection that was used before, and who leaves one behind.
"""

from __future__ import annotations

from .framing import CloseDecoder, Decoder, Head, keeps_alive
from .request import UpstreamRequest

# RFC 9110 section 9.2.2: a method whose repetition has the same effect.
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
# Section 6.4.1: answers without a body, whatever their fields announce.
_WITHOUT_BODY = frozenset({204, 304})


def may_share(request: UpstreamRequest, *, has_body: bool) -> bool:
    """Whether a request may go out on a connection that was used before, and be repeated on a fresh
    one if that was closed meanwhile.

    Not one with a body, whatever its method: many services leave the body of a request unread that
    they expect none of, or that they refuse, and take it for the next request (RFC 9112 section
    11.2). Not one that could take effect twice. Not a handshake: what follows is no HTTP.
    """
    return not has_body and not request.websocket and request.method in _IDEMPOTENT


def may_be_shared(
    request: UpstreamRequest, head: Head, body: Decoder, *, has_body: bool, is_sent: bool
) -> bool:
    """Whether the connection may carry another request after this answer, if it has ended.

    Both messages are over, nothing was left over, the service keeps it open, and it has not
    announced a body that it may yet send though there is none to be read: after HEAD, 204 and 304,
    some send it all the same.
    """
    if not (body.complete and is_sent and may_share(request, has_body=has_body)):
        return False
    if body.surplus or isinstance(body, CloseDecoder) or not keeps_alive(head):
        return False
    if request.method == "HEAD":
        return False
    announced = head.framing.get("content-length", "0") != "0"
    announced = announced or "transfer-encoding" in head.framing
    return not (announced and head.status in _WITHOUT_BODY)
