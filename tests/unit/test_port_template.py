"""The port form's template, in both directions: whose number a Host names, and which number a port
has. `listening` is what this process listens on, as it would be found in its descriptors."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Container
from typing import Any

import pytest

from wsgi_portproxy import port_addresses
from wsgi_portproxy.errors import AuthorizerFailed, BadRequest, Misdirected, PortProxyError
from wsgi_portproxy.locate import port_template
from wsgi_portproxy.locate.port_template import PortTemplate, is_port_template
from wsgi_portproxy.policy.ports import DEFAULT_PORTS

from .given import costs_little, environ, table

Listening = dict[int, set[str]]


@pytest.fixture(autouse=True)
def listening(monkeypatch: pytest.MonkeyPatch) -> Listening:
    """By port, the addresses on which this process listens; nowhere at first."""
    found: Listening = {}
    at = lambda port: frozenset(found.get(port, ()))  # noqa: E731
    monkeypatch.setattr(port_template, "listening_at", at)
    return found


def made(template: str, belongs: Container[int] = DEFAULT_PORTS, **given: Any) -> PortTemplate:
    return PortTemplate(template, belongs, **given)


SHIFTED = made(":{port+20000}")
PLAIN = made(":{port}")
NAMED = made("app.example.com:{port+20000}")


def port_in(form: PortTemplate, host: str, told: object = 36006, **fields: Any) -> str | None:
    """The port that a Host names, of a request that came on the port `told`."""
    matched = form.match(environ(**{"HTTP_HOST": host, "SERVER_PORT": str(told), **fields}))
    assert matched is None or matched.params == {}
    return None if matched is None else matched.port


# --- Templates -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "name", "offset"),
    [
        (":{port}", "", 0),
        (":{port+20000}", "", 20000),
        (":{port-8000}", "", -8000),
        ("app.example.com:{port}", "app.example.com", 0),
        ("127.0.0.1:{port+1}", "127.0.0.1", 1),
        ("[::1]:{port+65534}", "[::1]", 65534),
        ("a_b:{port}", "a_b", 0),
    ],
)
def test_templates_that_work(template: str, name: str, offset: int) -> None:
    form = made(template)
    assert (form.name, form.offset) == (name, offset)
    assert is_port_template(template)


@pytest.mark.parametrize(
    "template",
    [
        *("", "app.test", "{port}", ":{port", ":port}", ":{PORT}", ":{port}/", ":{port} "),
        *(":{port}:{port}", "a:b:{port}", "{port}.test:{port}", "http://app.test:{port}"),
        *("App.test:{port}", "-a:{port}", "a-:{port}", ".a:{port}", "::1:{port}", ":{port}\n"),
        *(":{port+}", ":{port*2}", ":{port+-1}", ":{port+ 1}", ":{port+100000}", ":{port+\u0661}"),
        *(":{port+65535}", ":{port-65535}", ":{port+99999}", "\xe4:{port}", ":{port+1}{port}"),
    ],
)
def test_templates_that_could_never_work_are_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"^host_template (takes|adds)"):
        made(template)


def test_a_template_of_the_host_form_is_none_of_this_one() -> None:
    for template in ("{port}.ports.test", "{port}.localhost:8000", "p{port}.test", ""):
        assert not is_port_template(template)


# --- Whose number a Host names -------------------------------------------------------------------


@table(
    "form, host, told, port",
    {
        "shifted": (SHIFTED, "app.test:36006", 36006, "16006"),
        "first": (SHIFTED, "app.test:30000", 30000, "10000"),
        "last": (SHIFTED, "app.test:40000", 40000, "20000"),
        "same-number": (PLAIN, "app.test:16006", 16006, "16006"),
        "below": (made(":{port-8000}"), "app.test:8006", 8006, "16006"),
        "address": (SHIFTED, "192.0.2.7:36006", 36006, "16006"),
        "ipv6": (SHIFTED, "[2001:db8::1]:36006", 36006, "16006"),
        "final-dot": (NAMED, "app.example.com.:36006", 36006, "16006"),
        "upper-case": (NAMED, "APP.Example.com:36006", 36006, "16006"),
        "no-name": (SHIFTED, ":36006", 36006, "16006"),
        "ipv6-name": (made("[::1]:{port+20000}"), "[::1]:36006", 36006, "16006"),
        # All others are the app's.
        "apps": (SHIFTED, "app.test:8000", 8000, None),
        "one-below": (SHIFTED, "app.test:29999", 29999, None),
        "one-above": (SHIFTED, "app.test:40001", 40001, None),
        "the-services-own": (SHIFTED, "app.test:16006", 8000, None),
        "another-name": (NAMED, "other.test:8000", 8000, None),
        "too-large": (SHIFTED, "app.test:101542", 8000, None),
        "no-service-and-no-server": (SHIFTED, "app.test:9", 8000, None),
    },
)
def test_whose_number_it_is(form: PortTemplate, host: str, told: int, port: str | None) -> None:
    assert port_in(form, host, told) == port


def test_only_a_tcp_port_is_a_services() -> None:
    """Whatever the container says."""
    for template, shift in ((":{port}", 0), (":{port+5}", 5)):
        form = made(template, range(-10, 100_000))
        for port in (0, -1, 65536):
            assert port_in(form, f"app.test:{port + shift}", 80_000) is None
            assert form.number_of(65536) is None
        assert port_in(form, f"app.test:{1 + shift}", 0) == "1"
        assert port_in(form, f"app.test:{65535 + shift}", 0) == "65535"


@table(
    "template, scheme, host, port",
    {
        "http": (":{port+70}", "http", "app.test", "10"),
        "http-said": (":{port+70}", "http", "app.test:80", "10"),
        "http-without-digits": (":{port+70}", "http", "app.test:", "10"),
        "https": (":{port+433}", "https", "app.test", "10"),
        "https-said": (":{port+433}", "https", "app.test:443", "10"),
        "the-other-schemes": (":{port+70}", "https", "app.test", None),
        "no-scheme-known": (":{port+70}", "ws", "app.test", None),
    },
)
def test_without_a_number_it_is_the_schemes(
    template: str, scheme: str, host: str, port: str | None
) -> None:
    fields = {"wsgi.url_scheme": scheme}
    assert port_in(made(template, {10}), host, told=8000, **fields) == port


def test_without_a_host_the_connection_says_it() -> None:
    for fields in ({"HTTP_HOST": ""}, {}):
        given: dict[str, Any] = {"SERVER_NAME": "app.example.com", "SERVER_PORT": "36006", **fields}
        without = environ(**given)
        if not fields:
            del without["HTTP_HOST"]
        matched = NAMED.match(without)
        assert matched is not None
        assert matched.port == "16006"


@pytest.mark.case("what is no port")
@pytest.mark.parametrize(
    "number",
    [
        *("036006", "0036006", "0" * 4 + "36006", "+36006", " 36006", "36006 ", "36006x", "3_6006"),
        *("36006,1", "36006:80", "36006/", "36006%23", "-36006", "0x8ca6", "3.6006e4", "\xb36006"),
        *("\u0663\u0666\u0660\u0660\u0666", "\uff13\uff16\uff10\uff10\uff16", "36006@evil.test"),
        *("36006" + "0" * 9, "9" * 10_000, str(36006 + 65536), str(36006 + 2**32), "36006\t"),
        *("36006#", "36006?", "[36006]", "36006\\", "36006\r\nX: 1"),
    ],
)
def test_what_is_no_plain_number_reaches_no_service(number: str) -> None:
    """On the service's own port it is refused, elsewhere it is refused or the app's."""
    for form in (SHIFTED, NAMED):
        for host in (f"app.example.com:{number}", f"[::1]:{number}"):
            with pytest.raises((Misdirected, BadRequest)):
                port_in(form, host)
            with contextlib.suppress(BadRequest):
                assert port_in(form, host, told=8000) is None


@pytest.mark.parametrize(
    "host", ["a" * 506 + ":3600612345", "a" * 507 + ":36006", "a" * 512 + ":36006", "a" * 513]
)
def test_a_host_that_is_too_long_names_nothing(host: str) -> None:
    assert port_in(SHIFTED, host, told=8000) is None
    with pytest.raises(Misdirected):
        port_in(SHIFTED, host)
    assert port_in(SHIFTED, "a" * 506 + ":36006") == "16006"


@table(
    "host",
    {
        "colons": ":36006" * 100_000,
        "brackets": "[" * 500_000 + "]:36006",
        "digits": "a:" + "3" * 1_000_000,
        "name": "a" * 1_000_000 + ":36006",
        "dots": "." * 1_000_000,
    },
)
def test_an_odd_host_costs_little(host: str) -> None:
    with costs_little():
        for form in (SHIFTED, NAMED, PLAIN):
            for told in (8000, 36006, 16006):
                with contextlib.suppress(PortProxyError):
                    form.match(environ(HTTP_HOST=host, SERVER_PORT=str(told)))


# --- On another port's connection ----------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["app.test:36007", "app.test:8000", "app.test", "app.test:443", "app.test:16006", "x:y"]
)
def test_on_a_services_port_no_other_is_asked(host: str) -> None:
    """The port of the connection is what a front end's or a firewall's rules are about."""
    with pytest.raises(Misdirected) as caught:
        port_in(SHIFTED, host)
    assert caught.value.status == 421
    assert "connection is to port 36006" in str(caught.value.detail)


@pytest.mark.parametrize("address", ["0.0.0.0", "127.0.0.1", "::", "192.0.2.7"])
def test_where_the_server_listens_there_a_host_alone_leads_to_no_service(
    listening: Listening, address: str
) -> None:
    listening[36006] = {address}
    for told in (8000, 443, 0):
        with pytest.raises(Misdirected):
            port_in(SHIFTED, "app.test:36006", told)
        assert port_in(SHIFTED, "app.test:36007", told) == "16007"  # a front end's
    assert port_in(SHIFTED, "app.test:36006") == "16006"


def test_where_it_does_not_a_front_end_does() -> None:
    for told in ("8000", "443", "", "x", "\u0663", "360060", "-1"):
        assert port_in(SHIFTED, "app.test:36006", told) == "16006"


def test_the_apps_own_numbers_are_not_looked_for(listening: Listening) -> None:
    listening[8001] = {"127.0.0.1"}
    assert port_in(SHIFTED, "app.test:8001", 8000) is None


def test_where_we_listen_on_demand_connections_come_by_the_servers_port(
    listening: Listening,
) -> None:
    listening[36006] = listening[36007] = {"127.0.0.1"}
    form = made(":{port+20000}", is_relayed=lambda number: number == 36006)
    assert port_in(form, "app.test:36006", 8000) == "16006"
    with pytest.raises(Misdirected):
        port_in(form, "app.test:36007", 8000)


def test_with_the_same_number_a_service_of_this_process_is_no_site(listening: Listening) -> None:
    """The services are on loopback. What listens there beside the server may be one of them."""
    for addresses in ({"127.0.0.1"}, {"::1"}, {"127.0.0.1", "::1"}):
        listening[16006] = addresses
        assert port_in(PLAIN, "app.test:16006", 8000) == "16006"
    for addresses in ({"127.0.0.1", "192.0.2.7"}, {"127.0.0.2"}, {"0.0.0.0"}, {"::"}):
        listening[16006] = addresses
        with pytest.raises(Misdirected):
            port_in(PLAIN, "app.test:16006", 8000)


# --- The site's name -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        *("other.test", "app.example.com.evil.test", "xapp.example.com", "example.com", "", "."),
        *("app.example.com..", "[::1]", "127.0.0.1", "app.example.com@evil.test", "app.example.co"),
        *("user@app.example.com", " app.example.com", "app.example.com\xa0", "[app.example.com]"),
    ],
)
@pytest.mark.parametrize("told", [36006, 8000])
def test_a_services_number_at_another_name_is_misdirected(host: str, told: int) -> None:
    with pytest.raises(Misdirected) as caught:
        port_in(NAMED, f"{host}:36006", told)
    assert caught.value.message == "This site is not served under that host name."
    assert "evil" not in caught.value.message + caught.value.hint + str(caught.value.detail)
    assert port_in(NAMED, f"{host}:8000", 8000) is None


# --- Which ports have a number -------------------------------------------------------------------


class Raising(Container[int]):
    def __contains__(self, port: object) -> bool:
        raise RuntimeError("the database is gone")


def test_a_container_that_raises_is_our_error() -> None:
    form = made(":{port+20000}", Raising())
    asks: list[Callable[[], object]] = [
        lambda: port_in(form, "app.test:36006"),
        lambda: form.authority(16006, {}, environ()),
    ]
    for ask in asks:
        with pytest.raises(AuthorizerFailed) as caught:
            ask()
        assert "database" not in caught.value.message + caught.value.hint


@table(
    "template, port, number",
    {
        "shifted": (":{port+20000}", 16006, 36006),
        "largest": (":{port+45535}", 20000, 65535),
        "beyond": (":{port+45536}", 20000, None),
        "smallest": (":{port-9999}", 10000, 1),
        "zero": (":{port-10000}", 10000, None),
        "negative": (":{port-10001}", 10000, None),
        "not-a-services": (":{port}", 9999, None),
    },
)
def test_the_number_of_a_port(template: str, port: int, number: int | None) -> None:
    form = made(template)
    assert form.number_of(port) == number
    host = None if number is None else f"app.test:{number}"
    assert form.authority(port, {}, environ()) == host
    if host is not None:
        assert port_in(form, host, number) == str(port)


@table(
    "template, host, fields, expected",
    {
        "of-the-request": (":{port+20000}", "app.test:8000", {}, "app.test:36006"),
        "without-a-port": (":{port+20000}", "app.test", {}, "app.test:36006"),
        "upper-case": (":{port+20000}", "APP.test", {}, "app.test:36006"),
        "ipv6": (":{port+20000}", "[::1]:8000", {}, "[::1]:36006"),
        "own-name": ("a.test:{port}", "other.test:8000", {}, "a.test:16006"),
        "default": (":{port-15926}", "app.test:8000", {}, "app.test"),
        "other-scheme": (":{port-15926}", "a.test", {"wsgi.url_scheme": "https"}, "a.test:80"),
        "https": (":{port-15563}", "a.test:8443", {"wsgi.url_scheme": "https"}, "a.test"),
        "no-host": (":{port+20000}", "", {"SERVER_NAME": "a.test"}, "a.test:36006"),
        # What is no name makes no link.
        "final-dot": (":{port+20000}", "app.test.", {}, None),
        "userinfo": (":{port+20000}", "a@evil.test", {}, None),
        "slash": (":{port+20000}", "app.test/x", {}, None),
        "spaces": (":{port+20000}", "app test", {}, None),
        "markup": (":{port+20000}", '"><script>', {}, None),
        "lines": (":{port+20000}", "app.test\r\nX: 1", {}, None),
        "not-ascii": (":{port+20000}", "\xe4.test", {}, None),
        "too-long": (":{port+20000}", "a" * 254, {}, None),
        "two-ports": (":{port+20000}", "app.test:1:2", {}, None),
    },
)
def test_the_authority_of_a_link(
    template: str, host: str, fields: dict[str, Any], expected: str | None
) -> None:
    given = {"HTTP_HOST": host, **fields}
    form = made(template)
    assert form.authority(16006, {"username": "alice"}, environ(**given)) == expected


# --- What a server has to listen on --------------------------------------------------------------


def test_addresses_to_listen_on() -> None:
    ports = range(16006, 16008)
    assert port_addresses(":{port+20000}", ports) == ["0.0.0.0:36006", "0.0.0.0:36007"]
    assert port_addresses("app.test:{port}", {80}, "192.0.2.7") == ["192.0.2.7:80"]
    assert port_addresses(":{port-1}", [2], "[::]") == ["[::]:1"]
    assert port_addresses(":{port}", []) == []


@pytest.mark.parametrize(
    ("template", "port"),
    [(":{port+20000}", 45536), (":{port-1}", 1), (":{port}", 0), (":{port}", 65536)],
)
def test_a_port_without_a_number_has_none(template: str, port: int) -> None:
    with pytest.raises(ValueError, match=f"port {port} has no number"):
        port_addresses(template, [port])


@pytest.mark.parametrize("template", ["{port}.ports.test", ":{port+x}", ""])
def test_addresses_of_no_template(template: str) -> None:
    with pytest.raises(ValueError, match="host_template takes"):
        port_addresses(template, [16006])
