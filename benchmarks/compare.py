"""What two checkouts add to a request, in turns in one run: processor time of the server's worker.

`python -m benchmarks.compare BEFORE [AFTER]` takes two folders that hold `wsgi_portproxy`; AFTER is
this one unless it is given. Each is served by gunicorn (gthread, 4 threads), in front of a service
that answers at once, and asked in turns on one connection, as a browser asks; what the wrapped
app's own page costs in the same turn is subtracted. A machine that does nothing else varies by some
percent from run to run.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.support.ports import free_port

from .processes import ROOT, Program

APP = """
import wsgi_portproxy
from wsgi_portproxy import PortProxy

print("serving", wsgi_portproxy.__file__, flush=True)

def page(environ, start_response):
    start_response("200 OK", [("Content-Length", "14")])
    return [b"a small answer"]

application = PortProxy(
    page,
    authorizer=lambda request, target: True,
    mount="/{username}/{project}",
    ports=range(1, 65536),
)
"""
HEADERS = (
    "Host: localhost\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0.0.0\r\n"
    "Accept: */*\r\nAccept-Encoding: gzip\r\nAccept-Language: en\r\nSec-Fetch-Site: same-origin\r\n"
    "Sec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: script\r\nReferer: http://localhost{page}\r\n"
    "Cookie: sessionid=S; csrftoken=C; _xsrf=2|8f0a1c3e|5b7d9f1a; theme=dark\r\n\r\n"
)


class Host:
    """One checkout, served; asked on one connection."""

    def __init__(self, checkout: Path, folder: str, stack: ExitStack) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "gunicorn", "-k", "gthread", "--threads", "4"]
        command += ["-b", f"127.0.0.1:{self.port}", "--chdir", folder, "--keep-alive", "60"]
        command += ["--log-level", "warning", "app:application"]
        # In the folder, since `-m` looks for packages where it is run first of all.
        env = {**os.environ, "PYTHONPATH": str(checkout)}
        server = subprocess.Popen(command, cwd=folder, env=env)
        stack.callback(server.wait, 30)
        stack.callback(server.terminate)
        self._socket = stack.enter_context(self._connected())
        self._socket.sendall(f"GET / HTTP/1.1\r\n{HEADERS.format(page='/')}".encode())
        self._socket.recv(65536)  # there is a worker, then
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
        (self._worker,) = children.read_text("ascii").split()

    def _connected(self) -> socket.socket:
        for _ in range(300):
            try:
                return socket.create_connection(("127.0.0.1", self.port), timeout=30)
            except ConnectionRefusedError:
                time.sleep(0.1)
        raise RuntimeError("the server does not start")

    def ask(self, path: str, page: str, count: int) -> float:
        """Microseconds of processor time of the worker for each of `count` requests."""
        request = f"GET {path} HTTP/1.1\r\n{HEADERS.format(page=page)}".encode()
        before = self._used()
        for _ in range(count):
            self._socket.sendall(request)
            answer = b""
            while not answer.endswith(b"a small answer"):
                data = self._socket.recv(65536)
                if not data or not answer.startswith(b"HTTP/1.1 200"[: len(answer)]):
                    raise RuntimeError(f"GET {path}: {answer[:300]!r}")
                answer += data
        return (self._used() - before) / count / 1000

    def _used(self) -> int:
        """Nanoseconds of processor time of all of the worker's threads."""
        tasks = Path(f"/proc/{self._worker}/task").glob("*/schedstat")
        return sum(int(task.read_text("ascii").split()[0]) for task in tasks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path, nargs="?", default=ROOT)
    parser.add_argument("--rounds", type=int, default=200, help="turns of each (200)")
    parser.add_argument("--requests", type=int, default=100, help="in a turn (100)")
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        Path(folder, "app.py").write_text(APP, "utf-8")
        service = stack.enter_context(Program("keeping_service", 1)).first["ports"][0]
        page = f"/alice/vision/proxy/{service}/"
        hosts = [Host(path.resolve(), folder, stack) for path in (given.before, given.after)]
        added: list[list[float]] = [[], []]
        for turn in range(given.rounds + 1):
            for host, costs in zip(hosts, added, strict=True):
                proxied = host.ask(f"{page}app.js", page, given.requests)
                own = host.ask("/own", "/", given.requests)
                if turn:  # the first one warms up
                    costs.append(proxied - own)
        ratios = [after / before for before, after in zip(*added, strict=True)]
        for path, costs in zip((given.before, given.after), added, strict=True):
            print(f"{path}: adds {statistics.median(costs):.0f} us of CPU to a request (median)")
        print(f"after / before: {statistics.median(ratios):.3f} (median of the turns' ratios)")


if __name__ == "__main__":
    main()
