"""The answer as urllib3's interface: whoever knows that one finds it all here."""

from __future__ import annotations

from typing import Any, cast

import pytest
import urllib3

from wsgi_portproxy.upstream.connection import UpstreamRequest
from wsgi_portproxy.upstream.framing import STEPS, body_decoder, parse_head
from wsgi_portproxy.upstream.request import fields_of
from wsgi_portproxy.upstream.response import UpstreamResponse

WIRE = b"HTTP/1.1 200 OK\r\nA: 1\r\na: 2\r\nContent-Length: 2\r\n\r\n"
REQUEST = UpstreamRequest(16006, "GET", "/x", fields_of([]))


class Plain(urllib3.BaseHTTPResponse):
    def close(self) -> None:
        """Which urllib3 leaves to its subclasses, and Python calls when one is collected."""


class Connection:
    reusable: bool | None = None

    def end_exchange(self, *, reusable: bool) -> None:
        self.reusable = reusable


class Sent:
    """A channel on which the request went out, and of which nothing more can be read."""

    sent_whole = True


def an_answer(
    body: bytes, connection: Connection, wire: bytes = WIRE, *, has_body: bool = False
) -> UpstreamResponse:
    """The answer with that head, and `body` as it came with it."""
    head = parse_head(wire)
    decoder = body_decoder(head, "GET")
    ready = decoder.feed(body)
    channel: Any = Sent()
    kept = cast("Any", connection)
    return UpstreamResponse(head, decoder, ready, channel, kept, REQUEST, has_body=has_body)


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


def test_the_connection_of_a_request_with_a_body_is_for_nobody_else() -> None:
    """Whether the service has read the body, nobody can tell: it may take it for the next one."""
    connection = Connection()
    an_answer(b"hi", connection, has_body=True)
    assert connection.reusable is False


# --- What is decoded in portions -----------------------------------------------------------------

CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
TINY = b"1\r\nx\r\n" * STEPS + b"0\r\n\r\n"  # three steps each, so three portions and an end


def test_what_came_with_the_head_is_read_to_its_end_without_waiting_for_more() -> None:
    connection = Connection()
    ours = an_answer(TINY, connection, CHUNKS)
    assert (ours.is_whole, ours.framing.is_behind) == (False, True)
    assert ours.read() == b"x" * STEPS
    assert (ours.is_whole, connection.reusable) == (True, True)


def test_no_block_of_it_is_larger_than_asked_for() -> None:
    ours = an_answer(TINY, Connection(), CHUNKS)
    blocks = list(ours.stream(7))
    assert b"".join(blocks) == b"x" * STEPS
    assert max(map(len, blocks)) == 7


def test_what_waits_to_be_decoded_is_no_silence() -> None:
    ours = an_answer(TINY, Connection(), CHUNKS)
    ours.take()
    assert not ours.is_ready
    assert not ours.body_is_due()  # something of it has come
    assert ours.wait(1.0, 7)  # and is there at once
    assert ours.is_ready
