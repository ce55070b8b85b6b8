"""What a visitor reads when there is no answer of a service to read."""

from __future__ import annotations

import base64
import hashlib
import io
from html.parser import HTMLParser
from wsgiref.validate import validator

import pytest
from webob import Request, Response

from wsgi_portproxy.errors import (
    AuthorizerFailed,
    BadResponse,
    InvalidPort,
    IPv6Only,
    MethodNotAllowed,
    Overloaded,
    PortNotAllowed,
    PortProxyError,
    ServiceTimeout,
    ServiceUnreachable,
)
from wsgi_portproxy.respond.error_page import MARKER, error_response

from .given import environ

HTML, JSON, TEXT = "text/html", "application/json", "text/plain"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
DOWN = ServiceUnreachable(15000)
REFUSED = PortNotAllowed("Port 5000 is outside allowed range (10000-20000)")


def page(
    error: PortProxyError = DOWN,
    accept: str | None = BROWSER,
    method: str = "GET",
    port: int | None = 15000,
) -> Response:
    made = environ(method=method)
    if accept is not None:
        made["HTTP_ACCEPT"] = accept
    return Request(made).get_response(error_response(error, made, port))


# --- Forms ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "kind"),
    [(BROWSER, HTML), ("application/json, text/plain, */*", JSON), ("*/*", TEXT), (None, TEXT)],
)
@pytest.mark.parametrize("error", [DOWN, REFUSED, AuthorizerFailed()], ids=["502", "403", "503"])
def test_the_form_is_negotiated(accept: str | None, kind: str, error: PortProxyError) -> None:
    answer = page(error, accept)
    assert (answer.status_code, answer.content_type) == (error.status, kind)
    assert answer.charset == (None if kind == JSON else "UTF-8")
    assert answer.headers["Vary"] == "Accept"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.content_length == len(answer.body) > 0
    assert ("Content-Security-Policy" in answer.headers) is (kind == HTML)
    head = page(error, accept, "HEAD")
    assert (head.status, head.body, head.content_type) == (answer.status, b"", kind)
    assert (head.content_length or 0) > 0


def test_plain_text_is_message_and_hint() -> None:
    assert page(DOWN, TEXT).text == (
        "Failed to connect to service on port 15000.\n"
        "Is the service running? Try: python3 -m http.server 15000\n"
    )
    assert page(REFUSED, None).text == "Port 5000 is outside allowed range (10000-20000)\n"


def test_the_shape_of_the_json() -> None:
    assert page(IPv6Only(15173), JSON, port=15173).json == {
        "status": 502,
        "error": "Failed to connect to service on port 15173.",
        "hint": "A service is listening on [::1]:15173 only, the IPv6 loopback. Start it on "
        "127.0.0.1; most accept --host 127.0.0.1.",
        "port": 15173,
    }
    assert page(InvalidPort("abc"), JSON, port=None).json["port"] is None


def test_an_errors_own_fields_are_sent() -> None:
    assert page(MethodNotAllowed("no")).headers["Allow"].startswith("GET, HEAD, POST")
    assert page(Overloaded(15000)).headers["Retry-After"].isdigit()


def test_the_marker_is_on_the_502_of_a_service_that_is_not_running_only() -> None:
    for answer in (page(), page(DOWN, "*/*", "HEAD"), page(IPv6Only(15000))):
        assert answer.headers["X-Portproxy-Error"] == "unreachable"
    for error in (BadResponse(15000), ServiceTimeout(15000), REFUSED):
        assert MARKER[0] not in page(error).headers


@pytest.mark.parametrize("accept", [BROWSER, JSON, TEXT])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_it_is_a_valid_application(accept: str, method: str) -> None:
    made = environ(method=method, HTTP_ACCEPT=accept)
    made |= {"wsgi.version": (1, 0), "wsgi.errors": io.StringIO(), "wsgi.multithread": True}
    made |= {"wsgi.multiprocess": False, "wsgi.run_once": False}
    answer = Request(made).get_response(validator(error_response(DOWN, made, 15000)))
    assert answer.status == "502 Bad Gateway"
    assert bool(answer.body) is (method != "HEAD")


# --- The page ------------------------------------------------------------------------------------


class Parsed(HTMLParser):
    """A page's elements in order, and the text of its scripts and styles."""

    def __init__(self, answer: Response) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.text = ""
        self.open: list[str] = []
        self.feed(answer.text)
        self.close()
        assert self.open == []
        self.words = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)
        if tag in self.raw:
            self.raw[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in self.raw:
            self.raw[self.open[-1]][-1] += data
        else:
            self.text += data


def test_the_page_that_waits() -> None:
    content = Parsed(page())
    assert "Waiting for port 15000" in content.words
    assert "Nothing is running on port 15000 yet" in content.words
    assert "Failed to connect to service on port 15000." in content.words
    assert "Is the service running? Try: python3 -m http.server 15000" in content.words
    assert "Start a service on this port" in content.words
    assert "tensorboard --logdir=./logs --port=15000" in content.words
    assert len(content.raw["script"]) == 1
    assert ("meta", "http-equiv", "refresh") in content.attributes
    assert ("html", "lang", "en") in content.attributes
    assert ("meta", "name", "viewport") in content.attributes
    assert ("meta", "charset", "utf-8") in content.attributes
    assert "prefers-color-scheme: dark" in content.raw["style"][0]


def test_the_page_for_a_service_on_the_other_loopback_says_how_to_start_it_here() -> None:
    """Tools of Node listen on what `localhost` is first. It waits as the other does, for a start on
    127.0.0.1."""
    content = Parsed(page(IPv6Only(15173), port=15173))
    assert "The service on port 15173 cannot be reached yet" in content.words
    assert "A service is listening on [::1]:15173 only, the IPv6 loopback." in content.words
    assert "Start it on 127.0.0.1, on the same machine" in content.words
    assert "npx vite --host 127.0.0.1 --port 15173" in content.words
    assert 'server.listen(15173, "127.0.0.1")' in content.words
    assert "Nothing is running" not in content.words
    assert "tensorboard" not in content.words
    assert len(content.raw["script"]) == 1


@pytest.mark.parametrize(
    ("error", "method"),
    [(DOWN, "POST"), (IPv6Only(15000), "POST"), (REFUSED, "GET"), (BadResponse(15000), "GET")],
)
def test_other_pages_do_not_wait(error: PortProxyError, method: str) -> None:
    """To send a form again behind a person's back would be wrong."""
    answer = page(error, BROWSER, method)
    content = Parsed(answer)
    assert content.raw["script"] == []
    assert "refresh" not in answer.text
    assert f"{error.message} {error.hint}".strip() in content.words


@pytest.mark.parametrize(
    "error", [DOWN, IPv6Only(15000), REFUSED], ids=["waiting", "ipv6-only", "plain"]
)
def test_the_policy_allows_what_is_in_the_page_and_nothing_else(error: PortProxyError) -> None:
    answer = page(error)
    parts = answer.headers["Content-Security-Policy"].split(";")
    policy = dict(part.strip().partition(" ")[::2] for part in parts)
    content = Parsed(answer)
    for tag in ("style", "script"):
        for text in content.raw[tag]:
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in policy[f"{tag}-src"].split()
        assert "unsafe" not in policy[f"{tag}-src"]
    for name in ("default-src", "base-uri", "form-action"):
        assert policy[name] == "'none'"
    assert [name for _, name, _ in content.attributes if name == "style" or name[:2] == "on"] == []
    outside = [v for _, name, v in content.attributes if name in ("src", "href") and v != "data:,"]
    assert outside == []


# --- Escaping ------------------------------------------------------------------------------------

EVIL = "<script>alert('x')</script>\"&amp;'</title></style><!--"


def with_text(text: str, error: type[PortProxyError]) -> PortProxyError:
    return error(text) if error is InvalidPort else error(f"Port {text}", text, detail=text)


@pytest.mark.parametrize("kind", [InvalidPort, PortNotAllowed, PortProxyError])
def test_no_value_becomes_markup(kind: type[PortProxyError]) -> None:
    error = with_text(EVIL, kind)
    expected, answer = Parsed(page(with_text("x", kind))), page(error)
    content = Parsed(answer)
    assert content.tags == expected.tags
    assert content.attributes == expected.attributes
    assert error.message in content.text
    assert "<script" not in answer.text
    assert "<!--" not in answer.text


@pytest.mark.parametrize("accept", [BROWSER, JSON, TEXT])
def test_details_are_for_the_log_alone_and_no_port_is_markup(accept: str) -> None:
    secret = "/srv/app/secret.py uid=1000"
    for error in (BadResponse(15000, detail=secret), AuthorizerFailed(secret)):
        error.__cause__ = RuntimeError(secret)
        assert "secret" not in page(error, accept).text
    assert "<script" not in page(InvalidPort("<script>alert(1)</script>"), accept).text
