"""A service that answers at any point of an upload: the answer arrives whole, and a connection on
which some of the request is left is not used for another."""

from __future__ import annotations

import io
import socket
from contextlib import closing

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.chunks import chunk
from tests.support.received import OK
from tests.support.service import Exchange, Service
from tests.support.waiting import PATIENCE
from wsgi_portproxy.servers import BodyReader
from wsgi_portproxy.settings import Timeouts
from wsgi_portproxy.upstream.client import Upstream
from wsgi_portproxy.upstream.request import UpstreamRequest
from wsgi_portproxy.upstream.request_body import Upload
from wsgi_portproxy.upstream.response import UpstreamResponse
from wsgi_portproxy.upstream.steps import in_thread


def whole_body(response: UpstreamResponse) -> bytes:
    return b"".join(iter(lambda: in_thread(response.read1()), b""))


sizes = st.one_of(st.integers(1, 40_000), st.sampled_from([16384, 65536, 400_000]))


@settings(max_examples=max(20, settings().max_examples // 10))
@given(sizes, st.integers(0, 400_000), st.binary(max_size=200), st.booleans(), st.booleans())
def test_an_early_answer_arrives_whole_whatever_is_left_of_the_upload(
    size: int, taken: int, answer: bytes, is_chunked: bool, goes_on_reading: bool
) -> None:
    def script(exchange: Exchange) -> None:
        while head := exchange.read_head():
            if head.startswith(b"GET"):
                exchange.send(OK)
                continue
            read = len(exchange.read(min(taken, size)))
            exchange.send(b"HTTP/1.1 413 Too Large\r\nTransfer-Encoding: chunked\r\n\r\n")
            exchange.send((chunk(answer) if answer else b"") + chunk(b""))
            if is_chunked or not goes_on_reading:
                # With bytes unread, the kernel may reset the connection before the answer was
                # read: so the end is told first, and closing waits for the other side.
                exchange.sock.shutdown(socket.SHUT_WR)
                while exchange.sock.recv(65536):
                    pass
                return
            exchange.read(size - read)

    upload = Upload(BodyReader({"wsgi.input": io.BytesIO(bytes(size))}), size)
    if is_chunked:
        upload = Upload(BodyReader({"wsgi.input": io.BytesIO(bytes(size))}), None)
    with (
        closing(Service(script)) as service,
        closing(Upstream(Timeouts(connect=PATIENCE, head=PATIENCE))) as upstream,
    ):
        host = ("Host", "localhost")
        post = UpstreamRequest(service.port, "POST", "/", [host, upload.header])
        get = UpstreamRequest(service.port, "GET", "/", [host])
        response = in_thread(upstream.send(post, upstream.route(), upload))
        assert (response.status, whole_body(response)) == (413, answer)
        response.close()
        whole = upload.complete and response.request_is_sent
        again = in_thread(upstream.send(get, upstream.route()))
        assert whole_body(again) == b"hi"
        again.close()
        posts = [one for one in service.exchanges if one.requests[0].startswith(b"POST")]
        assert len(posts) == 1
        assert whole or len(posts[0].requests) == 1
