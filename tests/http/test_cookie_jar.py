"""How much of a visitor's cookie jar services may take, however many answer at once.

What a browser has for the app's pages goes along with each request to the app, whose server takes
some 8 KiB of it; and of one site it keeps some 180 cookies.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import ServiceFactory
from tests.support import marks
from tests.support.client import Reply, ask, own_session
from tests.support.received import OK
from tests.support.servers import Server
from tests.support.service import Exchange, Script, Service
from tests.support.urls import path_form

NAVIGATES = [("Sec-Fetch-Mode", "navigate")]
# What a browser keeps of a site when it drops some, those first that were used longest ago.
STORE = 150


@pytest.fixture
def host(variants: Mapping[str, Server]) -> Server:
    """An app around which services stray, on a server with its own limits of a request."""
    return variants["plain"]


class Jar:
    """A browser's cookies of this site: what answers set, by name and path."""

    def __init__(self) -> None:
        self.cookies: dict[tuple[str, str], str] = {}

    def take(self, target: str, reply: Reply) -> None:
        for line in reply.values("Set-Cookie"):
            pair, *attributes = line.split(";")
            given = dict(one.strip().partition("=")[::2] for one in attributes)
            assumed = target.partition("?")[0].rpartition("/")[0] or "/"
            key = (pair.partition("=")[0], given.get("Path", assumed))
            if "Max-Age" in given and int(given["Max-Age"]) <= 0:
                self.cookies.pop(key, None)
            else:
                self.cookies[key] = pair

    def at(self, page: str) -> list[str]:
        """What goes along with a request for a page."""
        return [
            pair
            for (_, path), pair in self.cookies.items()
            if page == path or page.startswith(path.removesuffix("/") + "/")
        ]


def setting(*cookies: str) -> Script:
    """A script whose answers set these; `{}` is a number that each answer has for itself."""
    numbers = itertools.count()

    def script(exchange: Exchange) -> None:
        while exchange.read_head():
            number = next(numbers)
            fields = "".join(f"Set-Cookie: {one.format(number)}\r\n" for one in cookies)
            exchange.send(OK.replace(b"\r\n", b"\r\n" + fields.encode(), 1))

    return script


def at_once(host: Server, jar: Jar, targets: Iterable[str], *, navigates: bool = True) -> None:
    """Ask for all of them with the cookies that there are now; then the jar has what was set."""
    targets = [*targets]
    cookie = "; ".join([own_session(), *jar.at("/")])

    def visit(target: str) -> Reply:
        headers = NAVIGATES if navigates else []
        return ask(host.port, "GET", target, headers=headers, cookie=cookie)

    with ThreadPoolExecutor(16) as pool:
        for target, reply in zip(targets, pool.map(visit, targets), strict=True):
            assert (reply.status, reply.body) == (200, b"hi")
            jar.take(target, reply)


def assert_the_app_answers(host: Server, jar: Jar, page: str) -> None:
    reply = ask(host.port, "GET", page, cookie="; ".join([own_session(), *jar.at(page)]))
    assert (reply.status, reply.text) == (200, f"the app: {page}?\n")
    assert ("sessionid", "/") not in jar.cookies


def size(pairs: Iterable[str]) -> int:
    return len("; ".join(pairs))


WIDE = [f"c{n}={'x' * 400}; Path=/" for n in range(10)]


@pytest.mark.promise("A service's cookies leave your app reachable")
@pytest.mark.case("cookies without number")
@pytest.mark.parametrize("rounds", [1, 3])
def test_many_services_that_are_opened_at_once_leave_the_app_reachable(
    host: Server, service: ServiceFactory, rounds: int
) -> None:
    upstreams = [service(setting(*WIDE)) for _ in range(40)]
    jar = Jar()
    for _ in range(rounds):
        at_once(host, jar, (path_form(one.port, "/lab") for one in upstreams))
    for page in ("/login", "/alice/vision/"):
        assert_the_app_answers(host, jar, page)
    # Six hints, and the cookies of six services for handshakes at the root of the site.
    assert 0 < len(jar.at("/")) <= 12
    assert size(jar.at("/")) < 6 * (640 + 100 + 30)
    assert 12 < len(jar.cookies) < STORE


@pytest.mark.promise("A service's cookies leave your app reachable")
@pytest.mark.case("cookies without number")
def test_a_hundred_answers_of_one_service_at_once(host: Server, service: ServiceFactory) -> None:
    upstream = service(setting("a{}=" + "x" * 200 + "; Path=/", "b{}=1; Path=/"))
    jar = Jar()
    at_once(host, jar, [path_form(upstream.port, "/x")] * 100)
    assert_the_app_answers(host, jar, "/login")
    assert [name[:14] for name, path in jar.cookies if path == "/"].count("portproxy.copy") == 1
    assert size(jar.at("/")) < 768 + 100 + 30 * 2
    assert 12 < len(jar.cookies) < STORE


@pytest.mark.promise("A service's cookies leave your app reachable")
@pytest.mark.case("cookies without number")
@pytest.mark.parametrize("attributes", ["; Path=PAGE", "; Path=/", ""])
def test_in_the_query_form_the_apps_pages_stay_reachable(
    host: Server, service: ServiceFactory, attributes: str
) -> None:
    """There a service's cookies are those of the app's pages of the same mount."""
    page = f"/alice/crowded-{marks.current()}/"  # what was set there lately counts
    attributes = attributes.replace("PAGE", page)
    sets = [[f"a{m}-{n}={'x' * 300}{attributes}" for n in range(4)] for m in range(20)]
    upstreams = [service(setting(*cookies)) for cookies in sets]
    jar = Jar()
    at_once(host, jar, (f"{page}?port={one.port}" for one in upstreams), navigates=False)
    assert 1024 < size(jar.at(page)) <= 2048 + 2 * len(jar.cookies)
    assert_the_app_answers(host, jar, page)


def test_one_visitors_cookies_are_not_counted_against_another(
    host: Server, service: ServiceFactory
) -> None:
    def names(upstream: Service, visitor: str) -> set[str]:
        jar = Jar()
        for _ in range(4):
            target = path_form(upstream.port, "/x")
            cookie = f"user=alice; sessionid={visitor}"
            jar.take(target, ask(host.port, "GET", target, cookie=cookie))
        return {name for name, path in jar.cookies if path != "/"}

    upstream = service(setting(*(f"c{n}-{{}}=1; Path=/" for n in range(19))))
    ones = names(upstream, marks.current())
    assert 12 < len(ones) <= len(names(upstream, f"not-{marks.current()}"))


def test_a_cookie_that_is_set_again_counts_once(host: Server, service: ServiceFactory) -> None:
    upstream = service(setting(*(f"c{n}={{}}; Path=/" for n in range(20))))
    target = path_form(upstream.port, "/x")
    for number in range(5):
        lines = ask(host.port, "GET", target, cookie=own_session()).values("Set-Cookie")
        kept = [line for line in lines if not line.startswith("portproxy.")]
        prefix = path_form(upstream.port, "")
        assert kept == [f"c{n}={number}; Path={prefix}/" for n in range(20)]
