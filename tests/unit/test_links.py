"""`url_for_port`: the link under which a browser reaches a port, in each form and framework."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from webob import Request
from werkzeug.wrappers import Request as WerkzeugRequest

from wsgi_portproxy import PortProxy, url_for_port
from wsgi_portproxy.links import ENVIRON_KEY

from .given import environ

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

MOUNT = "/{username}/{project}"


class App:
    """Keeps the environ of the last request."""

    def __init__(self) -> None:
        self.environ: dict[str, Any] = {}

    def __call__(self, made: dict[str, Any], start_response: Any) -> list[bytes]:
        self.environ = made
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"page"]


def proxy(app: WSGIApplication, **settings: Any) -> PortProxy:
    settings = {"authorizer": lambda request, target: True, "mount": MOUNT, **settings}
    return PortProxy(app, **settings)


def seen(url: str = "/alice/vision/", *, settings: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The environ that the wrapped app gets."""
    app = App()
    proxy(app, **settings)(environ(url, **fields), lambda *args: lambda data: None)
    return app.environ


def link(
    url: str = "/alice/vision/",
    port: int = 16006,
    path: str = "/",
    *,
    params: dict[str, str] | None = None,
    settings: dict[str, Any] | None = None,
    **fields: Any,
) -> str:
    made = seen(url, settings=settings or {}, **fields)
    return url_for_port(made, port, path, **(params or {}))


# --- Forms ---------------------------------------------------------------------------------------

PLAIN_HOST = {"host": "{port}.ports.example.com"}
CARRYING = {"host": "{port}--{project}--{username}.ports.example.com"}
PATHS = ["/", "/api/runs?x=1&y", "/a%2Fb//c?port=1", "/x#f", "/x?a#f?b"]


@pytest.mark.parametrize("path", PATHS)
def test_the_path_form(path: str) -> None:
    assert link(path=path) == f"/alice/vision/proxy/16006{path}"


@pytest.mark.parametrize(
    ("path", "made"),
    [
        ("/", "/alice/vision/?port=16006"),
        ("/api/runs?x=1&y", "/alice/vision/api/runs?x=1&y&port=16006"),
        ("/x#f", "/alice/vision/x?port=16006#f"),
        ("/x?a#f?b", "/alice/vision/x?a&port=16006#f?b"),
        ("/x?port=1", "/alice/vision/x?port=16006"),
    ],
)
def test_the_query_form_without_promotion(path: str, made: str) -> None:
    assert link(path=path, settings={"promote": False}) == made


@pytest.mark.parametrize("path", PATHS)
def test_the_host_form_is_preferred_and_absolute(path: str) -> None:
    made = link(path=path, settings=PLAIN_HOST)
    assert made == f"http://16006.ports.example.com{path}"
    assert link(path=path, settings={**PLAIN_HOST, "promote": False}) == made


@pytest.mark.parametrize(
    ("host", "fields", "origin"),
    [
        ("{port}.localhost:8000", {}, "http://16006.localhost:8000"),
        ("{port}.localhost", {"HTTP_HOST": "localhost:8000"}, "http://16006.localhost:8000"),
        ("{port}.p.test", {"wsgi.url_scheme": "https"}, "https://16006.p.test"),
        (
            "{port}.p.test",
            {"HTTP_HOST": "app.test:8443", "wsgi.url_scheme": "https"},
            "https://16006.p.test:8443",
        ),
    ],
)
def test_scheme_and_port_of_the_host_form(host: str, fields: dict[str, Any], origin: str) -> None:
    assert link(settings={"host": host}, **fields) == f"{origin}/"


def test_the_mounts_parameters_in_the_host_name() -> None:
    assert link(settings=CARRYING) == "http://16006--vision--alice.ports.example.com/"
    made = link("/Alice/vision/", settings=CARRYING)
    assert made == "/Alice/vision/proxy/16006/"  # no host name has upper case


def test_another_word_for_the_path_form() -> None:
    assert link(settings={"proxy": "ports"}) == "/alice/vision/ports/16006/"


@pytest.mark.parametrize("settings", [{}, {"promote": False}, PLAIN_HOST, CARRYING], ids=repr)
@pytest.mark.parametrize("path", ["//evil.com/x", "/\\evil.com/", "/http://evil.com/"])
@pytest.mark.parametrize("mount", ["", MOUNT])
def test_no_path_makes_a_link_to_another_site(
    settings: dict[str, Any], path: str, mount: str
) -> None:
    if settings is CARRYING and not mount:
        return  # there is nothing to carry
    made = link(path=path, settings={**settings, "mount": mount})
    own = ("http://16006.ports.example.com/", "http://16006--vision--alice.ports.example.com/")
    assert made.startswith(own) or (made[0] == "/" and made[1] not in "/\\")


# --- Parameters ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "params", "base"),
    [
        pytest.param("/alice/vision/", {}, "/alice/vision", id="from-the-url"),
        pytest.param("/alice/vision", {}, "/alice/vision", id="without-slash"),
        pytest.param("/alice/vision/runs/7?x", {}, "/alice/vision", id="deeper"),
        pytest.param("/alice/vision/", {"project": "other"}, "/alice/other", id="one-given"),
        pytest.param("/", {"username": "a", "project": "b"}, "/a/b", id="all-given"),
        pytest.param(
            "/x/", {"username": "a b", "project": "c/d?"}, "/a%20b/c%2Fd%3F", id="escaped"
        ),
        pytest.param("/x/", {"username": "\u20ac", "project": "b"}, "/%E2%82%AC/b", id="unicode"),
        pytest.param("/%C3%A4/b%20c/", {}, "/%C3%A4/b%20c", id="escapes-in-the-url"),
        pytest.param("/%61lice/vision/", {}, "/alice/vision", id="needless-escapes"),
        pytest.param("/x/", {"username": "a", "project": "b", "c": "d"}, "/a/b", id="one-too-many"),
    ],
)
def test_parameters_come_from_the_caller_and_else_from_the_url(
    url: str, params: dict[str, str], base: str
) -> None:
    assert link(url, params=params) == f"{base}/proxy/16006/"


@pytest.mark.parametrize("url", ["/", "/login", "/alice", "/alice/..", "/%ff/x/", "/a%2Fb/"])
def test_a_parameter_that_nobody_names_is_missing(url: str) -> None:
    with pytest.raises(ValueError, match="name them"):
        link(url)
    with pytest.raises(ValueError, match="name them"):
        link(url, params={"username": "alice"})


def test_without_parameters_the_url_does_not_matter() -> None:
    for url in ("/", "/login", "/a/../b", "/%ff/"):
        assert link(url, settings={"mount": ""}) == "/proxy/16006/"
        assert link(url, settings={"mount": "/services"}) == "/services/proxy/16006/"


# --- SCRIPT_NAME, and several in a row -----------------------------------------------------------


@pytest.mark.parametrize("server", ["gunicorn", "waitress", "gevent"])
@pytest.mark.parametrize(
    ("settings", "made"),
    [
        ({}, "/my%20apps/one/alice/vision/proxy/16006/x?y"),
        ({"promote": False}, "/my%20apps/one/alice/vision/x?y&port=16006"),
        (PLAIN_HOST, "http://16006.ports.example.com/my%20apps/one/x?y"),
    ],
    ids=["path", "query", "host"],
)
def test_below_a_script_name(server: str, settings: dict[str, Any], made: str) -> None:
    fields: dict[str, Any] = {
        "server": server,
        "SCRIPT_NAME": "/my apps/one",
        "PATH_INFO": "/alice/vision/",
    }
    url = "/my%20apps/one/alice/vision/"
    assert link(url, path="/x?y", settings=settings, **fields) == made


def test_what_is_behind_it_may_move_script_name() -> None:
    made = seen(settings={})
    made.update(SCRIPT_NAME="/alice", PATH_INFO="/vision/")
    assert url_for_port(made, 16006) == "/alice/vision/proxy/16006/"


def test_of_several_in_a_row_the_innermost_that_can_makes_the_link() -> None:
    app = App()
    outer = proxy(proxy(app, mount="/t/{team}", proxy="in"), mount="", proxy="out")
    outer(environ("/t/red/x"), lambda *args: lambda data: None)
    assert url_for_port(app.environ, 16006) == "/t/red/in/16006/"
    outer(environ("/login"), lambda *args: lambda data: None)
    assert url_for_port(app.environ, 16006) == "/out/16006/"
    assert url_for_port(app.environ, 16006, team="blue") == "/t/blue/in/16006/"


# --- Requests of frameworks ----------------------------------------------------------------------


def test_requests_of_webob_and_werkzeug() -> None:
    made = seen(settings={})
    for request in (Request(made), WerkzeugRequest(made)):
        assert url_for_port(request, 16006, "/x") == "/alice/vision/proxy/16006/x"


def test_a_request_of_flask() -> None:
    flask = pytest.importorskip("flask")
    app = flask.Flask("site")
    with app.request_context(seen(settings={})):
        assert url_for_port(flask.request, 16006) == "/alice/vision/proxy/16006/"


def test_a_request_of_django() -> None:
    wsgi = pytest.importorskip("django.core.handlers.wsgi")
    settings = pytest.importorskip("django.conf").settings
    if not settings.configured:
        settings.configure()
    request = wsgi.WSGIRequest(seen(settings={}))
    assert url_for_port(request, 16006) == "/alice/vision/proxy/16006/"


@pytest.mark.parametrize("given", [None, "/alice/", 7, ..., ["environ"]], ids=repr)
def test_what_is_no_request_is_told(given: Any) -> None:
    with pytest.raises(TypeError, match="neither an environ nor a request"):
        url_for_port(given, 16006)


def test_a_request_that_came_another_way_is_told() -> None:
    for given in (environ(), Request(environ()), {}):
        with pytest.raises(LookupError, match="did not come through"):
            url_for_port(given, 16006)


@pytest.mark.parametrize("port", [0, -1, 65536, "16006", 16006.0, True, None], ids=repr)
def test_what_is_no_port_is_told(port: Any) -> None:
    with pytest.raises(ValueError, match="not a port"):
        url_for_port(seen(settings={}), port)


@pytest.mark.parametrize("path", ["", "x", "?x", "#f", "http://evil.com/"])
def test_what_is_no_path_is_told(path: str) -> None:
    with pytest.raises(ValueError, match="must start with"):
        link(path=path)


def test_the_environ_that_came_in_stays_as_it_is() -> None:
    made = environ("/login")
    before = dict(made)
    proxy(App())(made, lambda *args: lambda data: None)
    assert made == before
    assert ENVIRON_KEY not in made
