"""A browser's cookies, which the app and all services share: however many a service sets, the app
stays reachable, and the visitor signed in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import expect

from tests.support.service import Exchange, Service

from .chromium import Visitor
from .conftest import Visit

PICTURES, COOKIES, FRAMES = 40, 20, 12
# Bytes of a value: not so many that the service's own pages are refused for theirs.
SIZES = {"p": 40, "q": 400, "f": 40}


def answer(body: str, cookies: int = 0, number: str = "") -> bytes:
    """An answer that sets so many cookies for the whole site, each of its own name."""
    lines = ["HTTP/1.1 200 OK", "Content-Type: text/html", f"Content-Length: {len(body)}"]
    for one in range(cookies):
        value = "x" * SIZES[number[0]]
        lines.append(f"Set-Cookie: c{number}{one}={value}; Path=/; Max-Age=999999")
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def script(exchange: Exchange) -> None:
    while head := exchange.read_head():
        path = head.split(b" ")[1].decode().partition("?")[0]
        if path == "/pictures":
            images = "".join(f"<img src=p{number}- alt=''>" for number in range(PICTURES))
            exchange.send(answer(f"<title>Pictures</title>{images}"))
        else:
            exchange.send(answer("<title>x</title>", COOKIES, path[1:].replace("/", "")))


@pytest.fixture
def services() -> Iterator[list[Service]]:
    with ExitStack() as stack:
        made = [Service(script) for _ in range(FRAMES)]
        for one in made:
            stack.callback(one.close)
        yield made


@pytest.mark.promise("A service's cookies leave your app reachable")
@pytest.mark.case("cookies without number")
@pytest.mark.parametrize("form", ["path", "query"])
def test_a_service_that_sets_hundreds_of_cookies_signs_nobody_out(
    visit: Visit, services: list[Service], form: str
) -> None:
    """By its pictures, all asked for at once, and in the query form at a mount's own pages."""
    alice = visit("alice")
    port = services[0].port
    if form == "path":
        alice.open(f"/alice/vision/proxy/{port}/pictures").close()
    else:
        tab = alice.open("/alice/vision/")
        tab.evaluate(
            """async ([port, count]) => {
                const names = [...Array(count).keys()];
                await Promise.all(names.map(one => fetch(`/alice/vision/q${one}-?port=${port}`)));
            }""",
            [port, PICTURES],
        )
        tab.close()
    assert_signed_in(alice)
    jar = alice.context.cookies()
    assert len(jar) < 120
    for path in ("/", "/alice/vision", "/alice/vision/"):
        reached = [one for one in jar if path.startswith(one["path"].rstrip("/") or "/")]
        assert sum(len(one["name"]) + len(one["value"]) for one in reached) < 6000


@pytest.mark.promise("A service's cookies leave your app reachable")
@pytest.mark.case("cookies without number")
def test_a_page_that_opens_many_services_signs_nobody_out(
    visit: Visit, services: list[Service]
) -> None:
    """Each frame is a service that is opened, which the browser is to remember for handshakes."""
    alice = visit("alice")
    tab = alice.open("/alice/vision/")
    tab.evaluate(
        """async ports => {
            await Promise.all(ports.map(port => new Promise(resolve => {
                const frame = document.createElement("iframe");
                frame.onload = resolve;
                frame.src = `/alice/vision/proxy/${port}/frame-${port}-`;
                document.body.append(frame);
            })));
        }""",
        [one.port for one in services],
    )
    tab.close()
    assert_signed_in(alice)
    ours = [one for one in alice.context.cookies() if one["path"] == "/"]
    names = sorted(one["name"] for one in ours if one["name"].startswith("portproxy."))
    assert set(names) <= {
        f"portproxy.{kind}{slot}" for kind in ("hint", "copy") for slot in range(6)
    }
    assert sum(len(one["name"]) + len(one["value"]) for one in ours) < 6000


def assert_signed_in(visitor: Visitor) -> None:
    tab = visitor.open("/")
    expect(tab.get_by_role("heading", name="Projects")).to_be_visible()
    tab.close()
