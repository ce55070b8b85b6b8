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

from wsgi_portproxy import (
    DEFAULT_PAGE_ADAPTERS,
    AskApp,
    Page,
    PageAdapter,
    PortProxy,
    Service,
    Target,
    Timeouts,
    UrlForms,
    Withhold,
)

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
    note(request.environ, f"authorizer {form} {target.port} {target.path_qs}")
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
        "timeouts": Timeouts(head=30.0),
        **settings,
    }
    return PortProxy(pages, **settings)


plain = _proxy()
impatient = _proxy(timeouts=Timeouts(head=1.0))
without_strays = _proxy(urls=UrlForms(find_strays=False))
in_place = _proxy(urls=UrlForms(redirect_browsers=False))

PORTS = "{port}.ports.test"
hosted = _proxy(
    urls=UrlForms(host_template=PORTS), withhold=Withhold(cookies=["user", "sessionid"])
)
CARRYING = "{port}--{project}--{username}.ports.test"
carrying = PortProxy(
    pages,
    authorizer=AskApp(pages, "/{username}/{project}/", seconds=0),
    mount=MOUNT,
    hosts=HOSTS,
    urls=UrlForms(host_template=CARRYING),
    withhold=Withhold(cookies=["user"]),
)
isolated = _proxy(urls=UrlForms(host_template=PORTS, isolate=True))


def _of_project(target: Target) -> Any:
    """What the project is called decides on its services, or has the callable fail."""
    name, _, value = target.params["project"].partition(".")
    if value == "raises":
        raise RuntimeError("/srv/secret.py")
    if value in ("odd", ""):
        return value
    if name == "identity":
        return Service(preserve_host=value == "external")
    return Service(strip_prefix=value != "false")


by_project = _proxy(services=_of_project)
external = _proxy(services=Service(preserve_host=True), urls=UrlForms(host_template=PORTS))
full_path = _proxy(services=Service(strip_prefix=False), urls=UrlForms(host_template=PORTS))


def _raising(document: bytes, page: Page) -> bytes:
    raise RuntimeError("/srv/secret.py")


def _of_text(document: bytes, page: Page) -> Any:
    return document.decode().upper()


def _renaming(document: bytes, page: Page) -> bytes:
    return document.replace(b"@prefix@", page.prefix.encode())


adapting = _proxy(
    services=Service(
        page_adapters=[
            PageAdapter("raises", b"@raise@", _raising),
            PageAdapter("text", b"@text@", _of_text),
            PageAdapter("renames", b"@prefix@", _renaming),
            *DEFAULT_PAGE_ADAPTERS,
        ]
    ),
    urls=UrlForms(host_template=PORTS),
)
not_adapting = _proxy(services=Service(page_adapters=()))
on_ipv6 = _proxy(services=Service(ipv6=True))
