"""Chromium's EventSource through a sync worker: one thread, which an open page must not hold."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.conftest import ServiceFactory
from tests.support.chunks import chunk
from tests.support.endings import reset
from tests.support.servers import Server, gunicorn
from tests.support.service import Exchange, Script
from tests.support.streams import has_left, leaving
from tests.support.urls import path_form
from tests.support.waiting import PATIENCE, peer_left, until

EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
PAGE = b"""<!doctype html><title>events</title><script>
const seen = [], source = new EventSource("events");
source.onmessage = (event) => seen.push(event.data);
source.onerror = () => seen.push("error " + source.readyState);
</script>"""


@pytest.fixture(scope="module")
def host() -> Iterator[Server]:
    with gunicorn("tests.support.streamapp:quick", worker="sync", threads=1) as server:
        yield server
        assert "Traceback" not in server.output()


class EventService:
    """A page with an EventSource, and the n-th of its connections in the hands of `streams[n]`."""

    def __init__(self, *streams: Script) -> None:
        self._streams = iter(streams)
        self.heads: list[bytes] = []  # of the requests for events

    def __call__(self, exchange: Exchange) -> None:
        while head := exchange.read_head():
            path = head.split(b" ")[1]
            if path == b"/events":
                self.heads.append(head)
                next(self._streams)(exchange)
                return
            body = PAGE if path == b"/" else b"another page"
            field = b"Content-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(body)
            exchange.send(b"HTTP/1.1 200 OK\r\n" + field + body)


def event(number: int) -> bytes:
    return chunk(b"id: %d\ndata: %d\n\n" % (number, number))


def opened(browser: Browser, host: Server, port: int) -> Page:
    """The page in a browser of alice's."""
    context = browser.new_context()
    site = f"http://127.0.0.1:{host.port}"
    context.add_cookies([{"name": "user", "value": "alice", "url": site}])
    page = context.new_page()
    page.goto(site + path_form(port, "/"))
    return page


def sees(page: Page, *expected: str) -> None:
    until(lambda: page.evaluate("seen")[-len(expected) :] == list(expected), f"{expected}")


def test_events_come_one_by_one_and_the_worker_is_free(
    host: Server, service: ServiceFactory, browser: Browser
) -> None:
    go, left = threading.Semaphore(0), threading.Event()

    def stream(exchange: Exchange) -> None:
        exchange.send(EVENTS)
        for number in range(2):
            assert go.acquire(timeout=PATIENCE)
            exchange.send(event(number))
        until(lambda: peer_left(exchange.sock), "the page was closed")
        left.set()

    upstream = service(EventService(stream))
    page = opened(browser, host, upstream.port)
    for number in range(2):
        go.release()
        sees(page, str(number))
        leaving(host, path_form(upstream.port, "/events"))
        other = page.evaluate("fetch('other').then((response) => response.text())")
        assert other == "another page"
    page.close()
    assert left.wait(PATIENCE), "the service was not told that the page is closed"
    page.context.close()


def end(exchange: Exchange) -> None:
    exchange.send(b"0\r\n\r\n")


def cut(exchange: Exchange) -> None:
    pass


def break_off(exchange: Exchange) -> None:
    reset(exchange.sock)


@pytest.mark.parametrize("ending", [end, cut, break_off])
def test_an_event_source_goes_on_behind_an_end(
    host: Server, service: ServiceFactory, browser: Browser, ending: Callable[[Exchange], None]
) -> None:
    """It connects again, and says which event it saw last."""
    go, done = threading.Event(), threading.Event()

    def first(exchange: Exchange) -> None:
        exchange.send(EVENTS.replace(b"\r\n\r\n", b"\r\n\r\n" + chunk(b"retry: 50\n\n")) + event(7))
        assert go.wait(PATIENCE)
        ending(exchange)

    def second(exchange: Exchange) -> None:
        exchange.send(EVENTS + event(8))
        assert done.wait(PATIENCE)

    events = EventService(first, second)
    upstream = service(events)
    page = opened(browser, host, upstream.port)
    sees(page, "7")
    until(lambda: has_left(host, path_form(upstream.port, "/events")), "it left")
    go.set()
    sees(page, "7", "error 0", "8")  # 0: connecting again
    assert b"last-event-id: 7\r\n" in events.heads[1].lower()
    page.context.close()
    done.set()
