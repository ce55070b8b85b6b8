"""The tree of errors: statuses, texts, and what never stands in a text."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from wsgi_portproxy import errors
from wsgi_portproxy.errors import (
    BadResponse,
    InvalidPort,
    NoResponse,
    Overloaded,
    PortProxyError,
    ServiceTimeout,
    ServiceUnreachable,
    UpstreamError,
    from_connect_error,
    printable,
)


def classes(of: type[PortProxyError] = PortProxyError) -> Iterator[type[PortProxyError]]:
    for one in of.__subclasses__():
        yield one
        yield from classes(one)


@pytest.mark.parametrize("one", [*classes()], ids=lambda one: one.__name__)
def test_the_drawing_of_the_tree_is_true(one: type[PortProxyError]) -> None:
    assert errors.__doc__ is not None
    [line] = [text for text in errors.__doc__.splitlines() if f"── {one.__name__} " in text]
    status = line.split(one.__name__)[1].split()[0]
    assert status == str(one.status) or not status.isdigit()


def test_the_text_for_a_service_that_is_not_running() -> None:
    error = ServiceUnreachable(15000, detail="connect: ECONNREFUSED")
    assert error.status == 502
    assert error.message == "Failed to connect to service on port 15000."
    assert error.hint == "Is the service running? Try: python3 -m http.server 15000"


@pytest.mark.parametrize(
    "kind", [ServiceUnreachable, BadResponse, NoResponse, Overloaded, ServiceTimeout]
)
def test_the_texts_for_a_service_name_its_port_and_no_details(
    kind: type[ServiceUnreachable],
) -> None:
    error = kind(15000, detail="/srv/secret uid=1000")
    assert "15000" in error.message
    assert "secret" not in error.message + error.hint + str(error)
    assert isinstance(error, UpstreamError)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("abc", "abc"),
        ("", ""),
        ("%3Cscript%3E", "%3Cscript%3E"),
        ("<script>alert(1)</script>", "%3Cscript%3Ealert(1)%3C/script%3"),
        ("a\r\nb", "a%0D%0Ab"),
        ("a\x1b[31mb", "a%1B[31mb"),
        ("\xe4€", "%C3%A4%E2%82%AC"),
        ("\udc80", "\\udc80"),
        ("'\"&;", "'\"&;"),
        ("x" * 33, "x" * 32),
        ("\n" * 10000, "%0A" * 10 + "%0"),
        ("9" * 100_000, "9" * 32),
    ],
)
def test_the_text_for_what_is_no_port(raw: str, shown: str) -> None:
    message = InvalidPort(raw).message
    assert message == f"Invalid port parameter: {shown}"
    assert len(shown) <= 32
    assert message.isascii()
    assert message.isprintable()


def test_what_is_printable() -> None:
    visible = "".join(map(chr, range(32, 127)))
    assert printable(visible) == visible.replace("<", "%3C").replace(">", "%3E")
    assert printable("\0\t\x7f\x80") == "%00%09%7F%C2%80"


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        pytest.param(
            ConnectionRefusedError(errno.ECONNREFUSED, ""), ServiceUnreachable, 502, id="refused"
        ),
        pytest.param(
            ConnectionResetError(errno.ECONNRESET, ""), ServiceUnreachable, 502, id="reset"
        ),
        pytest.param(OSError(errno.EHOSTUNREACH, ""), ServiceUnreachable, 502, id="unreachable"),
        pytest.param(OSError(errno.EACCES, ""), ServiceUnreachable, 502, id="forbidden"),
        pytest.param(OSError(), ServiceUnreachable, 502, id="no-number"),
        pytest.param(ValueError(), ServiceUnreachable, 502, id="something-else"),
        pytest.param(TimeoutError(), ServiceTimeout, 504, id="timeout"),
        pytest.param(OSError(errno.ETIMEDOUT, ""), ServiceTimeout, 504, id="timeout-of-the-system"),
        pytest.param(OSError(errno.EMFILE, ""), Overloaded, 503, id="descriptors"),
        pytest.param(OSError(errno.ENFILE, ""), Overloaded, 503, id="descriptors-of-the-system"),
        pytest.param(OSError(errno.ENOBUFS, ""), Overloaded, 503, id="buffers"),
        pytest.param(OSError(errno.ENOMEM, ""), Overloaded, 503, id="memory"),
        pytest.param(OSError(errno.EADDRNOTAVAIL, ""), Overloaded, 503, id="ports"),
        pytest.param(OSError(errno.EAGAIN, ""), Overloaded, 503, id="again"),
    ],
)
def test_what_connect_raised(error: BaseException, kind: type[UpstreamError], status: int) -> None:
    mapped = from_connect_error(error, 15000)
    assert type(mapped) is kind
    assert mapped.status == status
    assert "15000" in mapped.message


def test_our_own_shortage_says_when_to_come_back() -> None:
    assert dict(Overloaded(15000).headers)["Retry-After"].isdigit()
