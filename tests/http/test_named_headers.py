"""Fields that a deployment names: its front-end's own, which no visitor and no service may write.

`Withhold.headers` is X-Corp-User and X-Team-*, `Withhold.response_headers` is X-Order, X-Depot-*,
and two that we look at ourselves: Set-Cookie and Content-Length.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.conftest import ServiceFactory
from tests.support.client import ask
from tests.support.received import Received, recording, with_fields
from tests.support.servers import Server
from tests.support.service import Exchange
from tests.support.urls import Form, both_forms, path_form, query_form
from tests.support.websocket import STANDARD, Visitor, handshake, switching


@pytest.fixture
def host(variants: Mapping[str, Server]) -> Server:
    return variants["withholding"]


WITHHELD = ["X-Corp-User", "x-corp-user", "X-CORP-USER", "X-Team-", "X-Team-A", "x-team-a-b"]
PASSING = ["X-Corp", "X-Corp-User-Name", "X-Team", "X-Teams", "XX-Team-A", "X-Order", "X-Depot-A"]


@pytest.mark.case("fields by which front-ends say who and what")
@both_forms
def test_a_withheld_field_never_arrives(host: Server, service: ServiceFactory, form: Form) -> None:
    seen: list[Received] = []
    upstream = service(recording(seen))
    headers = [(name, "root") for name in [*WITHHELD, *PASSING]]
    for fields in (headers, [*STANDARD.items(), *headers]):
        ask(host.port, "GET", form(upstream.port, "/x"), headers=fields)
        assert {name.lower() for name in PASSING} <= seen[-1].names
        assert not {name.lower() for name in WITHHELD} & seen[-1].names


@pytest.mark.parametrize("alias", ["X_Corp_User", "X-Corp_User", "x.corp.user", "X_TEAM_A"])
def test_nor_under_a_name_that_some_read_as_the_same(
    variants: Mapping[str, Server], service: ServiceFactory, alias: str
) -> None:
    """gunicorn drops some of these itself: there they would reach nobody."""
    seen: list[Received] = []
    target = query_form(service(recording(seen)).port, "/x")
    for name in ("withholding", "application"):
        headers = [(alias, "root")]
        assert ask(variants[name].port, "GET", target, headers=headers).status == 200
    withholding, other = seen
    assert "root" not in [value for _, value in withholding.fields]
    assert ("root" in [value for _, value in other.fields]) == ("_" not in alias)


DROPPED = ["X-Order", "x-order", "X_Order", "X-Depot-", "X-DEPOT-A", "X-Depot_B", "Set-Cookie"]
KEPT = ["X-Orders", "X-Depot", "XX-Depot-A", "X-Corp-User", "X-Team-A"]


@pytest.mark.case("fields by which front-ends say who and what")
@both_forms
@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "301 Moved"])
def test_a_dropped_field_never_reaches_the_visitor(
    host: Server, service: ServiceFactory, form: Form, status: str
) -> None:
    upstream = service(with_fields(*(f"{name}: a=1" for name in [*DROPPED, *KEPT]), status=status))
    reply = ask(host.port, "GET", form(upstream.port, "/x"))
    assert (reply.status, reply.body) == (int(status[:3]), b"hi")
    assert [name for name in DROPPED if reply.values(name)] == []
    assert [name for name in KEPT if not reply.values(name)] == []
    assert reply.values("Content-Length") == ["2"]  # what frames the message stays


def test_nor_on_a_websockets_101(host: Server, service: ServiceFactory) -> None:
    def script(exchange: Exchange) -> None:
        head = exchange.read_head()
        exchange.send(switching(head, [(name, "a=1") for name in [*DROPPED, *KEPT]]))
        exchange.read_head()

    upstream = service(script)
    with Visitor(host.port) as visitor:
        visitor.send(handshake(path_form(upstream.port, "/x")))
        head = visitor.switched().decode().lower()
    names = {line.partition(":")[0] for line in head.split("\r\n")}
    assert not names & {name.lower() for name in DROPPED}
    assert {name.lower() for name in KEPT} <= names
