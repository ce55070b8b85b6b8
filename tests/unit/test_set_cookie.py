"""What a Set-Cookie says, as a browser would read it (RFC 6265 section 5.2)."""

from __future__ import annotations

import pytest

from wsgi_portproxy.rewrite.set_cookie import SetCookie, parse_set_cookie

P = "/alice/vision/proxy/16006"


@pytest.mark.parametrize(
    ("line", "name", "pair", "path"),
    [
        ("a=1", "a", "a=1", ""),
        (" a = 1 ; Path=/x", "a", "a = 1", "/x"),
        ("a=b=c; HttpOnly", "a", "a=b=c", ""),
        ("a; Path=/", "a", "a", "/"),
        ("", "", "", ""),
        ("a=1; pATH = /x ; Path=/y", "a", "a=1", "/y"),  # the last counts
        ('a=1; Path="/x"', "a", "a=1", "/x"),
        ("a=1; Path=x", "a", "a=1", "x"),
        # A service that was told its full path says it: as it sees it, it is its root.
        (f"a=1; Path={P}", "a", "a=1", "/"),
        (f"a=1; Path={P}/", "a", "a=1", "/"),
        (f"a=1; Path={P}/x", "a", "a=1", "/x"),
        (f"a=1; Path={P}7/x", "a", "a=1", f"{P}7/x"),
    ],
)
def test_name_pair_and_path(line: str, name: str, pair: str, path: str) -> None:
    assert parse_set_cookie(line, P) == SetCookie(name, pair, path, expired=False)


def test_without_a_prefix_paths_stay() -> None:
    assert parse_set_cookie("a=1; Path=/x", "").path == "/x"


PAST, FUTURE = "Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT"


@pytest.mark.parametrize(
    ("attributes", "expired"),
    [
        ("Max-Age=0", True),
        ("max-AGE = 000", True),
        ("Max-Age=-1", True),
        ("Max-Age=1", False),
        ("Max-Age=-", False),
        ("Max-Age=", False),
        ("Max-Age=0x0", False),
        ("Max-Age=\u0660", False),  # a digit of another script
        (f"Expires={PAST}", True),
        (f"Expires={FUTURE}", False),
        ("Expires=0", False),
        ("Expires=Thu, 01 Jan 1970 00:00:00 +99999999999999999999", False),
        # Max-Age counts before Expires.
        (f"Expires={PAST}; Max-Age=9", False),
        (f"Max-Age=0; Expires={FUTURE}", True),
        ("Path=/", False),
    ],
)
def test_whether_it_removes_the_cookie(attributes: str, expired: bool) -> None:
    assert parse_set_cookie(f"a=1; {attributes}", P).expired is expired
