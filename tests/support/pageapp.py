"""The test app with pages of its own at paths that services use too, and what it was asked noted.

Of the tests of strays, host names and settings per port; `variants` serves what is made of it here.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from webob import Request

from wsgi_portproxy import DEFAULT_PAGE_ADAPTERS, AskApp, PageAdapter, PortProxy, Target, View

from .hostapp import HOSTS, MOUNT, app
from .marks import mark_of
from .notes import note

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_go: defaultdict[str, threading.Event] = defaultdict(threading.Event)  # by the test that says so


class Body:
    """The blocks of an answer; notes that it was closed."""

    def __init__(self, blocks: Iterable[bytes], environ: WSGIEnvironment) -> None:
        self._blocks = iter(blocks)
        self._environ = environ

    def __iter__(self) -> Iterator[bytes]:
        return self._blocks

    def close(self) -> None:
        note(self._environ, f"app closed {self._environ['PATH_INFO']}")


def pages(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """/status/N answers with that status; /stream sends its second half when /go is asked for; all
    else is the test app's."""
    path = environ["PATH_INFO"]
    note(environ, f"app {environ['REQUEST_METHOD']} {path}")
    if path.startswith("/status/"):
        fields = [("Content-Type", "text/html"), ("Location", "/elsewhere"), ("X-From", "app")]
        start_response(f"{path[8:11]} Of The App", [*fields, ("Set-Cookie", "sessionid=1; Path=/")])
        return Body([b"the app's ", b"own page"], environ)
    if path == "/stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return Body(_halves(_go[mark_of(environ)]), environ)
    if path == "/go":
        _go[mark_of(environ)].set()
    return app(environ, start_response)


def _halves(go: threading.Event) -> Iterator[bytes]:
    yield b"first"
    go.wait(30)
    yield b"second"


def _login(request: Request) -> WSGIApplication:
    """A redirect to the login page, which leads back to where the visitor wanted to go."""

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        location = f"/login?next={quote(request.path_qs)}"
        start_response("302 Found", [("Location", location), ("Content-Type", "text/plain")])
        return [b"sign in\n"]

    return application


def noting(request: Request, target: Target) -> bool | WSGIApplication:
    """By the cookie `user`: alice may use alice's ports, nobody is sent to the login page, for eve
    it fails, others may not. In the host form without parameters, all ports are alice's."""
    form = "stray" if target.is_astray else target.form.value
    note(request.environ, f"authorizer {form} {target.port} {target.path}")
    user = request.cookies.get("user")
    if user is None:
        return _login(request)
    if user == "eve":
        raise RuntimeError("a database is down")
    return bool(user == target.params.get("username", "alice"))


def _proxy(**settings: Any) -> PortProxy:
    settings = {
        "authorizer": noting,
        "mount": MOUNT,
        "hosts": HOSTS,
        "head_timeout": 30.0,
        **settings,
    }
    return PortProxy(pages, **settings)


plain = _proxy()
impatient = _proxy(head_timeout=1.0)
without_strays = _proxy(strays=False)
in_place = _proxy(promote=False)

PORTS = "{port}.ports.test"
hosted = _proxy(host=PORTS, withhold_cookies=["user", "sessionid"])
CARRYING = "{port}--{project}--{username}.ports.test"
carrying = PortProxy(
    pages,
    authorizer=AskApp(seconds=0),
    mount=MOUNT,
    hosts=HOSTS,
    host=CARRYING,
    withhold_cookies=["user"],
)
isolated = _proxy(host=PORTS, isolate=True)


def _by_project(name: str) -> Any:
    """A setting's callable: what the project is called, or a failure."""

    def choose(target: Target) -> Any:
        value = target.params["project"].partition(".")[2] or None
        if target.params["project"].startswith(name):
            if value == "raises":
                raise RuntimeError("/srv/secret.py")
            return {"true": True, "false": False}.get(value or "", value)
        return "local" if name == "identity" else True

    return choose


by_project = _proxy(identity=_by_project("identity"), strip_mount=_by_project("strip"))
external = _proxy(identity="external", host=PORTS)
full_path = _proxy(strip_mount=False, host=PORTS)


def _raising(document: bytes, view: View) -> bytes:
    raise RuntimeError("/srv/secret.py")


def _of_text(document: bytes, view: View) -> Any:
    return document.decode().upper()


def _renaming(document: bytes, view: View) -> bytes:
    return document.replace(b"@prefix@", view.target.prefix.encode())


adapting = _proxy(
    page_adapters=[
        PageAdapter("raises", b"@raise@", _raising),
        PageAdapter("text", b"@text@", _of_text),
        PageAdapter("renames", b"@prefix@", _renaming),
        *DEFAULT_PAGE_ADAPTERS,
    ],
    host=PORTS,
)
not_adapting = _proxy(page_adapters=())
on_ipv6 = _proxy(ipv6=True)
