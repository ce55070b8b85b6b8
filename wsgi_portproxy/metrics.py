"""The report on each request when it ends: one line in the log, and one call of a hook.

Defines both, and keeps user data (cookies, tokens, paths, queries) out of them. The bookkeeping
while the request is in flight is `inflight`'s.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

from .names import log

Ending: TypeAlias = Literal["complete", "cut", "refused"]
_LONGEST = 200  # characters of a text in the log; our own texts are shorter
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")
_METHOD_SHOWN = 20  # characters; the longest registered one, UPDATEREDIRECTREF, has 17


@dataclass(slots=True)
class RequestMetrics:
    """One request for a port that has ended.

    port, websocket: as in `Target`.
    form: how the URL named the port: query, path or host; stray if it did not, see
        `locate.strays`.
    method: as it was sent, escaped and cut to 20 characters.
    status: of the response to the visitor; 101 for a WebSocket.
    seconds: from arrival to end, which for a stream or WebSocket is when that ends.
    bytes_received, bytes_sent: of the body, from and to the visitor; of a WebSocket, all bytes
        after the heads.
    ended: `"complete"`: the service's response was passed on to its end, or both sides closed the
        WebSocket; `"cut"`: the service or the visitor broke off, or one of our limits was reached;
        `"refused"`: the response was not the service's (an error page, the authorizer's refusal, a
        redirect of ours).
    """

    port: int
    form: str
    method: str
    websocket: bool
    status: int
    seconds: float
    bytes_received: int
    bytes_sent: int
    ended: Ending


#: Called once for each request for a port, when it has ended: in the thread that served it; in the
#: relay's thread for streams and WebSockets that were detached (under gevent in a greenlet); or in
#: the thread that ends the process. It must be thread-safe and quick: all streams wait while the
#: relay's thread is busy. Its return value is ignored; if it raises, that is logged and changes
#: nothing. None: no hook.
OnRequest: TypeAlias = Callable[[RequestMetrics], object]


_VERBS = {"complete": "ended", "cut": "was cut", "refused": "was the proxy's own,"}


def log_end(metrics: RequestMetrics, *, left: bool) -> None:
    """Log a request that has ended. `left`: it was detached from its thread, so the server's access
    log has the hand-over, and only this line has the end."""
    is_tunnel = metrics.status == 101
    level = logging.INFO if left or is_tunnel else logging.DEBUG
    if not log.isEnabledFor(level):  # `asdict` is expensive, and DEBUG is usually off
        return
    log.log(
        level,
        "port %d: the %s (%d) %s after %.3f s, %d bytes",
        metrics.port,
        "WebSocket" if is_tunnel else "stream" if left else "response",
        metrics.status,
        _VERBS[metrics.ended],
        metrics.seconds,
        metrics.bytes_sent,
        extra=asdict(metrics),
    )


def tell(on_request: OnRequest, metrics: RequestMetrics) -> None:
    """Call the hook. Whatever it raises is logged."""
    try:
        on_request(metrics)
    except Exception:
        log.exception("port %d: on_request raised", metrics.port, extra=asdict(metrics))


def loggable(text: str, longest: int = _LONGEST) -> str:
    """`text` as one line of visible ASCII, cut: no input may forge a line of the log."""
    escaped = _UNPRINTABLE.sub(
        lambda found: found[0].encode("unicode_escape").decode("ascii"), text[:longest]
    )
    return escaped[:longest]


@lru_cache(maxsize=64)
def shown_method(method: str) -> str:
    return loggable(method, _METHOD_SHOWN)
