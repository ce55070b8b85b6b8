"""Which ports a deployment opens, and what is said of the others."""

from __future__ import annotations

import socket
from collections.abc import Container
from typing import Any
from unittest.mock import Mock

import pytest

from wsgi_portproxy import PortProxy
from wsgi_portproxy.errors import (
    AuthorizerFailed,
    HeaderTooLarge,
    Loop,
    MethodNotAllowed,
    PortNotAllowed,
)
from wsgi_portproxy.locate.target import Target
from wsgi_portproxy.locate.visit import Visit
from wsgi_portproxy.policy.ports import DEFAULT_PORTS, AllowedPorts, PortPolicy, own_ports
from wsgi_portproxy.rewrite.via import _pseudonym, check_no_loop, pseudonym, via

from .given import a_target, environ, table


def check(port: int, allowed: AllowedPorts = DEFAULT_PORTS, **fields: Any) -> None:
    PortPolicy(allowed).check(a_target(port=port), environ(**fields))


def check_not_own(port: int, policy: PortPolicy | None = None, **fields: Any) -> None:
    policy = policy or PortPolicy(DEFAULT_PORTS)
    policy.check_not_own(a_target(port=port), Visit(environ(**fields)))


def test_the_default_range_includes_both_ends() -> None:
    for port in (10000, 16006, 20000):
        check(port)


@pytest.mark.parametrize("port", [0, 80, 9999, 20001, 65535, 16006 + 65536])
def test_the_text_for_a_port_outside_of_it(port: int) -> None:
    with pytest.raises(PortNotAllowed) as caught:
        check(port)
    assert caught.value.message == f"Port {port} is outside allowed range (10000-20000)"
    assert caught.value.status == 403


class OddPorts(Container[int]):
    def __contains__(self, port: object) -> bool:
        return isinstance(port, int) and port % 2 == 1


@table(
    "allowed, inside, outside, named",
    {
        "range": (range(6000, 6010), 6009, 6010, " (6000-6009)"),
        "one-port": (range(6006, 6007), 6006, 6007, " (6006-6006)"),
        "backwards": (range(6009, 5999, -1), 6000, 5999, " (6000-6009)"),
        "every-tenth": (range(6000, 7000, 10), 6010, 6011, ""),
        "empty-range": (range(0), None, 6006, ""),
        "set": ({8888, 6006}, 6006, 6007, " (6006, 8888)"),
        "list": ([6006], 6006, 6007, " (6006)"),
        "tuple": ((8888, 6006), 8888, 6007, " (6006, 8888)"),
        "frozenset": (frozenset({6006}), 6006, 6007, " (6006)"),
        "dict": ({6006: "tensorboard"}, 6006, 6007, ""),
        "empty-set": (set(), None, 6006, ""),
        "eight": ({1, 2, 3, 4, 5, 6, 7, 8}, 8, 9, " (1, 2, 3, 4, 5, 6, 7, 8)"),
        "nine": ({1, 2, 3, 4, 5, 6, 7, 8, 9}, 9, 10, ""),
        "own-container": (OddPorts(), 6007, 6006, ""),
        "callable": (lambda target: {6006}, 6006, 6007, " (6006)"),
    },
)
def test_containers_and_callables(
    allowed: AllowedPorts, inside: int | None, outside: int, named: str
) -> None:
    if inside is not None:
        check(inside, allowed)
    with pytest.raises(PortNotAllowed) as caught:
        check(outside, allowed)
    assert caught.value.message == f"Port {outside} is outside allowed range{named}"


def test_any_tcp_port_may_be_allowed_and_nothing_else() -> None:
    for port in (1, 65535):
        check(port, range(100000))
    for port in (0, 65536):
        with pytest.raises(PortNotAllowed):
            check(port, range(100000))


@table(
    "allowed",
    {
        "none": None,
        "int": 16006,
        "text": "10000-20000",
        "bytes": b"10000",
        "class": range,
        "iterator": iter([1, 2]),
        "texts": ["16006"],
        "too-large": {70000},
    },
)
def test_settings_that_could_never_work_are_refused(allowed: Any) -> None:
    with pytest.raises(TypeError, match=r"^ports takes"):
        PortPolicy(allowed)


def test_a_callable_of_no_parameters_is_refused() -> None:
    nothing: Any = lambda: range(10)  # noqa: E731
    with pytest.raises(TypeError, match=r"^ports is called as ports\(target\)"):
        PortPolicy(nothing)


def test_the_callable_is_given_the_target_once() -> None:
    seen: list[Target] = []

    def of_project(target: Target) -> range:
        seen.append(target)
        return range(16000, 17000)

    target = a_target()
    PortPolicy(of_project).check(target, environ())
    assert seen == [target]
    assert target.params["username"] == "alice"


def _raise(*_: object) -> Any:
    raise RuntimeError("the database is gone")


@table(
    "allowed",
    {
        "raises": _raise,
        "none": lambda target: None,
        "int": lambda target: 16006,
        "mock": lambda target: Mock(),
        "container-that-raises": lambda target: Mock(__contains__=_raise),
        "own-container-that-raises": Mock(__contains__=_raise),
    },
)
def test_a_callable_that_fails_closes_the_port(allowed: Any) -> None:
    with pytest.raises(AuthorizerFailed) as caught:
        check(16006, allowed)
    assert caught.value.status == 503
    assert "database" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize("method", ["CONNECT", "TRACE"])
def test_methods_that_are_never_forwarded(method: str) -> None:
    for port in (16006, 80):
        with pytest.raises(MethodNotAllowed) as caught:
            check(port, method=method)
        assert caught.value.status == 405
        assert ("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS") in caught.value.headers


# --- Never ourselves -----------------------------------------------------------------------------


def test_our_own_port_by_its_server_variable_is_a_loop() -> None:
    with pytest.raises(Loop) as caught:
        check_not_own(16006, SERVER_PORT="16006")
    assert caught.value.status == 508
    check(16006, SERVER_PORT="16006")  # which is not told to who may not use ports


class FakeSocket:
    """A server's end of a visitor's connection: its own port is that of the listener."""

    def __init__(self, name: object = ("127.0.0.1", 16006), *, descriptor: int = 3) -> None:
        self._name = name
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def getsockname(self) -> object:
        if isinstance(self._name, OSError):
            raise self._name
        return self._name


@pytest.mark.parametrize("key", ["gunicorn.socket", "werkzeug.socket"])
def test_our_own_port_by_the_connections_address_is_a_loop(key: str) -> None:
    """SERVER_PORT may be that of a proxy in front."""
    fields: dict[str, Any] = {"SERVER_PORT": "443", key: FakeSocket()}
    made = environ(**fields)
    assert own_ports(made, Visit(made).socket) == {443, 16006}
    with pytest.raises(Loop):
        check_not_own(16006, **fields)
    check_not_own(16007, **fields)


@table(
    "sock, ports",
    {
        "ipv6": (FakeSocket(("::1", 16006, 0, 0)), {8000, 16006}),
        "unix-socket": (FakeSocket("/run/gunicorn.sock"), {8000}),
        "abstract-unix-socket": (FakeSocket(b"\0abstract"), {8000}),
        "closed": (FakeSocket(descriptor=-1), {8000}),
        "not-shown": (None, {8000}),
    },
)
def test_our_own_port_as_far_as_the_server_tells(sock: FakeSocket | None, ports: set[int]) -> None:
    shown: dict[str, Any] = {"gunicorn.socket": sock}
    made = environ(**shown)
    assert own_ports(made, Visit(made).socket) == ports


@table("sock", {"gone": FakeSocket(OSError("not connected")), "closed": FakeSocket(descriptor=-1)})
def test_a_connection_that_tells_nothing_says_nothing_of_the_next(sock: FakeSocket) -> None:
    silent: dict[str, Any] = {"gunicorn.socket": sock}
    with pytest.raises(Loop):  # what the server says is known all the same
        check_not_own(8000, **silent)
    policy = PortPolicy(DEFAULT_PORTS)
    check_not_own(16006, policy, **silent)
    telling: dict[str, Any] = {"gunicorn.socket": FakeSocket()}
    with pytest.raises(Loop):
        check_not_own(16006, policy, **telling)


def test_the_system_is_asked_once_for_what_it_listens_on() -> None:
    sock = Mock(FakeSocket(), **{"fileno.return_value": 7, "getsockname.return_value": ("", 16006)})
    policy = PortPolicy(DEFAULT_PORTS)
    for _ in range(3):
        visit = Visit(environ(**{"gunicorn.socket": sock}))
        policy.check_not_own(a_target(port=16007), visit)
        with pytest.raises(Loop):
            policy.check_not_own(a_target(port=16006), visit)
    assert sock.getsockname.call_count == 1


def test_an_odd_server_port_is_none() -> None:
    for server_port in ("", "x", "-1", "²", "80.0"):
        assert own_ports({"SERVER_PORT": server_port}, None) == set()
    assert own_ports({}, None) == set()


def test_our_own_via_coming_back_is_a_loop() -> None:
    name, value = via(environ())
    assert (name, value) == ("Via", f"1.1 {pseudonym({})}")
    for received in (value, f"1.0 fred, {value}, 1.1 nginx", f"{value},1.1 x"):
        with pytest.raises(Loop) as caught:
            check_no_loop(environ(HTTP_VIA=received))
        assert caught.value.status == 508


def test_the_via_of_others_is_kept_before_ours() -> None:
    ours = f"1.1 {pseudonym({})}"
    assert via(environ(HTTP_VIA="1.0 fred (x), 1.1 p")) == ("Via", f"1.0 fred (x), 1.1 p, {ours}")
    for received in ("", "1.0 fred, 1.1 portproxy-000000000000"):
        check_no_loop(environ(HTTP_VIA=received))
    check_no_loop(environ())


def test_the_app_itself_is_not_asked_by_way_of_another_port_of_the_server() -> None:
    """Its front-end's, or one that it listens on besides: no request says which it came by."""
    asked: list[object] = []

    def app(made: object, start_response: Any) -> list[bytes]:
        asked.append(made)
        return []

    statuses: list[str] = []

    def start_response(status: str, headers: object, exc_info: object = None) -> Any:
        statuses.append(status)

    site = PortProxy(app, authorizer=lambda request, target: True, mount="/{username}/{project}")
    for url, port in [("/", "8000"), ("/login", "8001"), ("/alice/vision/?port=16006", "8000")]:
        body: Any = site(environ(url, SERVER_PORT=port, HTTP_VIA=via({})[1]), start_response)
        b"".join(body)
    assert [status[:3] for status in statuses] == ["508"] * 3
    assert asked == []


@pytest.mark.parametrize("several", [True, False])
def test_our_name_in_via_is_that_of_this_server_alone(
    monkeypatch: pytest.MonkeyPatch, several: bool
) -> None:
    """All of its workers have one parent, by which another server's differ."""
    given = {"wsgi.multiprocess": several}
    name = pseudonym(given)
    assert socket.gethostname() not in name
    assert len(name) == len("portproxy-") + 12
    shared, own = ("os.getppid", "os.getpid") if several else ("os.getpid", "os.getppid")
    monkeypatch.setattr(own, lambda: 1)
    _pseudonym.cache_clear()  # as a fork does
    assert pseudonym(given) == name
    monkeypatch.setattr(shared, lambda: 1)
    _pseudonym.cache_clear()
    assert pseudonym(given) != name
    _pseudonym.cache_clear()


@pytest.mark.promise("No field is read for long")
@pytest.mark.parametrize("key", ["HTTP_COOKIE", "HTTP_CONNECTION", "HTTP_REFERER"])
def test_a_field_that_would_be_read_for_long_is_refused(key: str) -> None:
    policy = PortPolicy(range(1, 65536))
    policy.check(a_target(), {**environ(), key: "," * 65536})
    with pytest.raises(HeaderTooLarge) as caught:
        policy.check(a_target(), {**environ(), key: "," * 65537})
    assert caught.value.status == 431
