"""The response of a service: its headers, how its body is read, and when its connection is free."""

from __future__ import annotations

import gc
from typing import Any, cast

import pytest

from wsgi_portproxy.upstream.connection import Exchange
from wsgi_portproxy.upstream.framing import STEPS, body_decoder, parse_head
from wsgi_portproxy.upstream.request import UpstreamRequest
from wsgi_portproxy.upstream.response import UpstreamResponse
from wsgi_portproxy.upstream.steps import in_thread

WIRE = b"HTTP/1.1 200 OK\r\nA: 1\r\na: 2\r\nContent-Length: 2\r\n\r\n"
REQUEST = UpstreamRequest(16006, "GET", "/x", [])


class Lease:
    """A connection that was given back once, and whether for others; None: not yet."""

    reusable: bool | None = None

    def release(self, *, reusable: bool) -> None:
        assert self.reusable is None
        self.reusable = reusable

    def detach(self) -> Any:
        return "socket"


class Sent:
    """A channel on which the request went out, and of which nothing more can be read."""

    sent_whole = True


def a_response(
    body: bytes, lease: Lease, wire: bytes = WIRE, *, has_body: bool = False
) -> UpstreamResponse:
    """The response with that head, and `body` as it came with it."""
    head = parse_head(wire)
    decoder = body_decoder(head, "GET")
    channel: Any = Sent()
    exchange = Exchange(head, decoder, decoder.feed(body), channel)
    return UpstreamResponse(REQUEST, exchange, lease, has_body=has_body)


def blocks(response: UpstreamResponse, size: int = 65536) -> list[bytes]:
    return list(iter(lambda: in_thread(response.read1(size)), b""))


def test_the_head() -> None:
    ours = a_response(b"hi", Lease())
    assert (ours.status, ours.reason, ours.headers.getlist("a")) == (200, "OK", ["1", "2"])


def test_fields_are_what_was_read_until_somebody_changes_them_by_name() -> None:
    ours = a_response(b"hi", Lease())
    assert ours.header_list == [("A", "1"), ("a", "2"), ("Content-Length", "2")]
    ours.headers.discard("A")
    assert ours.header_list == [("Content-Length", "2")]


@pytest.mark.parametrize("ready", [b"h", b"hi"], ids=["part", "whole"])
def test_the_connection_of_a_whole_response_is_free_before_it_is_read(ready: bytes) -> None:
    """Others keep it until they are closed."""
    lease, whole = Lease(), ready == b"hi"
    ours = a_response(ready, lease)
    assert (lease.reusable, ours.is_whole, ours.holds_connection) == (
        whole or None,
        whole,
        not whole,
    )
    assert ours.take() == ready
    ours.close()
    assert (lease.reusable, ours.holds_connection) == (whole, False)
    ours.close()  # twice is once


def test_the_connection_of_a_request_with_a_body_is_for_nobody_else() -> None:
    """Whether the service has read the body, nobody can tell: it may take it for the next one."""
    lease = Lease()
    a_response(b"hi", lease, has_body=True)
    assert lease.reusable is False


def test_a_response_that_is_dropped_unread_closes_its_connection() -> None:
    lease = Lease()
    ours = a_response(b"h", lease)
    del ours
    gc.collect()
    assert lease.reusable is False


def test_a_response_whose_connection_is_detached_leaves_it_alone() -> None:
    lease = Lease()
    ours = a_response(b"h", lease)
    sock, ready = ours.detach()
    assert (cast("object", sock), ready) == ("socket", b"h")
    ours.close()
    del ours
    gc.collect()
    assert lease.reusable is None


# --- What is decoded in portions -----------------------------------------------------------------

CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
TINY = b"1\r\nx\r\n" * STEPS + b"0\r\n\r\n"  # three steps each, so three portions and an end


def test_what_came_with_the_head_is_read_to_its_end_without_waiting_for_more() -> None:
    lease = Lease()
    ours = a_response(TINY, lease, CHUNKS)
    assert (ours.is_whole, ours.framing.is_behind) == (False, True)
    assert b"".join(blocks(ours)) == b"x" * STEPS
    assert (ours.is_whole, lease.reusable) == (True, True)


def test_no_block_of_it_is_larger_than_asked_for() -> None:
    read = blocks(a_response(TINY, Lease(), CHUNKS), 7)
    assert b"".join(read) == b"x" * STEPS
    assert max(map(len, read)) == 7


def test_what_waits_to_be_decoded_is_no_silence() -> None:
    ours = a_response(TINY, Lease(), CHUNKS)
    ours.take()
    assert not ours.is_ready
    assert not ours.body_is_due()  # something of it has come
    assert in_thread(ours.wait(1.0, 7))  # and is there at once
    assert ours.is_ready
