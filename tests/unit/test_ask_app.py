"""The internal question to the wrapped app, and what becomes of its answer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from wsgi_portproxy import PortProxy, url_for_port
from wsgi_portproxy.errors import AuthorizerFailed, Refused
from wsgi_portproxy.locate.target import Form, Target
from wsgi_portproxy.policy.ask_app import AskApp
from wsgi_portproxy.policy.authorize import authorize

from .asking import OF_THE_REQUEST, App, bound, judge
from .given import COOKIES, a_target, environ, table, words

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

# --- The question --------------------------------------------------------------------------------

OFFERED: dict[str, Any] = dict.fromkeys(
    words("""gunicorn.socket werkzeug.socket waitress.client_disconnected uwsgi.version
    x-wsgiorg.fdevent webob.adhoc_attrs wsgi.early_hints wsgi.file_wrapper"""),
    "of the connection",
)


def test_the_question_is_a_get_of_the_mounts_page_with_what_identifies_the_visitor() -> None:
    app = App()
    fields: dict[str, Any] = {
        "HTTP_COOKIE": "user=alice",
        "HTTP_AUTHORIZATION": "Bearer x",
        "REMOTE_USER": "alice",
        "HTTP_X_FORWARDED_FOR": "192.0.2.1",
        "HTTP_HOST": "app.test",
        "SCRIPT_NAME": "/apps/one",
    }
    url = "/alice/vision/a?port=16006"
    asking = environ(url, method="POST", body=b"x=1", **{**fields, **OF_THE_REQUEST, **OFFERED})
    assert authorize(bound(app), asking, a_target("/a"), COOKIES).refusal is None
    [asked] = app.asked
    assert {key: asked[key] for key in fields} == fields
    assert asked["REQUEST_METHOD"] == "GET"
    assert asked["PATH_INFO"] == "/alice/vision/"
    assert (asked["QUERY_STRING"], asked["CONTENT_LENGTH"]) == ("", "")
    assert asked["HTTP_ACCEPT"] == "text/html,*/*;q=0.8"
    assert (asked["wsgi.input"].read(), asked["wsgi.input_terminated"]) == (b"", True)
    assert not {*OF_THE_REQUEST, *OFFERED} & set(asked)
    assert not any("16006" in str(value) for value in asked.values())


@pytest.mark.parametrize(
    ("page", "params", "path"),
    [
        ("/", {}, "/"),
        ("/{name}/", {"name": "a"}, "/a/"),
        ("/whoami", {"name": "a"}, "/whoami"),
        ("/{name}/", {"name": "mü ?#"}, "/m\xc3\xbc ?#/"),
        ("/{name}/", {"name": "{name}"}, "/{name}/"),
        ("/api/{b}/{a}", {"a": "x", "b": "y"}, "/api/y/x"),
    ],
    ids=["whole-app", "final-slash", "page-for-all", "odd", "braces", "another-order"],
)
def test_the_page_that_is_asked(page: str, params: dict[str, str], path: str) -> None:
    app = App()
    ask = AskApp(app, page)
    assert judge(ask, Target(16006, "/", "/x", params, Form.QUERY, False)) is None
    assert app.asked[0]["PATH_INFO"] == path


# --- The answer ----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 204, 299])
def test_a_2xx_lets_through(status: int) -> None:
    assert judge(bound(App(f"{status} Fine"))) is None


@pytest.mark.parametrize("status", [300, 302, 399, 401, 403, 404])
def test_a_refusal_is_passed_on_as_it_is(status: int) -> None:
    app = App(f"{status} Go Away")
    app.headers += [("Location", "/login"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
    refusal = judge(bound(app))
    assert refusal is not None
    assert refusal.status_line == f"{status} Go Away"
    assert refusal.headers == app.headers
    assert b"".join(refusal) == b"the app's own page"
    with pytest.raises(Refused):
        judge(bound(app), a_target(websocket=True))


@pytest.mark.parametrize("status", [199, 400, 402, 405, 500, 599])
def test_anything_else_is_no_answer(status: int) -> None:
    app = App(f"{status} Oops")
    ask = bound(app)
    for _ in range(2):
        with pytest.raises(AuthorizerFailed):
            judge(ask)
    assert len(app.asked) == 2


@table(
    "app",
    {
        "raises": lambda made, start_response: 1 / 0,
        "no-status": lambda made, start_response: [],
        "none": lambda made, start_response: None,
        "no-code": lambda made, start_response: start_response("OK", []) or [],
    },
)
def test_an_app_that_does_not_answer_is_no_answer(app: Any) -> None:
    with pytest.raises(AuthorizerFailed):
        judge(bound(app))


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "500 Oops"])
@pytest.mark.parametrize("websocket", [False, True])
def test_the_body_is_not_read_and_closed_once(status: str, websocket: bool) -> None:
    closed = []

    class Blocks:
        def __iter__(self) -> Iterator[bytes]:
            return self

        def __next__(self) -> bytes:
            raise AssertionError("the body was read")

        def close(self) -> None:
            closed.append(True)

    def app(made: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response(status, [])
        return Blocks()

    refusal = None
    with contextlib.suppress(AuthorizerFailed, Refused):
        refusal = judge(bound(app), a_target(websocket=websocket))
    if refusal is not None:
        assert closed == []
        refusal.close()
    assert closed == [True]


# --- Settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["", "login", "https://other/", "/x?user={a}", "/x#y"])
def test_a_page_that_is_no_path_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match=r"^page takes"):
        AskApp(App(), page)


@pytest.mark.parametrize("page", ["/{user}", "/{}", "/{0}", "/{a.__class__}", "/{a", "/{a[0]}"])
def test_a_page_with_other_parameters_than_the_mount_is_refused(page: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  a broken brace is str.format's own
        PortProxy(App(), authorizer=AskApp(App(), page), mount="/{a}")


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^entries takes"):
        AskApp(App(), "/", entries=-1)
    wrong: Any = "/{a}/"
    with pytest.raises(TypeError, match=r"^AskApp takes a WSGI application"):
        AskApp(wrong, "/{a}/")


def test_the_page_that_is_asked_for_can_make_its_links() -> None:
    """It would be an error otherwise, and the answer 503."""
    made: list[str] = []

    def page(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        made.append(url_for_port(environ, 16006))
        start_response("200 OK", [])
        return [b""]

    proxy = PortProxy(
        page, authorizer=AskApp(page, "/{username}/{project}/"), mount="/{username}/{project}"
    )
    referer = "http://app.test/alice/vision/proxy/16006/"
    asking = environ("/about.js", HTTP_REFERER=referer, HTTP_HOST="app.test")
    assert b"".join(proxy(asking, lambda *args: lambda data: None)) == b""
    assert made == ["/alice/vision/proxy/16006/"]
