"""Cookies across the two sides, byte by byte.

The withheld ones hold `SECRET` here, so that one look tells whether a piece of them came through.
"""

from __future__ import annotations

import re
from http.cookies import SimpleCookie
from typing import Any

import pytest

from wsgi_portproxy.locate.target import Form
from wsgi_portproxy.rewrite.cookies import (
    DEFAULT_WITHHELD,
    MAX_COOKIE_BYTES,
    CookiePolicy,
    is_plain,
    without_own,
)

from .given import a_target, costs_little, table

POLICY = CookiePolicy(DEFAULT_WITHHELD)
PREFIX = "/alice/vision/proxy/16006"

# --- To the service ------------------------------------------------------------------------------

S = "sessionid=SECRET"


def told(row: str) -> tuple[str, str]:
    """What comes, and what arrives of it. In a row `$` is the app's session, <> goes around what
    does not arrive, and `^` stands where the prefix is put in."""
    row = row.replace("$", S)
    return re.sub("[<>^]", "", row), re.sub("<.*?>", "", row).replace("^", PREFIX)


@pytest.mark.parametrize(
    "row",
    [
        *("<$>", "<$; >a=1", "a=1<; $>; b=2", "a=1<; $>", "<$; >a=1<; $>; b=2<; $>"),
        *("a=1<;$>;b=2", "a=1<  ;   $>  ;  b=2", "a=1<;\t$>;\tb=2", "a=1<; $>;"),
        *(";; a=1;<; $>;; b=2;", "a=1<; sessionid>; b=2"),
        # Other spellings of the name, and what some parsers strip from it.
        *("a=1<; SESSIONID=SECRET>", "a=1<; sessionid =SECRET>", "a=1<; \xa0$>"),
        *("a=1<; sessionid\xc2\xa0=SECRET>", "a=1<; \x0b$>", 'a=1<; "sessionid"=SECRET>'),
        'a=1<; x"$>',  # found by Hypothesis: webob reads it
        *("<__Secure-$; >a=1", "<__hOST-$; >a=1", "<__Host-Http-$; __Http-$; >a=1"),
        # Quotes, which some heed and some do not.
        *('<sessionid="x; y=1; z=SECRET; w"; >a=1', r'<sessionid="x\"; y=SECRET"; >a=1'),
        *('<sessionid="x,y=SECRET"; >a=1', '<sessionid="SECRET; >a=1; b=2', 'a="x<; $>; b=y"'),
        # Commas, which may join two lines of the field, and white space.
        *("a=1<,$>", "<$, a=1; >b=2", "a=1<,$,b=2>", "a=1<,$>; b=2", "a=1<,$,b=2; $>; c=3<,$>"),
        *("a=1<; $,b=2>", "a=1< $>; b=2", "a=1<\t$>; b=2"),
        # What could be the rest of its value, up to the next semicolon.
        *("<sessionid=uid=5,mac=SECRET; >theme=dark", "<session=user=bob sig=SECRET>"),
        *("a=1<; $ b=SECRET,c=SECRET\td=SECRET>; b=2", "a=1<,$=, b=SECRET>;c=3", "<$ b=1; $>"),
        *('<sessionid="x; y=1", mac=SECRET; >b=2', "a=1<; $ portproxy.16006.session=SECRET>; b=2"),
        *(f"a=1<; {name}=SECRET>; b=2" for name in sorted(DEFAULT_WITHHELD)),
    ],
)
def test_a_withheld_cookie_never_reaches_a_service(row: str) -> None:
    header, expected = told(row)
    assert POLICY.for_service(header, 16006) == expected
    pythons_own = SimpleCookie()
    pythons_own.load(expected)
    assert "SECRET" not in f"{expected} {pythons_own}"


@pytest.mark.parametrize(
    "header",
    [
        *("", "a = 1 ;b=2;  c=3 ; ", "=1; a=2; ; novalue", "a=1; a=2; A=3", 'a="; b=2; c="x'),
        *("token=YWJj/+==; x=a=b=c", "a=%22%3B%20sessionid%3Dx", '{"a":1,"b":[2,3]}; c={"d":"e"}'),
        "_streamlit_xsrf=2|c6c2c5a0|8a3c|1700000000",
        'username-localhost-8888="2|1:0|10:17|23:username|44:abc=|f"; _xsrf=2|a|b|1',
        *("a=1,2,3; b=x,y=z; c=3, d=4", "date=Wed, 21 Oct 2015 07:28:00 GMT; b=2"),
        *("a=hello world x=y; b=2", "a=\xe4\xff; \xfc=1; b=\xe2\x82\xac"),
        "sessionid2=1; xsessionid=2; my-session=3; session.x=4; sessionid-a=5",
        "a=sessionid; b=sessionid-x; c=the session",
    ],
)
def test_all_other_bytes_stay_alone_and_beside_a_withheld_one(header: str) -> None:
    for given in (header, f"{header}; {S}", f"{S}; {header}"):
        assert POLICY.for_service(given, 16006) == header


@pytest.mark.case("withheld cookies")
@table(
    "header",
    {
        "many": "; ".join(f"c{n}={'x' * 20}" for n in range(2500)) + f"; {S}",
        "many-withheld": f"{S}; " * 3000,
        "commas-and-names": ",a" * 32768 + f"; {S}",
        "spaces-in-between": "a" + " " * 65536 + f"x; {S}",
        "words": "a " * 32768 + f"; {S}",
        "semicolons": "; " * 32768 + S,
        "escaped-quotes": 'a="' + '\\"' * 32768 + f"; {S}",
        "quotes-not-closed": 'sessionid="SECRET; ' * 3400 + S,
        "backslashes": 'sessionid="' + "\\" * 65535,
        "commas-and-space": ", \t" * 20000 + S,
    },
)
def test_64_kib_of_cookies_cost_linear_time(header: str) -> None:
    with costs_little():
        assert "SECRET" not in POLICY.for_service(header, 16006)


# --- To the visitor ------------------------------------------------------------------------------


def scoped(set_cookie: str, *, prefix: str = PREFIX, needs_path: bool = False) -> str | None:
    values = POLICY.for_visitor(set_cookie, a_target(prefix=prefix), needs_path=needs_path)
    return values[0] if values else None


@pytest.mark.parametrize(
    "row",
    [
        *("a=1", "a=1; Path=^/", f"a=1; Path={PREFIX}", f"a=1; Path={PREFIX}/x"),
        *(f"a=1; Path=^{PREFIX}7/", "a=1; Path=^/alice", "a=1; Path=^/../..", "a=1; pATH=^/x"),
        *("a=1;  Path = ^/x ; HttpOnly", "a=1;Path=^/x;HttpOnly", "a=1;\tPath\t=\t^/x"),
        *('a=1; Path="^/x"', "a=1; Path=^/x; Path=^/", "a=1; Path=; Path; Path=x"),
        "a=path=/; Comment=Path=/; Pathx=/",
        *("a=1<; Domain=.example.com>; Path=^/", "a=1<; dOMAIN = x >;Secure"),
        *("a=1<; Domain=a; Domain>; Secure", "a=domain=x; Domainx=1"),
    ],
)
def test_a_services_cookie_is_kept_to_its_prefix(row: str) -> None:
    set_cookie, expected = told(row)
    assert scoped(set_cookie) == expected
    assert scoped(expected) == expected  # twice is once


@pytest.mark.case("Set-Cookie")
@pytest.mark.parametrize(
    "set_cookie",
    [
        "a=1; Max-Age=9; Secure; HttpOnly; SameSite=None; Partitioned",
        "a=1; Expires=Wed, 21 Oct 2015 07:28:00 GMT; HttpOnly",
        *("a=1; ; =; ==x; foo; bar=baz;", 'a="b c, d=e"; HttpOnly', "a=%zz+/=={}[]<>|~\\", "a="),
        *(" a = b ; HttpOnly", "a=\xe4\xff\xe2\x82\xac", "a=b\tc", "__Secure-a=1; Secure"),
        *("sessionid2=sessionid; sessionid=2", "a" * (MAX_COOKIE_BYTES - 2) + "=1"),
    ],
    ids=lambda text: text[:20],
)
def test_all_else_of_it_stays_byte_by_byte(set_cookie: str) -> None:
    assert scoped(set_cookie) == set_cookie
    assert scoped(set_cookie + "; Path=/x") == f"{set_cookie}; Path={PREFIX}/x"


@pytest.mark.parametrize(
    ("set_cookie", "expected"),
    [
        ("a=1; Path=", "a=1; Path=; Path=/p/"),
        ("a=1; Path=/x", "a=1; Path=/p/x"),
        ("a=1; Path=/x; Path=x", "a=1; Path=/p/x; Path=x; Path=/p/"),
        ('a=1; Path="/x"', 'a=1; Path="/p/x"; Path=/p/'),
        ("a=1; Domain=x", "a=1; Path=/p/"),
    ],
)
def test_a_path_is_added_where_browsers_would_assume_one_above(
    set_cookie: str, expected: str
) -> None:
    assert scoped(set_cookie, prefix="/p", needs_path=True) == expected


def test_with_the_whole_app_as_the_mount_paths_stay() -> None:
    assert scoped("a=1; Path=/x", prefix="") == "a=1; Path=/x"
    assert scoped("a=1", prefix="", needs_path=True) == "a=1; Path=/"


@pytest.mark.parametrize(
    "set_cookie",
    [
        # Some parser would find a withheld name.
        *("\xa0sessionid=evil", '"sessionid"=evil', "a=1, sessionid=evil", "a=1 sessionid=evil"),
        *("a=1\xa0sessionid=evil", 'a="x" sessionid=evil', 'a="x sessionid = evil"'),
        *("a=[sessionid=evil", "x sessionid=evil", "=sessionid=evil", "sessionid=1, session=evil"),
        '"__Host-a"=1',
        # No name, control characters, and larger than browsers take.
        *("=1", " \xa0=1", "nameless; Path=/", ""),
        *("a=1\x00", "a=1\rb", "a=1\nb", "a=1; Path=/\x0b", "a\x01b=1", "a=1\x1f", "a=1\x7f"),
        "a=" + "x" * (MAX_COOKIE_BYTES - 1),
    ],
    ids=lambda text: text[:30],
)
@pytest.mark.parametrize("needs_path", [False, True])
def test_what_a_service_may_not_set(set_cookie: str, needs_path: bool) -> None:
    assert scoped(set_cookie, needs_path=needs_path) is None


@table(
    "set_cookie",
    {
        "spaces-in-path": "a=1; Path=" + " " * 60000 + "x",
        "semicolons": "a=1;" + " ;" * 30000,
        "domains": "a=1; Domain=" + "x;Domain=" * 6000,
        "letters-in-value": "a=" + "a" * 4000 + "; x",
        "words-in-value": "a=" + "a " * 2000 + "; x",
    },
)
def test_an_odd_cookie_costs_linear_time(set_cookie: str) -> None:
    with costs_little():
        assert scoped(set_cookie, needs_path=True) is not None


@pytest.mark.parametrize(
    ("set_cookie", "renamed"),
    [
        ("sessionid=1; Path=/; Domain=app.test", f"sessionid=1; Path={PREFIX}/"),
        (" \tsessionid =1", "sessionid =1"),
        ("__HOST-a=1; Secure; Path=/", f"__HOST-a=1; Secure; Path={PREFIX}/"),
        *((one, one) for one in ("SessionID=; Max-Age=0", "__Secure-sessionid=1; Secure")),
        *((one, one) for one in ("__Http-session=1; Secure", "__Host-Http-a=1")),
        ("portproxy.16007.session=1", "portproxy.16007.session=1"),
    ],
)
def test_a_name_that_is_the_apps_gets_the_ports_in_front(set_cookie: str, renamed: str) -> None:
    """The service's own `session` and the app's exist side by side, and each gets its own back."""
    assert scoped(set_cookie) == f"portproxy.16006.{renamed}"
    own = renamed.partition(";")[0].replace(" =", "=")  # as browsers keep it, RFC 6265 section 5.2
    pair = f"portproxy.16006.{own}"
    both = f"sessionid=APP; {pair}; session=APP; b=2"
    assert POLICY.for_service(both, 16006) == f"{own}; b=2"
    assert POLICY.for_service(f"b=2, {pair}", 16006) == f"b=2, {own}"
    assert POLICY.for_service(both, 16007) == "b=2"
    assert POLICY.for_service(f'{pair}; sessionid="x; y=SECRET"; a=1', 16006) == f"{own}; a=1"


@pytest.mark.parametrize(
    "cookie",
    [
        "PORTPROXY.16006.session=1",
        "portproxy.16006.\xa0session=1",
        "portproxy.16006=1",
        "portproxy.16006.=1",
        "portproxy.16006.other=1",  # no service set it: those of such names keep theirs
        "portproxy.160060.session=1",
    ],
)
def test_what_only_looks_like_a_renamed_cookie_is_withheld(cookie: str) -> None:
    assert POLICY.for_service(f"a=1; {cookie}; b=2", 16006) == "a=1; b=2"


FOR_SCRIPTS = "csrftoken=1; Path=/; SameSite=Lax"


def test_a_token_that_scripts_send_back_is_found_by_its_name_too() -> None:
    """Django's for AJAX: read from document.cookie, where the longer Path comes first."""
    values = POLICY.for_visitor(FOR_SCRIPTS, a_target(prefix="/p"), needs_path=False)
    moved = "csrftoken=1; Path=/p/; SameSite=Lax"
    assert values == [f"portproxy.16006.{moved}", moved]
    at_host = a_target(prefix="", form="host")
    assert POLICY.for_visitor(FOR_SCRIPTS, at_host, needs_path=False)[1] == FOR_SCRIPTS


@pytest.mark.parametrize(
    ("set_cookie", "form"),
    [
        (f"{FOR_SCRIPTS}; HttpOnly", "path"),
        (f"{FOR_SCRIPTS}; Path=x", "path"),
        ("csrftoken=1", "path"),
        ("sessionid=1; Path=/", "path"),
        (FOR_SCRIPTS, "query"),  # /alice/vision is where the app has pages of its own
    ],
)
def test_elsewhere_the_apps_name_is_the_apps_alone(set_cookie: str, form: Form) -> None:
    [value] = POLICY.for_visitor(set_cookie, a_target(prefix="/p", form=form), needs_path=True)
    assert value.startswith("portproxy.16006.")


def test_a_renamed_cookie_is_the_services_to_its_end() -> None:
    sent = "portproxy.16006.session=user=bob sig=X,mac=Y; b=1"
    assert POLICY.for_service(sent, 16006) == "session=user=bob sig=X,mac=Y; b=1"


OURS = "portproxy.16006.sessionid=2; __Host-portproxy.16006.session=2; portproxy.hint0=3"


@pytest.mark.parametrize(
    ("header", "apps"),
    [
        ("", ""),
        ("a=1; b=sessionid", ""),
        (OURS, ""),
        # The same however the browser orders them: it does so by their paths.
        (f"a=1; sessionid=2;{OURS}; SESSION =4", "SESSION =4;sessionid=2"),
        ("SESSION =4;b=1;sessionid=2 ", "SESSION =4;sessionid=2"),
    ],
)
def test_cookies_by_which_the_app_could_know_a_visitor(header: str, apps: str) -> None:
    assert POLICY.withheld_of(header) == apps
    assert POLICY.withholds_any(header) is bool(apps)


def test_a_comma_may_join_the_apps_cookie_to_another() -> None:
    assert POLICY.withholds_any("a=1, sessionid=2")


def test_our_own_cookies_are_not_the_apps_business() -> None:
    assert without_own(f"{OURS}; a=1; sessionid=3; __Secure-portproxy.x=1") == "a=1; sessionid=3"
    assert without_own(OURS) == ""


# --- The host form on https ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("set_cookie", "own"),
    [
        ("session=1", "session=1"),
        ("session=1; Path=/x; HttpOnly; Domain=ports.test", "session=1; HttpOnly"),
        (" session=1; SECURE ; pATH = /x; SameSite=Lax", "session=1; SameSite=Lax"),
        ("__Host-a=1; Secure; Path=/", "__Host-a=1"),
    ],
)
def test_a_renamed_cookie_is_of_this_very_host(set_cookie: str, own: str) -> None:
    """Browsers take none of such a name that a sibling's page sets for the domain of both."""
    target = a_target(prefix="", form="host")
    values = POLICY.for_visitor(set_cookie, target, needs_path=False, of_this_host=True)
    renamed = f"__Host-portproxy.16006.{own}"
    assert values == [f"{renamed}; Path=/; Secure"]
    pair, own = renamed.partition(";")[0], own.partition(";")[0]
    sent = f"session=APP; portproxy.16006.session=EVIL; {pair}; b=2"
    assert POLICY.for_service(sent, 16006, of_this_host=True) == f"{own}; b=2"
    assert POLICY.for_service(sent, 16007, of_this_host=True) == "b=2"
    assert POLICY.for_service(sent, 16006) == "session=EVIL; b=2"  # where none is of a host


@pytest.mark.parametrize("set_cookie", ["a=1; Path=/x; Secure", "a=1; HttpOnly"])
def test_other_names_stay_there_too(set_cookie: str) -> None:
    target = a_target(prefix="", form="host")
    values = POLICY.for_visitor(set_cookie, target, needs_path=False, of_this_host=True)
    assert values == [set_cookie]


def test_a_token_for_scripts_keeps_its_name_beside_it() -> None:
    target = a_target(prefix="", form="host")
    values = POLICY.for_visitor(FOR_SCRIPTS, target, needs_path=False, of_this_host=True)
    renamed = "__Host-portproxy.16006.csrftoken=1; SameSite=Lax; Path=/; Secure"
    assert values == [renamed, FOR_SCRIPTS]


# --- One cookie, to every parser -----------------------------------------------------------------


@table(
    "set_cookie, is_one",
    {
        "plain": ("a=1; Path=/", True),
        "renamed": (" session=a=b ; HttpOnly", True),
        "commas": ("a=1,2,3", True),
        # Found by Hypothesis: of `a=1, b=2` the second would be any service's.
        "comma": ("a=1, b=2", False),
        "space": ("a=1 b=2; Path=/", False),
        "may-not-be-set": ("a=[sessionid=evil", False),
        "nameless": ("=1", False),
    },
)
def test_a_cookie_that_every_parser_takes_for_one(set_cookie: str, is_one: bool) -> None:
    assert POLICY.is_one(set_cookie, a_target()) is is_one


# --- The names -----------------------------------------------------------------------------------


@table(
    "names, sent, arrives",
    {
        "own": (["MySession", "a.b:c"], "mysession=1; a.b:c=2; a.bc=3; session=4", "session=4"),
        # The name without the prefix is another.
        "prefixed": (["__Host-t"], "__Host-t=1; t=2; __Secure-t=3", "t=2; __Secure-t=3"),
        "none": (iter([]), "sessionid=1; a=2", "sessionid=1; a=2"),
        "no-names": (["", " ", "\xe4"], "=1; \xe4=2; a=3", "=1; \xe4=2; a=3"),
    },
)
def test_names_to_withhold(names: Any, sent: str, arrives: str) -> None:
    assert CookiePolicy(names).for_service(sent, 16006) == arrives


def test_own_names_are_those_that_are_renamed() -> None:
    policy, target = CookiePolicy(["MySession", "__Host-token"]), a_target(prefix="/p")
    for sent, own in [("MYSESSION=1", "portproxy.16006."), ("session=1", ""), ("token=1", "")]:
        assert policy.for_visitor(sent, target, needs_path=False) == [own + sent]


@pytest.mark.parametrize(
    ("set_cookie", "plain"),
    [
        ("a=1; Path=/", True),
        ('a="1"; Path=/', True),
        ("a=", True),
        ("a=b=c", True),
        (" a = b ;x", True),
        ("a=\\", False),
        ("a=\xe9", False),
        ('prefs={"dark":true}', False),
        ("a=1 2", False),
        ("a=1,b", False),
        *((f"{name}=1", False) for name in ("path", "Expires", "secure", "$Version", "a/b", "a@")),
    ],
)
def test_what_every_parser_reads_alike(set_cookie: str, plain: bool) -> None:
    assert is_plain(set_cookie) is plain


def test_a_path_that_browsers_ignore_is_none() -> None:
    """The one that they take instead lies above the prefix, at the mount's own URL."""
    long = "a=1; Path=/" + "p" * 1024
    target = a_target(prefix="/alice", form="query")
    assert POLICY.for_visitor(long, target, needs_path=False) == ["a=1; Path=/alice/"]
    assert POLICY.for_visitor(long[:-1], target, needs_path=False) == [
        "a=1; Path=/alice/" + "p" * 1023
    ]


@pytest.mark.parametrize(
    "cookie", ["=\tsession=S", "=\\session=S", '="session=S', "a=1; =session=S"]
)
def test_what_follows_an_empty_name_is_looked_at(cookie: str) -> None:
    assert "S" not in POLICY.for_service(cookie, 16006)
    assert POLICY.for_service("=x; b=2", 16006) == "=x; b=2"
