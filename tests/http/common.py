"""What several of these tables need: a plain visit, and services that go wrong once."""

from __future__ import annotations

from tests.support.client import Client, Reply, ask
from tests.support.received import OK
from tests.support.servers import Server
from tests.support.service import Exchange, Script, Service
from tests.support.urls import query_form


def get(host: Server, upstream: Service, *, method: str = "GET") -> Reply:
    return ask(host.port, method, query_form(upstream.port, "/x"))


def read_until(client: Client, mark: bytes) -> None:
    """Take what comes, up to and with `mark`; fails if the connection ends or falls silent."""
    while mark not in client.buffer:
        assert client.fill(), f"closed before {mark!r}: {client.buffer!r}"
    client.buffer = client.buffer.partition(mark)[2]


def once_then_well(bad: bytes, *, keep_open: bool = True) -> Script:
    """A script that sends `bad` on its first connection, and good answers on all others."""

    def script(exchange: Exchange) -> None:
        while exchange.read_head():
            exchange.send(OK if exchange.number else bad)
            if not exchange.number and not keep_open:
                return

    return script


def assert_not_valid_http(reply: Reply, upstream: Service) -> None:
    """The constant text: nothing of what the service sent is in it."""
    assert reply.status == 502
    assert reply.complete
    assert reply.text == (
        f"The service on port {upstream.port} did not answer with valid HTTP.\n"
        "Does it speak plain HTTP (not HTTPS, SSH or a database protocol) on this port?\n"
    )
