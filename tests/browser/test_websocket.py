"""WebSockets of a page behind a port, from a browser: what notebooks and dashboards live on."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from tests.support.ports import bound_socket, free_port
from tests.support.servers import ROOT, running
from tests.support.waiting import until

from .chromium import Visitor
from .conftest import Visit
from .demo import Demo

MEBIBYTE = 1 << 20
THREADS = 2
TABS = 2 * THREADS

# `socket` is relative to the page's own address, as the scripts of most services have it.
PAGE = """<!doctype html>
<title>Chat</title>
<link rel="icon" href="data:,">
<p id="state">connecting</p>
<script>
const address = new URL("socket?room=1", location.href);
address.protocol = address.protocol.replace("http", "ws");
const socket = new WebSocket(address, ["chat.v2", "chat.v1"]);
socket.binaryType = "arraybuffer";
const state = document.getElementById("state");
socket.onopen = () => { state.textContent = "open"; };
const closed = new Promise(resolve => {
  socket.onclose = event => {
    state.textContent = "closed";
    resolve({ code: event.code, reason: event.reason, clean: event.wasClean });
  };
});
function echoOf(message) {
  return new Promise(resolve => {
    socket.addEventListener("message", event => resolve(event.data), { once: true });
    socket.send(message);
  });
}
async function echoOfBytes(length) {
  const sent = new Uint8Array(length).map((_, i) => (i * 31 + (i >> 8)) & 255);
  const data = new Uint8Array(await echoOf(sent));
  return data.length === length && data.every((byte, i) => byte === sent[i]);
}
</script>
"""


class Chat:
    """A service of one page and its WebSocket. Both are real: the `websockets` library."""

    def __init__(self) -> None:
        self.handshakes: list[Request] = []
        self.close_codes: list[int | None] = []  # as it saw them, of connections that ended
        self.open = 0
        self._lock = threading.Lock()
        sock = bound_socket()
        self.port: int = sock.getsockname()[1]
        sock.listen(100)
        self._server = serve(
            self._talk,
            sock=sock,
            process_request=self._page,
            subprotocols=["chat.v1"],  # type: ignore[list-item]
            max_size=2 * MEBIBYTE,
        )
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def _page(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path.startswith("/socket"):
            self.handshakes.append(request)
            return None
        response = connection.respond(HTTPStatus.OK, PAGE)
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "text/html; charset=utf-8"
        return response

    def _talk(self, connection: ServerConnection) -> None:
        with self._lock:
            self.open += 1
        try:
            for message in connection:
                if message == "please close":
                    connection.close(4321, "as you asked")
                else:
                    connection.send(message)
        except ConnectionClosed:
            pass
        finally:
            with self._lock:
                self.open -= 1
                self.close_codes.append(connection.close_code)

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()


@pytest.fixture
def chat() -> Iterator[Chat]:
    chat = Chat()
    yield chat
    chat.stop()


def open_chat(visitor: Visitor, chat: Chat) -> Page:
    page = visitor.open(f"/alice/vision/?port={chat.port}")
    expect(page.locator("#state")).to_have_text("open")
    assert page.url == f"{visitor.site}/alice/vision/proxy/{chat.port}/"
    return page


def closing(page: Page) -> dict[str, Any]:
    """What the page's close event says, once it came."""
    event: dict[str, Any] = page.evaluate("closed")
    return event


def test_text_and_a_mebibyte_of_bytes_come_back_whole(visit: Visit, chat: Chat) -> None:
    page = open_chat(visit("alice"), chat)
    for text in ("hello", "", "größer ✓ 𝄞", "x" * 200_000):
        assert page.evaluate("text => echoOf(text)", text) == text
    assert page.evaluate(f"echoOfBytes({MEBIBYTE})")


def test_the_service_sees_a_local_page_and_none_of_the_apps_cookies(
    visit: Visit, chat: Chat
) -> None:
    page = open_chat(visit("alice"), chat)
    assert page.evaluate("socket.protocol") == "chat.v1"
    [request] = chat.handshakes
    assert request.path == "/socket?room=1"
    assert request.headers["Host"] == f"localhost:{chat.port}"
    assert request.headers["Origin"] == f"http://localhost:{chat.port}"
    assert "workbench_session" not in request.headers.get("Cookie", "")


def test_each_side_sees_the_close_code_of_the_other(visit: Visit, chat: Chat) -> None:
    alice = visit("alice")
    page = open_chat(alice, chat)
    page.evaluate("socket.send('please close')")
    assert closing(page) == {"code": 4321, "reason": "as you asked", "clean": True}

    page = open_chat(alice, chat)
    page.evaluate("socket.close(4004, 'enough')")
    assert closing(page) == {"code": 4004, "reason": "enough", "clean": True}
    until(lambda: chat.close_codes == [4321, 4004], "the service sees the page's code")


def test_a_service_that_stops_and_a_tab_that_is_closed_end_the_socket_on_the_other_side(
    visit: Visit, chat: Chat
) -> None:
    alice = visit("alice")
    first, second = open_chat(alice, chat), open_chat(alice, chat)
    until(lambda: chat.open == 2, "both are connected")
    first.close()
    until(lambda: chat.close_codes == [1001], "the service sees that the tab is gone")
    chat.stop()
    assert closing(second) == {"code": 1001, "reason": "", "clean": True}


def test_bob_gets_no_socket_though_his_page_is_of_the_same_site(visit: Visit, chat: Chat) -> None:
    bob = visit("bob")
    bob.expects(rf"/alice/vision/proxy/{chat.port}/socket")
    page = bob.open("/")
    address = f"{bob.site}/alice/vision/proxy/{chat.port}/socket".replace("http", "ws", 1)
    code = page.evaluate(
        """address => new Promise(resolve => {
            new WebSocket(address).onclose = event => resolve(event.code);
        })""",
        address,
    )
    assert code == 1006
    assert chat.handshakes == []


@contextlib.contextmanager
def django_with_few_threads(demo: Demo) -> Iterator[str]:
    """The address of a second gunicorn of the demo's project: the same users and sessions."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--chdir", str(ROOT / "examples/django_project")]
    command += ["--config", str(ROOT / "examples" / "gunicorn" / "gunicorn.conf.py")]
    command += ["--workers", "1", "--threads", str(THREADS), "--bind", f"127.0.0.1:{port}"]
    command += ["workbench.wsgi:application"]
    env = {"WORKBENCH_DATA": str(demo.data), "WORKBENCH_HOSTS": "localhost,app.test"}
    with running(command, port, env=env) as server:
        yield f"http://localhost:{port}"
        assert "Traceback" not in server.output(), server.output()


def test_open_sockets_hold_no_threads(visit: Visit, demo: Demo, chat: Chat) -> None:
    with django_with_few_threads(demo) as site:
        alice = visit("alice", site=site)
        pages = [open_chat(alice, chat) for _ in range(TABS)]
        until(lambda: chat.open == TABS, "all tabs are connected")

        page = alice.open("/alice/vision/")
        expect(page.get_by_role("heading", name="Open a port")).to_be_visible()
        for number, page in enumerate(pages):
            assert page.evaluate("text => echoOf(text)", f"tab {number}") == f"tab {number}"
        for page in pages:
            page.evaluate("socket.close(4000)")
            assert closing(page)["code"] == 4000
        until(lambda: chat.open == 0, "all are closed")
