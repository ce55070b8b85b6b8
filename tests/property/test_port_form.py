"""The port form: a link that was made leads back to its port, and a Host says no other."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.given import environ, target_of
from wsgi_portproxy.errors import PortProxyError
from wsgi_portproxy.locate.links import Links
from wsgi_portproxy.locate.locator import Locator
from wsgi_portproxy.locate.mount import Mount
from wsgi_portproxy.locate.port_template import PortTemplate
from wsgi_portproxy.locate.target import Target
from wsgi_portproxy.locate.visit import Visit

from . import made

MOUNT = Mount("/{username}/{project}")
SERVICES = range(10000, 20001)
names = st.sampled_from(["", "app.example.com", "localhost", "[::1]"])
offsets = st.one_of(st.integers(-20000, 60000), st.sampled_from([0, 20000, -9920, 45535])).filter(
    lambda offset: 8000 - offset not in SERVICES  # which is the app's own number here
)
schemes = st.sampled_from(["http", "https"])
params = st.fixed_dictionaries({"username": made.any_text, "project": made.any_text})
a_port = st.one_of(made.ports, st.sampled_from([9999, 10000, 16006, 20000, 20001]))
visited_names = st.one_of(
    st.sampled_from(["app.test", "APP.test", "[::1]", "127.0.0.1", "a.test.", "x@y", ""]),
    made.mixed(["app", ".", "-", "_", "test", "[", "]", "@"], "ab0", 5),
)


def a_locator(name: str, offset: int, **settings: Any) -> Locator:
    template = f"{name}:{{port{offset:+}}}" if offset else f"{name}:{{port}}"
    return Locator(MOUNT, template=PortTemplate(template, SERVICES), **settings)


def at(url: str, scheme: str, cookies: str = "") -> Visit:
    """A request for an absolute URL, on a connection to its port."""
    parts = urlsplit(url)
    number = parts.port or {"http": 80, "https": 443}[scheme]
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    fields: Any = {"SERVER_PORT": str(number), "HTTP_HOST": parts.netloc, "wsgi.url_scheme": scheme}
    return Visit(environ(target, HTTP_COOKIE=cookies, **fields))


@given(names, offsets, a_port, params, made.rest, visited_names, schemes)
def test_a_link_leads_to_what_it_was_made_for(
    name: str, offset: int, port: int, given: Any, path: str, visited: str, scheme: str
) -> None:
    locator = a_locator(name, offset, mount_of=lambda number: given if number == port else None)
    fields: Any = {"HTTP_HOST": f"{visited}:8000", "wsgi.url_scheme": scheme}
    try:
        link = Links(locator).url(environ("/", **fields), port, path, given)
    except ValueError:  # a parameter that no URL of the mount has
        return
    assert link is not None
    if link.startswith("/"):
        target = target_of(locator, Visit(environ(link, HTTP_HOST="app.test:8000")))
        assert port not in SERVICES or not 0 < port + offset < 65536 or not name
    else:
        visit = at(link, scheme)
        target = target_of(locator, visit)
        host = name or visited.lower()
        assert visit.address.host == host
    assert target is not None
    assert (target.port, target.params) == (port, given)
    assert target.form in ("port", "path")
    assert target.path_qs == path


@given(names, offsets, a_port, params, made.rest, schemes)
def test_a_browser_that_is_sent_there_gets_the_same_target(
    name: str, offset: int, port: int, given: Any, path: str, scheme: str
) -> None:
    """With what it was told to remember, if the mount's path is short and plain."""
    locator = a_locator(name, offset)
    navigates: Any = {"HTTP_SEC_FETCH_MODE": "navigate", "HTTP_HOST": "app.test:8000"}
    try:
        link = Links(locator).url(environ("/", **navigates), port, path, given)
    except ValueError:
        return
    visit = Visit(environ(link or "", **{**navigates, "wsgi.url_scheme": scheme}))
    asked = target_of(locator, visit)
    assert asked is not None
    moved = locator.canonical_location(asked, visit)
    if moved is None or moved.url.startswith("/"):
        assert not (port in SERVICES and 0 < port + offset < 65536)
        return
    assert locator.opened is not None
    cookies = locator.opened.remember(asked, visit, moved)
    kept = cookies[0][1].partition(";")[0] if cookies else ""
    target = target_of(locator, at(moved.url, scheme, kept))
    assert target is not None
    assert (target.port, target.path_qs, target.form) == (port, path, "port")
    assert target.params == (given if kept else {})


@given(
    st.one_of(
        made.any_text,
        made.mixed(["app.test", ":", "36006", "16006", "0", "+", " ", "[::1]", "@"], "ab0", 6),
        st.builds("app.test:{}".format, made.any_text),
    ),
    st.sampled_from(["36006", "36007", "8000", "16006", "80", "443", "", "x"]),
    names,
    schemes,
)
def test_a_host_is_a_services_only_if_it_is_plainly_written(
    host: str, told: str, name: str, scheme: str
) -> None:
    locator = a_locator(name, 20000)
    fields: Any = {"HTTP_HOST": host, "SERVER_PORT": told, "wsgi.url_scheme": scheme}
    try:
        target: Target | None = locator.by_host(Visit(environ("/x", **fields)))
    except PortProxyError:
        return
    own = ("36006", "36007")
    if target is None:
        assert told not in own  # never the app on a service's port
        return
    shown, _, number = host.rpartition(":") if host else ("", "", told)
    assert number == str(target.port + 20000)
    assert told not in own or told == number
    assert not name or not host or shown.lower().removesuffix(".") == name
