"""Everything at once, with faults, for the soak: what a server carries on a bad day.

Plain requests, requests that wait, uploads with a length or chunked, quick and slow, downloads,
tunnels and streams (those of `soak_tunnels` and `soak_streams`), many of them aborted; and a
service in a process of its own that is killed and started again every few seconds, whatever is on
its way. What comes whole must be right; what does not must show it.
"""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from tempfile import TemporaryDirectory

from tests.support.client import Client, Reply, ask, request_bytes
from tests.support.endings import reset
from tests.support.ports import free_port
from tests.support.received import read_request
from tests.support.service import Exchange, Service

from .host import MOUNT, PAGE
from .soak_streams import StreamLoad
from .soak_tunnels import TunnelLoad, Wrong

_PATIENCE = 20.0  # seconds; waited out only by what is stuck
_LIFE = (1.0, 4.0)  # seconds that the service in a process lives, and is away for a tenth of that
_BLOCK = random.Random(1123).randbytes(1 << 20)
_FILE = "page.bin"
_FILE_SIZE = 50_000


class MixedLoad:
    """The load on the server on `port`; `once` is one piece of it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._tunnels, self._streams = TunnelLoad(port), StreamLoad(port)
        self._echo = Service(_echo)
        self._restarted = _Restarted()
        self._kinds: dict[str, tuple[int, Callable[[random.Random], str]]] = {
            "page of the app": (10, self._page),
            "request": (25, self._request),
            "request that is aborted": (10, self._aborted),
            "request that waits": (10, self._waiting),
            "upload": (15, self._upload),
            "slow upload": (8, self._slow_upload),
            "upload that is aborted": (10, self._aborted_upload),
            "to a service that restarts": (15, self._of_restarted),
            "tunnel": (8, self._tunnels.once),
            "stream": (7, self._streams.once),
        }

    def close(self) -> None:
        """End the services. Raises `Wrong` if one found anything so."""
        with ExitStack() as stack:
            for one in (self._restarted, self._echo, self._tunnels, self._streams):
                stack.callback(one.close)

    def once(self, rng: random.Random) -> str:
        """One of all kinds; which. Raises `Wrong`."""
        name = rng.choices(list(self._kinds), [often for often, _ in self._kinds.values()])[0]
        how = self._kinds[name][1](rng)
        return f"{name}, {how}" if name == "to a service that restarts" else name

    def _page(self, rng: random.Random) -> str:
        reply = ask(self._port, "GET", f"{MOUNT}/")
        if (reply.status, reply.body) != (200, PAGE):
            raise Wrong(f"the app's page: {reply.head!r}")
        return ""

    def _request(self, rng: random.Random) -> str:
        size = rng.choice([0, 10, 1000, 70_000, 1_000_000])
        with Client(self._port, timeout=_PATIENCE) as client:
            for _ in range(rng.randint(1, 4)):
                client.send(request_bytes("GET", self._target(f"/{size}")))
                reply = client.reply()
                _expect(reply, _BLOCK[:size])
                if reply.value("connection") == "close":  # it could have left its thread
                    break
        return ""

    def _waiting(self, rng: random.Random) -> str:
        """Long enough to leave its thread; every third visitor does not wait for the answer."""
        milliseconds = rng.choice([20, 50, 300, 1000])
        with Client(self._port, timeout=_PATIENCE) as client:
            client.send(request_bytes("GET", self._target(f"/1000?{milliseconds}")))
            if rng.random() < 0.3:
                client.sock.settimeout(rng.random() * milliseconds / 1000 + 0.001)
                with suppress(OSError):
                    client.sock.recv(rng.randrange(1, 65536))
                if rng.random() < 0.5:
                    reset(client.sock)
            else:
                _expect(client.reply(), _BLOCK[:1000])
        return ""

    def _slow_upload(self, rng: random.Random) -> str:
        """In pieces, with pauses; every third breaks off."""
        body = _BLOCK[: rng.choice([1000, 100_000])]
        wire = self._post(body, rng)
        last = rng.randrange(1, len(wire) - 5) if rng.random() < 0.3 else len(wire)
        pieces = rng.randint(2, 8)
        with Client(self._port, timeout=_PATIENCE) as client:
            for number in range(pieces):
                _send(client, wire[last * number // pieces : last * (number + 1) // pieces])
                time.sleep(rng.random() * 0.1)
            if last == len(wire):
                _expect(client.reply(), body)
            elif rng.random() < 0.5:
                reset(client.sock)
        return ""

    def _aborted(self, rng: random.Random) -> str:
        size = rng.choice([1000, 1_000_000])
        with Client(self._port, timeout=_PATIENCE) as client:
            wire = request_bytes("GET", self._target(f"/{size}"))
            client.send(wire[: rng.randrange(1, len(wire))] if rng.random() < 0.3 else wire)
            if rng.random() < 0.5:
                client.sock.settimeout(rng.random() * 0.02)
                with suppress(OSError):
                    client.sock.recv(rng.randrange(1, 65536))
            if rng.random() < 0.5:
                reset(client.sock)
        return ""

    def _upload(self, rng: random.Random) -> str:
        body = _BLOCK[: rng.choice([1, 1000, 100_000, 1_000_000])]
        with Client(self._port, timeout=_PATIENCE) as client:
            sender = threading.Thread(target=_send, args=(client, self._post(body, rng)))
            sender.start()  # the echo comes while the body is still going out
            try:
                _expect(client.reply(), body)
            finally:
                sender.join()
        return ""

    def _aborted_upload(self, rng: random.Random) -> str:
        wire = self._post(_BLOCK[:300_000], rng)
        with Client(self._port, timeout=_PATIENCE) as client:
            _send(client, wire[: rng.randrange(1, len(wire) - 5)])
            if rng.random() < 0.5:
                reset(client.sock)
        return ""

    def _of_restarted(self, rng: random.Random) -> str:
        target = f"{MOUNT}/{_FILE}?port={self._restarted.port}"
        try:
            reply = ask(self._port, "GET", target)
        except ConnectionError:
            return "broken off"
        if reply.status == 200 and reply.complete:
            _expect(reply, _BLOCK[:_FILE_SIZE])
        elif reply.status not in (200, 502):
            raise Wrong(f"of a service that restarts: {reply.head!r}")
        return str(reply.status) if reply.complete else "broken off"

    def _target(self, path: str) -> str:
        return f"{MOUNT}/proxy/{self._echo.port}{path}"

    def _post(self, body: bytes, rng: random.Random) -> bytes:
        """The request that has `body` echoed."""
        target = self._target("/echo")
        if rng.random() < 0.5:
            return request_bytes("POST", target, body=body)
        head = request_bytes("POST", target, headers=[("Transfer-Encoding", "chunked")])
        blocks = [body[at : at + 65536] for at in range(0, len(body), 65536)]
        return head + b"".join(b"%x\r\n%b\r\n" % (len(b), b) for b in blocks) + b"0\r\n\r\n"


def _expect(reply: Reply, body: bytes) -> None:
    if (reply.status, reply.complete) != (200, True) or reply.body != body:
        raise Wrong(f"{reply.head!r}, complete {reply.complete}, {len(reply.body)} bytes")


def _send(client: Client, wire: bytes) -> None:
    with suppress(OSError):  # what went wrong shows in the answer
        client.send(wire)


def _echo(exchange: Exchange) -> None:
    """Answers `/1000` by so many bytes, `/1000?50` after so many milliseconds, and a POST by its
    body if that came whole."""
    exchange.sock.settimeout(_PATIENCE)
    with suppress(OSError):
        while (request := read_request(exchange)) is not None and request.complete:
            is_upload = request.method == "POST"
            size, _, milliseconds = request.target[1:].partition("?")
            body = request.body if is_upload else _BLOCK[: int(size)]
            time.sleep(int(milliseconds or 0) / 1000)
            exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


class _Restarted:
    """Python's own file server as a process that is killed and started again, on one port."""

    def __init__(self) -> None:
        self.port = free_port()
        self._folder = TemporaryDirectory(prefix="portproxy-soak-")
        with open(f"{self._folder.name}/{_FILE}", "wb") as file:
            file.write(_BLOCK[:_FILE_SIZE])
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._ending.set()
        self._thread.join()
        self._folder.cleanup()

    def _run(self) -> None:
        command = [sys.executable, "-m", "http.server", str(self.port), "--bind", "127.0.0.1"]
        command += ["--directory", self._folder.name]
        quiet = subprocess.DEVNULL
        for number in itertools.count():
            life = random.Random(number).uniform(*_LIFE)
            with subprocess.Popen(command, stdout=quiet, stderr=quiet) as process:
                self._ending.wait(life)
                process.kill()
            if self._ending.wait(life / 10):
                return
