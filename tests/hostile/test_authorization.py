"""Who is let through, and what a service hears of everybody else: nothing."""

from __future__ import annotations

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import ask
from tests.support.received import Received, recording
from tests.support.service import Service
from tests.support.websocket import STANDARD

from .conftest import Noted, Untouched
from .hosts import VERDICTS

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"]
FORMS = {
    "query": "/alice/vision/x?port={}",
    "path": "/alice/vision/proxy/{}/x",
    "path-without-slash": "/alice/vision/proxy/{}",
}
forms = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
HANDSHAKE = list(STANDARD.items())
STATUSES = dict.fromkeys(VERDICTS.keys() - {"true"}, 500)
STATUSES |= {"false": 403, "redirect": 302, "response": 402}
STATUSES |= {"raise": 503, "raise-unprintable": 503}


@pytest.mark.case("an authorizer that raises or returns odd things; called once")
@pytest.mark.promise("Nothing reaches a service before the authorizer's plain yes")
@pytest.mark.parametrize("verdict", sorted(STATUSES))
def test_without_a_plain_yes_a_service_hears_nothing(
    noted: Noted, untouched: Untouched, verdict: str
) -> None:
    body = b"x" * 100_000
    cookie = f"verdict={verdict}; user=alice"
    for form in FORMS.values():
        target = form.format(untouched.port)
        for method in ("GET", "HEAD", "POST", "PROPFIND"):
            sent = body if method == "POST" else b""
            reply = ask(noted.port, method, target, cookie=cookie, body=sent)
            assert reply.status == STATUSES[verdict]
            assert "secret" not in reply.text
            assert [call.split()[0] for call in noted.calls()] == [method]
    untouched.heard_nothing()


@pytest.mark.case("refused: zero bytes; WebSocket 403")
@pytest.mark.promise("Nothing reaches a service before the authorizer's plain yes")
@pytest.mark.parametrize("verdict", sorted(STATUSES))
def test_without_a_plain_yes_a_websocket_is_refused(
    noted: Noted, untouched: Untouched, verdict: str
) -> None:
    """No WebSocket client follows a login redirect: it gets a plain 403 instead."""
    for form in FORMS.values():
        target = form.format(untouched.port)
        reply = ask(noted.port, "GET", target, headers=HANDSHAKE, cookie=f"verdict={verdict}")
        wanted = 403 if verdict in ("redirect", "response") else STATUSES[verdict]
        assert reply.status == wanted
        assert reply.value("Location") is None
        assert len(noted.calls()) == 1
    untouched.heard_nothing()


@pytest.mark.parametrize("cookie", ["", "user=bob", "user=alice2", "user=ALICE", "xuser=alice"])
def test_another_user_is_refused(noted: Noted, untouched: Untouched, cookie: str) -> None:
    for form in FORMS.values():
        for method in METHODS:
            reply = ask(noted.port, method, form.format(untouched.port), cookie=cookie)
            assert reply.status == 403
            assert len(noted.calls()) == 1
    untouched.heard_nothing()


@pytest.mark.case("an authorizer that raises or returns odd things; called once")
@pytest.mark.promise("Nothing reaches a service before the authorizer's plain yes")
@pytest.mark.parametrize("form", ["query", "path"])
def test_the_right_user_is_asked_for_once_a_request(
    noted: Noted, answering: Service, form: str
) -> None:
    """By a program, which sends neither Origin nor Sec-Fetch-Site."""
    for number, method in enumerate(METHODS, 1):
        reply = ask(noted.port, method, FORMS[form].format(answering.port))
        assert reply.status == 200
        assert noted.calls() == [f"{method} {answering.port} alice/vision"]
        assert len(answering.heads) == number


def test_a_redirect_that_is_followed_here_is_still_one_request(
    noted: Noted, service: ServiceFactory
) -> None:
    seen: list[Received] = []
    moved = b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"
    upstream = service(recording(seen, moved))
    assert ask(noted.port, "GET", f"/alice/vision/?port={upstream.port}").status == 302
    assert len(seen) > 1
    assert len(noted.calls()) == 1


# --- AskApp --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cookie", "status", "text"),
    [("", 302, "sign in\n"), ("user=bob", 403, "not yours\n")],
    ids=["nobody", "bob"],
)
@forms
def test_the_apps_own_refusal_is_passed_on(
    asking: Noted, untouched: Untouched, cookie: str, status: int, text: str, form: str
) -> None:
    target = form.format(untouched.port)
    for method in METHODS:
        reply = ask(asking.port, method, target, cookie=cookie)
        assert reply.status == status
        assert reply.text == ("" if method == "HEAD" else text)
        assert reply.value("Location") == ("/login" if status == 302 else None)
        assert asking.calls() == ["app GET /alice/vision/"]
    refused = ask(asking.port, "GET", target, cookie=cookie, headers=HANDSHAKE)
    assert (refused.status, refused.value("Location")) == (403, None)
    assert asking.calls() == ["app GET /alice/vision/"]
    untouched.heard_nothing()


def test_whoever_may_see_the_page_gets_through(asking: Noted, answering: Service) -> None:
    for method in METHODS:
        assert ask(asking.port, method, f"/alice/vision/?port={answering.port}").status == 200
        assert asking.calls() == ["app GET /alice/vision/"]


def test_no_field_of_the_request_changes_which_page_is_asked(
    asking: Noted, untouched: Untouched
) -> None:
    """Some apps, and servers in front, would show the page that these name."""
    target = f"/alice/vision/?port={untouched.port}"
    for name in ("X-Original-URL", "X-Rewrite-URL", "X-Original-URI", "X-Script-Name"):
        for value in ("/", "/login", "/alice"):
            reply = ask(asking.port, "GET", target, cookie="user=bob", headers=[(name, value)])
            assert reply.status == 403
            assert asking.calls() == ["app GET /alice/vision/"]
    override = [("X-HTTP-Method-Override", "DELETE"), ("Content-Type", "text/plain")]
    ask(asking.port, "POST", f"/bob/x/?port={untouched.port}", headers=override, body=b"x")
    assert asking.calls() == ["app GET /bob/x/"]
    untouched.heard_nothing()


# --- Foreign pages: unit/test_origin has all that they may say ------------------------------------

FOREIGN = {
    "other-host": ["http://evil.com"],
    "other-port": ["http://app.test:8080"],
    "null": ["null"],
    "empty": [""],
    "two": ["http://app.test", "http://app.test"],
    "ours-and-a-foreign-one": ["http://app.test", "http://evil.com"],
    "in-one-line": ["http://app.test, http://evil.com"],
    "tab": ["http://app.test\tx"],
}


@pytest.mark.case("foreign origins")
@pytest.mark.promise("Other sites cannot use a visitor's session")
@pytest.mark.parametrize("origins", FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_page_can_neither_write_nor_open_a_websocket(
    noted: Noted, untouched: Untouched, origins: list[str]
) -> None:
    headers = [("Origin", origin) for origin in origins]
    for form in FORMS.values():
        target = form.format(untouched.port)
        for method in ("POST", "DELETE", "PROPFIND"):
            # gunicorn itself refuses some of them
            assert ask(noted.port, method, target, headers=headers).status in (400, 403)
        upgrade = [*HANDSHAKE, *headers]
        assert ask(noted.port, "GET", target, headers=upgrade).status in (400, 403)
    assert noted.calls() == []
    untouched.heard_nothing()


@pytest.mark.parametrize("origin", ["http://app.test", "http://APP.test:80"])
def test_our_own_page_can_write(noted: Noted, service: ServiceFactory, origin: str) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    headers = [("Origin", origin), ("Sec-Fetch-Site", "same-origin")]
    target = f"/alice/vision/?port={upstream.port}"
    assert ask(noted.port, "POST", target, headers=headers).status == 200
    assert seen[0].values("Origin") == [f"http://localhost:{upstream.port}"]


LINK = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@pytest.mark.promise("Other sites cannot use a visitor's session")
@pytest.mark.parametrize(
    ("method", "fields", "passes"),
    [
        ("GET", LINK, True),
        ("GET", {**LINK, "Sec-Fetch-Dest": "iframe"}, False),
        ("GET", {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, False),
        ("GET", {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}, False),
        ("GET", {}, False),
        ("OPTIONS", {"Sec-Fetch-Mode": "cors"}, False),
        ("POST", LINK, False),
    ],
)
@pytest.mark.parametrize("form", ["/alice/vision/?port={}", "/alice/vision/proxy/{}/"])
def test_another_site_can_only_link_to_us(
    noted: Noted,
    untouched: Untouched,
    method: str,
    fields: dict[str, str],
    passes: bool,
    form: str,
) -> None:
    headers = [("Sec-Fetch-Site", "cross-site"), *fields.items()]
    reply = ask(noted.port, method, form.format(untouched.port), headers=headers)
    if passes:
        assert reply.status in (200, 307, 308)
    else:
        assert reply.status == 403
        untouched.heard_nothing()


@pytest.mark.case("service workers")
def test_a_service_worker_is_for_the_path_form_only(
    noted: Noted, answering: Service, untouched: Untouched
) -> None:
    for value in ("script", ""):
        headers = [("Service-Worker", value)]
        target = f"/alice/vision/sw.js?port={untouched.port}"
        assert ask(noted.port, "GET", target, headers=headers).status == 403
        target = f"/alice/vision/proxy/{answering.port}/sw.js"
        assert ask(noted.port, "GET", target, headers=headers).status == 200
    untouched.heard_nothing()
