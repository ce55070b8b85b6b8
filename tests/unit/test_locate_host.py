"""The host form: all of the URL is the service's, and the name never the wrapped app's."""

from __future__ import annotations

from typing import Any

import pytest

from wsgi_portproxy.errors import BadRequest, InvalidPort, NotFound
from wsgi_portproxy.locate import Locator, Target
from wsgi_portproxy.mount import Mount

from .given import environ

HOST = "16006.ports.example.com"
LOCATOR = Locator(Mount("/{username}/{project}"), host="{port}.ports.example.com")
CARRYING = Locator(
    Mount("/{username}/{project}"), host="{port}--{project}--{username}.ports.example.com"
)


def locate(url: str, host: str = HOST, locator: Locator = LOCATOR, **fields: Any) -> Target | None:
    return locator.locate(environ(url, HTTP_HOST=host, **fields))


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("/", id="root"),
        pytest.param("/api/runs?x=1&y", id="path-and-query"),
        pytest.param("/x?", id="bare-question-mark"),
        pytest.param("/?port=15000", id="a-port-that-is-the-services"),
        pytest.param("/?port=abc&port=", id="even-if-it-is-none"),
        pytest.param("/alice/vision/?port=15000", id="what-elsewhere-is-the-query-form"),
        pytest.param("/alice/vision/proxy/15000/x", id="what-elsewhere-is-the-path-form"),
        pytest.param("/a%2Fb%20%zz%ff;~@:+|", id="bytes"),
        pytest.param("//evil.com//x", id="double-slashes"),
        pytest.param("/../x", id="dots"),
        pytest.param("/%2e%2e/..%5c..", id="escaped-dots"),
        pytest.param("/alice%2fvision/", id="escaped-slash"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_all_of_the_url_is_the_services(url: str, method: str) -> None:
    """It has no mount to leave: what climbs there ends at the service's own root."""
    assert locate(url, method=method) == Target(16006, url, "", {}, "host", False)


def test_an_empty_path_is_the_root() -> None:
    assert locate("") == Target(16006, "/", "", {}, "host", False)
    made = environ("/", HTTP_HOST=HOST, PATH_INFO="", RAW_URI="?x", QUERY_STRING="x")
    target = LOCATOR.locate(made)
    assert target is not None
    assert target.path == "/?x"


def test_the_apps_own_host_has_the_other_forms() -> None:
    assert locate("/alice/vision/", "app.test") is None
    for url, form in [("/alice/vision/?port=1", "query"), ("/alice/vision/proxy/1/", "path")]:
        target = locate(url, "app.test")
        assert target is not None
        assert (target.form, target.params["username"]) == (form, "alice")


def test_a_handshake() -> None:
    fields: dict[str, Any] = {"HTTP_UPGRADE": "websocket", "HTTP_CONNECTION": "Upgrade"}
    assert locate("/ws", **fields) == Target(16006, "/ws", "", {}, "host", True)


def test_parameters_are_those_of_the_name_and_never_of_the_path() -> None:
    target = locate("/bob/secret/?x", "16006--Vision--alice.ports.example.com:8000", CARRYING)
    params = {"project": "vision", "username": "alice"}
    assert target == Target(16006, "/bob/secret/?x", "", params, "host", False)


@pytest.mark.parametrize("server", ["gunicorn", "waitress", "gevent"])
def test_below_a_script_name(server: str) -> None:
    target = locate("/apps/one/x%20y?z", script_name="/apps/one", server=server)
    assert target == Target(16006, "/x%20y?z", "/apps/one", {}, "host", False)


def test_a_script_name_with_odd_characters_is_escaped_in_the_prefix() -> None:
    target = locate("/x", SCRIPT_NAME="/a;b\\c", PATH_INFO="/x", RAW_URI="/x")
    assert target is not None
    assert target.prefix == "/a%3Bb%5Cc"


@pytest.mark.parametrize(
    "label", ["www", "016006", "160060", "16006x", "a.16006", "", "-1", "0x3e86", "1e4", "port"]
)
def test_a_name_that_is_no_ports_is_bad_and_not_the_apps(label: str) -> None:
    with pytest.raises(InvalidPort) as caught:
        locate("/login", f"{label}.ports.example.com")
    assert caught.value.message == f"Invalid port parameter: {label}"


@pytest.mark.parametrize(
    "label", ["16006", "16006--vision", "16006--a--b--c", "16006--a--", "www", "x--a--b--"]
)
def test_a_name_that_lacks_parameters_is_not_found(label: str) -> None:
    with pytest.raises(NotFound):
        locate("/login", f"{label}.ports.example.com", CARRYING)


@pytest.mark.parametrize("url", ["*", "x", "x/y?z"])
def test_a_target_that_is_no_path_is_bad(url: str) -> None:
    with pytest.raises(BadRequest):
        locate(url, method="OPTIONS")


@pytest.mark.parametrize("promote", [True, False])
@pytest.mark.parametrize("url", ["/", "/x?port=1", "/alice/vision/?port=16006"])
def test_nothing_in_this_form_is_moved(url: str, promote: bool) -> None:
    made = environ(url, HTTP_HOST=HOST, HTTP_SEC_FETCH_MODE="navigate")
    target = LOCATOR.locate(made)
    assert target is not None
    assert LOCATOR.canonical_location(target, made, promote=promote) is None


def test_without_a_template_no_name_is_special() -> None:
    assert Locator(Mount("")).locate(environ("/", HTTP_HOST=HOST)) is None
