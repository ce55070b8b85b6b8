"""Handshakes judged on both sides, without a socket."""

from __future__ import annotations

import pytest
from urllib3 import HTTPHeaderDict

from tests.support.websocket import KEY
from wsgi_portproxy.errors import BadRequest, BadResponse, ForeignOrigin, UpgradeRequired
from wsgi_portproxy.locate import Target
from wsgi_portproxy.tunnel.handshake import accept_value, check_request, check_response

ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # for KEY, by RFC 6455 section 1.3
TARGET = Target(16006, "/", "/alice/vision", {}, "query", True)
ENVIRON = {
    "REQUEST_METHOD": "GET",
    "HTTP_SEC_WEBSOCKET_VERSION": "13",
    "HTTP_SEC_WEBSOCKET_KEY": KEY,
}


def test_the_accept_value_is_that_of_the_rfc() -> None:
    assert accept_value(KEY) == ACCEPT


GOOD_REQUESTS = [
    pytest.param({}, id="plain"),
    pytest.param({"HTTP_SEC_WEBSOCKET_VERSION": " 13 "}, id="spaces-around-version"),
    pytest.param({"HTTP_SEC_WEBSOCKET_KEY": f" {KEY}\t"}, id="spaces-around-key"),
    pytest.param({"HTTP_SEC_WEBSOCKET_KEY": "AAAAAAAAAAAAAAAAAAAAAA=="}, id="key-of-zeros"),
    pytest.param({"HTTP_ORIGIN": "http://app.test"}, id="origin"),
    pytest.param({"HTTP_SEC_WEBSOCKET_PROTOCOL": "a, b"}, id="subprotocols"),
]


@pytest.mark.parametrize("changed", GOOD_REQUESTS)
def test_a_good_request(changed: dict[str, str]) -> None:
    check_request({**ENVIRON, **changed}, TARGET, require_origin=False)


BAD_REQUESTS = [
    *[
        pytest.param({"REQUEST_METHOD": m}, BadRequest, id=m)
        for m in ("POST", "PUT", "HEAD", "get")
    ],
    *[
        pytest.param({"HTTP_SEC_WEBSOCKET_VERSION": v}, UpgradeRequired, id=f"version-{v}")
        for v in ("12", "8", "0", "", "013", "1 3", "13, 8", "13,13", "+13", "13.0", "١٣")
    ],
    *[
        pytest.param({"HTTP_SEC_WEBSOCKET_KEY": k}, BadRequest, id=name)
        for name, k in {
            "no-key": "",
            "key-of-15-bytes": "AAAAAAAAAAAAAAAAAAAA",
            "key-of-17-bytes": "AAAAAAAAAAAAAAAAAAAAAAA=",
            "key-without-padding": KEY.rstrip("="),
            "key-with-a-space": "AAAAAAAAAAA AAAAAAAAAAA==",
            "key-with-url-letters": "_-AAAAAAAAAAAAAAAAAAAA==",
            "two-keys": f"{KEY}, {KEY}",
            "key-in-latin-1": "\xe9" * 22 + "==",
            "key-without-end": "A" * 100_000,
        }.items()
    ],
]


@pytest.mark.parametrize(("changed", "error"), BAD_REQUESTS)
def test_a_bad_request(changed: dict[str, str], error: type[Exception]) -> None:
    with pytest.raises(error):
        check_request({**ENVIRON, **changed}, TARGET, require_origin=False)


@pytest.mark.parametrize("missing", ["HTTP_SEC_WEBSOCKET_VERSION", "HTTP_SEC_WEBSOCKET_KEY"])
def test_a_field_is_missing(missing: str) -> None:
    environ = {key: value for key, value in ENVIRON.items() if key != missing}
    with pytest.raises((BadRequest, UpgradeRequired)):
        check_request(environ, TARGET, require_origin=False)


def test_another_version_is_told_the_right_one() -> None:
    assert UpgradeRequired("").status == 426
    assert UpgradeRequired.headers == (("Sec-WebSocket-Version", "13"),)


def test_no_origin_where_one_is_required() -> None:
    with pytest.raises(ForeignOrigin):
        check_request(ENVIRON, TARGET, require_origin=True)
    check_request({**ENVIRON, "HTTP_ORIGIN": "http://x"}, TARGET, require_origin=True)


def test_what_is_no_handshake_is_not_judged() -> None:
    plain = Target(16006, "/", "/alice/vision", {}, "query", False)
    check_request({"REQUEST_METHOD": "POST"}, plain, require_origin=True)


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


GOOD_ANSWERS = [
    pytest.param({}, id="plain"),
    pytest.param({"upgrade": ["WebSocket"]}, id="upgrade-in-another-case"),
    pytest.param({"connection": ["upgrade"]}, id="connection-in-lower-case"),
    pytest.param({"connection": ["keep-alive, Upgrade"]}, id="connection-with-two-options"),
    pytest.param({"connection": ["keep-alive", "Upgrade"]}, id="two-connection-fields"),
]


@pytest.mark.parametrize("changed", GOOD_ANSWERS)
def test_a_good_answer(changed: dict[str, list[str]]) -> None:
    check_response(answer(**changed), ENVIRON, 16006)


def test_the_key_is_compared_as_the_service_read_it() -> None:
    environ = {**ENVIRON, "HTTP_SEC_WEBSOCKET_KEY": f"\t{KEY} "}
    check_response(answer(), environ, 16006)


BAD_ANSWERS = [
    pytest.param({"sec_websocket_accept": []}, id="no-accept"),
    pytest.param({"sec_websocket_accept": [""]}, id="empty-accept"),
    pytest.param({"sec_websocket_accept": [KEY]}, id="key-sent-back"),
    pytest.param({"sec_websocket_accept": [ACCEPT.lower()]}, id="accept-in-another-case"),
    pytest.param({"sec_websocket_accept": [ACCEPT, ACCEPT]}, id="two-accepts"),
    pytest.param({"sec_websocket_accept": [ACCEPT, "x"]}, id="right-and-wrong-accept"),
    pytest.param({"sec_websocket_accept": [f"{ACCEPT}, {ACCEPT}"]}, id="list-of-accepts"),
    pytest.param({"sec_websocket_accept": [ACCEPT.rstrip("=")]}, id="accept-without-padding"),
    pytest.param({"upgrade": []}, id="no-upgrade"),
    pytest.param({"upgrade": ["h2c"]}, id="another-upgrade"),
    pytest.param({"upgrade": ["websocket, h2c"]}, id="two-upgrades"),
    pytest.param({"upgrade": ["websocket/13"]}, id="upgrade-with-a-version"),
    pytest.param({"connection": []}, id="no-connection"),
    pytest.param({"connection": ["close"]}, id="connection-close"),
    pytest.param({"connection": ["upgraded"]}, id="connection-almost"),
]


@pytest.mark.parametrize("changed", BAD_ANSWERS)
def test_a_bad_answer(changed: dict[str, list[str]]) -> None:
    with pytest.raises(BadResponse):
        check_response(answer(**changed), ENVIRON, 16006)
