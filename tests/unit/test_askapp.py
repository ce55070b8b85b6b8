"""The internal question to the wrapped app, and what becomes of its answer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from webob import Request

from wsgi_portproxy import PortProxy, url_for_port
from wsgi_portproxy.askapp import AskApp
from wsgi_portproxy.authorize import authorize
from wsgi_portproxy.errors import AuthorizerFailed, Refused
from wsgi_portproxy.locate import Target

from .asking import MOUNT, OF_THE_REQUEST, App, bound, judge
from .given import COOKIES, a_target, environ

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

# --- The question --------------------------------------------------------------------------------


def test_the_question_is_a_get_of_the_mounts_page_with_what_identifies_the_visitor() -> None:
    app = App()
    fields: dict[str, Any] = {
        "HTTP_COOKIE": "user=alice",
        "HTTP_AUTHORIZATION": "Bearer x",
        "REMOTE_USER": "alice",
        "HTTP_X_FORWARDED_FOR": "192.0.2.1",
        "HTTP_ACCEPT_LANGUAGE": "de",
        "HTTP_USER_AGENT": "Mozilla/5.0",
    }
    asking = environ("/alice/vision/a?port=16006", method="POST", body=b"x=1", **fields)
    assert authorize(bound(app), asking, a_target("/a"), COOKIES) is None
    [asked] = app.asked
    assert asked["REQUEST_METHOD"] == "GET"
    assert asked["PATH_INFO"] == "/alice/vision/"
    assert (asked["QUERY_STRING"], asked["SCRIPT_NAME"]) == ("", "")
    assert asked["wsgi.input"].read() == b""
    assert asked["HTTP_HOST"] == "app.test"
    assert {key: asked[key] for key in fields} == fields
    assert not any("16006" in str(value) for value in asked.values())


def test_what_belongs_to_the_request_at_hand_is_left_out() -> None:
    app = App()
    assert judge(bound(app), **OF_THE_REQUEST) is None
    assert not set(OF_THE_REQUEST) & set(app.asked[0])


def test_what_the_server_offers_on_the_connection_is_left_out() -> None:
    app = App()
    offers: dict[str, Any] = {
        "gunicorn.socket": object(),
        "werkzeug.socket": object(),
        "waitress.client_disconnected": object(),
        "wsgi.early_hints": object(),
        "wsgi.file_wrapper": object(),
    }
    assert judge(bound(app), **offers) is None
    assert not set(offers) & set(app.asked[0])


def test_the_script_name_is_kept() -> None:
    app = App()
    assert judge(bound(app), SCRIPT_NAME="/apps/one") is None
    assert (app.asked[0]["SCRIPT_NAME"], app.asked[0]["PATH_INFO"]) == (
        "/apps/one",
        "/alice/vision/",
    )


@pytest.mark.parametrize(
    ("mount", "page", "params", "path"),
    [
        pytest.param("", None, {}, "/", id="whole-app"),
        pytest.param("/{name}/", None, {"name": "a"}, "/a/", id="final-slash"),
        pytest.param("/{name}", "/api/{name}", {"name": "a"}, "/api/a", id="own-page"),
        pytest.param("/{name}", "/whoami", {"name": "a"}, "/whoami", id="page-for-all"),
        pytest.param("/{name}", None, {"name": "mü ?#"}, "/m\xc3\xbc ?#/", id="odd-characters"),
        pytest.param("/{name}", None, {"name": "{name}"}, "/{name}/", id="braces-in-a-value"),
        pytest.param("/{name}", None, {"name": "{0.__class__}"}, "/{0.__class__}/", id="no-format"),
        pytest.param("/{a}/{b}", "/{b}/{a}", {"a": "x", "b": "y"}, "/y/x", id="another-order"),
    ],
)
def test_the_page_that_is_asked(
    mount: str, page: str | None, params: dict[str, str], path: str
) -> None:
    app = App()
    ask = AskApp(page=page)
    ask.bind(app, mount)
    assert judge(ask, Target(16006, "/", "/x", params, "query", False)) is None
    assert app.asked[0]["PATH_INFO"] == path


# --- The answer ----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 203, 204, 206, 226, 299])
def test_a_2xx_lets_through(status: int) -> None:
    assert judge(bound(App(f"{status} Fine"))) is None


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308, 399, 401, 403, 404])
def test_a_refusal_is_passed_on_as_it_is(status: int) -> None:
    app = App(f"{status} Go Away")
    app.headers += [
        ("Location", "/login?next=/alice/vision/"),
        ("WWW-Authenticate", "Basic"),
        ("Set-Cookie", "sessionid=; Max-Age=0; Path=/"),
        ("Set-Cookie", "next=1; Path=/"),
    ]
    refusal = judge(bound(app))
    assert refusal is not None
    assert refusal.status_line == f"{status} Go Away"
    assert refusal.headers == app.headers
    assert b"".join(refusal) == b"the app's own page"
    refusal.close()


@pytest.mark.parametrize("status", [302, 401, 403, 404])
def test_a_websocket_gets_403_for_each_of_them(status: int) -> None:
    with pytest.raises(Refused):
        judge(bound(App(f"{status} Go Away")), a_target(websocket=True))


@pytest.mark.parametrize("status", [199, 400, 402, 405, 406, 410, 418, 429, 500, 502, 503, 599])
def test_anything_else_is_no_answer(status: int) -> None:
    app = App(f"{status} Oops")
    ask = bound(app)
    for _ in range(2):
        with pytest.raises(AuthorizerFailed):
            judge(ask)
    assert len(app.asked) == 2


def test_an_app_that_raises_is_no_answer() -> None:
    def app(made: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        raise LookupError("/srv/app")

    with pytest.raises(AuthorizerFailed):
        judge(bound(app))


@pytest.mark.parametrize(
    "app",
    [
        pytest.param(lambda made, start_response: [], id="no-status"),
        pytest.param(lambda made, start_response: None, id="none"),
        pytest.param(lambda made, start_response: start_response("OK", []) or [], id="no-code"),
    ],
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


def test_an_app_that_is_a_generator() -> None:
    ended = []

    def app(made: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        try:
            start_response("200 OK", [])
            while True:
                yield b"x"
        finally:
            ended.append(True)

    assert judge(bound(app)) is None
    assert ended == [True]


# --- Settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["", "x", "login", "https://other/", "/x?user={a}", "/x#y"])
def test_a_page_that_is_no_path_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="page must be"):
        AskApp(page=page)


@pytest.mark.parametrize("page", ["/{user}", "/{}", "/{0}", "/{a.__class__}", "/{a", "/{a[0]}"])
def test_a_page_with_other_parameters_than_the_mount_is_refused(page: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  a broken brace is str.format's own
        AskApp(page=page).bind(App(), "/{a}")


def test_it_belongs_to_one_app_and_mount() -> None:
    app = App()
    ask = bound(app)
    ask.bind(app, MOUNT)
    with pytest.raises(ValueError, match="one app and mount"):
        ask.bind(App(), MOUNT)
    with pytest.raises(ValueError, match="one app and mount"):
        ask.bind(app, "/public/{username}/{project}")
    assert judge(ask) is None
    assert app.asked[0]["PATH_INFO"] == "/alice/vision/"


def test_negative_entries_are_refused() -> None:
    with pytest.raises(ValueError, match="entries"):
        AskApp(entries=-1)


def test_alone_it_authorizes_nobody() -> None:
    with pytest.raises(AssertionError):
        AskApp()(Request(environ()), a_target())


def test_the_page_that_is_asked_for_can_make_its_links() -> None:
    """It would be an error otherwise, and the answer 503."""
    made: list[str] = []

    def page(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        made.append(url_for_port(environ, 16006))
        start_response("200 OK", [("Content-Type", "text/html")])
        return [b""]

    proxy = PortProxy(page, authorizer=AskApp(), mount="/{username}/{project}")
    referer = "http://app.test/alice/vision/proxy/16006/"
    answer = proxy(
        environ("/about.js", HTTP_REFERER=referer, HTTP_HOST="app.test"),
        lambda *args: lambda data: None,
    )
    assert b"".join(answer) == b""
    assert made == ["/alice/vision/proxy/16006/"]
