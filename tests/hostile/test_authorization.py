"""Who is let through, and what a service hears of everybody else: nothing."""

from __future__ import annotations

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import ask
from tests.support.received import Received, recording
from tests.support.service import Service

from .conftest import Noted, Untouched
from .hosts import VERDICTS

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"]
FORMS = {
    "query": "/alice/vision/x?port={}",
    "path": "/alice/vision/proxy/{}/x",
    "path-without-slash": "/alice/vision/proxy/{}",
}
HANDSHAKE = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
]

STATUSES = {
    "false": 403,
    "redirect": 302,
    "response": 402,
    "raise": 503,
    "raise-unprintable": 503,
    **dict.fromkeys(VERDICTS.keys() - {"true", "false", "redirect", "response"}, 500),
}
STATUSES.update({"raise": 503, "raise-unprintable": 503})


@pytest.mark.parametrize("verdict", sorted(STATUSES))
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_without_a_plain_yes_a_service_hears_nothing(
    noted: Noted, untouched: Untouched, verdict: str, form: str
) -> None:
    target = form.format(untouched.port)
    body = b"x" * 100_000
    for method in METHODS:
        reply = ask(
            noted.port,
            method,
            target,
            cookie=f"verdict={verdict}; user=alice",
            body=body if method in ("POST", "PUT", "PATCH") else b"",
        )
        assert reply.status == STATUSES[verdict]
        assert "secret" not in reply.text
        assert [call.split()[0] for call in noted.calls()] == [method]
    untouched.heard_nothing()


@pytest.mark.parametrize("verdict", sorted(STATUSES))
def test_without_a_plain_yes_a_websocket_is_refused(
    noted: Noted, untouched: Untouched, verdict: str
) -> None:
    """No WebSocket client follows a login redirect: it gets a plain 403 instead."""
    for form in FORMS.values():
        reply = ask(
            noted.port,
            "GET",
            form.format(untouched.port),
            headers=HANDSHAKE,
            cookie=f"verdict={verdict}",
        )
        wanted = 403 if verdict in ("redirect", "response") else STATUSES[verdict]
        assert reply.status == wanted
        assert reply.value("Location") is None
        assert len(noted.calls()) == 1
    untouched.heard_nothing()


@pytest.mark.parametrize("cookie", ["", "user=bob", "user=alice2", "user=ALICE", "xuser=alice"])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_another_user_is_refused(
    noted: Noted, untouched: Untouched, cookie: str, form: str
) -> None:
    for method in METHODS:
        reply = ask(noted.port, method, form.format(untouched.port), cookie=cookie)
        assert reply.status == 403
        assert len(noted.calls()) == 1
    untouched.heard_nothing()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("form", ["query", "path"])
def test_the_right_user_is_asked_for_once_a_request(
    noted: Noted, answering: Service, method: str, form: str
) -> None:
    for number in range(1, 4):
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
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_apps_own_refusal_is_passed_on(
    asking: Noted, untouched: Untouched, cookie: str, status: int, text: str, form: str
) -> None:
    for method in METHODS:
        reply = ask(asking.port, method, form.format(untouched.port), cookie=cookie)
        assert reply.status == status
        assert reply.text == ("" if method == "HEAD" else text)
        assert reply.value("Location") == ("/login" if status == 302 else None)
        assert asking.calls() == ["app GET /alice/vision/"]
        refused = ask(
            asking.port, "GET", form.format(untouched.port), cookie=cookie, headers=HANDSHAKE
        )
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
    for name in ("X-Original-URL", "X-Rewrite-URL", "X-Original-URI", "X-Script-Name"):
        for value in ("/", "/login", "/alice"):
            target = f"/alice/vision/?port={untouched.port}"
            reply = ask(asking.port, "GET", target, cookie="user=bob", headers=[(name, value)])
            assert reply.status == 403
            assert asking.calls() == ["app GET /alice/vision/"]
    override = [("X-HTTP-Method-Override", "DELETE"), ("Content-Type", "text/plain")]
    ask(asking.port, "POST", f"/bob/x/?port={untouched.port}", headers=override, body=b"x")
    assert asking.calls() == ["app GET /bob/x/"]
    untouched.heard_nothing()


# --- Foreign pages -------------------------------------------------------------------------------

FOREIGN = {
    "other-host": ["http://evil.com"],
    "other-port": ["http://app.test:8080"],
    "other-scheme": ["https://app.test"],
    "sibling": ["http://other.test"],
    "subdomain": ["http://x.app.test"],
    "parent": ["http://test"],
    "null": ["null"],
    "empty": [""],
    "longer-host": ["http://app.test.evil"],
    "userinfo": ["http://app.test@evil.com"],
    "userinfo-of-ours": ["http://x@app.test"],
    "path": ["http://app.test/"],
    "two": ["http://app.test", "http://app.test"],
    "ours-and-a-foreign-one": ["http://app.test", "http://evil.com"],
    "a-foreign-one-and-ours": ["http://evil.com", "http://app.test"],
    "in-one-line": ["http://app.test, http://evil.com"],
    "the-service": ["http://localhost:16006"],
    "tab": ["http://app.test\tx"],
}


@pytest.mark.parametrize("origins", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_foreign_page_can_neither_write_nor_open_a_websocket(
    noted: Noted, untouched: Untouched, origins: list[str], form: str
) -> None:
    headers = [("Origin", origin) for origin in origins]
    target = form.format(untouched.port)
    for method in ("POST", "PUT", "PATCH", "DELETE", "PROPFIND"):
        # gunicorn itself refuses some of them
        assert ask(noted.port, method, target, headers=headers).status in (400, 403)
    assert ask(noted.port, "GET", target, headers=[*HANDSHAKE, *headers]).status in (400, 403)
    untouched.heard_nothing()


@pytest.mark.parametrize("origin", ["http://app.test", "http://APP.test", "http://app.test:80"])
def test_our_own_page_can_write(noted: Noted, service: ServiceFactory, origin: str) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    headers = [("Origin", origin), ("Sec-Fetch-Site", "same-origin")]
    target = f"/alice/vision/?port={upstream.port}"
    assert ask(noted.port, "POST", target, headers=headers).status == 200
    assert seen[0].values("Origin") == [f"http://localhost:{upstream.port}"]


TOP_LEVEL = [("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")]
CROSS_SITE = ("Sec-Fetch-Site", "cross-site")


@pytest.mark.parametrize(
    ("method", "fields", "passes"),
    [
        ("GET", TOP_LEVEL, True),
        ("GET", [("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "iframe")], False),
        ("GET", [("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "object")], False),
        ("GET", [("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "image")], False),
        ("GET", [("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "script")], False),
        ("GET", [("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Dest", "empty")], False),
        ("GET", [], False),
        ("HEAD", [("Sec-Fetch-Mode", "cors")], False),
        ("OPTIONS", [("Sec-Fetch-Mode", "cors")], False),
        ("POST", TOP_LEVEL, False),
        ("DELETE", [("Sec-Fetch-Mode", "cors")], False),
    ],
)
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_another_site_can_only_link_to_us(
    noted: Noted,
    untouched: Untouched,
    method: str,
    fields: list[tuple[str, str]],
    passes: bool,
    form: str,
) -> None:
    target = form.format(untouched.port).replace("/x", "/?" if "?" in form else "/")
    reply = ask(noted.port, method, target.replace("??", "?"), headers=[CROSS_SITE, *fields])
    if passes:
        assert reply.status in (200, 307, 308)
    else:
        assert reply.status == 403
        untouched.heard_nothing()


def test_programs_send_neither_and_pass(noted: Noted, answering: Service) -> None:
    for method in METHODS:
        for target in (FORMS["query"], FORMS["path"]):
            assert ask(noted.port, method, target.format(answering.port)).status == 200


@pytest.mark.parametrize("value", ["script", "x", ""])
def test_a_service_worker_is_for_the_path_form_only(
    noted: Noted, service: ServiceFactory, untouched: Untouched, value: str
) -> None:
    headers = [("Service-Worker", value)]
    target = f"/alice/vision/sw.js?port={untouched.port}"
    assert ask(noted.port, "GET", target, headers=headers).status == 403
    untouched.heard_nothing()
    upstream = service(recording([]))
    target = f"/alice/vision/proxy/{upstream.port}/sw.js"
    assert ask(noted.port, "GET", target, headers=headers).status == 200
