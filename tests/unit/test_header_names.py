"""Names of fields that a deployment gives, compared as those of the tables."""

from __future__ import annotations

from typing import Any

import pytest

from wsgi_portproxy.rewrite.header_tables import HeaderNames
from wsgi_portproxy.rewrite.request_headers import request_headers
from wsgi_portproxy.rewrite.response_headers import response_headers

from .given import COOKIES, a_view, environ

CASES = ["x-user", "x-user-", "x-user-id", "x-users", "user", "x-corp-x-user", "y", ""]


@pytest.mark.parametrize(
    ("given", "matched"),
    [
        ([], []),
        (["X-User"], ["x-user"]),
        (["x_USER"], ["x-user"]),
        (["X.User"], ["x-user"]),
        (["X-User-*"], ["x-user-", "x-user-id"]),
        (["X-User*"], ["x-user", "x-user-", "x-user-id", "x-users"]),
        (["x_user_*", "Y"], ["x-user-", "x-user-id", "y"]),
        (iter(["user", "X-User-Id"]), ["x-user-id", "user"]),
    ],
)
def test_which_names_are_meant(given: Any, matched: list[str]) -> None:
    names = HeaderNames("headers", given)
    assert [one for one in CASES if names.match(one)] == matched


@pytest.mark.parametrize(
    "wrong",
    ["", "*", "**", "X-*-User", "*-User", "X-User**", "X User", "X-User:", "X\n", "\xe4", "a,b"],
)
def test_what_is_no_name_is_told_at_once(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"^response_headers takes header names"):
        HeaderNames("response_headers", ["X-User", wrong])


@pytest.mark.parametrize("wrong", [None, 7, [None], [b"X-User"]], ids=repr)
def test_what_is_no_collection_of_names_is_told(wrong: Any) -> None:
    with pytest.raises(TypeError):
        HeaderNames("headers", wrong)


def test_one_text_is_not_taken_for_its_letters() -> None:
    with pytest.raises(TypeError, match="headers must be a collection of names"):
        HeaderNames("headers", "X-User")


@pytest.mark.parametrize(
    "field",
    [
        ("Location", "/x"),
        ("Content-Security-Policy", "default-src 'self'"),
        ("WWW-Authenticate", "Basic"),
        ("Set-Cookie", "a=1"),
        ("Cache-Control", "max-age=1"),
        ("X-Own", "1"),
    ],
    ids=lambda field: field[0],
)
def test_those_that_are_looked_at_can_be_dropped_too(field: tuple[str, str]) -> None:
    def fields(*names: str) -> list[tuple[str, str]]:
        dropped = HeaderNames("response_headers", names)
        given = [field, ("Content-Length", "0")]
        return response_headers(given, a_view(), COOKIES, needs_path=False, dropped=dropped)

    # The length is the message's own, and that it is private is ours to say.
    always = [("Content-Length", "0"), ("Cache-Control", "private")]
    for spelling in (field[0], f"{field[0][:-1]}*"):
        assert fields(spelling, "Content-Length") == always
    assert fields() != always


@pytest.mark.parametrize(
    "name", ["Cookie", "Authorization", "Origin", "Referer", "Content-Type", "X-Note"]
)
def test_what_is_filtered_besides_can_be_withheld_too(name: str) -> None:
    key = name.upper().replace("-", "_")
    given = {**environ(), (key if name == "Content-Type" else f"HTTP_{key}"): "a=1"}
    for names, arrives in (([], True), ([name], False)):
        withheld = HeaderNames("headers", names)
        headers = request_headers(given, a_view(), COOKIES, (withheld,))
        assert (name in dict(headers)) is arrives
