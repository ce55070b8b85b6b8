"""Flask's request, session and extensions in place, and its ways to refuse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import flask
import pytest
from flask.sessions import SecureCookieSessionInterface
from werkzeug.local import LocalProxy
from werkzeug.test import TestResponse as Answer
from werkzeug.wrappers import Response

from tests.conftest import ServiceFactory
from tests.contrib.conftest import Echo, as_set, setting_cookies
from tests.support.received import Received, recording
from wsgi_portproxy import PortProxy, Target, url_for_port
from wsgi_portproxy.contrib.flask import authorizer

MOUNT = "/{username}/{project}"
Check = Callable[[Target], Any]


def site(**config: Any) -> flask.Flask:
    app = flask.Flask("site")
    app.config.update(SECRET_KEY="for the tests only", **config)

    @app.post("/login")
    def login() -> str:
        flask.session["user"] = flask.request.form["user"]
        return "welcome"

    @app.get("/login")
    def form() -> str:
        return "sign in"

    @app.get("/<username>/<project>/")
    def project(username: str, project: str) -> str:
        return f"page for {flask.session.get('user')}"

    return app


class Visitor:
    """A browser of a Flask app with a PortProxy around it, and the service behind a port."""

    def __init__(self, app: flask.Flask, check: Check, port: int) -> None:
        self.proxy = PortProxy(app.wsgi_app, authorizer=authorizer(app, check), mount=MOUNT)
        app.wsgi_app = self.proxy  # type: ignore[method-assign]
        self.client = app.test_client()
        self.url = f"/alice/vision/x?port={port}"

    def login(self, user: str) -> None:
        assert self.client.post("/login", data={"user": user}).text == "welcome"

    def ask(self, method: str = "GET", **kwargs: Any) -> Answer:
        return self.client.open(self.url, method=method, **kwargs)


@pytest.fixture
def visit(echo: Echo) -> Iterator[Callable[..., Visitor]]:
    """`visit(check)`: a visitor of a site behind `check`."""
    visitors: list[Visitor] = []

    def start(check: Check, app: flask.Flask | None = None) -> Visitor:
        visitors.append(Visitor(app or site(), check, echo.port))
        return visitors[-1]

    yield start
    for visitor in visitors:
        visitor.proxy.close()


def same_user(target: Target) -> Any:
    if "user" not in flask.session:
        return flask.redirect(flask.url_for("form"))
    return bool(flask.session["user"] == target.params["username"])


# --- Who it is -----------------------------------------------------------------------------------


def test_the_session_is_in_place(visit: Callable[..., Visitor]) -> None:
    visitor = visit(same_user)
    nobody = visitor.ask()
    assert (nobody.status_code, nobody.location) == (302, "/login")
    visitor.login("bob")
    assert visitor.ask().status_code == 403
    visitor.login("alice")
    assert visitor.ask().text == "hi"
    assert visitor.client.get("/alice/vision/").text == "page for alice"


def test_the_request_is_the_visitors_without_its_body(
    visit: Callable[..., Visitor], echo: Echo
) -> None:
    methods: list[str] = []

    def check(target: Target) -> bool:
        request = flask.request
        assert request.get_data() == b""
        assert (dict(request.form), dict(request.files)) == ({}, {})
        assert request.args["port"] == str(echo.port)
        assert request.path == "/alice/vision/x"
        methods.append(request.method)
        return True

    visitor = visit(check)
    assert visitor.ask("POST", data={"a": "1"}).status_code == 200
    assert visitor.ask("PUT", json={"a": 1}).status_code == 200
    assert methods == ["POST", "PUT"]
    assert [request.body for request in echo.received] == [b"a=1", b'{"a": 1}']


def test_an_extension_that_keeps_its_user_in_g(visit: Callable[..., Visitor]) -> None:
    """Flask-Login's way: a proxy that loads the user when it is first asked for."""

    def load() -> str:
        if "_login_user" not in flask.g:
            flask.g._login_user = flask.session.get("user", "")
        return str(flask.g._login_user)

    current_user = LocalProxy(load)

    def check(target: Target) -> Any:
        if not current_user:
            return flask.redirect("/login")
        return current_user == target.params["username"]

    visitor = visit(check)
    assert visitor.ask().status_code == 302
    visitor.login("alice")
    assert visitor.ask().status_code == 200
    visitor.login("bob")
    assert visitor.ask().status_code == 403


def test_what_runs_at_the_end_of_a_request_runs(visit: Callable[..., Visitor]) -> None:
    """Extensions give back their database connections there."""
    app = site()
    ended: list[BaseException | None] = []
    app.teardown_request(ended.append)
    app.teardown_appcontext(ended.append)
    failing = RuntimeError("x")

    def check(target: Target) -> bool:
        if flask.request.method == "POST":
            raise failing
        return True

    visitor = visit(check, app)
    visitor.ask()
    assert ended == [None, None]
    visitor.ask("POST")
    assert ended[2:] == [failing, failing]


def test_the_session_is_for_reading(visit: Callable[..., Visitor]) -> None:
    def check(target: Target) -> bool:
        flask.session["x"] = 1
        return True

    assert "Set-Cookie" not in visit(check).ask().headers


# --- Refusals ------------------------------------------------------------------------------------


def _raising(error: BaseException) -> Check:
    def check(target: Target) -> bool:
        raise error

    return check


REFUSALS: dict[str, tuple[Check, int]] = {
    "false": (lambda target: False, 403),
    "abort-404": (lambda target: flask.abort(404), 404),
    "abort-with-text": (lambda target: flask.abort(401, "sign in first"), 401),
    "abort-with-response": (lambda target: flask.abort(Response("pay first", 402)), 402),
    "redirect": (lambda target: flask.redirect("/login"), 302),
    "response": (lambda target: flask.make_response("pay first", 402), 402),
    "raises": (_raising(RuntimeError("secret")), 503),
    "key-error": (lambda target: flask.session["user"] == "alice", 503),
    "none": (lambda target: flask.session.get("user"), 500),
    "tuple": (lambda target: ("secret", 403), 500),
    "context-is-gone": (lambda target: lambda environ, start_response: flask.session["x"], 500),
}


@pytest.mark.parametrize(("check", "status"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_sends_nothing_to_the_service(
    visit: Callable[..., Visitor], echo: Echo, check: Check, status: int
) -> None:
    params: list[dict[str, str]] = []

    def counted(target: Target) -> Any:
        params.append(dict(target.params))
        return check(target)

    visitor, methods = visit(counted), ("GET", "HEAD", "POST")
    for method in methods:
        answer = visitor.ask(method)
        assert answer.status_code == status
        assert "secret" not in answer.text
        assert (answer.text == "") is (method == "HEAD")
    once = {"username": "alice", "project": "vision"}
    assert params == [once] * len(methods), "called once for each"
    assert echo.service.connections == 0


def test_a_refusals_cookies_go_out(visit: Callable[..., Visitor]) -> None:
    def check(target: Target) -> Response:
        response = flask.redirect("/login")
        response.set_cookie("next", "1")
        return response

    answer = visit(check).ask()
    assert answer.headers["Set-Cookie"].startswith("next=1;")


def test_below_a_script_name(visit: Callable[..., Visitor]) -> None:
    answer = visit(same_user).ask(base_url="http://localhost/apps/one/")
    assert answer.location == "/apps/one/login"


# --- Cookies -------------------------------------------------------------------------------------


class OwnInterface(SecureCookieSessionInterface):
    def get_cookie_name(self, app: flask.Flask) -> str:
        return "from_interface"


@pytest.mark.parametrize(
    ("config", "interface", "own"),
    [
        ({}, None, ["session", "remember_token"]),
        ({"SESSION_COOKIE_NAME": "site_session"}, None, ["site_session", "remember_token"]),
        ({"REMEMBER_COOKIE_NAME": "site_me"}, None, ["session", "site_me"]),
        ({}, OwnInterface(), ["from_interface"]),
    ],
    ids=["defaults", "session-name", "remember-name", "own-interface"],
)
def test_the_sites_own_cookies_are_withheld_and_cannot_be_set(
    service: ServiceFactory,
    config: dict[str, str],
    interface: SecureCookieSessionInterface | None,
    own: list[str],
) -> None:
    names = [*own, own[0].upper(), "ok"]
    seen: list[Received] = []
    upstream = service(recording(seen, setting_cookies(*names)))
    app = site(**config)
    if interface is not None:
        app.session_interface = interface
    visitor = Visitor(app, same_user, upstream.port)
    visitor.login("alice")
    for name in own[1:]:
        visitor.client.set_cookie(name, "S")
    visitor.client.set_cookie("a", "1")
    answer = visitor.ask()
    visitor.proxy.close()
    assert seen[0].values("Cookie") == ["a=1"]
    set_cookies = answer.headers.getlist("Set-Cookie")
    assert set_cookies == as_set(upstream.port, "/alice/vision/", *names)


def test_a_view_makes_links_to_ports_of_its_request(visit: Callable[..., Visitor]) -> None:
    app = site()
    app.add_url_rule("/<username>/<project>/link", view_func=link_to_tensorboard)
    client = visit(same_user, app).client
    assert client.get("/alice/vision/link").text == "/alice/vision/proxy/16006/"


def link_to_tensorboard(username: str, project: str) -> str:
    return url_for_port(flask.request, 16006)
