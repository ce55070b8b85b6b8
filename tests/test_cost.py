"""What a request costs, counted: bytecodes, which repeat, instead of times, which do not.

A budget is at most half as much again as what was needed when it was set, so that it outlives small
changes and other Pythons, and a change that doubles a cost does not go in unnoticed. In
microseconds and against others all of this is measured by `make bench`; benchmarks/history.md tells
how it came down. Whoever has a good reason to spend more raises the budget, and says so there.
"""

from __future__ import annotations

import gc
import io
import logging
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.chunks import chunk
from tests.support.service import Exchange, Script, Service, answers
from tests.unit.given import environ
from wsgi_portproxy import AskApp, PortProxy
from wsgi_portproxy.policy.authorize import Authorizer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

BROWSER: dict[str, Any] = {
    "HTTP_CONNECTION": "keep-alive",
    "HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0.0.0 Safari/537.36",
    "HTTP_ACCEPT": "*/*",
    "HTTP_ACCEPT_ENCODING": "gzip, deflate, br, zstd",
    "HTTP_ACCEPT_LANGUAGE": "en-US,en;q=0.9",
    "HTTP_SEC_FETCH_SITE": "same-origin",
    "HTTP_SEC_FETCH_MODE": "no-cors",
    "HTTP_SEC_FETCH_DEST": "script",
    "HTTP_COOKIE": "sessionid=S; csrftoken=C; _xsrf=2|8f0a1c3e|5b7d9f1a; theme=dark",
}
HEAD = (
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Thu, 26 Nov 2026 22:36:19 GMT\r\n"
    b"Content-Type: text/plain\r\n%b\r\nLast-Modified: Thu, 26 Nov 2026 22:36:19 GMT\r\n"
    b'Connection: keep-alive\r\nETag: "6b08b463-400"\r\nAccept-Ranges: bytes\r\n\r\n'
)
PAGE = b"x" * 1024
SMALL = HEAD % b"Content-Length: 1024" + PAGE
WARM = 5  # calls before the one that counts: connections, tables and caches are there


@pytest.fixture(autouse=True)
def log_as_deployed() -> Iterator[None]:
    """Without the line of DEBUG for each request, whatever tests before have switched on."""
    log = logging.getLogger("wsgi_portproxy")
    before = log.level
    log.setLevel(logging.INFO)
    yield
    log.setLevel(before)


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "4")])
    return [b"page"]


def may_view(request: object, target: object) -> bool:
    return True


def proxy_with(authorizer: Authorizer) -> PortProxy:
    def on_request(metrics: object) -> None:
        pass

    mount = "/{username}/{project}"
    return PortProxy(
        app, authorizer=authorizer, mount=mount, on_finished=on_request, ports=range(1, 65536)
    )


def ask(proxy: PortProxy, made: WSGIEnvironment) -> int:
    """Bytes of the body of a 200."""
    begun: list[str] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], None]:
        begun.append(status)
        return lambda data: None

    body: Any = proxy(made, start_response)
    size = sum(map(len, body))
    if hasattr(body, "close"):
        body.close()
    assert begun == ["200 OK"]
    return size


def bytecodes(call: Callable[[], int], expected: int) -> int:
    """How many Python executes in this thread for `call`, whose result has to be `expected`: the
    fewest of some calls, since one that had to wait for its answer takes more."""
    for _ in range(WARM):
        assert call() == expected
    counts = min((_counted(call, expected) for _ in range(WARM)), key=Counter.total)
    print("\n".join(f"{n:6} {code.co_filename}:{code.co_name}" for code, n in counts.most_common()))
    return counts.total()


def _counted(call: Callable[[], int], expected: int) -> Counter[CodeType]:
    counts: Counter[CodeType] = Counter()

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            counts[frame.f_code] += 1
        return trace

    before = sys.gettrace()
    gc.collect()  # what other tests left behind is not to end in the midst, and be counted
    gc.disable()
    sys.settrace(trace)
    try:
        result = call()
    finally:
        sys.settrace(before)
        gc.enable()
    assert result == expected
    return counts


def within(counted: int, budget: int) -> bool:
    """A third of a budget is not enough for anything: then something was not counted."""
    print(f"{counted} of {budget}")
    return budget / 3 < counted <= budget


def test_a_request_for_a_small_answer() -> None:
    with closing(Service(answers(SMALL))) as service, closing(proxy_with(may_view)) as proxy:
        made = environ(f"/alice/vision/proxy/{service.port}/1k", **BROWSER)
        assert within(bytecodes(lambda: ask(proxy, made), 1024), 4400)
        assert service.connections == 1


def test_a_request_that_is_not_for_us() -> None:
    proxy = proxy_with(may_view)
    made = environ("/alice/vision/settings?tab=2", **BROWSER)
    assert within(bytecodes(lambda: ask(proxy, made), 4), 300)


def test_what_askapp_adds_once_it_knows_the_verdict() -> None:
    asking, knowing = (
        proxy_with(AskApp(app, "/{username}/{project}/", seconds=3600)),
        proxy_with(may_view),
    )
    with closing(Service(answers(SMALL))) as service, closing(asking), closing(knowing):
        made = environ(f"/alice/vision/proxy/{service.port}/1k", **BROWSER)
        counted = bytecodes(lambda: ask(asking, made), 1024)
        without = bytecodes(lambda: ask(knowing, made), 1024)
    assert within(counted - without, 190)


def sends(framing: bytes, *pieces: bytes) -> Script:
    def script(exchange: Exchange) -> None:
        while exchange.read_head():
            exchange.send(HEAD % framing)
            for piece in pieces:
                exchange.send(piece)

    return script


def takes(exchange: Exchange) -> None:
    """Reads a body of LARGE bytes, then answers."""
    sink = bytearray(MEBIBYTE)
    while exchange.read_head():
        left, exchange.buffer = LARGE - len(exchange.buffer), b""
        while left:
            left -= exchange.sock.recv_into(sink, min(left, len(sink)))
        exchange.send(SMALL)


MEBIBYTE = 1 << 20
LARGE = 64 * MEBIBYTE
ZEROS = bytes(MEBIBYTE)
IN_CHUNKS = (*[chunk(ZEROS)] * 64, chunk(b""))
DOWN = {
    "length": sends(b"Content-Length: %d" % LARGE, *[ZEROS] * 64),
    "chunked": sends(b"Transfer-Encoding: chunked", *IN_CHUNKS),
}


class Zeros(io.RawIOBase):
    """A `wsgi.input` of LARGE bytes, that are in no memory."""

    left = LARGE

    def read(self, limit: int = -1) -> bytes:
        data = ZEROS[: min(self.left, limit)]
        self.left -= len(data)
        return data


def large(service: Service) -> WSGIEnvironment:
    return environ(f"/alice/vision/proxy/{service.port}/large")


@pytest.mark.parametrize("framing", DOWN)
def test_memory_does_not_grow_with_an_answer(framing: str) -> None:
    with closing(Service(DOWN[framing])) as service, closing(proxy_with(may_view)) as proxy:
        assert peak(lambda: ask(proxy, large(service)), LARGE) < 4 * MEBIBYTE


def test_memory_does_not_grow_with_an_upload() -> None:
    body = Zeros()
    fields = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(LARGE), "wsgi.input": body}
    with closing(Service(takes)) as service, closing(proxy_with(may_view)) as proxy:
        made = {**large(service), **fields}
        assert peak(lambda: ask(proxy, made), len(PAGE)) < 4 * MEBIBYTE
    assert body.left == 0


def peak(call: Callable[[], int], expected: int) -> int:
    """Bytes that were allocated at a time during `call`, whose result has to be `expected`."""
    tracemalloc.start()
    try:
        assert call() == expected
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
