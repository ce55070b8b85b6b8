"""Whose project a request is for: judged as the wrapped app would see it, or not at all."""

from __future__ import annotations

import pytest

from tests import KEPT
from tests.conftest import ServiceFactory
from tests.support.client import Client, Reply, ask, request_bytes
from tests.support.received import Received, recording
from tests.support.urls import query_form

from .conftest import Noted, Untouched

# Requests of bob, whose authorizer looks at the first segment, and what the app would see. One for
# each way: property/test_locate has all others.
ELSEWHERE = [
    "/alice/vision/?port={}",
    "/bob/x/../../alice/vision/?port={}",
    "/bob/x/%2e%2e/%2e%2e/alice/vision/?port={}",
    "/bob/x/..%2f..%2falice/vision/?port={}",
    "/bob/x/..%5c..%5calice/vision/?port={}",
    "/./alice/vision/?port={}",
    "/bob%2f..%2falice/vision/?port={}",
    "/alice%2f..%2fbob/vision/?port={}",
    "/%61lice/vision/?port={}",
    "/alice%00/vision/?port={}",
    "/alice%0a/vision/?port={}",
    "/bob/x/proxy/{}/../../../../alice/vision/",
    "/alice/vision/proxy/{}/",
    "//alice/vision/?port={}",
    "/bob//alice/vision/../../../alice/vision?port={}",
]


def is_refused_or_the_apps_own(reply: Reply) -> bool:
    return reply.status in (403, 404) or reply.text.startswith("the app: ")


@pytest.mark.case("climbing paths")
@pytest.mark.promise("The authorizer judges what your app would see")
@pytest.mark.parametrize("target", ELSEWHERE)
def test_bob_gets_nowhere_as_bob(
    noted: Noted, asking: Noted, untouched: Untouched, target: str
) -> None:
    """The segments are judged as the app would see them, or there is no such page; by the app
    itself, where it is asked."""
    for host in (noted, asking):
        reply = ask(host.port, "GET", target.format(untouched.port), cookie="user=bob")
        assert is_refused_or_the_apps_own(reply)
    assert all(not call.split()[2].startswith("bob") for call in noted.calls())
    assert len(asking.calls()) <= 1
    untouched.heard_nothing()


def test_an_encoded_project_is_judged_decoded(noted: Noted, service: ServiceFactory) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    assert ask(noted.port, "GET", f"/%61lic%65/vis%20ion/x?port={upstream.port}").status == 200
    assert noted.calls() == [f"GET {upstream.port} alice/vis ion"]
    assert seen[0].target == "/x"


def test_requests_in_one_packet_are_judged_one_by_one(
    noted: Noted, service: ServiceFactory, untouched: Untouched
) -> None:
    first = request_bytes("GET", query_form(service(recording([])).port, "/"))
    second = request_bytes("GET", query_form(untouched.port, "/"), cookie="user=bob")
    with Client(noted.port) as client:
        client.send(first + second)
        assert client.reply().status == 200
        if not KEPT:  # the connection ended with the first
            client.send(second)
        assert client.reply().status == 403
    untouched.heard_nothing()
