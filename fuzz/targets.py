"""What is fuzzed: functions that are given bytes, and fail an assertion where a promise is broken.

Each is a promise of SECURITY.md on the code that keeps it, without I/O. They need no fuzzer: the
tests run them on the corpus, so that a finding which was put there stays found.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from urllib.parse import unquote_plus

from werkzeug.http import parse_cookie

from wsgi_portproxy.errors import PortProxyError
from wsgi_portproxy.locate.address import Address
from wsgi_portproxy.locate.locator import Locator
from wsgi_portproxy.locate.mount import Mount
from wsgi_portproxy.locate.strays import Strays
from wsgi_portproxy.locate.target import Form, Target, cut_port
from wsgi_portproxy.locate.visit import Visit
from wsgi_portproxy.rewrite.cookie_copies import copied, set_copies
from wsgi_portproxy.rewrite.cookies import DEFAULT_WITHHELD, CookiePolicy
from wsgi_portproxy.rewrite.pages import Page
from wsgi_portproxy.rewrite.pages.adapters import DEFAULT_PAGE_ADAPTERS
from wsgi_portproxy.rewrite.urls import UrlMapper
from wsgi_portproxy.upstream.framing import (
    ChunkedDecoder,
    Malformed,
    body_decoder,
    find_head_end,
    keeps_alive,
    parse_head,
)

COOKIES = CookiePolicy(DEFAULT_WITHHELD)
LOCATOR = Locator(Mount("/{username}/{project}"))
STRAYS = Strays(LOCATOR)
STRAYS_IN_QUERY = Strays(Locator(Mount("/{username}/{project}"), redirect_browsers=False))
PREFIX = "/alice/vision/proxy/16006"
TARGET = Target(16006, "/", PREFIX, {"username": "alice", "project": "vision"}, Form.PATH, False)
URLS = UrlMapper(TARGET, Address("http", "localhost", "16006"), Address("http", "app.test"))
_VISIBLE = re.compile(r"[\x21\x22\x24-\x7e]*")
_COPY = re.compile(r"portproxy\.copy1=16006\.[!#-+\--:<-\[\]-~]*; Path=/; HttpOnly; SameSite=Lax")


def head(data: bytes) -> None:
    """A head is refused, or read the same however it comes, and holds no control characters."""
    outcomes = [_read_head([data]), _read_head([data[i : i + 1] for i in range(len(data))])]
    assert outcomes[0] == outcomes[1] or None in outcomes[1:] or "refused" in outcomes
    for outcome in outcomes:
        if isinstance(outcome, tuple):
            _, reason, fields = outcome
            for text in [reason, *(part for field in fields for part in field)]:
                assert re.search(r"[\x00-\x08\x0a-\x1f\x7f]", text) is None
            assert all(name.isascii() and name for name, _ in fields)


def _read_head(pieces: list[bytes]) -> object:
    buffer, searched = bytearray(), 0
    try:
        for piece in pieces:
            buffer += piece
            end = find_head_end(buffer, searched) if buffer else -1
            if end >= 0:
                parsed = parse_head(buffer[:end])
                keeps_alive(parsed)
                for method in ("GET", "HEAD"):
                    body_decoder(parsed, method)
                return parsed.status, parsed.reason, parsed.headers
            searched = len(buffer)
    except Malformed:
        return "refused"
    return None


def chunks(data: bytes) -> None:
    """A chunked body is refused, or the same however it comes, and never more than was sent."""
    by_byte = [data[i : i + 1] for i in range(len(data))]
    half = data[0] % (len(data) + 1) if data else 0
    whole = _decode([data])
    assert whole == _decode(by_byte) == _decode([data[:half], data[half:]])
    assert whole is None or len(whole[0]) <= len(data)


def _decode(pieces: list[bytes]) -> tuple[bytes, bool, int] | None:
    decoder = ChunkedDecoder()
    try:
        body = b"".join([_fed(decoder, piece) for piece in pieces])
    except Malformed:
        return None
    return body, decoder.complete, decoder.surplus


def _fed(decoder: ChunkedDecoder, piece: bytes) -> bytes:
    """All that a piece holds of the body, of which some is decoded at a time."""
    parts = [decoder.feed(piece)]
    while decoder.is_behind:
        assert not decoder.complete
        parts.append(decoder.feed(b""))
    return b"".join(parts)


def cookies_to_service(data: bytes) -> None:
    """No parser finds a withheld name in what a service is sent, and nothing was added."""
    header = _header(data)
    assert re.search(r"[\x00-\x1f\x7f]", copied(header, 16006)) is None
    kept = COOKIES.for_service(header, 16006)
    assert len(kept) <= len(header)
    if "portproxy." not in header.lower():
        for name in _names(kept):
            assert name.lower() not in DEFAULT_WITHHELD, name
        assert COOKIES.for_service(kept, 16006) == kept
    if not any(name in re.sub("[^a-z._]", "", header.lower()) for name in _WITHHELD_OR_OURS):
        assert kept == header


_WITHHELD_OR_OURS = [*DEFAULT_WITHHELD, "portproxy."]


def _names(header: str) -> set[str]:
    """Names that some parser sees: werkzeug's, Python's, and the plain ones of other languages."""
    names: set[str] = set()
    with suppress(UnicodeDecodeError):  # it takes only what is UTF-8
        names |= set(parse_cookie(header))
    with suppress(CookieError):
        names |= set(SimpleCookie(header))
    for separators in (";", "[;,]"):
        pairs = (pair.partition("=") for pair in re.split(separators, header))
        names |= {name.strip(' \t\r\n"\xa0') for name, equals, _ in pairs if equals}
    return names


def cookies_to_visitor(data: bytes) -> None:
    """A service's cookie stays below its prefix, has no Domain and no name of the app's."""
    for value in COOKIES.for_visitor(_header(data), TARGET, needs_path=False):
        pair, *attributes = value.split(";")
        name = pair.partition("=")[0].strip(" \t").lower()
        path = ""
        for attribute in attributes:
            key, _, given = attribute.partition("=")
            assert key.strip(" \t").lower() != "domain"
            if key.strip(" \t").lower() == "path":  # the last counts, RFC 6265 section 5.3
                path = given.strip(" \t")
        assert not path.startswith("/") or path == PREFIX or path.startswith(PREFIX + "/")
        assert not name.startswith("portproxy.") or name.startswith("portproxy.16006.")
        if name in DEFAULT_WITHHELD:  # for scripts of a page below this Path, see `cookies`
            assert name == "csrftoken"
            assert path.startswith(PREFIX)
    copy = set_copies([_header(data)], URLS._replace(strays=True), COOKIES, visitors_cookies="")
    assert copy is None or _COPY.fullmatch(copy)


def port(data: bytes) -> None:
    """A port is one plain number, its pair is all that is cut, and the rest is as it was sent."""
    path, _, query = _header(data).partition("?")
    environ = _environ(path, query)
    values, others = cut_port(query)
    assert "port" not in [unquote_plus(pair.partition("=")[0]) for pair in others.split("&")]
    with suppress(PortProxyError):
        target = LOCATOR.by_url(Visit(environ))
        if target is None:
            return
        assert 0 <= target.port <= 99999
        assert _VISIBLE.fullmatch(target.path_qs)
        assert _VISIBLE.fullmatch(target.prefix)
        assert not {"", ".", ".."} & set(target.params.values())
        if target.form == "query":
            assert values == [str(target.port)]
        else:
            assert target.prefix.endswith(f"/proxy/{target.port}")


def pages(data: bytes) -> None:
    """An adapter takes whatever it is given, and what it has corrected once is correct."""
    for adapter in DEFAULT_PAGE_ADAPTERS:
        adapted = adapter.adapt(data, Page(URLS))
        assert adapter.adapt(adapted, Page(URLS)) == adapted
        if adapter.marker not in data:
            continue
        assert data.count(b"<") >= adapted.count(b"<")  # no element is made


def strays(data: bytes) -> None:
    """A stray belongs to a service below the mount, or to none."""
    path, _, told = _header(data).partition("\n")
    told = told.replace("\n", "")
    for upgrade in ({}, {"HTTP_UPGRADE": "websocket", "HTTP_CONNECTION": "upgrade"}):
        environ = {
            **_environ(path, ""),
            **upgrade,
            "HTTP_REFERER": "http://app.test" + told,
            "HTTP_COOKIE": told,
        }
        for strays in (STRAYS, STRAYS_IN_QUERY):
            with suppress(PortProxyError):
                for target in [
                    strays.by_referer(Visit(environ)),
                    *strays.by_hint(Visit(environ), websocket=True),
                ]:
                    _check_stray(target)


def _check_stray(target: Target | None) -> None:
    if target is None:
        return
    assert target.is_astray
    assert 0 <= target.port <= 99999
    assert target.path_qs.startswith("/")
    assert _VISIBLE.fullmatch(target.path_qs + target.prefix)
    assert re.match(r"/[^/?#]+/[^/?#]+", target.prefix)
    assert not {"", ".", ".."} & set(target.params.values())


def _header(data: bytes) -> str:
    """Bytes as WSGI hands them over; no server lets these three through."""
    return data.decode("latin-1").replace("\r", "").replace("\0", "")


def _environ(path: str, query: str) -> dict[str, object]:
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_plus(path.replace("+", "%2B"), "latin-1"),
        "QUERY_STRING": query,
        "RAW_URI": f"{path}?{query}" if query else path,
        "SERVER_NAME": "app.test",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "app.test",
        "wsgi.url_scheme": "http",
    }


TARGETS: dict[str, Callable[[bytes], None]] = {
    one.__name__: one
    for one in (head, chunks, cookies_to_service, cookies_to_visitor, port, pages, strays)
}
