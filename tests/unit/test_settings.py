"""The settings as values, and those that may differ from port to port."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Any

import pytest

from wsgi_portproxy.errors import SettingFailed
from wsgi_portproxy.locate.host_template import HostTemplate
from wsgi_portproxy.locate.port_template import PortTemplate
from wsgi_portproxy.locate.target import Target
from wsgi_portproxy.settings import (
    Limits,
    Listen,
    Service,
    ServiceOf,
    Timeouts,
    UrlForms,
    Withhold,
    check_callable,
)

from .given import a_target

NO_NAMES: frozenset[str] = frozenset()
NO_REDIRECTS: list[Any] = ["PATH", "host", 1, 0, ""]
NO_LISTENS: list[Any] = [True, Listen, 8000, "127.0.0.1"]
NO_MOUNTS: list[Any] = [True, {}, "alice"]
PORTS_THAT_ARE_NONE: list[Any] = ["1-2", b"1", range, 8000]
NO_BOOLS: list[Any] = [None, "False", 2, [], 1, 0]
EXTERNAL, LOCAL = Service(preserve_host=True), Service()


def never(number: int) -> bool:
    return False


# --- Values --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "given"),
    [
        *((Service, {"preserve_host": one}) for one in [*NO_BOOLS, "external"]),
        *((Service, {"strip_prefix": one}) for one in NO_BOOLS),
        *((Service, {"name": one}) for one in (None, 1, b"TensorBoard")),
        *((Service, {"ipv6": "yes"}), (Service, {"page_adapters": ["jupyter"]})),
        *(
            (UrlForms, {"path_segment": 1}),
            (UrlForms, {"host_template": 8000}),
            (UrlForms, {"isolate": 1}),
        ),
        *((UrlForms, {"isolate": True}), (UrlForms, {"redirect_browsers": None})),
        *((UrlForms, {"redirect_browsers": one}) for one in NO_REDIRECTS),
        *((UrlForms, {"port_range": one}) for one in PORTS_THAT_ARE_NONE),
        *((UrlForms, {"listen": one}) for one in NO_LISTENS),
        *((UrlForms, {"mount_of": one}) for one in NO_MOUNTS),
        *((Listen, {"address": one}) for one in ("", "localhost", "127.0.0.1:80", "[::1]", None)),
        *((Listen, {"listeners": one}) for one in (0, -1, 1.5, True, "8", None)),
        *((Listen, {"proxy_protocol": one}) for one in NO_BOOLS),
        *((Timeouts, {name: 0}) for name in ("connect", "head", "stream_idle", "tunnel_idle")),
        *((Timeouts, {name: "3"}) for name in ("connect", "head", "stream_idle", "tunnel_idle")),
        *((Timeouts, {name: -1.0}) for name in ("connect", "head", "stream_idle", "tunnel_idle")),
        *((Timeouts, {"head": None}), (Timeouts, {"connect": float("nan")})),
        *((Timeouts, {"head": True}), (Limits, {"requests_per_port": 0})),
        *((Limits, {name: -1}) for name in ("request_body", "tunnels", "tunnels_per_port")),
        *((Limits, {name: 1.5}) for name in ("request_body", "tunnels", "requests_per_port")),
        *((Limits, {"tunnels": True}), (Limits, {"tunnels": "8"})),
        *((Withhold, {"cookies": "sessionid"}), (Withhold, {"headers": "X-User"})),
        *((Withhold, {"response_headers": [1]}), (Withhold, {"authorization": "yes"})),
        (Withhold, {"early_hints": 1}),
    ],
)
def test_what_could_never_work_is_told_by_its_name_and_what_was_given(
    value: Any, given: dict[str, Any]
) -> None:
    [(name, wrong)] = given.items()
    with pytest.raises((TypeError, ValueError), match=rf"^{name} ") as refused:
        value(**given)
    if name != "isolate":
        assert repr(wrong).strip("[]") in str(refused.value)


@pytest.mark.parametrize("template", [None, "{port}.p.test"])
@pytest.mark.parametrize("name", ["port_range", "listen", "isolate", "mount_of"])
def test_what_requires_a_template_says_so(name: str, template: str | None) -> None:
    of_either = name in ("isolate", "mount_of")
    given: dict[str, Any] = {
        "port_range": range(10),
        "listen": Listen(),
        "isolate": True,
        "mount_of": lambda port: None,
    }
    if of_either and template is not None:
        UrlForms(host_template=template, **{name: given[name]})
        return
    with pytest.raises(ValueError, match=f"^{name} requires a host_template"):
        UrlForms(host_template=template, **{name: given[name]})
    UrlForms(host_template=":{port}", **{name: given[name]})


def test_a_reservation_is_asked_for_with_the_port_alone() -> None:
    for wrong in (lambda: None, lambda port, target: None, later):
        given: Any = wrong
        with pytest.raises(TypeError, match=r"^mount_of .*mount_of\(port\)"):
            UrlForms(host_template=":{port}", mount_of=given)


def test_which_ports_have_numbers() -> None:
    """Those of `port_range`, else those that may be opened, which must then be known at start."""

    def of(ports: Any, **given: Any) -> PortTemplate:
        made = UrlForms(host_template=":{port+1}", **given).template(NO_NAMES, ports, never)
        assert isinstance(made, PortTemplate)
        return made

    assert of({5}).number_of(5) == 6
    assert of({5}).number_of(6) is None
    assert of({5}, port_range=range(10)).number_of(6) == 7
    assert of(lambda target: {5}, port_range=[5]).number_of(5) == 6
    with pytest.raises(ValueError, match=r"^port_range must say"):
        of(lambda target: {5})


@pytest.mark.parametrize(
    ("address", "template", "works"),
    [
        ("127.0.0.1", ":{port+1}", True),
        ("127.0.0.1", ":{port}", False),
        ("0.0.0.0", "app.test:{port+0}", False),
        ("::", ":{port}", False),
        ("::1", ":{port}", False),
        ("127.0.0.2", ":{port}", True),
        ("192.0.2.1", ":{port}", True),
    ],
)
def test_it_does_not_listen_where_the_services_are(
    address: str, template: str, works: bool
) -> None:
    urls = UrlForms(host_template=template, listen=Listen(address=address))
    with contextlib.nullcontext() if works else pytest.raises(ValueError, match="own ports"):
        urls.template(NO_NAMES, {5}, never)


def test_the_template_is_of_its_kind() -> None:
    assert UrlForms().template(NO_NAMES, {5}, never) is None
    host = UrlForms(host_template="{port}.p.test").template(NO_NAMES, lambda target: {5}, never)
    assert isinstance(host, HostTemplate)
    for wrong in (":{port", "a b:{port}", "{port}:{port}"):
        with pytest.raises(ValueError, match=r"^host_template takes"):
            UrlForms(host_template=wrong).template(NO_NAMES, {5}, never)


def test_what_works() -> None:
    Listen(address="::1", proxy_protocol=True, listeners=1)
    Listen(address="0.0.0.0")
    UrlForms(host_template=":{port}", listen=Listen(), port_range={5}, redirect_browsers="path")
    Limits(requests_per_port=1, request_body=0, tunnels=0, tunnels_per_port=0)
    Timeouts(connect=1, head=0.1, stream_idle=None, tunnel_idle=float("inf"))
    UrlForms(host_template="{port}.p.test", isolate=True)
    assert Service(name="TensorBoard", page_adapters=[]).name == "TensorBoard"


# --- Services ------------------------------------------------------------------------------------


def test_one_is_that_of_all_ports() -> None:
    for given, expected in ((EXTERNAL, EXTERNAL), (None, Service())):
        assert ServiceOf(given)(a_target()) == expected


def test_a_mapping_is_by_port() -> None:
    services = ServiceOf({15000: EXTERNAL})
    assert services(a_target(port=15000)) is EXTERNAL
    assert services(a_target(port=16006)) == Service()


def test_a_callable_is_given_the_target_and_asked_each_time() -> None:
    asked: list[Target] = []

    def by_port(target: Target) -> Service:
        asked.append(target)
        return EXTERNAL if target.port == 15000 else LOCAL

    services = ServiceOf(by_port)
    assert asked == []
    targets = [a_target(port=port) for port in (16006, 15000, 16006)]
    assert [services(target) for target in targets] == [LOCAL, EXTERNAL, LOCAL]
    assert asked == targets


@pytest.mark.parametrize(
    "wrong", ["external", {"15000": EXTERNAL}, {15000: "external"}, [EXTERNAL], lambda: LOCAL]
)
def test_what_is_no_service_is_refused_at_once(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"^services "):
        ServiceOf(wrong)


@pytest.mark.parametrize("returned", [None, "", "external", b"local", True, Service], ids=repr)
def test_a_callable_that_returns_none_fails(returned: Any) -> None:
    with pytest.raises(SettingFailed) as caught:
        ServiceOf(lambda target: returned)(a_target(port=15000))
    assert caught.value.status == 500
    assert "port 15000" in caught.value.message
    assert caught.value.detail == f"the services callable returned {type(returned).__name__}"


def test_a_callable_that_raises_fails_and_tells_nobody_but_the_log() -> None:
    error = RuntimeError("/srv/secret.py")

    def fails(target: Target) -> Service:
        raise error

    with pytest.raises(SettingFailed) as caught:
        ServiceOf(fails)(a_target())
    assert caught.value.__cause__ is error
    assert caught.value.detail == "the services callable raised"
    assert "secret" not in caught.value.message + caught.value.hint


# --- Callables -----------------------------------------------------------------------------------


class Callable:
    def __call__(self, request: object, target: object) -> bool:
        return True


class Later:
    async def __call__(self, request: object, target: object) -> bool:
        return True


async def later(request: object, target: object) -> bool:
    return True


def of_three(request: object, target: object, more: object) -> bool:
    return True


@pytest.mark.parametrize(
    "given",
    [
        *(Callable(), Callable().__call__, lambda *given: True, partial(of_three, more=1)),
        *(lambda request, target, more=None: True, max, dict),
    ],
)
def test_what_can_be_called_so_is_taken(given: Any) -> None:
    check_callable("authorizer", given, "authorizer(request, target)", 2)


@pytest.mark.parametrize(
    "given",
    [None, True, "yes", Callable, Later(), later, of_three, lambda request: True, lambda: True],
)
def test_what_cannot_is_refused_at_once(given: Any) -> None:
    with pytest.raises(TypeError, match=r"^authorizer .*authorizer\(request, target\)"):
        check_callable("authorizer", given, "authorizer(request, target)", 2)
