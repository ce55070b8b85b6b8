"""The answer as urllib3's interface: whoever knows that one finds it all here."""

from __future__ import annotations

from typing import Any, cast

import pytest
import urllib3

from wsgi_portproxy.answer import UpstreamResponse
from wsgi_portproxy.framing import body_decoder, parse_head

WIRE = b"HTTP/1.1 200 OK\r\nA: 1\r\na: 2\r\nContent-Length: 2\r\n\r\n"


class Plain(urllib3.BaseHTTPResponse):
    def close(self) -> None:
        """Which urllib3 leaves to its subclasses, and Python calls when one is collected."""


class Connection:
    reusable: bool | None = None

    def end_exchange(self, *, reusable: bool) -> None:
        self.reusable = reusable


class Sent:
    sent_whole = True


def an_answer(ready: bytes, connection: Connection, wire: bytes = WIRE) -> UpstreamResponse:
    head = parse_head(wire)
    decoder = body_decoder(head, "GET")
    decoder.feed(ready)
    return UpstreamResponse(
        head, decoder, ready, cast("Any", Sent()), cast("Any", connection), request_url="/x"
    )


def test_it_has_what_urllib3_gives_its_own_answers() -> None:
    """Its __init__ is not called: a release that adds something there is to be seen here."""
    base = Plain(
        headers={"A": "1"},
        status=200,
        version=11,
        version_string="HTTP/1.1",
        reason="OK",
        decode_content=False,
        request_url="/x",
    )
    ours = an_answer(b"hi", Connection())
    public = [name for name in vars(base) if not name.startswith("_")]
    assert {"status", "reason", "version", "headers", "chunked"} <= set(public)
    assert [name for name in public if not hasattr(ours, name)] == []
    same = set(public) - {"headers"}
    assert {name: getattr(ours, name) for name in same} == {
        name: getattr(base, name) for name in same
    }
    assert (ours.url, ours.headers.getlist("a")) == ("/x", ["1", "2"])


@pytest.mark.parametrize(("minor", "version"), [(0, 10), (9, 11)])
def test_the_version(minor: int, version: int) -> None:
    ours = an_answer(b"", Connection(), b"HTTP/1.%d 200 OK\r\n\r\n" % minor)
    assert (ours.version, ours.version_string) == (version, f"HTTP/{version / 10}")


def test_fields_are_what_was_read_until_somebody_changes_them_by_name() -> None:
    ours = an_answer(b"hi", Connection())
    assert ours.fields == [("A", "1"), ("a", "2"), ("Content-Length", "2")]
    ours.headers.discard("A")
    assert ours.fields == [("Content-Length", "2")]


@pytest.mark.parametrize("ready", [b"h", b"hi"], ids=["part", "whole"])
def test_the_connection_of_a_whole_answer_is_free_before_it_is_read(ready: bytes) -> None:
    """Of the others it is kept until they are closed."""
    connection, whole = Connection(), ready == b"hi"
    ours = an_answer(ready, connection)
    assert (connection.reusable, ours.is_whole, ours.closed) == (whole or None, whole, False)
    assert ours.take() == ready
    assert ours.closed is whole
    ours.close()
    assert (connection.reusable, ours.closed) == (whole, True)
