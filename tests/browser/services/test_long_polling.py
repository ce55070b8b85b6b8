"""Fifty clients of Socket.IO that only poll, each by a request that is nearly always open, on eight
threads."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
import requests
import socketio  # type: ignore[import-untyped]
from playwright.sync_api import Browser

from tests.browser.chromium import Visitor
from tests.support.nginx import nginx_of_readme
from tests.support.servers import ROOT, Server, gunicorn
from tests.support.streams import state
from tests.support.tls import tls_files
from tests.support.urls import path_form
from tests.support.waiting import PATIENCE, until

from .service import Guide, Running, Service, running_service
from .tour import Tour

CLIENTS = 50
THREADS = 8
AT_ONCE = 10  # python-socketio's client takes at most 16 packets by one poll
TEXTS = [f"hello from {number}" for number in range(CLIENTS)]
CLIENT_OF_NPM = ROOT / ".venv-services/lib/node_modules/socket.io-client/dist/socket.io.min.js"
# In the log of gunicorn and of the middleware.
FAILED = re.compile(r'" [45]\d\d |portproxy (WARNING|ERROR)|Traceback')


def use_chat(tour: Tour) -> None:
    raise NotImplementedError("by fifty clients at a time, below")


CHAT = Service(
    name="socketio-polling",
    title="Flask-SocketIO (polling)",
    command="python3 app.py",
    port=15000,
    app="socketio_polling",
    use=use_chat,
    guide=Guide(tried=(), loopback=""),
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """The test app, which tells how many requests have left their thread."""
    with (
        gunicorn("tests.support.streamapp:quick", threads=THREADS) as server,
    ):
        yield server
        output = server.output()
        assert not FAILED.search(output), output


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_service(CHAT, tmp_path_factory.mktemp("chat")) as running:
        yield running


class Talker:
    """A client of python-socketio. trouble: whatever it was told that is none of its messages."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.trouble: list[object] = []
        self._session = requests.Session()
        self._session.cookies.set("user", "alice")
        self._client = socketio.Client(
            reconnection=False, handle_sigint=False, http_session=self._session
        )
        self._client.on("said", self.heard.append)
        self._client.on("connect_error", self.trouble.append)
        self._client.on("disconnect", self.trouble.append)

    def connect(self, host: int, service: int) -> None:
        self._client.connect(
            f"http://127.0.0.1:{host}",
            transports=["polling"],
            socketio_path=path_form(service, "/socket.io"),
            wait_timeout=PATIENCE,
        )

    def say(self, text: str) -> None:
        self._client.emit("say", text)

    def leave(self) -> None:
        self._client.disconnect()
        self._session.close()


def all_heard(talkers: list[Talker], number: int) -> bool:
    return all(len(talker.heard) >= number for talker in talkers)


def all_wait(server: Server, number: int) -> None:
    """The app answers, and says that so many requests are open which have left their thread."""
    until(lambda: state(server.port)["streams"] == number, f"{number} polls are open")


def test_fifty_clients_hear_one_another_and_the_app_answers(server: Server, chat: Running) -> None:
    talkers = [Talker() for _ in range(CLIENTS)]
    with ExitStack() as stack, ThreadPoolExecutor(CLIENTS) as at_once:
        for talker in talkers:
            stack.callback(talker.leave)
        list(at_once.map(lambda talker: talker.connect(server.port, chat.port), talkers))
        all_wait(server, CLIENTS)
        for number in range(0, CLIENTS, AT_ONCE):
            speaking = slice(number, number + AT_ONCE)
            list(at_once.map(Talker.say, talkers[speaking], TEXTS[speaking]))
            until(lambda: all_heard(talkers, AT_ONCE), "each has heard all")
            for talker in talkers:
                assert sorted(talker.heard) == sorted(TEXTS[speaking])
                talker.heard.clear()
            all_wait(server, CLIENTS)
        assert [talker.trouble for talker in talkers] == [[]] * CLIENTS
    all_wait(server, 0)


@pytest.mark.npm
def test_fifty_clients_of_a_page_do_over_http_2(
    server: Server, chat: Running, browser: Browser
) -> None:
    """With Socket.IO's own client, in Chromium, which has six connections only over HTTP/1.1."""
    (chat.folder / "static").mkdir()
    shutil.copy(CLIENT_OF_NPM, chat.folder / "static")
    with tls_files() as tls, nginx_of_readme(server.port, tls) as front:
        site = f"https://localhost:{front.port}"
        context = browser.new_context(ignore_https_errors=True)
        context.add_cookies([{"name": "user", "value": "alice", "url": site}])
        alice = Visitor(site, context)
        page = alice.open(path_form(chat.port, f"/?clients={CLIENTS}"))
        page.wait_for_function("sockets.every(socket => socket.connected)")
        all_wait(server, CLIENTS)
        for _ in range(2):
            page.evaluate("texts => sockets.forEach((s, i) => s.emit('say', texts[i]))", TEXTS)
            page.wait_for_function(f"heard.every(texts => texts.length === {CLIENTS})")
            all_wait(server, CLIENTS)
            for heard in page.evaluate("heard.map(texts => texts.splice(0))"):
                assert sorted(heard) == sorted(TEXTS)
        assert page.evaluate("errors") == []
        protocols = "performance.getEntriesByType('resource').map(entry => entry.nextHopProtocol)"
        assert set(page.evaluate(protocols)) == {"h2"}
        transports = "[...new Set(sockets.map(socket => socket.io.engine.transport.name))]"
        assert page.evaluate(transports) == ["polling"]
        context.close()
        assert alice.unexpected() == []
        assert "[error]" not in front.output(), front.output()
    all_wait(server, 0)
