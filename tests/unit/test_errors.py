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
    ServiceError,
    ServiceTimeout,
    ServiceUnreachable,
    from_connect_error,
    printable,
)

from .given import words


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
    error = ServiceUnreachable(15000)
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
    assert "secret" in error.detail
    assert "secret" not in error.message + error.hint + str(error)
    assert isinstance(error, ServiceError)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("", ""),
        ("<script>alert(1)</script>", "%3Cscript%3Ealert(1)%3C/script%3"),
        ("a\r\nb\x1b[31m", "a%0D%0Ab%1B[31m"),
        ("\xe4€\udc80", "%C3%A4%E2%82%AC\\udc80"),
        ("x" * 33, "x" * 32),
        ("\n" * 10000, "%0A" * 10 + "%0"),
    ],
    ids=["empty", "markup", "control", "not-ascii", "long", "long-when-escaped"],
)
def test_the_text_for_what_is_no_port(raw: str, shown: str) -> None:
    assert InvalidPort(raw).message == f"Invalid port parameter: {shown}"


def test_what_is_printable() -> None:
    visible = "".join(map(chr, range(32, 127)))
    assert printable(visible) == visible.replace("<", "%3C").replace(">", "%3E")
    assert printable("\0\t\x7f\x80") == "%00%09%7F%C2%80"


UNREACHABLE = [OSError(errno.ECONNREFUSED, ""), OSError(errno.EHOSTUNREACH, ""), OSError()]
SHORTAGE = words("EMFILE ENFILE ENOBUFS ENOMEM EADDRNOTAVAIL EAGAIN")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        *((error, ServiceUnreachable) for error in (*UNREACHABLE, ValueError())),
        *((error, ServiceTimeout) for error in (TimeoutError(), OSError(errno.ETIMEDOUT, ""))),
        *((OSError(getattr(errno, name), ""), Overloaded) for name in SHORTAGE),
    ],
    ids=repr,
)
def test_what_connect_raised(error: BaseException, kind: type[ServiceError]) -> None:
    mapped = from_connect_error(error, 15000)
    assert type(mapped) is kind
    assert "15000" in mapped.message
    number = getattr(error, "errno", None)
    reason = errno.errorcode[number] if number else "failed"
    assert mapped.detail == "connect" + (" timed out" if kind is ServiceTimeout else f": {reason}")


def test_our_own_shortage_says_when_to_come_back() -> None:
    assert dict(Overloaded(15000).headers)["Retry-After"].isdigit()
