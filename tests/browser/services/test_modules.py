"""A page of 300 modules over HTTP/2, from a server of four threads, while each is still compiled.

This is the cold start of Vite's development server. nginx lets a browser ask for 128 things at a
time (its default) where an HTTP/1.1 server sees six: all of them wait for the service, and none may
hold a thread meanwhile.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser

from tests.conftest import ServiceFactory
from tests.support.nginx import nginx_of_readme
from tests.support.servers import gunicorn
from tests.support.service import Exchange
from tests.support.tls import tls_files
from tests.support.waiting import PATIENCE, until

from .builders import VITE
from .conftest import Begin
from .modules import BEFORE_PARTS, INDEX, NAMES, path_of, see_that_all_ran, sources
from .service import HOST, PROJECT, QUERY, running_service
from .tour import Address, Guest, Site, see_the_app

THREADS = 4
COMPILERS = 24
CROWD = 100  # modules that wait at once; nginx has at most 128 of a browser
COMPILING = 0.2  # seconds that a module takes: those that wait their turn are answered after more
IMPORT = re.compile(r'from "\./(\w+)"')


class ViteLike:
    """A stand-in for Vite's development server, which needs Node (`VITE` is the real one).

    Like that one it serves the page as it is written, and the modules with root-absolute imports,
    not to be kept without asking; each is compiled when it is first asked for. Unlike that one it
    has no WebSocket, and compiles nothing ahead.

    compile: takes as long as a module takes. waiting: how many are asked for and not answered.
    """

    def __init__(self, compile: Callable[[], None]) -> None:
        self.waiting = 0
        self._compile = compile
        self._modules = {f"/{path}": IMPORT.sub(_found, text) for path, text in sources().items()}
        self._lock = threading.Lock()

    def __call__(self, exchange: Exchange) -> None:
        while head := exchange.read_head():
            path = head.split(b" ")[1].decode()
            if path == "/":
                self._answer(exchange, b"200 OK", b"text/html", INDEX)
            elif path in self._modules:
                self._wait()
                self._answer(exchange, b"200 OK", b"text/javascript", self._modules[path])
            else:
                self._answer(exchange, b"404 Not Found", b"text/plain", "no such module")

    def _wait(self) -> None:
        with self._lock:
            self.waiting += 1
        self._compile()
        with self._lock:
            self.waiting -= 1

    def _answer(self, exchange: Exchange, status: bytes, content_type: bytes, text: str) -> None:
        body = text.encode()
        lines = (status, content_type, len(body))
        head = b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n" % lines
        exchange.send(head + b"Cache-Control: no-cache\r\n\r\n" + body)


def _found(match: re.Match[str]) -> str:
    return f'from "/{path_of(match[1])}"'


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """The host app on few threads, behind nginx with the README's lines."""
    with (
        tls_files() as tls,
        gunicorn("tests.browser.services.hostapp:application", threads=THREADS) as server,
        nginx_of_readme(server.port, tls) as front,
    ):
        yield Site(f"https://localhost:{front.port}", tls.authority)
        assert "Traceback" not in server.output(), server.output()
        assert "[error]" not in front.output(), front.output()


@pytest.mark.parametrize("form", [QUERY, HOST])
def test_a_page_of_300_modules_that_are_compiled_slowly_is_complete(
    form: str, site: Site, guest: Guest, service: ServiceFactory
) -> None:
    compilers = threading.Semaphore(COMPILERS)
    shells = threading.Semaphore(BEFORE_PARTS)
    crowded = threading.Event()

    def compile() -> None:
        # The parts begin when a hundred of them wait, however slowly the browser asks for them.
        if not shells.acquire(blocking=False):
            if vite.waiting > CROWD:
                crowded.set()
            assert crowded.wait(PATIENCE), f"only {vite.waiting} modules were asked for at once"
        with compilers:
            time.sleep(COMPILING)

    vite = ViteLike(compile)
    address = Address(form, site.url, service(vite).port)
    guest.at(address)
    page = guest.context.new_page()
    page.goto(address.typed("", ""))
    see_that_all_ran(page)
    assert crowded.is_set()


def test_the_app_answers_while_a_hundred_modules_wait(
    site: Site, guest: Guest, browser: Browser, service: ServiceFactory
) -> None:
    permits = threading.Semaphore(BEFORE_PARTS)

    def compile() -> None:
        assert permits.acquire(timeout=PATIENCE)

    vite = ViteLike(compile)
    address = Address(QUERY, site.url, service(vite).port)
    guest.at(address)
    page = guest.context.new_page()
    page.goto(address.typed("", ""), wait_until="commit")
    until(lambda: vite.waiting > CROWD, "a hundred modules wait")

    # With a browser profile, and hence a connection, of its own.
    another = Guest(site.url, browser.new_context(ignore_https_errors=True))
    another.at(address)
    app = another.open(PROJECT)
    see_the_app(app, site.url + PROJECT, "Project page")
    another.context.close()
    assert another.unexpected() == []
    assert vite.waiting > CROWD

    permits.release(len(NAMES))
    see_that_all_ran(page)


@pytest.mark.npm
@pytest.mark.parametrize("form", [QUERY, HOST])
def test_the_same_of_vite_itself(
    form: str, begin_tour: Begin, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with running_service(VITE, tmp_path_factory.mktemp("vite")) as running:
        VITE.use(begin_tour(running, form))
