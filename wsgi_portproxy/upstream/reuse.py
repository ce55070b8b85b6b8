"""Step 4: whether a connection to a service carries more than one request.

The visitors of a port are strangers to each other. So a connection that one of them used goes to
another only if nothing of the first can be left on it. Decides which requests may take a used
connection, and which responses leave a reusable one.
"""

from __future__ import annotations

from .framing import CloseDecoder, Decoder, Head, keeps_alive
from .request import UpstreamRequest

# RFC 9110 section 9.2.2: a method whose repetition has the same effect.
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
# Section 6.4.1: responses without a body, whatever their headers announce.
_WITHOUT_BODY = frozenset({204, 304})


def may_share(request: UpstreamRequest, *, has_body: bool) -> bool:
    """Whether a request may go out on a used connection, and be repeated on a fresh one if the used
    one was closed meanwhile.

    Excludes requests with a body, whatever the method: many services do not read a body that they
    did not expect or that they refuse, and take it for the next request (RFC 9112 section 11.2).
    Excludes requests that could take effect twice, and handshakes, because no HTTP follows them.
    """
    return not has_body and not request.websocket and request.method in _IDEMPOTENT


def may_be_shared(
    request: UpstreamRequest, head: Head, body: Decoder, *, has_body: bool, is_sent: bool
) -> bool:
    """Whether the connection may carry another request after this response.

    It may if both messages are complete, no bytes are left over, and the service keeps it open. Not
    after HEAD, nor after a 204 or 304 that announces a body: some services send that body anyway.
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
