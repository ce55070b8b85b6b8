"""Step 4: the way to the services on the loopback, over urllib3's pools, one per port.

Owns which connection a request goes out on, how long one is kept, and when a request is repeated.
urllib3 owns connecting; the connection class, which it lets us name, is `exchange`'s.
"""

from __future__ import annotations

import contextlib
import os
import time
import weakref
from collections import deque

import urllib3

from . import nowait
from .answer import UpstreamResponse
from .channel import Limits
from .errors import NoResponse
from .exchange import IPV4, EarlyHints, UpstreamConnection, UpstreamRequest
from .servers import VisitorSocket
from .upload import Upload

_IDLE_CONNECTIONS = 64  # kept per port: as many as a gunicorn worker is likely to have threads
_POOLS = 256  # ports with idle connections; beyond, the oldest pool is closed
# Seconds for which an idle connection is trusted with a request that may not be repeated: common
# keep-alive limits of development servers begin at 2 s (Node 5, gunicorn 2, uvicorn 5).
_TRUSTED_IDLE = 2.0
# RFC 9110 section 9.2.2: a method whose repetition has the same effect.
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})


class UpstreamPool(urllib3.HTTPConnectionPool):
    """The connections to one port; those that are idle, the one used last on top.

    In a deque, whose ends are safe to use from several threads, instead of urllib3's queue: that
    takes a lock and two conditions for each of what is done for every request.
    """

    ConnectionCls = UpstreamConnection
    ipv6 = False

    def __init__(self, port: int, timeout: urllib3.Timeout) -> None:
        super().__init__(IPV4, port, timeout=timeout, maxsize=1, retries=False)
        self._idle: deque[UpstreamConnection] = deque()
        self._is_closed = False
        weakref.finalize(self, _close_all, self._idle)  # of a PortProxy that is dropped

    def get(self, *, only_trusted: bool, fresh: bool) -> UpstreamConnection:
        """An idle connection with nothing unread on it, or one that is not connected yet."""
        while self._idle and not fresh:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread took it
                break
            # Whatever came on it belongs to no request, be it its end.
            if nowait.is_silent(connection.sock) and (not only_trusted or _is_trusted(connection)):
                return connection
            connection.close()
        made = self._new_conn()
        assert isinstance(made, UpstreamConnection)
        made.pool, made.ipv6 = weakref.ref(self), self.ipv6
        return made

    def put(self, connection: UpstreamConnection) -> None:
        if len(self._idle) >= _IDLE_CONNECTIONS:
            connection.close()
            return
        self._idle.append(connection)
        if self._is_closed:  # since it was looked up: too many ports, or the end
            self.close()

    def close(self) -> None:
        self._is_closed = True
        _close_all(self._idle)


def _close_all(idle: deque[UpstreamConnection]) -> None:
    with contextlib.suppress(IndexError):
        while True:
            idle.pop().close()


def _is_trusted(connection: UpstreamConnection) -> bool:
    """Whether a request that may not be repeated may go out on an idle connection.

    It has been kept alive once, so the service does not close after each answer without saying so,
    and it has not been idle for long.
    """
    idle = time.monotonic() - connection.idle_since
    return connection.exchanges > 1 and idle < _TRUSTED_IDLE


class Upstream:
    """The way to all services: pools made when first needed, per process, never shared by a fork.

    connect_timeout, head_timeout: seconds, for a connection to open and for the head of an answer
    to come (counted from the last byte of an upload that the service took, else from the start).
    idle_timeout: seconds that its body may pause; None: any number.
    ipv6: whether [::1] is tried where nothing listens on 127.0.0.1.
    """

    def __init__(
        self,
        *,
        connect_timeout: float,
        head_timeout: float,
        idle_timeout: float | None = None,
        ipv6: bool = False,
    ) -> None:
        if not (connect_timeout > 0 and head_timeout > 0):
            raise ValueError("connect_timeout and head_timeout must be more than 0 seconds")
        if idle_timeout is not None and not idle_timeout > 0:
            raise ValueError("stream_idle_timeout must be more than 0 seconds, or None")
        self._connect_timeout = connect_timeout
        self._head_timeout = head_timeout
        self._idle_timeout = idle_timeout
        self._ipv6 = ipv6
        self._pools: dict[int, UpstreamPool] = {}
        _instances.add(self)

    def head_deadline(self) -> float:
        """When the head of an answer has to be there which is asked for now, monotonic seconds."""
        return time.monotonic() + self._head_timeout

    def send(
        self,
        request: UpstreamRequest,
        upload: Upload | None = None,
        *,
        deadline: float,
        visitor: VisitorSocket | None = None,
        early_hints: EarlyHints | None = None,
    ) -> UpstreamResponse:
        """Send a request and return its answer as soon as the head is there.

        Repeated once, on a fresh connection, if a reused connection turned out to be closed before
        any byte of an answer, and the request is idempotent and has no body. `deadline`: for the
        head, from `head_deadline`. Raises as `UpstreamConnection.exchange` does.
        """
        repeatable = upload is None and request.method in _IDEMPOTENT
        pool = self._pool(request.port)
        connection = pool.get(only_trusted=not repeatable, fresh=request.websocket)
        reused = connection.sock is not None
        limits = Limits(deadline, self._head_timeout, self._idle_timeout)
        try:
            return connection.exchange(request, upload, visitor, limits, early_hints)
        except NoResponse:
            if not (reused and repeatable):
                raise
        return connection.exchange(request, upload, visitor, limits, early_hints)

    def _pool(self, port: int) -> UpstreamPool:
        pool = self._pools.get(port)
        if pool is None:
            timeout = urllib3.Timeout(connect=min(self._connect_timeout, self._head_timeout))
            pool = UpstreamPool(port, timeout)
            pool.ipv6 = self._ipv6
            pool = self._pools.setdefault(port, pool)
            if len(self._pools) > _POOLS:
                self._drop_oldest(keep=port)
        return pool

    def _drop_oldest(self, keep: int) -> None:
        oldest = next(iter(self._pools))
        if oldest != keep and (pool := self._pools.pop(oldest, None)) is not None:
            pool.close()

    def close(self) -> None:
        """Close all idle connections. Those in use close at the end of their exchange."""
        while self._pools:
            _, pool = self._pools.popitem()
            pool.close()


_instances: weakref.WeakSet[Upstream] = weakref.WeakSet()


def _forget_parents_connections() -> None:
    """In a forked child: two processes on one connection would read each other's answers."""
    for upstream in list(_instances):
        upstream.close()


os.register_at_fork(after_in_child=_forget_parents_connections)
