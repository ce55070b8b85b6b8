"""Cookies across the two sides, byte by byte.

The withheld ones hold `SECRET` here, so that one look tells whether a piece of them came through.
"""

from __future__ import annotations

from http.cookies import SimpleCookie
from typing import Any

import pytest

from wsgi_portproxy.cookies import (
    DEFAULT_WITHHELD,
    MAX_COOKIE_BYTES,
    CookiePolicy,
    copied_bytes,
    without_own,
)
from wsgi_portproxy.locate import Form

from .given import a_target, costs_little

POLICY = CookiePolicy(DEFAULT_WITHHELD)
PREFIX = "/alice/vision/proxy/16006"

# --- To the service ------------------------------------------------------------------------------

S = "sessionid=SECRET"

TO_SERVICE = [
    ("alone", S, ""),
    ("first", f"{S}; a=1", "a=1"),
    ("in-between", f"a=1; {S}; b=2", "a=1; b=2"),
    ("last", f"a=1; {S}", "a=1"),
    ("twice", f"{S}; a=1; {S}; b=2; {S}", "a=1; b=2"),
    ("behind-a-quote-in-the-name", f'a=1; x"{S}', "a=1"),  # found by Hypothesis: webob reads it
    ("only-withheld", f"{S}; csrftoken=SECRET; session=SECRET", ""),
    ("other-values-under-one-name", "sessionid=SECRET; a=1; sessionid=SECRET2", "a=1"),
    ("without-space", f"a=1;{S};b=2", "a=1;b=2"),
    ("much-space", f"a=1  ;   {S}  ;  b=2", "a=1  ;  b=2"),
    ("tab", f"a=1;\t{S};\tb=2", "a=1;\tb=2"),
    ("final-semicolon", f"a=1; {S};", "a=1;"),
    ("empty-pairs", f";; a=1;; {S};; b=2;", ";; a=1;;; b=2;"),
    ("upper-case", "a=1; SESSIONID=SECRET; SessionID=SECRET", "a=1"),
    ("space-before-equals", "a=1; sessionid =SECRET", "a=1"),
    ("space-after-equals", "a=1; sessionid= SECRET", "a=1"),
    ("nbsp-before", "a=1; \xa0sessionid=SECRET", "a=1"),
    ("nbsp-behind", "a=1; sessionid\xa0=SECRET", "a=1"),
    ("nbsp-in-utf-8", "a=1; \xc2\xa0sessionid=SECRET", "a=1"),
    ("zero-width-space", "a=1; \xe2\x80\x8bsessionid=SECRET", "a=1"),
    ("vertical-tab", "a=1; \x0bsessionid=SECRET", "a=1"),
    ("quotes-around-the-name", 'a=1; "sessionid"=SECRET', "a=1"),
    ("without-value", "a=1; sessionid=; b=2", "a=1; b=2"),
    ("without-equals", "a=1; sessionid; b=2", "a=1; b=2"),
    ("equals-in-the-value", "a=1; sessionid=SECRET==; b=2", "a=1; b=2"),
    ("quoted-value", 'sessionid="SECRET"; a=1', "a=1"),
    ("quoted-with-semicolon", 'sessionid="x; y=SECRET"; a=1', "a=1"),
    ("quoted-with-semicolons", 'sessionid="x; y=1; z=SECRET; w"; a=1', "a=1"),
    ("quoted-with-escaped-quote", r'sessionid="x\"; y=SECRET"; a=1', "a=1"),
    ("quoted-with-comma", 'sessionid="x,y=SECRET"; a=1', "a=1"),
    ("quote-not-closed", 'sessionid="SECRET; a=1; b=2', "a=1; b=2"),
    ("quoted-around", f'a="x; {S}; b=y"', 'a="x; b=y"'),
    ("quoted-around-last", f'a="x; {S}"', 'a="x'),
    ("quoted-around-with-comma", f'a="x, {S}, b=y"', 'a="x, b=y"'),
    ("behind-a-comma", f"a=1,{S}", "a=1"),
    ("behind-a-comma-and-space", f"a=1, {S}", "a=1"),
    ("before-a-comma", f"{S},a=1", "a=1"),
    ("before-a-comma-and-space", f"{S}, a=1; b=2", "a=1; b=2"),
    ("between-commas", f"a=1,{S},b=2", "a=1,b=2"),
    ("between-semicolon-and-comma", f"a=1; {S},b=2", "a=1; b=2"),
    ("between-comma-and-semicolon", f"a=1,{S}; b=2", "a=1; b=2"),
    ("many-lines-joined", f"a=1,{S},b=2; {S}; c=3,{S}", "a=1,b=2; c=3"),
    ("behind-a-space", f"a=1 {S}; b=2", "a=1; b=2"),
    ("behind-a-tab", f"a=1\t{S}; b=2", "a=1; b=2"),
    ("secure-prefix", "__Secure-sessionid=SECRET; a=1", "a=1"),
    ("host-prefix", "__Host-sessionid=SECRET; a=1", "a=1"),
    ("host-prefix-in-another-case", "__hOST-csrftoken=SECRET; a=1", "a=1"),
    ("http-prefix", "__Host-Http-session=SECRET; __Http-session=SECRET; a=1", "a=1"),
    *((name, f"a=1; {name}=SECRET; b=2", "a=1; b=2") for name in sorted(DEFAULT_WITHHELD)),
]


@pytest.mark.parametrize(
    ("header", "expected"), [row[1:] for row in TO_SERVICE], ids=[row[0] for row in TO_SERVICE]
)
def test_a_withheld_cookie_never_reaches_a_service(header: str, expected: str) -> None:
    assert "SECRET" not in expected
    assert POLICY.for_service(header, 16006) == expected


UNTOUCHED = [
    ("one", "a=1"),
    ("several", "a=1; b=2; c=3"),
    ("odd-spacing", " a = 1 ;b=2;  c=3 ; "),
    ("base64", "token=YWJj/+==; x=a=b=c"),
    ("percent", "a=%22%3B%20sessionid%3Dx"),
    ("streamlit-xsrf", "_streamlit_xsrf=2|c6c2c5a0|8a3c|1700000000"),
    ("jupyter", 'username-localhost-8888="2|1:0|10:17|23:username|44:abc=|f"; _xsrf=2|a|b|1'),
    ("json", '{"a":1,"b":[2,3]}; c={"d":"e"}'),
    ("json-in-quotes", 'a="{\\"x\\": 1, \\"y\\": 2}"; b=1'),
    ("comma-in-a-value", "a=1,2,3; b=x,y"),
    ("comma-and-equals", "a=1,b=2; c=3, d=4"),
    ("commas-and-spaces", "date=Wed, 21 Oct 2015 07:28:00 GMT; b=2"),
    ("spaces-in-a-value", "a=hello world x=y; b=2"),
    ("latin-1", "a=\xe4\xff; \xfc=1"),
    ("utf-8-bytes", "a=\xe2\x82\xac"),
    ("longer-names", "sessionid2=1; xsessionid=2; my-session=3; session.x=4; sessionid-a=5"),
    ("name-in-a-value", "a=sessionid; b=sessionid-x; c=the session"),
    ("no-name", "=1; a=2; ; novalue"),
    ("duplicates", "a=1; a=2; A=3"),
    ("unbalanced-quotes", 'a="; b=2; c="x'),
    ("empty", ""),
]


@pytest.mark.parametrize("header", [row[1] for row in UNTOUCHED], ids=[row[0] for row in UNTOUCHED])
def test_all_other_bytes_stay(header: str) -> None:
    assert POLICY.for_service(header, 16006) == header


@pytest.mark.parametrize("header", [row[1] for row in UNTOUCHED], ids=[row[0] for row in UNTOUCHED])
@pytest.mark.parametrize("position", ["before", "behind"])
def test_all_other_bytes_stay_beside_a_withheld_one(header: str, position: str) -> None:
    if position == "behind":
        assert POLICY.for_service(f"{header}; {S}", 16006) == header
    else:
        expected = "" if not header else header.lstrip(" ")
        assert POLICY.for_service(f"{S}; {header}", 16006) == expected


def test_pythons_own_parser_finds_none_in_what_remains() -> None:
    for row in TO_SERVICE:
        parsed = SimpleCookie()
        parsed.load(POLICY.for_service(row[1], 16006))
        assert "SECRET" not in str(parsed)


@pytest.mark.parametrize(
    "header",
    [
        pytest.param("; ".join(f"c{n}={'x' * 20}" for n in range(2500)) + f"; {S}", id="many"),
        pytest.param("a=" + "x" * 65536 + f"; {S}", id="long-value"),
        pytest.param("a" * 65536 + f"; {S}", id="long-name"),
        pytest.param(f"{S}; " * 3000, id="many-withheld"),
        pytest.param("," * 65536 + S, id="commas"),
        pytest.param(",a" * 32768 + f"; {S}", id="commas-and-names"),
        pytest.param(" " * 65536 + S, id="spaces"),
        pytest.param("a" + " " * 65536 + f"x; {S}", id="spaces-in-between"),
        pytest.param("a " * 32768 + f"; {S}", id="words"),
        pytest.param("; " * 32768 + S, id="semicolons"),
        pytest.param("=" * 65536 + f"; {S}", id="equals"),
        pytest.param('a="' + '\\"' * 32768 + f"; {S}", id="escaped-quotes"),
        pytest.param('sessionid="SECRET; ' * 3400 + S, id="quotes-not-closed"),
        pytest.param('sessionid="' + "\\" * 65535, id="backslashes"),
        pytest.param(", \t" * 20000 + S, id="commas-and-space"),
    ],
)
def test_64_kib_of_cookies_cost_linear_time(header: str) -> None:
    with costs_little():
        assert "SECRET" not in POLICY.for_service(header, 16006)


# --- To the visitor ------------------------------------------------------------------------------


def scoped(set_cookie: str, *, prefix: str = PREFIX, needs_path: bool = False) -> str | None:
    values = POLICY.for_visitor(set_cookie, a_target(prefix=prefix), needs_path=needs_path)
    return values[0] if values else None


PATHS = [
    ("root", "a=1; Path=/", f"a=1; Path={PREFIX}/"),
    ("below", "a=1; Path=/lab/x", f"a=1; Path={PREFIX}/lab/x"),
    ("under-the-prefix", f"a=1; Path={PREFIX}/x", f"a=1; Path={PREFIX}/x"),
    ("the-prefix-itself", f"a=1; Path={PREFIX}", f"a=1; Path={PREFIX}"),
    ("a-longer-number", f"a=1; Path={PREFIX}7/", f"a=1; Path={PREFIX}{PREFIX}7/"),
    (
        "another-port",
        "a=1; Path=/alice/vision/proxy/1/",
        f"a=1; Path={PREFIX}/alice/vision/proxy/1/",
    ),
    ("the-apps", "a=1; Path=/alice", f"a=1; Path={PREFIX}/alice"),
    ("climbing", "a=1; Path=/../..", f"a=1; Path={PREFIX}/../.."),
    ("other-case", "a=1; pATH=/x", f"a=1; pATH={PREFIX}/x"),
    ("spaces", "a=1;  Path = /x ; HttpOnly", f"a=1;  Path = {PREFIX}/x ; HttpOnly"),
    ("no-spaces", "a=1;Path=/x;HttpOnly", f"a=1;Path={PREFIX}/x;HttpOnly"),
    ("tabs", "a=1;\tPath\t=\t/x", f"a=1;\tPath\t=\t{PREFIX}/x"),
    ("quoted", 'a=1; Path="/x"', f'a=1; Path="{PREFIX}/x"'),
    ("twice", "a=1; Path=/x; Path=/", f"a=1; Path={PREFIX}/x; Path={PREFIX}/"),
    ("none", "a=1", "a=1"),
    ("empty", "a=1; Path=", "a=1; Path="),
    ("without-value", "a=1; Path", "a=1; Path"),
    ("relative", "a=1; Path=x", "a=1; Path=x"),
    ("in-the-value", "a=path=/; Path=/", f"a=path=/; Path={PREFIX}/"),
    ("in-another-attribute", "a=1; Comment=Path=/", "a=1; Comment=Path=/"),
    ("longer-name", "a=1; Pathx=/", "a=1; Pathx=/"),
]
DOMAINS = [
    ("domain", "a=1; Domain=example.com", "a=1"),
    ("domain-first", "a=1; Domain=.example.com; Path=/", f"a=1; Path={PREFIX}/"),
    ("domain-in-another-case", "a=1; dOMAIN = x ;Secure", "a=1;Secure"),
    ("domain-without-value", "a=1; Domain; Secure", "a=1; Secure"),
    ("domain-twice", "a=1; Domain=a; Domain=b", "a=1"),
    ("domain-in-the-value", "a=domain=x; Domainx=1", "a=domain=x; Domainx=1"),
]
BYTES = [
    (
        "all-attributes",
        "a=1; Max-Age=9; Secure; HttpOnly; SameSite=None; Partitioned; Priority=High",
    ),
    ("expires-with-comma", "a=1; Expires=Wed, 21 Oct 2015 07:28:00 GMT; HttpOnly"),
    ("odd-attributes", "a=1; ; =; ==x; foo; bar=baz;"),
    ("quotes", 'a="b c, d=e"; HttpOnly'),
    ("odd-value", "a=%zz+/=={}[]<>|~\\"),
    ("empty-value", "a="),
    ("spaces", " a = b ; HttpOnly"),
    ("latin-1", "a=\xe4\xff"),
    ("utf-8-bytes", "a=\xe2\x82\xac"),
    ("tab", "a=b\tc"),
    ("secure-prefix", "__Secure-a=1; Secure"),
    ("deleting", "a=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"),
    ("names-like-withheld-ones", "sessionid2=1"),
    ("withheld-name-as-value", "a=sessionid"),
    ("withheld-name-in-an-attribute", "a=1; sessionid=2"),
    ("name-of-4096", "a" * 4094 + "=1"),
]


@pytest.mark.parametrize(
    ("set_cookie", "expected"),
    [row[1:] for row in PATHS + DOMAINS],
    ids=[row[0] for row in PATHS + DOMAINS],
)
def test_a_services_cookie_is_kept_to_its_prefix(set_cookie: str, expected: str) -> None:
    assert scoped(set_cookie) == expected
    assert scoped(expected) == expected  # twice is once


@pytest.mark.parametrize("set_cookie", [row[1] for row in BYTES], ids=[row[0] for row in BYTES])
def test_all_else_of_it_stays_byte_by_byte(set_cookie: str) -> None:
    assert scoped(set_cookie) == set_cookie
    assert scoped(set_cookie + "; Path=/x") == f"{set_cookie}; Path={PREFIX}/x"


@pytest.mark.parametrize(
    ("set_cookie", "expected"),
    [
        ("a=1", "a=1; Path=/p/"),
        ("a=1; Path=", "a=1; Path=; Path=/p/"),
        ("a=1; Path=x; Secure", "a=1; Path=x; Secure; Path=/p/"),
        ("a=1; Path=/x", "a=1; Path=/p/x"),
        ("a=1; Path=/x; Path=", "a=1; Path=/p/x; Path=; Path=/p/"),
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
        pytest.param("\xa0sessionid=evil", id="withheld-with-nbsp"),
        pytest.param("\xc2\xa0sessionid=evil", id="withheld-with-nbsp-in-utf-8"),
        pytest.param('"sessionid"=evil', id="withheld-in-quotes"),
        pytest.param("a=1,sessionid=evil", id="withheld-behind-a-comma"),
        pytest.param("a=1, sessionid=evil", id="withheld-behind-a-comma-and-space"),
        pytest.param("a=1 sessionid=evil", id="withheld-behind-a-space"),
        pytest.param("a=1\tsessionid=evil", id="withheld-behind-a-tab"),
        pytest.param("a=1\xa0sessionid=evil", id="withheld-behind-nbsp"),
        pytest.param('a="x" sessionid=evil', id="withheld-behind-quotes"),
        pytest.param('a="x sessionid = evil"', id="withheld-within-quotes"),
        pytest.param("a=[sessionid=evil", id="withheld-behind-a-bracket"),
        pytest.param("x sessionid=evil", id="withheld-as-the-second-word-of-a-name"),
        pytest.param("=sessionid=evil", id="withheld-behind-an-empty-name"),
        pytest.param("=1", id="empty-name"),
        pytest.param(" =1", id="name-of-spaces"),
        pytest.param("\xa0=1", id="name-of-nbsp"),
        pytest.param("nameless", id="nameless"),
        pytest.param("nameless; Path=/", id="nameless-with-attributes"),
        pytest.param("sessionid", id="nameless-and-withheld"),
        pytest.param("", id="nothing"),
        pytest.param("; Path=/", id="only-attributes"),
        pytest.param("a=1\x00", id="nul"),
        pytest.param("a=1\rb", id="cr"),
        pytest.param("a=1\nb", id="lf"),
        pytest.param("a=1; Path=/\x0b", id="vertical-tab"),
        pytest.param("a\x01b=1", id="control-character-in-the-name"),
        pytest.param("a=1\x7f", id="delete"),
        pytest.param("a=" + "x" * MAX_COOKIE_BYTES, id="too-large"),
        pytest.param("a=" + "x" * 8192 + "; Path=/", id="8-kib"),
        pytest.param("a" * 8192 + "=1", id="8-kib-of-name"),
    ],
)
@pytest.mark.parametrize("needs_path", [False, True])
def test_what_a_service_may_not_set(set_cookie: str, needs_path: bool) -> None:
    assert scoped(set_cookie, needs_path=needs_path) is None


@pytest.mark.parametrize(
    "set_cookie",
    [
        pytest.param("a=1; Path=" + " " * 60000 + "x", id="spaces-in-path"),
        pytest.param("a=1;" + " ;" * 30000, id="semicolons"),
        pytest.param("a=1; Path" + " " * 60000, id="spaces-behind-path"),
        pytest.param("a=1; Path=/" + "/" * 60000, id="slashes"),
        pytest.param("a=1; Domain=" + "x;Domain=" * 6000, id="domains"),
        pytest.param("a=" + " " * 4000 + "; x", id="spaces-in-value"),
        pytest.param("a=" + "a" * 4000 + "; x", id="letters-in-value"),
        pytest.param("a=" + "a " * 2000 + "; x", id="words-in-value"),
    ],
)
def test_an_odd_cookie_costs_linear_time(set_cookie: str) -> None:
    with costs_little():
        assert scoped(set_cookie, needs_path=True) is not None


RENAMED = [
    ("withheld", "sessionid=1", "sessionid=1"),
    ("attributes", "sessionid=1; Path=/; Domain=app.test", f"sessionid=1; Path={PREFIX}/"),
    ("deleted", "sessionid=; Max-Age=0", "sessionid=; Max-Age=0"),
    ("another-case", "SessionID=1", "SessionID=1"),
    ("spaces", " sessionid =1", "sessionid =1"),
    ("tab", "\tsessionid=1", "sessionid=1"),
    ("secure-prefix", "__Secure-sessionid=1; Secure", "__Secure-sessionid=1; Secure"),
    ("http-prefix", "__Http-session=1; Secure", "__Http-session=1; Secure"),
    ("host-prefix", "__Host-a=1; Secure; Path=/", f"__Host-a=1; Secure; Path={PREFIX}/"),
    ("host-prefix-case", "__HOST-a=1; Path=/", f"__HOST-a=1; Path={PREFIX}/"),
    ("host-http-prefix", "__Host-Http-a=1; Path=/", f"__Host-Http-a=1; Path={PREFIX}/"),
    ("ours", "portproxy.16007=1", "portproxy.16007=1"),
    ("ours-of-another-port", "portproxy.16007.session=1", "portproxy.16007.session=1"),
]


@pytest.mark.parametrize(
    ("set_cookie", "renamed"), [row[1:] for row in RENAMED], ids=[row[0] for row in RENAMED]
)
def test_a_name_that_is_the_apps_gets_the_ports_in_front(set_cookie: str, renamed: str) -> None:
    """The service's own `session` and the app's exist side by side, and each gets its own back."""
    made = scoped(set_cookie)
    assert made is not None
    assert made == f"portproxy.16006.{renamed}"
    # As browsers keep it (RFC 6265 section 5.2).
    pair = made.partition(";")[0].replace(" =", "=")
    own = renamed.partition(";")[0].replace(" =", "=")
    both = f"sessionid=APP; {pair}; session=APP; b=2"
    assert POLICY.for_service(both, 16006) == f"{own}; b=2"
    assert POLICY.for_service(f"b=2, {pair}", 16006) == f"b=2, {own}"
    assert POLICY.for_service(both, 16007) == "b=2"


@pytest.mark.parametrize(
    "cookie",
    [
        "PORTPROXY.16006.session=1",
        "portproxy.16006.\xa0session=1",
        "portproxy.16006=1",
        "portproxy.16006.=1",
        "portproxy.16006.other=1",  # no service set it: those of such names keep theirs
        "portproxy.16007.session=1",
        "portproxy.160060.session=1",
    ],
)
def test_what_only_looks_like_a_renamed_cookie_is_withheld(cookie: str) -> None:
    assert POLICY.for_service(f"a=1; {cookie}; b=2", 16006) == "a=1; b=2"


COPIED = [
    ("root", "a=1; Path=/; Secure", "/login", "a=1; Secure"),
    ("renamed", "session=1; Path=/; HttpOnly; SameSite=Lax", "/login", "session=1; SameSite=Lax"),
    ("the-prefix", f"a=1; Path={PREFIX}", "/x/y", "a=1"),
    ("no-path-at-the-root", "a=1", "/login?next=/x/y", "a=1"),
    ("deleted", "a=; Max-Age=0; Path=/", "/logout", "a=; Max-Age=0"),
    ("domain", "a=1; Domain=app.test; Path=/", "/", "a=1"),
]


@pytest.mark.parametrize(
    ("set_cookie", "path", "copy"), [row[1:] for row in COPIED], ids=[row[0] for row in COPIED]
)
def test_a_cookie_of_the_services_root_is_copied_for_handshakes(
    set_cookie: str, path: str, copy: str
) -> None:
    """A WebSocket at ws://app.test/ws gets no cookie that is kept to the prefix."""
    assert POLICY.for_handshakes(set_cookie, a_target(path), "/apps") == [
        f"portproxy.16006!{copy}; Path=/apps/; HttpOnly"
    ]
    pair = copy.partition(";")[0]
    sent = f"session=APP; portproxy.16006!{pair}; portproxy.16006.session=2; b=3"
    assert POLICY.for_service(sent, 16006, astray=True) == f"{pair}; b=3"
    assert POLICY.for_service(sent, 16006) == "session=2; b=3"
    assert POLICY.for_service(sent, 16007, astray=True) == "b=3"
    assert "!" not in without_own(sent)


@pytest.mark.parametrize(
    ("set_cookie", "path"),
    [
        ("a=1; Path=/lab", "/lab/login"),
        ("a=1", "/lab/login"),
        ("a=" + "x" * 512 + "; Path=/", "/"),
        ("a=1, sessionid=evil; Path=/", "/"),
        ("nameless; Path=/", "/"),
    ],
)
def test_no_other_cookie_is_copied(set_cookie: str, path: str) -> None:
    assert POLICY.for_handshakes(set_cookie, a_target(path), "") == []


def test_copies_never_fill_what_the_apps_server_takes_of_a_cookie_field() -> None:
    """gunicorn answers 431 to every request of a browser with more than 8 KiB of them."""
    large = f"a={'x' * 500}; Path=/"
    assert POLICY.for_handshakes(large, a_target(), "", copied=1000)
    assert POLICY.for_handshakes(large, a_target(), "", copied=1100) == []
    sent = "portproxy.16006!a=1; session=2; portproxy.1!b=22, portproxy.16006.c=3; x!y=4"
    assert copied_bytes(sent) == len("portproxy.16006!a=1") + len("portproxy.1!b=22")


def test_a_cookie_is_copied_in_the_path_form_only() -> None:
    forms: list[Form] = ["query", "host", "stray"]
    for form in forms:
        assert POLICY.for_handshakes("a=1; Path=/", a_target(form=form), "") == []


def test_a_value_that_looks_like_two_cookies_is_not_copied_for_handshakes() -> None:
    """Found by Hypothesis: of `portproxy.16006!a=1, b=2` the second reached other services."""
    assert POLICY.for_handshakes("a=1, b=2; Path=/", a_target(), "") == []


FOR_SCRIPTS = "csrftoken=1; Path=/; SameSite=Lax"


def test_a_token_that_scripts_send_back_is_found_by_its_name_too() -> None:
    """Django's for AJAX: read from document.cookie, where the longer Path comes first."""
    values = POLICY.for_visitor(FOR_SCRIPTS, a_target(prefix="/p"), needs_path=False)
    assert values == [
        "portproxy.16006.csrftoken=1; Path=/p/; SameSite=Lax",
        "csrftoken=1; Path=/p/; SameSite=Lax",
    ]
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
    values = POLICY.for_visitor(set_cookie, a_target(prefix="/p", form=form), needs_path=True)
    assert len(values) == 1
    assert values[0].startswith("portproxy.16006.")


def test_cookies_by_which_the_app_could_know_a_visitor() -> None:
    assert POLICY.withholds_any("a=1; sessionid=2")
    assert POLICY.withholds_any("a=1, sessionid=2")
    assert not POLICY.withholds_any("a=1; portproxy.16006.sessionid=2")
    assert not POLICY.withholds_any("")


def test_our_own_cookies_are_not_the_apps_business() -> None:
    both = "portproxy.1=x; a=1; portproxy.16006.session=2; sessionid=3"
    assert without_own(both) == "a=1; sessionid=3"
    assert without_own("portproxy.1=x") == ""


# --- The names -----------------------------------------------------------------------------------


def test_own_names() -> None:
    policy = CookiePolicy(["MySession", "a.b:c"])
    assert policy.for_service("mysession=1; a.b:c=2; a.bc=3; sessionid=4", 16006) == "sessionid=4"
    assert policy.for_visitor("MYSESSION=1", a_target(prefix="/p"), needs_path=False) == [
        "portproxy.16006.MYSESSION=1"
    ]
    assert policy.for_visitor("sessionid=1", a_target(prefix="/p"), needs_path=False) == [
        "sessionid=1"
    ]


def test_a_name_with_a_prefix_does_not_withhold_the_name_without() -> None:
    policy = CookiePolicy(["__Host-token"])
    assert policy.for_service("__Host-token=1; token=2; __Secure-token=3", 16006) == (
        "token=2; __Secure-token=3"
    )
    assert policy.for_visitor("token=1", a_target(prefix="/p"), needs_path=False) == ["token=1"]


@pytest.mark.parametrize(
    "names", [[], (), frozenset(), iter([])], ids=["list", "tuple", "set", "iter"]
)
def test_none_withheld(names: Any) -> None:
    assert CookiePolicy(names).for_service("sessionid=1; a=2", 16006) == "sessionid=1; a=2"


def test_names_that_are_none_withhold_nothing() -> None:
    policy = CookiePolicy(["", " ", "\xe4"])
    assert policy.for_service("=1; \xe4=2; a=3", 16006) == "=1; \xe4=2; a=3"


def test_one_text_is_not_taken_for_its_letters() -> None:
    with pytest.raises(TypeError, match="not one string"):
        CookiePolicy("sessionid")


def test_more_names() -> None:
    more = CookiePolicy(["a"]).adding({"B"})
    assert more.for_service("a=1; b=2; c=3", 16006) == "c=3"


@pytest.mark.parametrize("names", [(), None, "ab", 7, ...], ids=str)
def test_what_an_authorizer_says_of_itself_by_chance_counts_for_nothing(names: object) -> None:
    """Any callable may be an authorizer, a mock that has every attribute too."""
    assert CookiePolicy(["x"]).adding(names).withheld == {"x"}
