"""The host names that a site answers to, and what a service is told of all others.

Anybody's name may lead here (DNS rebinding): the browser then takes the page of an attacker and the
services for one site.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import Client, ask, request_bytes
from tests.support.received import OK, Received, recording
from tests.support.servers import Server
from tests.support.service import answers
from tests.support.urls import Form, both_forms, path_form, query_form
from tests.support.websocket import Visitor, echoing, handshake

FOREIGN = [
    *("evil.test", "evil.test:8000", "app.test.evil.test", "xapp.test", "x.app.test", "app.tes"),
    *("xbelow.test", "127.0.0.1", "127.0.0.1:8000", "localhost", "[::2]", "app.test@evil.test"),
    *("evil.test#app.test", "app.test:80:80", "app.test..", "app_test"),
]


@pytest.fixture
def named(variants: Mapping[str, Server]) -> Server:
    """Its `hosts`: app.test, all below below.test, and [::1]; services also at N.ports.test."""
    return variants["named"]


@pytest.fixture
def unnamed(variants: Mapping[str, Server]) -> Server:
    """It has no `hosts`."""
    return variants["unnamed"]


# --- Where they are said -------------------------------------------------------------------------


@pytest.mark.promise("No name but yours, if you say it")
@pytest.mark.case("another site's name for this machine")
@both_forms
@pytest.mark.parametrize("name", FOREIGN)
def test_a_name_that_is_none_of_them_is_421_and_nothing_is_sent(
    named: Server, service: ServiceFactory, form: Form, name: str
) -> None:
    upstream = service(answers(OK))
    target = form(upstream.port, "/x")
    agreeing = [("Origin", f"http://{name}"), ("Sec-Fetch-Site", "same-origin")]
    for method, fields in [("GET", []), ("GET", agreeing), ("POST", agreeing)]:
        reply = ask(named.port, method, target, host=name, headers=fields)
        assert (reply.status, reply.complete) == (421, True)
        assert reply.text.startswith("This site is not served under that host name.\n")
        assert "evil" not in reply.text
    with Client(named.port) as client:
        client.send(handshake(target, agreeing[:1], host=name))
        assert client.reply().status == 421
    assert upstream.connections == 0


def test_a_visitor_who_may_not_learns_no_more(named: Server, service: ServiceFactory) -> None:
    """Neither which ports are open, nor whether there is such a service."""
    for port in (service(answers(OK)).port, 5000, named.port):
        for cookie in ("", "user=bob"):
            target = path_form(port, "/x")
            assert ask(named.port, "GET", target, host="evil.test", cookie=cookie).status == 421


def test_without_a_host_it_is_the_servers_own_name(named: Server, service: ServiceFactory) -> None:
    upstream = service(answers(OK))
    request = request_bytes("GET", query_form(upstream.port, "/x")).replace(
        b" HTTP/1.1", b" HTTP/1.0"
    )
    with Client(named.port) as client:
        client.send(request.replace(b"Host: app.test\r\n", b""))
        assert client.reply().status == 421
    assert upstream.connections == 0


def test_two_hosts_are_none_of_them(named: Server, service: ServiceFactory) -> None:
    upstream = service(answers(OK))
    for first, second in [("app.test", "evil.test"), ("evil.test", "app.test")]:
        headers = [("Host", second)]
        target = query_form(upstream.port, "/x")
        reply = ask(named.port, "GET", target, host=first, headers=headers)
        assert reply.status in (400, 421)
    assert upstream.connections == 0


@both_forms
@pytest.mark.parametrize(
    "name",
    [
        *("app.test", "APP.test:8000", "app.test.", "app.test.:8000", "[::1]:8000"),
        *("below.test", "x.below.TEST", "x.y.below.test:1"),
    ],
)
def test_a_name_of_theirs_passes_and_the_service_is_told_localhost(
    named: Server, service: ServiceFactory, form: Form, name: str
) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    origin = [("Origin", f"http://{name}")]
    reply = ask(named.port, "POST", form(upstream.port, "/x"), host=name, headers=origin)
    assert reply.status == 200
    assert seen[0].values("Host") == [f"localhost:{upstream.port}"]
    assert seen[0].values("Origin") == [f"http://localhost:{upstream.port}"]


def test_the_names_of_services_need_not_be_said(named: Server, service: ServiceFactory) -> None:
    upstream = service(answers(OK))
    for name in (f"{upstream.port}.ports.test", f"{upstream.port}.PORTS.test:8000"):
        assert ask(named.port, "GET", "/x", host=name).body == b"hi"


@pytest.mark.parametrize("name", ["evil.test", "app.test"])
def test_the_apps_own_pages_are_its_own_business(named: Server, name: str) -> None:
    reply = ask(named.port, "GET", "/login", host=name)
    assert (reply.status, reply.text) == (200, "the app: /login?\n")


# --- Where they are not --------------------------------------------------------------------------


@pytest.mark.promise("No name but yours, if you say it")
@pytest.mark.case("another site's name for this machine")
@both_forms
@pytest.mark.parametrize("name", ["evil.test:8000", "localhost.evil.test", "127.0.0.1.evil.test"])
def test_an_unknown_name_is_told_as_it_is(
    unnamed: Server, service: ServiceFactory, form: Form, name: str
) -> None:
    """So that a service which trusts localhost has the chance to refuse it."""
    seen: list[Received] = []
    upstream = service(recording(seen))
    target = form(upstream.port, "/x")
    fields = [("Origin", f"http://{name}"), ("Referer", f"http://{name}{target}")]
    assert ask(unnamed.port, "POST", target, host=name, headers=fields).status == 200
    assert seen[0].values("Host") == [name]
    assert seen[0].values("Origin") == [f"http://{name}"]
    assert not any("localhost:" in value for _, value in seen[0].fields)


@pytest.mark.promise("No name but yours, if you say it")
@pytest.mark.case("another site's name for this machine")
def test_nor_is_a_websocket_told_localhost(unnamed: Server, service: ServiceFactory) -> None:
    upstream = service(echoing)
    with Visitor(unnamed.port) as visitor:
        target = path_form(upstream.port, "/x")
        visitor.send(handshake(target, [("Origin", "http://evil.test")], host="evil.test"))
        visitor.switched()
        visitor.says_and_hears()
    assert b"\r\nHost: evil.test\r\n" in upstream.heads[0]
    assert b"localhost" not in upstream.heads[0]


def test_an_unknown_name_is_logged_once(unnamed: Server, service: ServiceFactory) -> None:
    upstream = service(answers(OK))
    for name in ("evil.test", "one.test", "other.test"):
        assert ask(unnamed.port, "GET", query_form(upstream.port, "/x"), host=name).status == 200
    assert unnamed.output().count(" is not in hosts: ") == 1


@pytest.mark.parametrize(
    "name",
    [
        *("localhost", "localhost:8000", "LOCALHOST.", "x.localhost:8000", "127.0.0.1:8000"),
        *("127.1.2.3", "192.0.2.7:8000", "[::1]:8000", "[2001:db8::1]"),
    ],
)
def test_a_name_of_this_machine_or_an_address_is_known(
    unnamed: Server, service: ServiceFactory, name: str
) -> None:
    """No name server leads an address elsewhere."""
    seen: list[Received] = []
    upstream = service(recording(seen))
    assert ask(unnamed.port, "GET", path_form(upstream.port, "/x"), host=name).status == 200
    assert seen[0].values("Host") == [f"localhost:{upstream.port}"]
