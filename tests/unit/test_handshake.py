"""Handshakes judged on both sides, without a socket."""

from __future__ import annotations

import pytest
from urllib3 import HTTPHeaderDict

from tests.support.websocket import KEY
from wsgi_portproxy.errors import BadRequest, BadResponse, ForeignOrigin, UpgradeRequired
from wsgi_portproxy.tunnel.handshake import accept_value, check_request, check_response

ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # for KEY, by RFC 6455 section 1.3
ENVIRON = {
    "REQUEST_METHOD": "GET",
    "HTTP_SEC_WEBSOCKET_VERSION": "13",
    "HTTP_SEC_WEBSOCKET_KEY": KEY,
}


def test_the_accept_value_is_that_of_the_rfc() -> None:
    assert accept_value(KEY) == ACCEPT


@pytest.mark.parametrize(
    "changed",
    [
        *({}, {"HTTP_SEC_WEBSOCKET_VERSION": " 13 "}, {"HTTP_ORIGIN": "http://app.test"}),
        *({"HTTP_SEC_WEBSOCKET_KEY": key} for key in (f" {KEY}\t", "AAAAAAAAAAAAAAAAAAAAAA==")),
    ],
    ids=str,
)
def test_a_good_request(changed: dict[str, str]) -> None:
    check_request({**ENVIRON, **changed}, require_origin=False)


KEYS = [
    *("", "AAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAA=", KEY.rstrip("="), f"{KEY}, {KEY}"),
    *("AAAAAAAAAAA AAAAAAAAAAA==", "_-AAAAAAAAAAAAAAAAAAAA==", "\xe9" * 22 + "==", None),
]
VERSIONS = ["12", "", "013", "1 3", "13, 8", "13,13", "+13", "13.0", "١٣", None]


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        *(("REQUEST_METHOD", value, BadRequest) for value in ("POST", "HEAD", "get")),
        *(("HTTP_SEC_WEBSOCKET_VERSION", value, UpgradeRequired) for value in VERSIONS),
        *(("HTTP_SEC_WEBSOCKET_KEY", value, BadRequest) for value in KEYS),
    ],
)
def test_a_bad_request(name: str, value: str | None, error: type[Exception]) -> None:
    environ = {key: one for key, one in {**ENVIRON, name: value}.items() if one is not None}
    with pytest.raises(error):
        check_request(environ, require_origin=False)


def test_another_version_is_told_the_right_one() -> None:
    assert UpgradeRequired("").status == 426
    assert UpgradeRequired.headers == (("Sec-WebSocket-Version", "13"),)


def test_no_origin_where_one_is_required() -> None:
    with pytest.raises(ForeignOrigin):
        check_request(ENVIRON, require_origin=True)
    check_request({**ENVIRON, "HTTP_ORIGIN": "http://x"}, require_origin=True)


GOOD_ANSWER = [
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Accept", ACCEPT),
]


def answer(**changed: list[str]) -> HTTPHeaderDict:
    """The good answer with the values of single fields replaced."""
    headers = HTTPHeaderDict()
    for name, value in GOOD_ANSWER:
        for each in changed.get(name.lower().replace("-", "_"), [value]):
            headers.add(name, each)
    return headers


@pytest.mark.parametrize(
    "changed",
    [
        *({}, {"upgrade": ["WebSocket"]}),
        *({"connection": values} for values in (["keep-alive, upgrade"], ["x", "Upgrade"])),
    ],
    ids=str,
)
def test_a_good_answer(changed: dict[str, list[str]]) -> None:
    check_response(answer(**changed), ENVIRON, 16006)


def test_the_key_is_compared_as_the_service_read_it() -> None:
    environ = {**ENVIRON, "HTTP_SEC_WEBSOCKET_KEY": f"\t{KEY} "}
    check_response(answer(), environ, 16006)


BAD_ACCEPTS: list[list[str]] = [[], [KEY], [ACCEPT.lower()], [ACCEPT.rstrip("=")]]
BAD_ACCEPTS += [[ACCEPT, ACCEPT], [f"{ACCEPT}, {ACCEPT}"]]


@pytest.mark.parametrize(
    "changed",
    [
        *({"sec_websocket_accept": values} for values in BAD_ACCEPTS),
        *({"upgrade": values} for values in ([], ["websocket, h2c"], ["websocket/13"])),
        *({"connection": values} for values in ([], ["close"], ["upgraded"])),
    ],
    ids=str,
)
def test_a_bad_answer(changed: dict[str, list[str]]) -> None:
    with pytest.raises(BadResponse):
        check_response(answer(**changed), ENVIRON, 16006)
