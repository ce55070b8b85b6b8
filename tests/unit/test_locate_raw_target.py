"""When the request target that a server shows is believed, and what is made of it when it is not.

The facts per server stand in the table of servers; each row here is one of their ways.
"""

from __future__ import annotations

from typing import Any

from werkzeug.middleware.proxy_fix import ProxyFix

from wsgi_portproxy.locate.locator import Locator
from wsgi_portproxy.locate.mount import Mount
from wsgi_portproxy.locate.request_target import RawTarget, raw_target
from wsgi_portproxy.locate.target import Target
from wsgi_portproxy.locate.visit import Visit

from .asking import App
from .given import environ, table, target_of

LOCATOR = Locator(Mount("/{username}/{project}"))


def raw(raw_uri: str | None, info: str, query: str = "", **fields: Any) -> RawTarget:
    made = environ("/", **fields)
    made.update(PATH_INFO=info, QUERY_STRING=query)
    del made["RAW_URI"]
    if raw_uri is not None:
        made["REQUEST_URI"] = raw_uri
    return raw_target(made)


@table(
    "raw_uri, info, query, expected",
    {
        "escapes": ("/a%2Fb?x=%2f", "/a/b", "x=%2f", ("/a%2Fb", "x=%2f")),
        "needless-escapes": ("/%61", "/a", "", ("/%61", None)),
        "bare-question-mark": ("/a?", "/a", "", ("/a", "")),
        "no-question-mark": ("/a", "/a", "", ("/a", None)),
        "question-mark-in-query": ("/a?b?c", "/a", "b?c", ("/a", "b?c")),
        "double-slashes": ("//a//b/", "//a//b/", "", ("//a//b/", None)),
        "bad-escapes": ("/%zz%", "/%zz%", "", ("/%zz%", None)),
        "bytes": ("/%C3%A4%ff", "/\xc3\xa4\xff", "", ("/%C3%A4%ff", None)),
        "visible-ascii": ('/a|b\\c"~', '/a|b\\c"~', "", ('/a|b\\c"~', None)),
        "slash-left-by-cheroot": ("/a%2Fb%20c", "/a%2Fb c", "", ("/a%2Fb%20c", None)),
    },
)
def test_the_target_is_believed_where_it_is_plainly_the_path(
    raw_uri: str, info: str, query: str, expected: tuple[str, str | None]
) -> None:
    assert raw(raw_uri, info, query) == RawTarget("", *expected)


@table(
    "raw_uri, info, query, expected",
    {
        "gevent-shows-none": (None, "/a b/\xc3\xa4", "x", ("/a%20b/%C3%A4", "x")),
        "empty": ("", "/a", "", ("/a", None)),
        # Both say the same, and cannot both be right: the server decodes, and cuts the query off.
        "question-mark-in-both": ("/a?b", "/a?b", "", ("/a%3Fb", None)),
        "another-question-mark-in-both": ("/a?b?c", "/a?b", "c", ("/a%3Fb", "c")),
        "escape-in-both": ("/a%41", "/a%41", "", ("/a%2541", None)),
        "absolute-form": ("http://h/a?x", "/a", "x", ("/a", "x")),
        "werkzeug-collapses-slashes": ("//a/b", "/a/b", "", ("/a/b", None)),
        "uwsgi-resolves-dots": ("/a/../b", "/b", "", ("/b", None)),
        "hash-cut-by-the-server": ("/a#b", "/a", "", ("/a", None)),
        "hash-kept-by-the-server": ("/a#b", "/a#b", "", ("/a%23b", None)),
        "hash-cut-from-the-query": ("/a?x#y", "/a", "x", ("/a", "x")),
        "hash-kept-in-the-query": ("/a?x#y", "/a", "x#y", ("/a", "x%23y")),
        "another-query": ("/a?x=1", "/a", "x=2", ("/a", "x=2")),
        "another-path": ("/A", "/a", "", ("/a", None)),
        "space": ("/a b", "/a b", "", ("/a%20b", None)),
        "not-ascii": ("/\xc3\xa4", "/\xc3\xa4", "", ("/%C3%A4", None)),
        "line-end": ("/a\r\nX: 1", "/a\r\nX: 1", "", ("/a%0D%0AX:%201", None)),
        "delete": ("/a\x7f", "/a\x7f", "", ("/a%7F", None)),
        "no-leading-slash": ("a/b", "a/b", "", ("a/b", None)),
        "decoded-percent": (None, "/a%b?c;d", "", ("/a%25b%3Fc;d", None)),
        "raw-bytes-in-the-query": (None, "/a", "x=\xe4 y", ("/a", "x=%E4%20y")),
        "no-path": (None, "", "", ("", None)),
    },
)
def test_else_the_decoded_path_is_quoted(
    raw_uri: str | None, info: str, query: str, expected: tuple[str, str | None]
) -> None:
    assert raw(raw_uri, info, query) == RawTarget("", *expected)


@table(
    "raw_uri, script, info, expected",
    {
        "below-a-mount": ("/app/a%2Fb", "/app", "/a/b", ("/app", "/a%2Fb")),
        "escaped-mount": ("/%61pp/x", "/app", "/x", ("/app", "/x")),
        "two-segments": ("/a/b/c%2f", "/a/b", "/c/", ("/a/b", "/c%2f")),
        "mount-with-a-space": ("/m%20x/y", "/m x", "/y", ("/m%20x", "/y")),
        "the-mount-itself": ("/app", "/app", "", ("/app", "")),
        "the-mount-with-slash": ("/app/", "/app", "/", ("/app", "/")),
        "slash-escaped-at-the-cut": ("/app%2Fx/y", "/app", "/x/y", ("/app", "/x/y")),
        "prefix-cut-in-front": ("/x%2fy", "/app", "/x/y", ("/app", "/x%2fy")),
        "prefix-cut-in-front-twice": ("/app/x", "/app", "/app/x", ("/app", "/app/x")),
        "another-mount": ("/other/x", "/app", "/x", ("/app", "/x")),
        "no-raw-target": (None, "/a b", "/x", ("/a%20b", "/x")),
        "mount-with-final-slash": ("/app/x", "/app/", "x", ("/app", "x")),
        "never-two-slashes-first": ("/x", "//evil.com", "/x", ("/evil.com", "/x")),
        "only-a-slash": ("/x", "/", "/x", ("", "/x")),
    },
)
def test_below_a_script_name(
    raw_uri: str | None, script: str, info: str, expected: tuple[str, str]
) -> None:
    assert raw(raw_uri, info, SCRIPT_NAME=script) == RawTarget(*expected, None)


def test_raw_uri_goes_before_request_uri() -> None:
    """werkzeug shows both, gunicorn the first only."""
    made = environ("/a%2Fb", REQUEST_URI="/a/b")
    assert raw_target(made).path == "/a%2Fb"


def test_environs_without_the_optional_keys() -> None:
    assert raw_target({}) == RawTarget("", "", None)


# --- And what the forms make of it ---------------------------------------------------------------


def located(url: str, raw_uri: str, **fields: Any) -> Target:
    found = target_of(LOCATOR, Visit({**environ(url, **fields), "RAW_URI": raw_uri}))
    assert found is not None
    return found


def test_the_prefix_holds_the_script_name() -> None:
    for form in ("/apps/one/alice/vision/x?port=16006", "/apps/one/alice/vision/proxy/16006/x"):
        for raw_uri in (form, ""):
            target = located(form, raw_uri, script_name="/apps/one")
            prefix = form.partition("/x")[0]
            assert (target.prefix, target.path_qs) == (prefix, "/x")


def test_what_a_hash_hides_from_some_servers_is_in_no_port() -> None:
    """gunicorn cuts the fragment off QUERY_STRING, others keep it; the raw target has it."""
    target = located("/alice/vision/?port=16006", "/alice/vision/?port=16006#&port=1")
    assert (target.port, target.path_qs) == (16006, "/")


def test_what_the_server_made_of_it_is_what_is_judged() -> None:
    absolute = "http://evil.com/bob/secret?port=1"
    target = located("/alice/vision/a?x&port=16006", absolute)
    assert (target.params["username"], target.port, target.path_qs) == ("alice", 16006, "/a?x")
    target = located("/bob/x?port=16006", "/alice/vision/../../bob/x?port=16006")
    assert target.params == {"username": "bob", "project": "x"}


def test_the_prefix_that_a_front_end_removed_is_the_visitors() -> None:
    app = App()
    made = environ("/alice/vision/a%2Fb?port=16006", HTTP_X_FORWARDED_PREFIX="/apps/one")
    ProxyFix(app, x_prefix=1)(made, lambda *args: lambda data: None)
    target = target_of(LOCATOR, Visit(app.asked[-1]))
    assert target is not None
    assert (target.prefix, target.path_qs) == ("/apps/one/alice/vision", "/a%2Fb")
