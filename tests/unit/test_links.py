"""`url_for_port`: the link under which a browser reaches a port, in each form and framework."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from webob import Request
from werkzeug.wrappers import Request as WerkzeugRequest

from wsgi_portproxy import Listen, PortProxy, PortProxyError, UrlForms, url_for_port

from .asking import MOUNT, App
from .given import environ, table

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

PLAIN_HOST = {"host_template": "{port}.ports.example.com"}
CARRYING = {"host_template": "{port}--{project}--{username}.ports.example.com"}
PORTS = {"host_template": ":{port+20000}"}
RESERVING = {**PORTS, "mount_of": lambda port: {"username": "alice", "project": "vision"}}
IN_PLACE = {"redirect_browsers": False}


def proxy(app: WSGIApplication, **settings: Any) -> PortProxy:
    mount = settings.pop("mount", MOUNT)
    urls = UrlForms(**settings)
    return PortProxy(app, authorizer=lambda request, target: True, mount=mount, urls=urls)


def seen(url: str = "/alice/vision/", *, settings: Any = None, **fields: Any) -> dict[str, Any]:
    """The environ that the wrapped app gets."""
    app = App()
    proxy(app, **settings or {})(environ(url, **fields), lambda *args: lambda data: None)
    return app.asked[-1]


def link(
    url: str = "/alice/vision/",
    path: str = "/",
    *,
    params: dict[str, str] | None = None,
    settings: dict[str, Any] | None = None,
    **fields: Any,
) -> str:
    return url_for_port(seen(url, settings=settings, **fields), 16006, path, **(params or {}))


# --- Forms ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "in_the_query_form"),
    [
        ("/", "/?port=16006"),
        ("/api/runs?x=1&y", "/api/runs?x=1&y&port=16006"),
        ("/a%2Fb//c?port=1", "/a%2Fb//c?port=16006"),
        ("/x#f", "/x?port=16006#f"),
        ("/x?a#f?b", "/x?a&port=16006#f?b"),
    ],
)
def test_the_forms(path: str, in_the_query_form: str) -> None:
    assert link(path=path) == f"/alice/vision/proxy/16006{path}"
    assert link(path=path, settings=IN_PLACE) == f"/alice/vision{in_the_query_form}"
    for settings in (PLAIN_HOST, {**PLAIN_HOST, **IN_PLACE}):  # preferred, and absolute
        assert link(path=path, settings=settings) == f"http://16006.ports.example.com{path}"


@table(
    "host, fields, origin",
    {
        "own-port": ("{port}.localhost:8000", {}, "http://16006.localhost:8000"),
        "port-of-the-request": (
            "{port}.localhost",
            {"HTTP_HOST": "localhost:8000"},
            "http://16006.localhost:8000",
        ),
        "https": ("{port}.p.test", {"wsgi.url_scheme": "https"}, "https://16006.p.test"),
    },
)
def test_scheme_and_port_of_the_host_form(host: str, fields: dict[str, Any], origin: str) -> None:
    assert link(settings={"host_template": host}, **fields) == f"{origin}/"


def test_the_mounts_parameters_in_the_host_name() -> None:
    assert link(settings=CARRYING) == "http://16006--vision--alice.ports.example.com/"
    made = link("/Alice/vision/", settings=CARRYING)
    assert made == "/Alice/vision/proxy/16006/"  # no host name has upper case


# --- The port form -------------------------------------------------------------------------------

OWN, BY_PATH, BY_QUERY = (
    "http://app.test:36006/x?y",
    "/alice/vision/proxy/16006/x?y",
    "/alice/vision/x?y&port=16006",
)


@table(
    "settings, made",
    {
        "reserved": (RESERVING, OWN),
        "own-name": ({**RESERVING, "host_template": "a.test:{port}"}, "http://a.test:16006/x?y"),
        "reserved-and-not-redirected": ({**RESERVING, **IN_PLACE}, OWN),
        # Else the visitor is sent there first: the mount is remembered then.
        "not-reserved": (PORTS, BY_QUERY),
        "reserved-to-none": ({**PORTS, "mount_of": lambda port: None}, BY_QUERY),
        "to-the-path-form": ({**PORTS, "redirect_browsers": "path"}, BY_PATH),
        "to-nowhere": ({**PORTS, **IN_PLACE}, BY_QUERY),
        "listening": ({**RESERVING, "listen": Listen()}, BY_QUERY),
        "listening-path": ({**PORTS, "listen": Listen(), "redirect_browsers": "path"}, BY_PATH),
        "not-a-services": ({**PORTS, "port_range": {16007}}, BY_PATH),
        "no-number": ({"host_template": ":{port+60000}"}, BY_PATH),
    },
)
def test_the_port_form(settings: dict[str, Any], made: str) -> None:
    assert link(path="/x?y", settings=settings) == made


def test_without_parameters_of_the_mount_nothing_has_to_be_remembered() -> None:
    settings = {**PORTS, "mount": "/lab"}
    assert link(settings=settings) == "http://app.test:36006/"
    assert link(settings={**settings, "listen": Listen()}) == "/lab/?port=16006"


def test_a_reserved_port_is_its_own_mounts() -> None:
    assert link("/bob/x/", settings=RESERVING) == "/bob/x/proxy/16006/"
    params = {"username": "alice", "project": "vision", "more": "than it has"}
    assert link("/bob/x/", settings=RESERVING, params=params) == "http://app.test:36006/"


def test_where_the_reservation_cannot_be_known_that_is_told() -> None:
    def fails(port: int) -> Any:
        raise RuntimeError("the database is gone")

    with pytest.raises(PortProxyError):
        link(settings={**PORTS, "mount_of": fails})


def test_the_visitors_own_name_is_that_of_the_link() -> None:
    for host, made in (("APP.test", "app.test"), ("[::1]:8000", "[::1]")):
        assert link(settings=RESERVING, HTTP_HOST=host) == f"http://{made}:36006/"
    assert link(settings=RESERVING, HTTP_HOST="x@evil.test") == "/alice/vision/proxy/16006/"
    https: Any = {"wsgi.url_scheme": "https"}
    assert link(settings=RESERVING, **https) == "https://app.test:36006/"


def test_another_word_for_the_path_form() -> None:
    assert link(settings={"path_segment": "ports"}) == "/alice/vision/ports/16006/"


@pytest.mark.parametrize("path", ["//evil.com/x", "/\\evil.com/", "/http://evil.com/"])
@table(
    "settings",
    {
        "path": {},
        "query": IN_PLACE,
        "host": PLAIN_HOST,
        "carrying": CARRYING,
        "port": RESERVING,
        "whole-app": {"mount": ""},
        "whole-app-query": {"mount": "", **IN_PLACE},
    },
)
def test_no_path_makes_a_link_to_another_site(settings: dict[str, Any], path: str) -> None:
    made = link(path=path, settings=settings)
    own = (
        "http://16006.ports.example.com/",
        "http://16006--vision--alice.ports.example.com/",
        "http://app.test:36006/",
    )
    assert made.startswith(own) or (made[0] == "/" and made[1] not in "/\\")


# --- Parameters ----------------------------------------------------------------------------------


@table(
    "url, params, base",
    {
        "from-the-url": ("/alice/vision/", {}, "/alice/vision"),
        "deeper": ("/alice/vision/runs/7?x", {}, "/alice/vision"),
        "one-given": ("/alice/vision/", {"project": "other"}, "/alice/other"),
        "escaped": ("/x/", {"username": "a b", "project": "c%2Fd?"}, "/a%20b/c%252Fd%3F"),
        "dots": ("/x/", {"username": "...", "project": ".a"}, "/.../.a"),
        "unicode": ("/x/", {"username": "\u20ac", "project": "b"}, "/%E2%82%AC/b"),
        "escapes-in-the-url": ("/%C3%A4/b%20c/", {}, "/%C3%A4/b%20c"),
        "needless-escapes": ("/%61lice/vision/", {}, "/alice/vision"),
        "one-too-many": ("/x/", {"username": "a", "project": "b", "c": "d"}, "/a/b"),
    },
)
def test_parameters_come_from_the_caller_and_else_from_the_url(
    url: str, params: dict[str, str], base: str
) -> None:
    assert link(url, params=params) == f"{base}/proxy/16006/"


@pytest.mark.parametrize("url", ["/", "/alice", "/alice/..", "/%ff/x/", "/a%2Fb/"])
def test_a_parameter_that_nobody_names_is_missing(url: str) -> None:
    for params in ({}, {"username": "alice"}):
        with pytest.raises(ValueError, match="pass them"):
            link(url, params=params)


def test_without_parameters_the_url_does_not_matter() -> None:
    for url in ("/login", "/a/../b", "/%ff/"):
        assert link(url, settings={"mount": ""}) == "/proxy/16006/"
        assert link(url, settings={"mount": "/services"}) == "/services/proxy/16006/"


# --- SCRIPT_NAME, and several in a row -----------------------------------------------------------


@pytest.mark.parametrize("server", ["gunicorn", "gevent"])
@table(
    "settings, made",
    {
        "path": ({}, "/my%20apps/one/alice/vision/proxy/16006/x?y"),
        "query": (IN_PLACE, "/my%20apps/one/alice/vision/x?y&port=16006"),
        "host": (PLAIN_HOST, "http://16006.ports.example.com/my%20apps/one/x?y"),
        "port": (RESERVING, "http://app.test:36006/my%20apps/one/x?y"),
    },
)
def test_below_a_script_name(server: str, settings: dict[str, Any], made: str) -> None:
    fields: dict[str, Any] = {"SCRIPT_NAME": "/my apps/one", "PATH_INFO": "/alice/vision/"}
    url = "/my%20apps/one/alice/vision/"
    assert link(url, "/x?y", settings=settings, server=server, **fields) == made


def test_what_is_behind_it_may_move_script_name() -> None:
    made = {**seen(), "SCRIPT_NAME": "/alice", "PATH_INFO": "/vision/"}
    assert url_for_port(made, 16006) == "/alice/vision/proxy/16006/"


def test_of_several_in_a_row_the_innermost_that_can_makes_the_link() -> None:
    app = App()
    outer = proxy(proxy(app, mount="/t/{team}", path_segment="in"), mount="", path_segment="out")
    for url, params, made in [
        ("/t/red/x", {}, "/t/red/in/16006/"),
        ("/login", {}, "/out/16006/"),
        ("/login", {"team": "blue"}, "/t/blue/in/16006/"),
    ]:
        outer(environ(url), lambda *args: lambda data: None)
        assert url_for_port(app.asked[-1], 16006, **params) == made


# --- Requests of frameworks ----------------------------------------------------------------------


def test_requests_of_webob_and_werkzeug() -> None:
    made = seen()
    for request in (Request(made), WerkzeugRequest(made)):
        assert url_for_port(request, 16006, "/x") == "/alice/vision/proxy/16006/x"


def test_what_is_no_request_is_told() -> None:
    for given in (None, "/alice/", ["environ"]):
        with pytest.raises(TypeError, match="neither an environ nor a request"):
            url_for_port(given, 16006)


def test_a_request_that_came_another_way_is_told() -> None:
    for given in (environ(), Request(environ()), {}):
        with pytest.raises(LookupError, match="did not come through"):
            url_for_port(given, 16006)


def test_only_a_tcp_port_is_one() -> None:
    made = seen()
    for port in (1, 65535):
        assert url_for_port(made, port) == f"/alice/vision/proxy/{port}/"
    wrong: list[Any] = [0, -1, 65536, "16006", 16006.0, True, None]
    for port in wrong:
        with pytest.raises(ValueError, match="not a port"):
            url_for_port(made, port)


FORMS = table(
    "settings",
    {
        "path": {},
        "query": IN_PLACE,
        "host": PLAIN_HOST,
        "carrying": CARRYING,
        "port": RESERVING,
        "listening": {**PORTS, "listen": Listen()},
    },
)


@pytest.mark.case("links with odd parameters")
@FORMS
@pytest.mark.parametrize(
    "path",
    [
        *("", "x", "?x", "http://evil.com/"),
        # No visible ASCII: browsers strip some of it, and some of it ends a header's line.
        *("/a b", "/\t/evil.com", "/\n/evil.com", "/x\r\nSet-Cookie: a=b", "/a\n", "/\0", "/\x7f"),
        *("/\xe4", "/\u20ac", "/?\u2028", "/#\ud800"),
    ],
)
def test_what_is_no_path_is_told(path: str, settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must start with"):
        link(path=path, settings=settings)


@FORMS
@pytest.mark.parametrize(
    "path", ["/..", "/a/../../b", "/%2e%2E/x", "/..%2fx", "/\\..\\x", "/a//../..", "/..?x", "/..#x"]
)
def test_a_path_that_leads_out_of_the_service_is_told(path: str, settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="leads out"):
        link(path=path, settings=settings)


@pytest.mark.parametrize("path", ["/a/..", "/x?../..", "/x#/../..", "/...", "/~!$&'()*+,;=:@%zz"])
def test_one_that_stays_within_is_as_it_was_given(path: str) -> None:
    assert link(path=path) == f"/alice/vision/proxy/16006{path}"


@pytest.mark.case("links with odd parameters")
@FORMS
@pytest.mark.parametrize(
    "value",
    [
        *("", ".", "..", "a/b", "/", "/evil.example", "a\\b", "a\r\nX: 1", "a\tb", "\0", "\x7f"),
        "\ud800",
        *(7, None, b"alice"),
    ],
    ids=repr,
)
def test_a_parameter_that_the_mount_would_not_match_is_told(
    value: Any, settings: dict[str, Any]
) -> None:
    """An empty one in front would make the link one to another site."""
    for name in ("username", "project"):
        with pytest.raises(ValueError, match="parameter"):
            link(params={name: value}, settings=settings)


def test_the_environ_that_came_in_stays_as_it_is() -> None:
    made = environ("/login")
    before = dict(made)
    proxy(App())(made, lambda *args: lambda data: None)
    assert made == before
