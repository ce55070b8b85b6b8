"""Reports the end of a request: one log line and one call of a hook.

Defines both, and keeps the visitor's data out of them: cookies, tokens, paths and queries.
`inflight` tracks the request until its end.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

from .names import log

Ending: TypeAlias = Literal["complete", "cut", "refused", "redirected"]
_LONGEST = 200  # characters of a logged text; our own are shorter
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")
_METHOD_SHOWN = 20  # characters; the longest registered one, UPDATEREDIRECTREF, has 17


@dataclass(slots=True)
class RequestMetrics:
    """One request for a port, at its end.

    port, websocket: as in `Target`.
    service: `Service.name`; empty if it has none, or if the request was not forwarded.
    form: how the URL named the port: query, path or host; stray if it did not, see
        `locate.strays`.
    method: as sent, escaped and cut to 20 characters.
    status: of the response that the visitor was sent; 101 for a WebSocket.
    seconds: from its arrival to its end, streams and WebSockets included.
    bytes_received, bytes_sent: of the body, from and to the visitor; for a WebSocket, all bytes
        after the heads.
    ended: `"complete"`: the service's response was passed on to its end, or both sides closed the
        WebSocket. `"cut"`: the service or the visitor broke off, or a limit was reached.
        `"refused"`: our error page, or the authorizer's refusal. `"redirected"`: our redirect to
        another URL of the port.
    """

    port: int
    service: str
    form: str
    method: str
    websocket: bool
    status: int
    seconds: float
    bytes_received: int
    bytes_sent: int
    ended: Ending


#: Called once for each request for a port, when it has ended: in the thread that served it, in the
#: relay's thread for WebSockets (under gevent in a greenlet) and for requests that were detached,
#: or in the thread that ends the process. It must be thread-safe and quick: in the relay's thread,
#: all tunnels wait for it. Its return value is ignored; an exception is logged and changes nothing.
#: None: no hook.
OnFinished: TypeAlias = Callable[[RequestMetrics], object]


def level_of(status: int, *, is_detached: bool) -> int:
    """The level of the line of a request that has ended."""
    # The server's own access log has only the beginning of a tunnel.
    return logging.INFO if is_detached or status == 101 else logging.DEBUG


def log_end(metrics: RequestMetrics, *, is_detached: bool) -> None:
    """Write the log line of a request that has ended."""
    is_websocket = metrics.status == 101
    log.log(
        level_of(metrics.status, is_detached=is_detached),
        "port %d%s: %s (%d) %s after %.3f s, %d bytes",
        metrics.port,
        f" ({metrics.service})" if metrics.service else "",
        "WebSocket" if is_websocket else "stream" if is_detached else "response",
        metrics.status,
        metrics.ended,
        metrics.seconds,
        metrics.bytes_sent,
        extra=asdict(metrics),
    )


def call_hook(on_finished: OnFinished, metrics: RequestMetrics) -> None:
    """Call the hook, and log any exception."""
    try:
        on_finished(metrics)
    except Exception:
        log.exception("port %d: on_finished raised", metrics.port, extra=asdict(metrics))


def loggable(text: str, longest: int = _LONGEST) -> str:
    """`text` as one line of visible ASCII, cut to `longest`: no input may forge a log line."""
    escaped = _UNPRINTABLE.sub(
        lambda found: found[0].encode("unicode_escape").decode("ascii"), text[:longest]
    )
    return escaped[:longest]


@lru_cache(maxsize=64)
def shown_method(method: str) -> str:
    return loggable(method, _METHOD_SHOWN)
