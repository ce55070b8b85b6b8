from __future__ import annotations

from tests.conftest import ServiceFactory
from tests.support.client import ask
from tests.support.servers import Server
from tests.support.service import answers

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def test_a_get_reaches_the_service_without_its_port_parameter(
    host: Server, service: ServiceFactory
) -> None:
    upstream = service(answers(OK))
    reply = ask(host.port, "GET", f"/alice/vision/a?x=1&port={upstream.port}&y=%2B+")
    assert (reply.status, reply.body) == (200, b"hi")
    assert upstream.heads[0].startswith(b"GET /a?x=1&y=%2B+ HTTP/1.1\r\n")
