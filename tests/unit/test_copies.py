"""Copies of a service's cookies, for handshakes at the root of the site: one cookie each."""

from __future__ import annotations

import re
from typing import Any

import pytest

from wsgi_portproxy.locate.address import address_of
from wsgi_portproxy.locate.target import Form
from wsgi_portproxy.rewrite.cookie_copies import copied, set_copies
from wsgi_portproxy.rewrite.cookies import DEFAULT_WITHHELD, CookiePolicy, without_own

from .given import a_view, table, words

POLICY = CookiePolicy(DEFAULT_WITHHELD)
PREFIX = "/alice/vision/proxy/16006"
MOST = 768  # bytes of one service's copies


def value(
    *set_cookies: str, path: str = "/", sent: str = "", urls: Any = None, **kwargs: Any
) -> str | None:
    """The Set-Cookie value for the copies, to a browser that sent `sent`."""
    urls = urls or a_view(path, **kwargs)._replace(strays=True)
    return set_copies(set_cookies, urls, POLICY, visitors_cookies=sent)


def pair(*set_cookies: str, sent: str = "", **kwargs: Any) -> str:
    """What the browser sends then."""
    made = value(*set_cookies, sent=sent, **kwargs)
    assert made is not None
    return made.partition(";")[0]


def test_there_is_one_cookie_for_all_of_a_services() -> None:
    made = value("session=1; Path=/; Max-Age=9", "a=2; Path=/; HttpOnly; SameSite=None")
    assert made == ("portproxy.copy1=16006.session%3D1%3B%20a%3D2; Path=/; HttpOnly; SameSite=Lax")
    sent = f"session=APP; {made.partition(';')[0]}; b=3"
    assert copied(sent, 16006) == "session=1; a=2"
    assert copied(sent, 16007) == ""  # no other service is told
    assert POLICY.for_service(sent, 16006) == "b=3"
    assert without_own(sent) == "session=APP; b=3"


def test_below_a_script_name_and_on_https() -> None:
    urls = a_view()._replace(root="/apps", visited=address_of("https://app.test"))
    made = value("a=1; Path=/", urls=urls)
    assert made is not None
    assert made.partition("; ")[2] == "Path=/apps/; HttpOnly; SameSite=Lax; Secure"


@pytest.mark.parametrize(
    ("set_cookie", "path", "arrives"),
    [
        ("a=1; Path=/", "/x/y", "a=1"),
        (' a=1; pATH="/"', "/x/y", "a=1"),
        (f"a=1; Path={PREFIX}", "/x/y", "a=1"),
        (f"a=1; Path={PREFIX}/; Domain=x", "/x/y", "a=1"),
        ("a=1", "/login?next=/x/y", "a=1"),
        ("a=", "/", "a="),
        ('a=b=c,d%zz \\"[]{}\xe4', "/", 'a=b=c,d%zz \\"[]{}\xe4'),
    ],
)
def test_a_cookie_of_the_services_root_is_copied(set_cookie: str, path: str, arrives: str) -> None:
    made = pair(set_cookie, path=path)
    assert re.fullmatch(r"portproxy\.copy1=16006\.[!#-+\--:<-\[\]-~]*", made)  # RFC 6265 4.1.1
    for sent in (made, f"x=1; {made}; y=2", f"x=1,{made}, y=2", f"x=1;\t{made}"):
        assert copied(sent, 16006) == arrives


@pytest.mark.parametrize(
    ("set_cookie", "path", "form"),
    [
        ("a=1; Path=/lab", "/", "path"),
        ("a=1", "/lab/login", "path"),
        ("a=[sessionid=evil; Path=/", "/", "path"),
        ("a=1, b=2; Path=/", "/", "path"),
        ("=1; Path=/", "/", "path"),
        ("a=" + "x" * MOST + "; Path=/", "/", "path"),
        ("a=; Path=/; Max-Age=0", "/", "path"),
        *(("a=1; Path=/", "/", form) for form in ("query", "host", "stray")),
    ],
    ids=words("below asked-below evil looks-like-two nameless large removed query host stray"),
)
def test_no_other_cookie_is_copied(set_cookie: str, path: str, form: Form) -> None:
    assert value(set_cookie, path=path, form=form) is None
    if form == "path":
        assert copied(pair(set_cookie, "b=2; Path=/", path=path), 16006) == "b=2"


@table(
    "set_cookies, arrives",
    {
        "another": (["c=3"], "a=1; b=2; c=3"),
        "again": (["a=9"], "b=2; a=9"),
        "removed": (["a=; Max-Age=0"], "b=2"),
        "removed-and-set": (["a=; Max-Age=0", "a=9"], "b=2; a=9"),
        "both-in-one": (["a=9", "a=8", "b=7"], "a=8; b=7"),
    },
)
def test_an_answer_changes_the_copies_that_there_are(set_cookies: list[str], arrives: str) -> None:
    before = pair("a=1", "b=2")
    assert copied(pair(*set_cookies, sent=f"x=1; {before}"), 16006) == arrives


@table(
    "set_cookies",
    {
        "the-same": ["b=2"],
        "none": [],
        "unknown-one-removed": ["c=; Max-Age=0"],
        "below": ["a=9; Path=/x"],
    },
)
def test_what_changes_nothing_is_not_said(set_cookies: list[str]) -> None:
    assert value(*set_cookies, sent=pair("a=1", "b=2")) is None


def test_with_the_last_one_the_cookie_goes() -> None:
    made = value("a=; Max-Age=0", sent=pair("a=1"))
    assert made == "portproxy.copy1=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"


def test_the_longest_that_is_copied() -> None:
    longest = "a=" + "x" * (MOST - len("a%3D"))
    assert copied(pair(f"{longest}; Path=/"), 16006) == longest
    assert value(f"{longest}x; Path=/") is None


def test_they_are_never_longer_than_some_hundred_bytes() -> None:
    """They go along with every request to the app, whose server refuses what is too long."""
    sent = ""
    for number in range(100):
        sent = (value(f"c{number}={'x' * 50}", sent=sent) or sent).partition(";")[0]
        assert len(sent.partition(".")[2]) <= MOST + len("copy1=16006.")
    kept = copied(sent, 16006).split("; ")
    # Those for which there was no room are left out.
    assert [one.partition("=")[0] for one in kept] == [f"c{n}" for n in range(len(kept))]
    assert len(kept) > 8


def test_three_services_have_copies_and_no_more() -> None:
    jar: dict[str, str] = {}
    for port in range(16000, 16050):
        sent = "; ".join(f"{name}={one}" for name, one in jar.items())
        name, _, one = pair("a=1", sent=sent, port=port).partition("=")
        jar[name] = one
    assert set(jar) == {f"portproxy.copy{slot}" for slot in range(3)}
    sent = "; ".join(f"{name}={one}" for name, one in jar.items())
    assert copied(sent, 16049) == "a=1"


def test_the_slot_that_a_service_has_stays_its_own() -> None:
    sent = "portproxy.copy2=16006.a%3D1"
    assert pair("c=3", sent=sent) == "portproxy.copy2=16006.a%3D1%3B%20c%3D3"
    for number in (3, 9):  # which are no slots
        assert pair("c=3", sent=f"portproxy.copy{number}=16006.").startswith("portproxy.copy1=")


@pytest.mark.parametrize(
    "sent",
    [
        *("", "a=1", "portproxy.copy0=", "portproxy.copy0=16006", "portproxy.copy0=16006a%3D1"),
        *(
            "portproxy.copy0=160060.a%3D1",
            "portproxy.copy0=016006.a%3D1",
            "portproxy.copyx=16006.a",
        ),
        *("PORTPROXY.copy0=16006.a%3D1", "xportproxy.copy0=16006.a%3D1", "portproxy.copy=16006.a"),
        *(
            "portproxy.copy0=16006.a%0d%0aX:1",
            "portproxy.copy0=16006.%00",
            "portproxy.copy0=16006.%7f",
        ),
    ],
)
def test_what_is_no_copy_is_none(sent: str) -> None:
    assert copied(sent, 16006) == ""
