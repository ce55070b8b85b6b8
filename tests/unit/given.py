"""What the tables start from: environs as servers make them, targets, bytes as they arrive."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

import pytest

from wsgi_portproxy.locate.address import Address, address_of
from wsgi_portproxy.locate.locator import Locator
from wsgi_portproxy.locate.target import Form, Target
from wsgi_portproxy.locate.visit import Visit
from wsgi_portproxy.rewrite.cookies import DEFAULT_WITHHELD, CookiePolicy
from wsgi_portproxy.rewrite.urls import UrlMapper

COOKIES = CookiePolicy(DEFAULT_WITHHELD)

# The key in which a server gives the request target as sent; gevent.pywsgi gives none.
RAW_KEYS = {"gunicorn": "RAW_URI", "waitress": "REQUEST_URI", "gevent": None}


def environ(
    target: str = "/alice/vision/?port=16006",
    *,
    method: str = "GET",
    server: str = "gunicorn",
    script_name: str = "",
    body: bytes = b"",
    **fields: Any,
) -> dict[str, Any]:
    """The environ for a request, as `server` would make it; `fields` are added as they are."""
    path, _, query = target.partition("?")
    made: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": script_name,
        "PATH_INFO": unquote(path, "latin-1").removeprefix(script_name),
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "REMOTE_ADDR": "203.0.113.9",
        "HTTP_HOST": "app.test",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.input_terminated": True,
    }
    raw_key = RAW_KEYS[server]
    if raw_key is not None:
        made[raw_key] = target
    if body:
        made["CONTENT_LENGTH"] = str(len(body))
    return {**made, **fields}


def target_of(locator: Locator, visit: Visit) -> Target | None:
    """The target of a request, in whatever form."""
    return locator.by_host(visit) or locator.by_url(visit)


def a_visit(target: str = "/alice/vision/?port=16006", **given: Any) -> Visit:
    """The same as the package sees it."""
    return Visit(environ(target, **given))


def a_target(
    path: str = "/",
    *,
    prefix: str = "/alice/vision/proxy/16006",
    form: Form | str = Form.PATH,
    port: int = 16006,
    websocket: bool = False,
    is_astray: bool = False,
) -> Target:
    """`form`: also "stray", of a page in the path form."""
    if form == "stray":
        form, is_astray = Form.PATH, True
    params = {"username": "alice", "project": "vision"}
    return Target(port, path, prefix, params, Form(form), websocket, is_astray)


def a_view(path: str = "/", **kwargs: Any) -> UrlMapper:
    target = a_target(path, **kwargs)
    return UrlMapper(target, told=told_at(target.port), visited=address_of("http://app.test"))


def told_at(port: int) -> Address:
    """What a service is told where it is not told the visitor's own address."""
    return Address("http", "localhost", str(port))


def a_query_view(path: str = "/", *, prefix: str = "/alice/vision") -> UrlMapper:
    return a_view(path, prefix=prefix, form="query")


def splits(data: bytes) -> Iterator[list[bytes]]:
    """Ways to receive `data`: in one piece, byte by byte, and in two pieces cut anywhere."""
    yield [data]
    yield [data[i : i + 1] for i in range(len(data))]
    for position in range(1, len(data)):
        yield [data[:position], data[position:]]


def words(text: str) -> list[str]:
    return text.split()


def table(names: str, rows: Mapping[str, Any]) -> pytest.MarkDecorator:
    """Runs a test with each row, whose key is its id."""
    return pytest.mark.parametrize(names, list(rows.values()), ids=list(rows))


@contextmanager
def costs_little(seconds: float = 2.0) -> Iterator[None]:
    """The block takes the processor for less than that. What is linear takes a hundredth of it, and
    what is quadratic in 64 KiB ten times as long; on a busy machine too."""
    begin = time.process_time()
    yield
    assert time.process_time() - begin < seconds
