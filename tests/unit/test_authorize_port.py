"""Refusals and foreign requests in the port form, where the app's session comes along."""

from __future__ import annotations

from typing import Any

import pytest
from webob import Response

from wsgi_portproxy.errors import AuthorizerFailed, ForeignOrigin, Loop, Refused
from wsgi_portproxy.locate.target import NO_PARAMS, Target
from wsgi_portproxy.locate.visit import Visit
from wsgi_portproxy.policy import ports
from wsgi_portproxy.policy.authorize import OPEN_FROM_PROJECT, SIGN_IN_AGAIN, authorize
from wsgi_portproxy.policy.ports import DEFAULT_PORTS, PortPolicy
from wsgi_portproxy.policy.same_origin import check_same_origin
from wsgi_portproxy.subrequest import CapturedResponse

from .given import COOKIES, a_target, environ, table
from .test_authorize_host import SIGNED_IN, Redirect

HERE = "app.test:36006"
TARGET = a_target(prefix="", form="port")


def at_port(method: str = "GET", **fields: Any) -> dict[str, Any]:
    return environ("/", method=method, **{"HTTP_HOST": HERE, "SERVER_PORT": "36006", **fields})


def judged(verdict: Any, cookie: str = "", target: Target = TARGET) -> CapturedResponse | None:
    made = at_port(HTTP_COOKIE=cookie)
    return authorize(lambda request, target: verdict, made, target, COOKIES).refusal


def hint(verdict: Any, cookie: str = "", **given: Any) -> str:
    with pytest.raises(Refused) as caught:
        judged(verdict, cookie, **given)
    assert caught.value.status == 403
    assert caught.value.message == "You do not have access to port 16006 here."
    return caught.value.hint


# --- Refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("there", ["/login", "?next=/", "", f"//{HERE.upper()}/login"])
@pytest.mark.parametrize("cookie", ["", SIGNED_IN])
def test_a_login_at_this_address_would_be_the_services(there: str, cookie: str) -> None:
    verdict = Redirect(there)
    assert hint(verdict, cookie) == SIGN_IN_AGAIN
    assert verdict.closed == 1


def test_without_a_session_there_is_nothing_else_to_say() -> None:
    """Never that the session does not reach this host name: it is the app's own."""
    for verdict in (False, Response(status=401), Response(status=403, text="the app's own page")):
        assert hint(verdict) == SIGN_IN_AGAIN


def test_with_a_session_the_refusal_is_as_ever() -> None:
    assert hint(False, SIGNED_IN) == ""
    refusal = judged(Response(status=404, text="the app's own page"), SIGNED_IN)
    assert refusal is not None
    assert refusal.status == 404


@pytest.mark.parametrize("there", ["http://app.test:8000/login", "http://app.test/login"])
@pytest.mark.parametrize("cookie", ["", SIGNED_IN])
def test_a_login_at_the_apps_own_port_is_sent_as_it_is(there: str, cookie: str) -> None:
    refusal = judged(Redirect(there), cookie)
    assert refusal is not None
    assert refusal.header("location") == there


def test_a_websocket_is_refused_plainly() -> None:
    target = a_target(prefix="", form="port", websocket=True)
    hint(Redirect("http://app.test:8000/login"), SIGNED_IN, target=target)


def test_an_authorizer_that_misses_a_parameter_is_told_to_the_visitor() -> None:
    def of_project(request: object, target: Target) -> bool:
        return target.params["username"] == "alice"

    unknown = Target(16006, "/", "", NO_PARAMS, TARGET.form, False)
    with pytest.raises(Refused) as caught:
        authorize(of_project, at_port(), unknown, COOKIES)
    assert (caught.value.status, caught.value.hint) == (403, OPEN_FROM_PROJECT)
    assert authorize(of_project, at_port(), TARGET, COOKIES).refusal is None

    def fails(request: object, target: Target) -> bool:
        raise KeyError("another key of its own")

    for target in (TARGET, unknown):
        with pytest.raises(AuthorizerFailed):
            authorize(fails, at_port(), target, COOKIES)


# --- Other origins -------------------------------------------------------------------------------

FOREIGN = table(
    "fields",
    {
        "another-service": {"HTTP_ORIGIN": "http://app.test:36007"},
        "the-app": {"HTTP_ORIGIN": "http://app.test:8000"},
        "the-app-at-80": {"HTTP_ORIGIN": "http://app.test"},
        "another-scheme": {"HTTP_ORIGIN": "https://app.test:36006"},
        "another-name": {"HTTP_ORIGIN": "http://evil.test:36006"},
        "null": {"HTTP_ORIGIN": "null"},
        "same-site": {"HTTP_SEC_FETCH_SITE": "same-site"},
        "cross-site": {"HTTP_SEC_FETCH_SITE": "cross-site"},
    },
)


@FOREIGN
def test_another_port_is_another_origin(fields: dict[str, Any]) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        with pytest.raises(ForeignOrigin):
            check_same_origin(Visit(at_port(method, **fields)), TARGET)
    handshake = a_target(prefix="", form="port", websocket=True)
    with pytest.raises(ForeignOrigin):
        check_same_origin(Visit(at_port(**fields)), handshake)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_its_own_pages_and_programs_pass(method: str) -> None:
    own = {"HTTP_ORIGIN": f"http://{HERE}", "HTTP_SEC_FETCH_SITE": "same-origin"}
    for fields in ({}, own):
        check_same_origin(Visit(at_port(method, **fields)), TARGET)


def test_a_link_from_the_app_may_be_followed() -> None:
    fields = {"HTTP_SEC_FETCH_SITE": "same-site", "HTTP_SEC_FETCH_MODE": "navigate"}
    check_same_origin(Visit(at_port(**fields)), TARGET)


def test_a_service_worker_may_have_the_whole_origin() -> None:
    check_same_origin(Visit(at_port(HTTP_SERVICE_WORKER="script")), TARGET)


# --- The server's own ports ----------------------------------------------------------------------


def check_not_own(addresses: set[str], monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    """With the server bound to port 16006 of these addresses."""
    found = frozenset(addresses)
    at = lambda port: found if port == 16006 else frozenset()  # noqa: E731
    monkeypatch.setattr(ports, "listening_at", at)
    target = a_target(prefix="", form=form)
    visit = Visit(environ("/", HTTP_HOST="app.test:16006", SERVER_PORT="16006"))
    PortPolicy(DEFAULT_PORTS).check_not_own(target, visit)


@pytest.mark.parametrize(
    "addresses",
    [
        *({"127.0.0.1"}, {"0.0.0.0"}, {"::"}, {"::ffff:127.0.0.1"}),
        {"192.0.2.7", "127.0.0.1"},
    ],
)
@pytest.mark.parametrize("form", ["port", "path", "query", "host"])
def test_where_the_server_would_be_reached_it_is_a_loop(
    addresses: set[str], form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Loop) as caught:
        check_not_own(addresses, monkeypatch, form)
    assert caught.value.status == 508


@pytest.mark.parametrize("addresses", [{"127.0.0.2"}, {"192.0.2.7"}, {"2001:db8::1", "192.0.2.7"}])
@pytest.mark.parametrize("form", ["port", "path", "query", "host"])
def test_where_the_site_has_an_address_of_its_own_the_service_has_loopback(
    addresses: set[str], form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_not_own(addresses, monkeypatch, form)


def test_what_a_front_end_listens_on_is_seen_by_its_via_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the port form SERVER_PORT may be the front end's own number, where the service is too."""
    check_not_own(set(), monkeypatch, "port")
    for form in ("path", "query", "host"):
        with pytest.raises(Loop):
            check_not_own(set(), monkeypatch, form)
