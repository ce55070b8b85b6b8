"""Carries the bytes of tunnels in the relay's thread.

Handles everything that can happen to the sockets: slow readers, half-closes, resets. In a WebSocket
it looks only for the ends of the service's frames, where a closing process can say goodbye.

All tunnels wait while it works for one, so each call does a bounded amount of work. If a service's
bytes need more (one byte per chunk, empty frames), it keeps the rest, stops reading from that
service and puts it at the end of a queue. Each turn of the relay takes one entry from the queue.
"""

from __future__ import annotations

import _socket
import contextlib
import struct
import sys
import time
from collections import deque
from typing import Any

from ..errors import PortProxyError
from ..upstream.framing import Malformed, Truncated
from ..upstream.request_body import Upload
from .frames import FrameTracker
from .places import Places
from .records import End, NewTunnel, Tunnel
from .reframe import Reframer

MAX_PENDING = 262144  # bytes kept in each direction if the reader is slower than the sender
# Seconds that one side may stay open after the other has ended: the closing handshake (RFC 6455
# section 7.1.1) needs one reply, and a visitor who vanished sends none.
LINGER = 10.0
_IN, _OUT, _ERR, _HUP = 0x001, 0x004, 0x008, 0x010  # linux/eventpoll.h; absent from gevent's select
_RESET = struct.pack("ii", 1, 0)  # struct linger: closing resets the connection (socket(7))
_NOTHING = memoryview(b"")
_NO_SIGNAL = getattr(_socket, "MSG_NOSIGNAL", 0)


class Carrier:
    """The open tunnels. Used by the relay's thread only.

    places: gets back the place of each tunnel that ends.
    """

    def __init__(self, places: Places) -> None:
        self.epoll: Any = None  # set when that thread starts
        self._places = places
        self.tunnels: dict[int, Tunnel] = {}  # by the visitor's descriptor
        self.streams = 0  # how many of the tunnels are streams
        self.raw = 0  # how many are raw
        self.behind: deque[End] = deque()  # the queue of ends with bytes still to process
        self._ends: dict[int, End] = {}
        self._dummies: dict[int, _socket.socket] = {}
        self._buffer = memoryview(bytearray(MAX_PENDING))

    def abandon(self) -> None:
        """In a forked child: close the copies of the parent's sockets, unnoticed by their peers."""
        for end in self._ends.values():
            end.sock.close()
        for dummy in self._dummies.values():
            dummy.close()

    def on_event(self, fd: int, event: int, now: float) -> None:
        """Handle an event from epoll: do once what the socket is ready for."""
        end = self._ends.get(fd)
        if end is not None:
            try:
                self._on_event(end, event, now)
            except Exception:
                self._fail(end)
        elif fd in self._dummies:
            self.epoll.unregister(fd)
            self._dummies.pop(fd).close()  # the server has closed its side

    def go_on(self, now: float) -> None:
        """Continue with the bytes of the first end in the queue."""
        end = self.behind.popleft()
        try:
            self._go_on(end, now)
        except Exception:
            self._fail(end)

    def _fail(self, end: End) -> None:
        """Report the current exception and close its tunnel, so that the other tunnels go on."""
        # Not logged: under gevent this thread must not take the locks of `logging`.
        sys.excepthook(*sys.exc_info())
        self.close(end.tunnel)

    def keep(self, dummy: _socket.socket) -> None:
        """Keep our end of a server's dummy open until the server closes its own."""
        self._dummies[dummy.fileno()] = dummy
        try:
            self.epoll.register(dummy.fileno(), 0)  # a hang-up is always reported
        except OSError:  # out of memory, or over the user's limit of epoll watches (epoll(7))
            self._dummies.pop(dummy.fileno()).close()

    def begin(self, new: NewTunnel) -> None:
        """Start carrying a tunnel."""
        tunnel = Tunnel(new, time.monotonic())
        self.streams += tunnel.stream is not None
        self.raw += tunnel.is_raw
        for end in (tunnel.visitor, tunnel.service):
            end.sock.setblocking(False)
            self._ends[end.fd] = end
        self.tunnels[tunnel.visitor.fd] = tunnel
        if new.dummy is not None:
            self.keep(new.dummy)
        try:
            for end in (tunnel.visitor, tunnel.service):
                if end.pending:
                    self._flush(end)
                self._watch(end)
            if tunnel.stream is not None and tunnel.stream.complete:
                self._end(tunnel.service, tunnel.last)  # the visitor may leave at once
        except OSError:
            self.close(tunnel)

    def _on_event(self, end: End, event: int, now: float) -> None:
        tunnel = end.tunnel
        # On a stream, bytes from the visitor do not count as activity.
        is_heard = not tunnel.is_muted and tunnel.stream is None
        if is_heard or end is tunnel.service or end.pending:
            tunnel.last = now
        if event & (_OUT | _ERR | _HUP) and end.pending:
            self._flush(end)
        if event & (_IN | _ERR | _HUP) and not end.ended and end.mask & _IN:
            self._pull(end, now)

    def _pull(self, end: End, now: float) -> None:
        """Read once from an end; pass the bytes on to its peer, or keep them for later."""
        tunnel, peer = end.tunnel, end.peer
        if tunnel.upload is not None and end is tunnel.visitor:
            self._pull_upload(tunnel, tunnel.upload, now)
            return
        room = MAX_PENDING - len(peer.pending) if peer.pending else MAX_PENDING
        try:
            size = end.sock.recv_into(self._buffer, room)
        except BlockingIOError:
            return
        except OSError as error:
            if not (isinstance(error, ConnectionResetError) and tunnel.may_end_by_reset(end)):
                self._lose(end, now)
                return
            size = 0
        data = self._buffer[:size]
        if size and tunnel.is_muted and end is tunnel.visitor:
            return
        tunnel.count(end, size)
        if size or tunnel.stream is not None:
            self._pass_on(end, data, now)
        else:
            self._end(end, now)

    def _pull_upload(self, tunnel: Tunnel, upload: Upload, now: float) -> None:
        """Pass on more of the visitor's body, beside the response that comes already."""
        try:
            block = upload.next_block()
        except (PortProxyError, OSError):
            self.close(tunnel)  # cut short or malformed: too late for an error page
            return
        if upload.complete:
            tunnel.upload, tunnel.is_sent = None, True
        tunnel.last = now
        if block:
            self._write(tunnel.service, block, now)
        self._watch(tunnel.visitor)

    def _pass_on(self, end: End, data: memoryview, now: float) -> None:
        """Pass on bytes that came from an end, or as many of them as one turn allows."""
        tunnel = end.tunnel
        if tunnel.upload is not None and end is tunnel.visitor:
            self._pull_upload(tunnel, tunnel.upload, now)
            return
        framing: FrameTracker | Reframer | None = tunnel.stream
        if framing is not None:
            self._pass_stream(end, data, now)
        elif end is tunnel.service and tunnel.frames is not None:
            framing = tunnel.frames
            self._write(end.peer, framing.feed(data), now)
        else:
            self._write(end.peer, data, now)
        if framing is not None and framing.is_behind:
            self._watch(end)

    def _go_on(self, end: End, now: float) -> None:
        """Continue with the bytes that an end sent earlier."""
        end.is_queued = False
        if end.ended or self.tunnels.get(end.tunnel.visitor.fd) is not end.tunnel:
            return
        end.tunnel.last = now
        self._pass_on(end, _NOTHING, now)
        self._watch(end)

    def _write(self, end: End, data: bytes | memoryview, now: float) -> None:
        """Write to an end; keep for later the bytes that it does not take."""
        if end.pending:
            end.pending += data
        else:
            try:
                sent = end.sock.send(data, _NO_SIGNAL)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._deafen(end, now)
                return
            if sent == len(data):
                return
            end.pending = bytearray(data[sent:])
        self._watch(end)
        self._watch(end.peer)

    def _pass_stream(self, end: End, data: memoryview, now: float) -> None:
        """Pass on a response's bytes; no `data` means its end, unless earlier bytes still wait.

        The visitor's bytes are dropped: they can only be another request, and the connection closes
        after this response.
        """
        tunnel = end.tunnel
        stream, visitor = tunnel.stream, tunnel.visitor
        assert stream is not None
        if end is visitor:
            if not data:
                self.close(tunnel)  # the visitor left
            return
        try:
            pieces = stream.feed(data) if data or stream.is_behind else stream.eof()
        except (Malformed, Truncated):
            self._lose(end, now)
            return
        if pieces:
            try:
                sent = visitor.sock.sendmsg(pieces, (), _NO_SIGNAL)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.close(tunnel)
                return
            # Nothing was pending for the visitor, or the service would not have been read.
            if sent < sum(map(len, pieces)):
                visitor.pending = bytearray().join(pieces)
                del visitor.pending[:sent]
                self._watch(visitor)
                self._watch(end)
        if stream.complete and not end.ended:
            self._end(end, now)

    def _flush(self, end: End) -> None:
        """Write an end's pending bytes; once all are written, pass on that its peer has ended."""
        pending = end.pending
        assert pending is not None
        try:
            sent = end.sock.send(pending, _NO_SIGNAL)
        except BlockingIOError:
            return
        except OSError:
            self._deafen(end, end.tunnel.last)
            return
        if sent < len(pending):
            del pending[:sent]
        else:
            end.pending = None
            if end.peer.ended:
                self._shut(end)
        self._watch(end)
        self._watch(end.peer)

    def _end(self, end: End, now: float) -> None:
        """An end has sent its last byte: shut its peer, once the peer has no pending bytes."""
        end.ended = True
        if end.tunnel.stream is not None:
            end.tunnel.upload = end.pending = None
            # The visitor may read slowly; the service need not wait for it.
            with contextlib.suppress(OSError):
                end.sock.shutdown(_socket.SHUT_RDWR)
        end.tunnel.half_closed = end.tunnel.half_closed or now
        self._watch(end)
        if not end.peer.pending:
            self._shut(end.peer)

    def _shut(self, end: End) -> None:
        """Shut `end` down for writing; close the tunnel if `end` will send nothing more either."""
        tunnel = end.tunnel
        if tunnel.stream is not None and tunnel.stream.complete:
            tunnel.conclude(delivered=True)
        if end.ended and not end.peer.pending:
            tunnel.delivered |= tunnel.stream is None and not tunnel.broken
            self.close(tunnel)
            return
        try:
            end.sock.shutdown(_socket.SHUT_WR)
        except OSError:
            self._deafen(end, end.tunnel.last)

    def _deafen(self, end: End, now: float) -> None:
        """An end accepts nothing more. Bytes that it sent before, such as a close frame, may still
        arrive."""
        if end.tunnel.stream is not None:
            if end is end.tunnel.visitor or end.ended:
                self.close(end.tunnel)
                return
            # It reads no more of the visitor's body, but goes on with its response.
            end.tunnel.upload = end.pending = None
            self._watch(end)
            self._watch(end.peer)
            return
        end.pending = None
        end.tunnel.broken = end.peer.ended = True
        end.tunnel.half_closed = end.tunnel.half_closed or now
        self._watch(end)
        self._watch(end.peer)
        if end.ended and not end.peer.pending:
            self.close(end.tunnel)

    def _lose(self, end: End, now: float) -> None:
        """An end broke off. The bytes that it had sent still go to its peer."""
        end.pending = None
        end.tunnel.is_lost = end.tunnel.broken = end.ended = end.peer.ended = True
        end.tunnel.half_closed = end.tunnel.half_closed or now
        if not end.peer.pending:
            self.close(end.tunnel)
            return
        self._watch(end)
        self._watch(end.peer)

    def _watch(self, end: End) -> None:
        """Update the events that epoll watches for on an end; unregister it if there are none."""
        waiting = end.peer.pending
        # Reading stops at the limit and resumes at half of it.
        limit = MAX_PENDING if end.mask & _IN else MAX_PENDING // 2
        if end.tunnel.stream is not None:
            limit = 1  # the kernel's buffers are enough for a slow reader
        mask = 0
        if not end.ended and (waiting is None or len(waiting) < limit):
            if not end.tunnel.is_behind(end):
                mask = _IN
            elif not end.is_queued:
                end.is_queued = True
                self.behind.append(end)
        if end.pending:
            mask |= _OUT
        if mask == end.mask or end.fd not in self._ends:
            return
        if not end.mask:
            self.epoll.register(end.fd, mask)
        elif mask:
            self.epoll.modify(end.fd, mask)
        else:
            self.epoll.unregister(end.fd)
        end.mask = mask

    def close(self, tunnel: Tunnel) -> None:
        if self.tunnels.get(tunnel.visitor.fd) is not tunnel:
            return
        del self.tunnels[tunnel.visitor.fd]
        for end in (tunnel.visitor, tunnel.service):
            if end.mask:
                self.epoll.unregister(end.fd)
            del self._ends[end.fd]
            end.ended, end.mask, end.pending = True, 0, None
            # A child that the app forked may hold a copy: close() would not end the connection.
            if not self.spoil(end):
                with contextlib.suppress(OSError):  # already gone
                    end.sock.shutdown(_socket.SHUT_RDWR)
            end.sock.close()
        self.streams -= tunnel.stream is not None
        self.raw -= tunnel.is_raw
        if not tunnel.is_raw:
            self._places.give_back(tunnel.port)
        tunnel.conclude()

    def spoil(self, end: End) -> bool:
        """Make closing this end reset the connection, if nothing else would show the visitor that
        the response was cut, or if the other end of a raw tunnel was reset. Returns whether it
        will."""
        tunnel, stream = end.tunnel, end.tunnel.stream
        if stream is not None:
            is_needed = stream.needs_reset and not tunnel.delivered and end is tunnel.visitor
        else:
            is_needed = tunnel.is_raw and tunnel.is_lost
        if is_needed:
            end.sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, _RESET)
        return is_needed

    def say_goodbye(self, tunnel: Tunnel, close_frame: bytes, now: float) -> None:
        """Send a WebSocket's visitor a close frame, if it is between two frames of the service."""
        visitor, service = tunnel.visitor, tunnel.service
        if service.ended or tunnel.frames is None or not tunnel.frames.at_boundary:
            return  # it may still end by itself, or reach the end of a frame
        visitor.pending = (visitor.pending or bytearray()) + close_frame
        service.ended = tunnel.broken = True
        tunnel.half_closed = tunnel.last = now
        self._watch(service)
        self._watch(visitor)
        self._flush(visitor)
