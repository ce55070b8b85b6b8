"""What a visitor reads when there is no answer of a service to read."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any
from wsgiref.validate import validator

import pytest
from webob import Request, Response

from wsgi_portproxy.error_page import MARKER, error_response
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

from .given import environ

HTML, JSON, TEXT = "text/html", "application/json", "text/plain"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
DOWN = ServiceUnreachable(15000)
REFUSED = PortNotAllowed("Port 5000 is outside allowed range (10000-20000)")


def page(
    error: PortProxyError = DOWN,
    accept: str | None = BROWSER,
    method: str = "GET",
    port: int = 15000,
) -> Response:
    made = environ(method=method)
    if accept is not None:
        made["HTTP_ACCEPT"] = accept
    return Request(made).get_response(error_response(error, made, port))


# --- Forms ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (BROWSER, HTML),
        ("text/html", HTML),
        ("application/json", JSON),
        ("application/json, text/plain, */*", JSON),
        ("application/problem+json", JSON),
        ("*/*", TEXT),
        ("text/plain", TEXT),
        ("image/png", TEXT),
        ("text/event-stream", TEXT),
        ("", TEXT),
        (None, TEXT),
        ("nonsense", TEXT),
    ],
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


def test_plain_text_is_message_and_hint() -> None:
    assert page(DOWN, "*/*").text == (
        "Failed to connect to service on port 15000.\n"
        "Is the service running? Try: python3 -m http.server 15000\n"
    )
    assert page(REFUSED, None).text == "Port 5000 is outside allowed range (10000-20000)\n"


def test_the_shape_of_the_json() -> None:
    assert page(DOWN, JSON).json == {
        "status": 502,
        "error": "Failed to connect to service on port 15000.",
        "hint": "Is the service running? Try: python3 -m http.server 15000",
        "port": 15000,
    }
    made = environ(HTTP_ACCEPT=JSON)
    answer = Request(made).get_response(error_response(InvalidPort("abc"), made, None))
    shape = json.loads(answer.body)
    assert shape["port"] is None
    assert shape["error"] == "Invalid port parameter: abc"


def test_an_errors_own_fields_are_sent() -> None:
    assert page(MethodNotAllowed("no")).headers["Allow"].startswith("GET, HEAD, POST")
    assert page(Overloaded(15000)).headers["Retry-After"].isdigit()


@pytest.mark.parametrize("accept", [BROWSER, JSON, TEXT])
@pytest.mark.parametrize("error", [DOWN, REFUSED], ids=["502", "403"])
def test_a_head_request_gets_the_head_alone(accept: str, error: PortProxyError) -> None:
    answer = page(error, accept, "HEAD")
    assert answer.body == b""
    assert answer.status_code == error.status
    assert (answer.content_length or 0) > 0


def test_the_marker_is_on_the_502_of_a_service_that_is_not_running_only() -> None:
    assert page(DOWN).headers[MARKER[0]] == MARKER[1]
    assert page(DOWN, "*/*", "HEAD").headers[MARKER[0]] == MARKER[1]
    for error in (BadResponse(15000), ServiceTimeout(15000), REFUSED):
        assert MARKER[0] not in page(error).headers


# --- The page ------------------------------------------------------------------------------------


class Parsed(HTMLParser):
    """A page's elements in order, and the text of its scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()

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


def parsed(answer: Response) -> Parsed:
    found = Parsed(answer.text)
    assert found.open == []
    return found


def test_the_page_that_waits() -> None:
    answer = page()
    content = parsed(answer)
    words = " ".join(content.text.split())
    assert "Nothing is running on port 15000 yet" in words
    assert "Failed to connect to service on port 15000." in words
    assert "Is the service running? Try: python3 -m http.server 15000" in words
    assert "tensorboard --logdir=./logs --port=15000" in words
    assert len(content.raw["script"]) == 1
    assert 'http-equiv="refresh"' in answer.text


def test_the_page_for_a_service_on_the_other_loopback_says_how_to_start_it_here() -> None:
    """Tools of Node listen on what `localhost` is first."""
    answer = page(IPv6Only(15173), port=15173)
    content = parsed(answer)
    words = " ".join(content.text.split())
    assert "The service on port 15173 cannot be reached yet" in words
    assert "A service listens on [::1]:15173 only, the IPv6 loopback." in words
    assert "npx vite --host 127.0.0.1 --port 15173" in words
    assert 'server.listen(15173, "127.0.0.1")' in words
    assert "Nothing is running" not in words
    assert "tensorboard" not in words
    # It waits as the other does, for a start on 127.0.0.1.
    assert answer.headers[MARKER[0]] == MARKER[1]
    assert len(content.raw["script"]) == 1
    assert parsed(page(IPv6Only(15173), method="POST")).raw["script"] == []


def test_the_same_for_programs() -> None:
    hint = (
        "A service listens on [::1]:15173 only, the IPv6 loopback. Start it on 127.0.0.1: most "
        "take --host 127.0.0.1."
    )
    error = IPv6Only(15173)
    assert page(error, TEXT).text == f"Failed to connect to service on port 15173.\n{hint}\n"
    assert page(error, JSON, port=15173).json == {
        "status": 502,
        "error": "Failed to connect to service on port 15173.",
        "hint": hint,
        "port": 15173,
    }


@pytest.mark.parametrize(
    ("error", "method"),
    [(DOWN, "POST"), (REFUSED, "GET"), (BadResponse(15000), "GET"), (ServiceTimeout(15000), "GET")],
)
def test_other_pages_do_not_wait(error: PortProxyError, method: str) -> None:
    """To send a form again behind a person's back would be wrong."""
    answer = page(error, BROWSER, method)
    content = parsed(answer)
    assert content.raw["script"] == []
    assert "refresh" not in answer.text
    assert error.message in content.text


@pytest.mark.parametrize(
    "error", [DOWN, IPv6Only(15000), REFUSED], ids=["waiting", "ipv6-only", "plain"]
)
def test_the_policy_allows_what_is_in_the_page_and_nothing_else(error: PortProxyError) -> None:
    answer = page(error)
    policy = dict(
        part.strip().partition(" ")[::2]
        for part in answer.headers["Content-Security-Policy"].split(";")
    )
    content = parsed(answer)
    for tag in ("style", "script"):
        hashes = [
            f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
            for text in content.raw[tag]
        ]
        assert all(one in policy[f"{tag}-src"].split() for one in hashes)
        assert "unsafe" not in policy[f"{tag}-src"]
    assert policy["default-src"] == "'none'"
    assert (policy["base-uri"], policy["form-action"]) == ("'none'", "'none'")
    inline = [name for _, name, _ in content.attributes if name == "style" or name[:2] == "on"]
    assert inline == []
    outside = [v for _, name, v in content.attributes if name in ("src", "href") and v != "data:,"]
    assert outside == []


@pytest.mark.parametrize("accept", ["text/plain", "application/json"])
def test_without_a_page_no_policy(accept: str) -> None:
    assert "Content-Security-Policy" not in page(DOWN, accept).headers


def test_the_page_says_its_language_and_fits_small_screens_and_dark_ones() -> None:
    content = parsed(page())
    assert ("html", "lang", "en") in content.attributes
    assert ("meta", "name", "viewport") in content.attributes
    assert ("meta", "charset", "utf-8") in content.attributes
    assert "prefers-color-scheme: dark" in content.raw["style"][0]


# --- Escaping ------------------------------------------------------------------------------------

EVIL = "<script>alert('x')</script>\"&amp;'</title></style><!--"


def errors_with(text: str) -> list[PortProxyError]:
    return [
        InvalidPort(text),
        PortNotAllowed(f"Port {text} is outside", text),
        PortProxyError(text, text, detail=text),
    ]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_no_value_becomes_markup(number: int) -> None:
    error = errors_with(EVIL)[number]
    expected = parsed(page(errors_with("x")[number]))
    answer = page(error)
    content = parsed(answer)
    assert content.tags == expected.tags
    assert content.attributes == expected.attributes
    assert error.message in content.text
    assert "<script>alert" not in answer.text
    assert "<!--" not in answer.text


def test_a_port_written_as_markup_is_none_in_any_form() -> None:
    for accept in (BROWSER, JSON, TEXT, "*/*"):
        answer = page(InvalidPort("<script>alert(1)</script>"), accept)
        assert "<script" not in re.sub(r"<style>.*</style>", "", answer.text, flags=re.DOTALL)


@pytest.mark.parametrize("accept", [BROWSER, JSON, TEXT])
def test_details_are_for_the_log_alone(accept: str) -> None:
    secret = "/srv/app/secret.py uid=1000"
    cause = RuntimeError(secret)
    for error in (BadResponse(15000, detail=secret), AuthorizerFailed(secret)):
        error.__cause__ = cause
        assert "secret" not in page(error, accept).text


def test_it_is_a_valid_application() -> None:
    for accept in (BROWSER, JSON, TEXT):
        for method in ("GET", "HEAD", "POST"):
            made = environ(method=method, HTTP_ACCEPT=accept)
            made.update(
                {"wsgi.version": (1, 0), "wsgi.errors": _Errors(), "wsgi.multithread": True}
            )
            made.update({"wsgi.multiprocess": False, "wsgi.run_once": False})
            answer = Request(made).get_response(validator(error_response(DOWN, made, 15000)))
            assert answer.status == "502 Bad Gateway"
            assert bool(answer.body) is (method != "HEAD")


class _Errors:
    def flush(self) -> None: ...
    def write(self, text: str) -> None: ...
    def writelines(self, lines: Any) -> None: ...
