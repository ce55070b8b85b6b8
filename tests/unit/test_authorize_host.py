"""Refusals in the host form, where the app's session may not reach: they say so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from webob import Response

from wsgi_portproxy.errors import Refused
from wsgi_portproxy.policy.authorize import NO_SESSION, SIGN_IN_AGAIN, authorize
from wsgi_portproxy.rewrite.cookies import CookiePolicy
from wsgi_portproxy.subrequest import CapturedResponse

from .given import COOKIES, a_target, environ, table

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

HOST = "16006.ports.example.com"
SIGNED_IN = "a=1; sessionid=s"


class Redirect:
    """To exactly this Location (webob would make it absolute); counts its closings."""

    def __init__(self, location: str) -> None:
        self._location = location
        self.closed = 0

    def __call__(self, made: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("302 Found", [("Location", self._location)])
        return self

    def __iter__(self) -> Iterator[bytes]:
        yield b"sign in"

    def close(self) -> None:
        self.closed += 1


def judged(
    verdict: Any,
    cookie: str = "",
    *,
    form: Any = "host",
    websocket: bool = False,
    policy: CookiePolicy = COOKIES,
    **fields: Any,
) -> CapturedResponse | None:
    target = a_target(prefix="", form=form, websocket=websocket)
    made = environ("/", **{"HTTP_HOST": HOST, "HTTP_COOKIE": cookie, **fields})
    return authorize(lambda request, target: verdict, made, target, policy).refusal


def hint(verdict: Any, cookie: str = "", **fields: Any) -> str:
    with pytest.raises(Refused) as caught:
        judged(verdict, cookie, **fields)
    assert caught.value.status == 403
    assert caught.value.message == "You do not have access to port 16006 here."
    return caught.value.hint


def location(refusal: CapturedResponse | None) -> str | None:
    assert refusal is not None
    return refusal.header("location")


@table(
    "cookie",
    {
        "none": "",
        "others": "sessionid2=s; xsessionid=s; sessionid.x=s; a=sessionid",
        "ours": "portproxy.16006=1764000000000/a; portproxy.16006.sessionid=s",
    },
)
@table(
    "verdict",
    {
        "false": False,
        "401-that-asks-for-nothing": Response(status=401),
        "403": Response(status=403, text="the app's own page"),
        "login": Redirect("/login"),
    },
)
def test_without_a_session_the_refusal_says_that_none_reached_this_name(
    verdict: Any, cookie: str
) -> None:
    assert hint(verdict, cookie) == NO_SESSION


@pytest.mark.parametrize("cookie", [SIGNED_IN, "SESSIONID=s", "a=1,__Host-session=s"])
def test_with_a_session_the_apps_own_page_is_sent(cookie: str) -> None:
    refusal = judged(Response(status=404, text="the app's own page"), cookie)
    assert refusal is not None
    assert refusal.status == 404
    assert hint(False, cookie) == ""


@pytest.mark.parametrize("there", ["/login", "?next=/", "", f"//{HOST.upper()}/login"])
def test_with_a_session_a_login_at_this_name_is_of_no_use(there: str) -> None:
    """It would be asked for at the service."""
    verdict = Redirect(there)
    assert hint(verdict, SIGNED_IN) == SIGN_IN_AGAIN
    assert verdict.closed == 1


@pytest.mark.parametrize(
    "there",
    [
        "http://app.example.com/login?next=x",
        "https://16007.ports.example.com/",
        f"http://{HOST}:8000/login",
        f"http://{HOST}.evil.com/",
        "//app.example.com/login",
        "http://[",
    ],
)
@pytest.mark.parametrize("cookie", ["", SIGNED_IN])
def test_a_login_at_another_name_is_sent_as_it_is(there: str, cookie: str) -> None:
    assert location(judged(Redirect(there), cookie)) == there


def test_the_port_in_the_host_is_part_of_the_name() -> None:
    assert hint(Redirect(f"http://{HOST}:8000/login"), HTTP_HOST=f"{HOST}:8000") == NO_SESSION
    assert judged(Redirect(f"http://{HOST}/login"), HTTP_HOST=f"{HOST}:8000") is not None


def test_a_401_is_sent_as_it_is() -> None:
    """The browser asks for credentials, for this very name."""
    refusal = judged(Response(status=401, headers={"WWW-Authenticate": "Basic"}))
    assert refusal is not None
    assert refusal.status == 401


def test_what_the_deployment_withholds_counts_as_its_session() -> None:
    own = CookiePolicy(["user"])
    assert hint(Redirect("/login"), "user=alice", policy=own) == SIGN_IN_AGAIN
    assert hint(Redirect("/login"), "sessionid=s", policy=own) == NO_SESSION


@pytest.mark.parametrize("form", ["path", "query", "stray"])
def test_in_the_other_forms_refusals_are_as_ever(form: str) -> None:
    assert location(judged(Redirect("/login"), form=form)) == "/login"
    assert hint(False, form=form) == ""


@pytest.mark.parametrize("there", ["/login", "http://app.example.com/login"])
def test_a_websocket_is_refused_plainly(there: str) -> None:
    verdict = Redirect(there)
    hint(verdict, SIGNED_IN, websocket=True)
    assert verdict.closed == 1


def test_a_yes_is_a_yes() -> None:
    assert judged(True) is None
