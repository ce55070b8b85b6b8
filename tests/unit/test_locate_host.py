"""The host form: all of the URL is the service's, and the name never the wrapped app's."""

from __future__ import annotations

from typing import Any

import pytest

from wsgi_portproxy.errors import BadRequest, InvalidPort, NotFound
from wsgi_portproxy.locate.host_template import HostTemplate
from wsgi_portproxy.locate.locator import Locator
from wsgi_portproxy.locate.mount import Mount
from wsgi_portproxy.locate.target import Form, Target
from wsgi_portproxy.locate.visit import Visit

from .given import environ, target_of, words

BELOW = "ports.example.com"
MOUNT = Mount("/{username}/{project}")


def located_by(template: str) -> Locator:
    return Locator(MOUNT, template=HostTemplate(f"{template}.{BELOW}", MOUNT.names))


LOCATOR = located_by("{port}")
CARRYING = located_by("{port}--{project}--{username}")


def locate(
    url: str, label: str = "16006", locator: Locator = LOCATOR, **fields: Any
) -> Target | None:
    return target_of(locator, Visit(environ(url, **{"HTTP_HOST": f"{label}.{BELOW}", **fields})))


# The second line is of what elsewhere is the query form, and the path form.
URLS = words(r"""
    / /api/runs?x=1&y /x? /?port=15000 /?port=abc&port= /a%2Fb%20%zz%ff;~@:+| //evil.com//x
    /alice/vision/?port=15000 /alice/vision/proxy/15000/x
    /../x /%2e%2e/..%5c.. /alice%2fvision/
""")


@pytest.mark.parametrize("url", URLS)
def test_all_of_the_url_is_the_services(url: str) -> None:
    """It has no mount to leave: what climbs there ends at the service's own root."""
    target = Target(16006, url, "", {}, Form.HOST, False)
    assert locate(url) == target
    # And nothing is moved.
    made = environ(url, HTTP_SEC_FETCH_MODE="navigate")
    assert LOCATOR.canonical_location(target, Visit(made)) is None


def test_an_empty_path_is_the_root() -> None:
    for raw, query, path in (("", "", "/"), ("?x", "x", "/?x")):
        target = locate("/", PATH_INFO="", RAW_URI=raw, QUERY_STRING=query)
        assert target == Target(16006, path, "", {}, Form.HOST, False)


def test_the_apps_own_host_has_the_other_forms() -> None:
    assert locate("/alice/vision/", HTTP_HOST="app.test") is None
    for url, form in [("/alice/vision/?port=1", "query"), ("/alice/vision/proxy/1/", "path")]:
        target = locate(url, HTTP_HOST="app.test")
        assert target is not None
        assert (target.form, target.params["username"]) == (form, "alice")


def test_a_handshake() -> None:
    fields: dict[str, Any] = {"HTTP_UPGRADE": "websocket", "HTTP_CONNECTION": "Upgrade"}
    assert locate("/ws", **fields) == Target(16006, "/ws", "", {}, Form.HOST, True)


def test_parameters_are_those_of_the_name_and_never_of_the_path() -> None:
    host = f"16006--Vision--alice.{BELOW}:8000"
    target = locate("/bob/secret/?x", locator=CARRYING, HTTP_HOST=host)
    params = {"project": "vision", "username": "alice"}
    assert target == Target(16006, "/bob/secret/?x", "", params, Form.HOST, False)


def test_below_a_script_name() -> None:
    for server in ("gunicorn", "gevent"):
        target = locate("/apps/one/x%20y?z", script_name="/apps/one", server=server)
        assert target == Target(16006, "/x%20y?z", "/apps/one", {}, Form.HOST, False)
    target = locate("/x", SCRIPT_NAME="/a;b\\c")
    assert target is not None
    assert target.prefix == "/a%3Bb%5Cc"


@pytest.mark.parametrize("label", ["", *words("www 016006 160060 16006x a.16006 -1 0x3e86")])
def test_a_name_that_is_no_ports_is_bad_and_not_the_apps(label: str) -> None:
    with pytest.raises(InvalidPort) as caught:
        locate("/login", label)
    assert caught.value.message == f"Invalid port parameter: {label}"


@pytest.mark.parametrize("label", words("16006 16006--vision 16006--a--b--c 16006--a-- x--a--b--"))
def test_a_name_that_lacks_parameters_is_not_found(label: str) -> None:
    with pytest.raises(NotFound):
        locate("/login", label, CARRYING)


@pytest.mark.parametrize("url", ["*", "x/y?z"])
def test_a_target_that_is_no_path_is_bad(url: str) -> None:
    with pytest.raises(BadRequest):
        locate(url, method="OPTIONS")


def test_without_a_template_no_name_is_special() -> None:
    assert locate("/", locator=Locator(Mount(""))) is None
