"""Strays: whatever a Referer or a hint says, it means a service below the mount, or none."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.given import environ, target_of
from wsgi_portproxy.errors import PortProxyError
from wsgi_portproxy.locate.locator import Locator
from wsgi_portproxy.locate.mount import Mount
from wsgi_portproxy.locate.strays import Strays
from wsgi_portproxy.locate.target import Target
from wsgi_portproxy.locate.visit import Visit

from . import made

LOCATOR = Locator(Mount("/{username}/{project}"))
STRAYS = {
    redirects: Strays(Locator(Mount("/{username}/{project}"), redirect_browsers=redirects))
    for redirects in (True, False)
}
HANDSHAKE: dict[str, Any] = {"HTTP_UPGRADE": "websocket", "HTTP_CONNECTION": "Upgrade"}

page = st.one_of(
    st.builds("/alice/vision/proxy/16006{}?{}".format, made.any_rest, made.any_query),
    st.builds("/alice/vision{}?port=16006".format, made.any_rest),
    st.builds("/{}/{}/proxy/{}/".format, made.segment, made.segment, made.ports),
    made.mixed(["/alice", "/vision", "/proxy/", "16006", "?port=1", "/..", "%2f", "#"], "/a\xe4 "),
)
hint = st.builds(
    "portproxy.{}={}{}".format,
    st.one_of(made.ports, st.just("16006.session")),
    st.sampled_from(["1700000000000", "9" * 13, "1", ""]),
    page.map(quote),
)
asked = st.one_of(
    st.builds("{}?{}".format, made.any_rest, made.any_query),
    st.sampled_from(["*", "1/x", "", "//"]),
)


def stays_below_the_mount(target: Target, script: str) -> None:
    assert target.is_astray
    assert target.path_qs.startswith("/")
    assert set(target.path_qs + target.prefix) <= set(made.VISIBLE)
    assert not {"", ".", ".."} & set(target.params.values())
    # Asked for at its own prefix, the service is the same.
    url_script = quote(script, safe="/", encoding="latin-1")
    assert target.prefix.startswith(url_script + "/")
    below = target.prefix.removeprefix(url_script)
    if below.endswith(f"/proxy/{target.port}"):
        found = target_of(LOCATOR, Visit(environ(below + "/")))
    else:
        found = target_of(LOCATOR, Visit(environ(f"{below}/?port={target.port}")))
    assert found is not None
    assert (found.port, found.params) == (target.port, target.params)


@given(
    st.booleans(),
    page,
    asked,
    made.scripts,
    st.sampled_from(["", "http://app.test", "http://app.test", "http://evil.test"]),
)
def test_a_referer_names_a_service_below_the_mount_or_none(
    promote: bool, page: str, asked: str, script: str, origin: str
) -> None:
    referer = origin + quote(script, safe="/", encoding="latin-1") + page
    made_environ = environ(asked, SCRIPT_NAME=script, HTTP_REFERER=referer)
    with suppress(PortProxyError):
        target = STRAYS[promote].by_referer(Visit(made_environ))
        if target is not None:
            assert origin == "http://app.test"  # another site's page is none of ours
            stays_below_the_mount(target, script)


@pytest.mark.promise("A stray is judged like any request")
@given(st.lists(st.one_of(hint, made.latin1), max_size=9), page, asked, made.scripts)
def test_hints_name_services_below_the_mount_or_none(
    hints: list[str], page: str, asked: str, script: str
) -> None:
    cookies = "; ".join(hints)
    made_environ = environ(
        asked, SCRIPT_NAME=script, HTTP_COOKIE=cookies, HTTP_REFERER=page, **HANDSHAKE
    )
    with suppress(PortProxyError):
        targets = STRAYS[True].by_hint(Visit(made_environ), websocket=True)
        assert len(targets) <= 7
        for target in targets:
            assert target.websocket
            stays_below_the_mount(target, script)


@given(made.ports, made.rest, made.scripts)
def test_what_a_page_asks_for_astray_is_asked_of_its_service(
    port: int, rest: str, script: str
) -> None:
    referer = f"http://app.test{quote(script, safe='/', encoding='latin-1')}"
    referer += f"/alice/vision/proxy/{port}/a"
    target = STRAYS[True].by_referer(Visit(environ(rest, SCRIPT_NAME=script, HTTP_REFERER=referer)))
    assert target is not None
    assert (target.port, target.path_qs) == (port, rest)
