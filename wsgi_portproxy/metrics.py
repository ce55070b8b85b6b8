"""What is told of each request when it ends: one line in the log, and one call of a hook.

Owns the words of both, and that neither holds what is a visitor's: no cookies, no tokens, no path
and no query. What a request is charged with while it goes on is `inflight`'s.
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
_LONGEST = 200  # characters of a text that is logged; ours are shorter
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")
_METHOD_SHOWN = 20  # characters; the longest registered one, UPDATEREDIRECTREF, has 17


@dataclass(slots=True)
class RequestMetrics:
    """One request for a port, at its end.

    port, websocket: as in `Target`.
    form: how the URL named the port: query, path or host; stray if it did not, see
        `locate.strays`.
    method: as it was sent, escaped and cut to 20 characters.
    status: what the visitor was answered; 101 for a WebSocket.
    seconds: from its arrival here to its end, that of the stream or WebSocket too.
    bytes_received, bytes_sent: of the body, from and to the visitor; of a WebSocket all bytes
        behind the heads.
    ended: `"complete"`: the service's answer was passed on to its end, or both sides closed the
        WebSocket; `"cut"`: the service or the visitor broke off, or a limit of ours was reached;
        `"refused"`: the answer was not the service's (an error page, the authorizer's refusal, a
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


#: Called once for each request that names a port, when it has ended: in the thread that served it,
#: in the relay's for streams and WebSockets that left theirs (under gevent in a greenlet), or in
#: the one that ends the process. So it must be thread-safe, and quick: in the relay's thread all
#: streams wait for it. What it returns is ignored; if it raises, that is logged and changes
#: nothing. None: no hook.
OnFinished: TypeAlias = Callable[[RequestMetrics], object]


_VERBS = {"complete": "ended", "cut": "was cut", "refused": "was ours,"}


def is_logged(status: int, *, left: bool) -> bool:
    """Whether `log_end` writes a line; asked before the metrics of every request are made."""
    return log.isEnabledFor(_level(status, left))


def _level(status: int, left: bool) -> int:
    return logging.INFO if left or status == 101 else logging.DEBUG


def log_end(metrics: RequestMetrics, *, left: bool) -> None:
    """The line of a request that has ended. `left`: it had left its thread, so that the server's
    own access log told the hand-over, and nothing else tells the end."""
    is_tunnel = metrics.status == 101
    log.log(
        _level(metrics.status, left),
        "port %d: the %s (%d) %s after %.3f s, %d bytes",
        metrics.port,
        "WebSocket" if is_tunnel else "stream" if left else "answer",
        metrics.status,
        _VERBS[metrics.ended],
        metrics.seconds,
        metrics.bytes_sent,
        extra=asdict(metrics),
    )


def tell(on_finished: OnFinished, metrics: RequestMetrics) -> None:
    """Call the hook, which may fail as it likes."""
    try:
        on_finished(metrics)
    except Exception:
        log.exception("port %d: on_finished raised", metrics.port, extra=asdict(metrics))


def loggable(text: str, longest: int = _LONGEST) -> str:
    """`text` in one line of visible ASCII, cut: nobody's bytes may write a line of their own."""
    escaped = _UNPRINTABLE.sub(
        lambda found: found[0].encode("unicode_escape").decode("ascii"), text[:longest]
    )
    return escaped[:longest]


@lru_cache(maxsize=64)
def shown_method(method: str) -> str:
    return loggable(method, _METHOD_SHOWN)
