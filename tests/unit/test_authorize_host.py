"""Refusals in the host form, where the app's session may not reach: they say so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from webob import Response

from wsgi_portproxy.authorize import NO_SESSION, SIGN_IN_AGAIN, authorize
from wsgi_portproxy.captured import CapturedResponse
from wsgi_portproxy.cookies import CookiePolicy
from wsgi_portproxy.errors import Refused

from .given import COOKIES, a_target, environ

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
    return authorize(lambda request, target: verdict, made, target, policy)


def hint(verdict: Any, cookie: str = "", **fields: Any) -> str:
    with pytest.raises(Refused) as caught:
        judged(verdict, cookie, **fields)
    assert caught.value.status == 403
    assert caught.value.message == "You do not have access to port 16006 here."
    return caught.value.hint


@pytest.mark.parametrize(
    "cookie",
    [
        pytest.param("", id="none"),
        pytest.param("a=1; b=2", id="others"),
        pytest.param(f"portproxy.16006={1764000000000}/a/b/proxy/16006", id="our-own"),
        pytest.param("portproxy.16006.sessionid=s", id="a-services-of-that-name"),
        pytest.param("sessionid2=s; xsessionid=s; sessionid.x=s", id="similar-names"),
        pytest.param("a=sessionid", id="in-a-value"),
    ],
)
@pytest.mark.parametrize(
    "verdict",
    [
        False,
        Response(status=403, text="the app's own page"),
        Response(status=404, text="the app's own page"),
        Redirect("/login"),
        Redirect(f"http://{HOST}/login?next=/"),
    ],
    ids=["false", "403", "404", "login", "login-absolute"],
)
def test_without_a_session_the_refusal_says_that_none_reached_this_name(
    verdict: Any, cookie: str
) -> None:
    assert hint(verdict, cookie) == NO_SESSION


@pytest.mark.parametrize(
    "cookie", [SIGNED_IN, "SESSIONID=s", "a=1,session=s", "__Host-sessionid=s"]
)
def test_with_a_session_the_apps_own_page_is_sent(cookie: str) -> None:
    for status in (403, 404):
        refusal = judged(Response(status=status, text="the app's own page"), cookie)
        assert refusal is not None
        assert refusal.status == status
    assert hint(False, cookie) == ""


@pytest.mark.parametrize(
    "location",
    ["/login", "login", "?next=/", "", f"http://{HOST}/login", f"//{HOST.upper()}/login"],
)
def test_with_a_session_a_login_at_this_name_is_of_no_use(location: str) -> None:
    """It would be asked for at the service."""
    verdict = Redirect(location)
    assert hint(verdict, SIGNED_IN) == SIGN_IN_AGAIN
    assert verdict.closed == 1


@pytest.mark.parametrize(
    "location",
    [
        "http://app.example.com/login?next=x",
        "https://16007.ports.example.com/",
        f"http://{HOST}:8000/login",
        f"http://{HOST}.evil.com/",
        "//app.example.com/login",
        "http://[",
        "//[x/login",
    ],
)
@pytest.mark.parametrize("cookie", ["", SIGNED_IN])
def test_a_login_at_another_name_is_sent_as_it_is(location: str, cookie: str) -> None:
    refusal = judged(Redirect(location), cookie)
    assert refusal is not None
    assert (refusal.status, refusal.header("location")) == (302, location)


def test_the_port_in_the_host_is_part_of_the_name() -> None:
    assert hint(Redirect(f"http://{HOST}:8000/login"), HTTP_HOST=f"{HOST}:8000") == NO_SESSION
    assert judged(Redirect(f"http://{HOST}/login"), HTTP_HOST=f"{HOST}:8000") is not None


def test_a_401_that_asks_for_nothing_is_explained() -> None:
    """An API's, say: without a challenge no browser asks for a password."""
    with pytest.raises(Refused) as caught:
        judged(Response(status=401))
    assert caught.value.hint == NO_SESSION


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
    refusal = judged(Redirect("/login"), form=form)
    assert refusal is not None
    assert refusal.header("location") == "/login"
    assert hint(False, form=form) == ""


def test_a_websocket_is_refused_plainly() -> None:
    for location in ("/login", "http://app.example.com/login"):
        verdict = Redirect(location)
        hint(verdict, SIGNED_IN, websocket=True)
        assert verdict.closed == 1


def test_a_yes_is_a_yes() -> None:
    assert judged(True) is None
