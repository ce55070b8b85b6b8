"""What must not reach the visitor: instructions to others, the app's cookies, and our insides."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import Reply, ask, own_session, without_copies
from tests.support.ports import free_port
from tests.support.service import Exchange, answers

from .conftest import Noted

QUERY, PATH = FORMS = ("/alice/vision/x?port={}", "/alice/vision/proxy/{}/x")
PREFIX = PATH.removesuffix("/x")
HTML = [("Accept", "text/html")]


def response(*fields: tuple[str, str], status: str = "200 OK", body: bytes = b"hi") -> bytes:
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in fields)]
    lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


# --- Instructions to others: unit/test_headers_to_visitor has all names and values ----------------

INSTRUCTIONS = [
    *("X-Accel-Redirect", "X-Accel-Whatever", "X-Sendfile", "X-LIGHTTPD-send-file"),
    *("X-Reproxy-URL", "Clear-Site-Data", "Strict-Transport-Security", "Alt-Svc", "NEL"),
    *("Set-Login", "Surrogate-Control", "Proxy-Authenticate", "Keep-Alive", "Upgrade", "Trailer"),
    *("Secure-Session-Registration", "Sec-Session-Registration", "Secure-Session-Challenge"),
    *("X-Envoy-Upstream-Service-Time", "IdP-SignIn-Status", "Shared-Storage-Write", "Xkey"),
    *("Attribution-Reporting-Register-Source", "Netlify-Vary", "X-Portproxy-Error"),
]


@pytest.mark.case("instructions to others, on a 101 too")
@pytest.mark.promise("No orders to your origin or front-end by headers")
@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "304 Not Modified"])
def test_an_instruction_to_others_is_dropped(
    noted: Noted, service: ServiceFactory, status: str
) -> None:
    spellings = [one for name in INSTRUCTIONS for one in (name, name.lower(), name.swapcase())]
    fields = [(spelling, f'"*"; max-age={n}') for n, spelling in enumerate(spellings)]
    body = b"" if status.startswith("304") else b"hi"
    upstream = service(answers(response(*fields, ("X-Kept", "1"), status=status, body=body)))
    for form in FORMS:
        reply = ask(noted.port, "GET", form.format(upstream.port))
        assert reply.status == int(status[:3])
        assert reply.value("X-Kept") == "1"
        assert [name for name in INSTRUCTIONS if reply.values(name)] == []


@pytest.mark.case("service workers")
@pytest.mark.parametrize(
    ("scope", "passes"),
    [("/", False), ("{}0/", False), ("{}/%2e%2e/", False), ("{}/.\t./", False), ("{}/a/", True)],
)
def test_a_service_worker_is_not_allowed_more_than_the_prefix(
    noted: Noted, service: ServiceFactory, scope: str, passes: bool
) -> None:
    def script(exchange: Exchange) -> None:
        prefix = PREFIX.format(exchange.sock.getsockname()[1])
        while exchange.read_head():
            exchange.send(response(("Service-Worker-Allowed", scope.format(prefix))))

    upstream = service(script)
    reply = ask(noted.port, "GET", PATH.format(upstream.port))
    allowed = scope.format(PREFIX.format(upstream.port)) if passes else None
    assert (reply.status, reply.value("Service-Worker-Allowed")) == (200, allowed)


@pytest.mark.case("shared caches")
@pytest.mark.promise("No orders to your origin or front-end by headers")
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], {"private"}),
        (["PUBLIC,max-age=60, S-MAXAGE=1"], {"private", "max-age=60"}),
        (["max-age=60", "public"], {"private", "max-age=60"}),
        (["no-store"], {"no-store"}),
    ],
)
@pytest.mark.parametrize("status", ["200 OK", "301 Moved", "404 Not Found"])
def test_no_shared_cache_may_keep_an_answer(
    noted: Noted, service: ServiceFactory, values: list[str], expected: set[str], status: str
) -> None:
    fields = [("Cache-Control", value) for value in values]
    upstream = service(answers(response(*fields, status=status)))
    reply = ask(noted.port, "GET", QUERY.format(upstream.port))
    [line] = reply.values("Cache-Control")
    assert {part.strip() for part in line.split(",")} == expected


# --- Cookies: unit/test_cookies has all other ways to write one -----------------------------------

REFUSED = [
    *("\xa0sessionid=evil", '"sessionid"=evil', "\xa0__Host-a=evil", "=evil", "nameless", " =x"),
    *("a=1, sessionid=evil", "a=1 sessionid=evil", 'a="x" sessionid=evil', "sessionid", ""),
    *("a=" + "x" * 8192, "a" * 8192 + "=1"),
]
SCOPED = {
    "a=1": "a=1",
    "a=1; Path=/; Domain=app.test": "a=1; Path={}/",
    "a=1; Path=/x; path=/": "a=1; Path={}/x; path={}/",
    "a=b=c; HttpOnly; SameSite=None; Partitioned": "a=b=c; HttpOnly; SameSite=None; Partitioned",
    "sessionid2=1": "sessionid2=1",
}
# Names that are the app's: the service's cookie has another in the browser.
RENAMED = {
    "sessionid=s; Path=/; Domain=app.test": "sessionid=s; Path={}/",
    " CSRFtoken =s": "CSRFtoken =s",
    "__Host-a=1; Secure; Path=/": "__Host-a=1; Secure; Path={}/",
    "__Secure-sessionid=; Max-Age=0": "__Secure-sessionid=; Max-Age=0",
}


@pytest.mark.case("cookies that a service may not set")
@pytest.mark.promise("Your app's cookies stay here")
def test_a_service_can_set_no_cookie_of_the_app(noted: Noted, service: ServiceFactory) -> None:
    fields = [("Set-Cookie", value) for value in REFUSED]
    spellings = [("set-cookie", "a sessionid=evil"), ("SET-COOKIE", "a sessionid=evil")]
    upstream = service(answers(response(*fields, *spellings, ("Set_Cookie", "a sessionid=evil"))))
    for form in FORMS:
        reply = ask(noted.port, "GET", form.format(upstream.port), cookie=own_session())
        assert reply.status == 200
        assert reply.values("Set-Cookie") == reply.values("Set_Cookie") == []
        assert b"sessionid" not in reply.head.lower()


@pytest.mark.parametrize("spelling", ["Set-Cookie", "SET-COOKIE"])
def test_a_services_cookies_are_kept_to_its_prefix_and_out_of_the_apps_names(
    noted: Noted, service: ServiceFactory, spelling: str
) -> None:
    upstream = service(answers(response(*((spelling, one) for one in (*SCOPED, *RENAMED)))))
    renamed = [f"portproxy.{upstream.port}.{value}" for value in RENAMED.values()]
    for form, prefix in ((PATH, PREFIX.format(upstream.port)), (QUERY, "/alice/vision")):
        reply = ask(noted.port, "GET", form.format(upstream.port), cookie=own_session())
        wanted = [value.replace("{}", prefix) for value in (*SCOPED.values(), *renamed)]
        assert without_copies(reply.values("Set-Cookie")) == wanted


@pytest.mark.case("cookies that a service may not set")
def test_300_cookies_do_not_push_out_the_apps(noted: Noted, service: ServiceFactory) -> None:
    """Browsers keep about 180 cookies of a site."""
    fields = [("Set-Cookie", f"c{number}=1") for number in range(300)]
    upstream = service(answers(response(*fields)))
    reply = ask(noted.port, "GET", PATH.format(upstream.port), cookie=own_session())
    assert reply.status == 200
    kept = without_copies(reply.values("Set-Cookie"))
    assert kept == [f"c{number}=1" for number in range(20)]
    assert len(reply.values("Set-Cookie")) <= 21


def test_cookies_of_a_redirect_that_is_followed_here(noted: Noted, service: ServiceFactory) -> None:
    """What is dropped from an answer is dropped on the way to it too."""
    fields = [("Set-Cookie", value) for value in (*REFUSED, "a=1; Path=/")]
    first = response(("Location", "/next"), *fields, status="302 Found", body=b"")
    upstream = service(answers(first, response()))
    reply = ask(noted.port, "GET", QUERY.format(upstream.port), cookie=own_session())
    assert reply.status == 200
    assert reply.values("Set-Cookie") == ["a=1; Path=/alice/vision/"]
    assert b"evil" not in upstream.heads[1]
    assert b"a=1" in upstream.heads[1]


@pytest.mark.parametrize("hops", [0, 1, 2])
def test_no_cookie_gets_above_the_prefix_by_what_browsers_assume(
    noted: Noted, service: ServiceFactory, hops: int
) -> None:
    """At `/alice/vision`, without a slash, a cookie that says no path gets `/alice`."""
    hop = response(("Location", "/deep/er"), ("Set-Cookie", "a=1"), status="302 Found", body=b"")
    upstream = service(answers(*[hop] * hops, response(("Set-Cookie", "b=1"))))
    reply = ask(noted.port, "GET", f"/alice/vision?port={upstream.port}")
    assert reply.status == 200
    assert reply.values("Set-Cookie")
    assert all("; Path=/alice/vision" in value for value in reply.values("Set-Cookie"))


# --- Pages ---------------------------------------------------------------------------------------

EVIL = "<script>alert(1)</script>"
ENCODED = "%3Cscript%3Ealert(1)%3C/script%3E"


def is_harmless(reply: Reply) -> bool:
    """Whether a page of ours holds nothing that came from outside unescaped."""
    page = re.sub(
        r"<style>.*?</style>|<script>\n\(function.*?</script>", "", reply.text, flags=re.S
    )
    return "<script" not in page.lower() and "alert(1)<" not in page


@pytest.mark.case("markup, insides, the log")
@pytest.mark.promise("Error pages hold no secrets and run no foreign script")
@pytest.mark.parametrize("evil", [EVIL, ENCODED], ids=["raw", "encoded"])
@pytest.mark.parametrize("accept", ["text/html", "application/json", "*/*"])
def test_no_value_of_a_request_becomes_markup(noted: Noted, evil: str, accept: str) -> None:
    port = free_port()
    headers = [("Accept", accept), ("X-Evil", EVIL), ("Referer", f"http://x/{EVIL}")]
    for target, status in [
        (f"/alice/vision/?port={evil}", 400),
        (f"/alice/vision/?port=1&port={evil}", 400),
        (f"/{evil}/vision/?port={port}".replace("</", "<"), 403),
        (f"/alice/{evil}/?port=5000".replace("</", "<").replace("%3C/", "%3C"), 403),
        (f"/alice/vision/{evil}?port={port}", 502),
        (f"/alice/vision/?port={port}&x={evil}", 502),
        (f"/alice/vision/proxy/{port}/{evil}?{evil}", 502),
        (f"/alice/vision/../{evil}?port={port}", 404),
    ]:
        for method in ("GET", "POST"):
            reply = ask(noted.port, method, target, headers=headers)
            assert reply.status in (status, 400, 403)
            assert is_harmless(reply), reply.text
            if accept != "text/html":
                assert "<script" not in reply.text
            assert EVIL.encode() not in reply.head


@pytest.mark.parametrize(
    "answer",
    [
        f"HTTP/1.1 200 {EVIL}\r\nBroken {EVIL}\r\n\r\n".encode(),
        f"{EVIL}\r\n\r\n".encode(),
        f"HTTP/1.1 999 {EVIL}\r\n\r\n".encode(),
        f"HTTP/1.1 200 OK\r\nContent-Length: {EVIL}\r\n\r\n".encode(),
        f"HTTP/1.1 200 OK\r\nTransfer-Encoding: {EVIL}\r\n\r\n".encode(),
        f"HTTP/1.1 200 OK\r\nX: {EVIL}".encode(),
    ],
    ids=["field", "greeting", "status", "length", "coding", "cut"],
)
def test_no_word_of_a_service_is_in_our_own_pages(
    noted: Noted, service: ServiceFactory, answer: bytes
) -> None:
    upstream = service(answers(answer, keep_open=False))
    for form in FORMS:
        reply = ask(
            noted.port, "GET", form.format(upstream.port), headers=[("Accept", "text/html")]
        )
        assert reply.status == 502
        assert is_harmless(reply)
        assert "alert" not in reply.text
        assert EVIL not in reply.reason


INSIDES = re.compile(
    r"Traceback|Errno|Exception|\w+Error\b|/work|/root|/srv|/usr|/tmp|site-packages|/\w+\.py\b|\buid\b"
)


@pytest.mark.case("markup, insides, the log")
@pytest.mark.promise("Error pages hold no secrets and run no foreign script")
@pytest.mark.parametrize("accept", ["text/html", "application/json", "*/*"])
def test_our_own_pages_tell_nothing_of_our_insides(
    noted: Noted, service: ServiceFactory, accept: str
) -> None:
    closing = service(answers(b"", keep_open=False))
    garbage = service(answers(b"SSH-2.0-x\r\n", keep_open=False))
    down = free_port()
    for target, cookie, status in [
        (f"/alice/vision/?port={down}", "user=alice", 502),
        (f"/alice/vision/?port={closing.port}", "user=alice", 502),
        (f"/alice/vision/?port={garbage.port}", "user=alice", 502),
        (f"/alice/vision/?port={noted.port}", "user=alice", 508),
        (f"/alice/vision/?port={down}", "verdict=raise", 503),
        (f"/alice/vision/?port={down}", "verdict=raise-unprintable", 503),
        (f"/alice/vision/?port={down}", "verdict=mock", 500),
        (f"/alice/vision/?port={down}", "verdict=false", 403),
        ("/alice/vision/?port=5000", "user=alice", 403),
        ("/alice/vision/?port=x", "user=alice", 400),
        (f"/alice/vision/..?port={down}", "user=alice", 404),
    ]:
        reply = ask(noted.port, "GET", target, cookie=cookie, headers=[("Accept", accept)])
        assert reply.status == status
        text = re.sub(r"<(style|script)>.*?</\1>", "", reply.text, flags=re.DOTALL)
        assert INSIDES.search(text) is None
        assert reply.value("X-Content-Type-Options") == "nosniff"
        assert reply.value("Cache-Control") == "no-store"


@pytest.mark.case("markup, insides, the log")
@pytest.mark.promise("Error pages hold no secrets and run no foreign script")
def test_the_log_holds_neither_cookies_nor_queries(noted: Noted) -> None:
    down = free_port()
    secrets = "user=alice; sessionid=TOPSECRET"
    headers = [("Authorization", "Bearer TOPSECRET")]
    for target in (
        f"/alice/vision/?port={down}&token=TOPSECRET",
        "/alice/vision/?port=5000&token=TOPSECRET",
        "/alice/vision/?port=x%0a%1b[31m&token=TOPSECRET",
        f"/alice/vision/proxy/{down}/?token=TOPSECRET",
    ):
        assert ask(noted.port, "GET", target, cookie=secrets, headers=headers).status >= 400
    log = noted.server.output()
    assert f"port {down}: 502" in log
    assert "TOPSECRET" not in log
    assert "\x1b" not in log
