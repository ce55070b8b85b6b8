"""Cookies, both ways: no byte of a withheld one reaches a service, all others arrive unchanged, and
what a service sets stays below its prefix and comes back under its own name."""

from __future__ import annotations

import re
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from webob.cookies import RequestCookies
from werkzeug.http import parse_cookie

from tests.unit.given import COOKIES, a_target, a_view
from wsgi_portproxy.rewrite.cookie_copies import copied, set_copies
from wsgi_portproxy.rewrite.cookies import DEFAULT_WITHHELD

from . import made

SECRET = "S3CRET"
WITHHELD = sorted(DEFAULT_WITHHELD)
TOKEN = "abcXYZ019!#$%&'*+-.^_`|~"
_IN_VALUE = TOKEN + "()/:<=>?@[]{}"  # RFC 6265 section 4.1.1: cookie-octets

token = st.text(TOKEN, min_size=1, max_size=6)
value = st.text(_IN_VALUE, max_size=6)
odd_name = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", " ", "\xa0", '"', "__Host-", "__Secure-"]),
    st.sampled_from([*WITHHELD, "SessionID", "SESSION"]),
    st.sampled_from(["", " ", "\xa0", "\t", '"']),
    st.just("="),
)
between = st.sampled_from(["; ", ";", ", ", ",", " ", ";;", "; ;", "\t"])


def is_the_services(name: str) -> bool:
    bare = re.sub(r"^__(?:secure-|http-|host-(?:http-)?)", "", name.lower())
    return bare not in DEFAULT_WITHHELD and not bare.startswith("portproxy.")


own_pair = st.builds("{}={}".format, token.filter(is_the_services), value)


@st.composite
def apps_pair(draw: st.DrawFn) -> str:
    """A cookie of the app's with the secret somewhere in its value, and within quotes maybe."""
    before, after = draw(value), draw(value)
    held = st.sampled_from(["{}", '"{}"', '"a; {}"', '"a, {} b=c"', '"\\"; x={}"'])
    return draw(odd_name) + draw(held).format(before.replace('"', "") + SECRET + after)


# Behind `a= ` even a name is a value, to all parsers.
_own_with_value = own_pair.filter(lambda pair: not pair.endswith("="))


@pytest.mark.case("withheld cookies")
@pytest.mark.promise("Your app's cookies stay here")
@given(st.lists(st.tuples(st.one_of(_own_with_value, apps_pair()), between), max_size=5))
def test_no_byte_of_a_withheld_cookie_reaches_a_service(pairs: list[tuple[str, str]]) -> None:
    kept = COOKIES.for_service("".join(pair + separator for pair, separator in pairs), 16006)
    assert SECRET not in kept


@given(st.lists(own_pair, max_size=6), st.lists(st.sampled_from(WITHHELD), max_size=3), st.data())
def test_all_others_arrive_byte_by_byte_in_their_order(
    pairs: list[str], withheld: list[str], data: st.DataObject
) -> None:
    mixed = data.draw(st.permutations([*pairs, *(f"{name}={SECRET}" for name in withheld)]))
    expected = [pair for pair in mixed if SECRET not in pair]
    assert COOKIES.for_service("; ".join(mixed), 16006) == "; ".join(expected)


anything = st.one_of(
    made.latin1,
    made.mixed(
        [*WITHHELD, "a", "=", ";", ",", '"', '\\"', " ", "portproxy.", "portproxy.16006."],
        '=;," \t\xa0\\ab',
        12,
    ),
)


@given(anything)
def test_no_parser_finds_a_withheld_name_in_what_a_service_is_sent(header: str) -> None:
    # A quote without its end: webob takes what follows for names, no browser sends it unasked.
    assume(header.count('"') % 2 == 0)
    kept = COOKIES.for_service(header.replace("portproxy.", "p."), 16006)
    names: set[str] = set()
    with suppress(UnicodeDecodeError):
        names |= set(RequestCookies({"HTTP_COOKIE": kept}))
    with suppress(UnicodeDecodeError):
        names |= set(parse_cookie(kept))
    with suppress(CookieError):
        names |= set(SimpleCookie(kept))
    names |= {pair.partition("=")[0].strip() for pair in re.split("[;,]", kept) if "=" in pair}
    assert not {name.lower() for name in names} & DEFAULT_WITHHELD


@given(anything)
def test_what_was_filtered_stays_as_it_is(header: str) -> None:
    kept = COOKIES.for_service(header.replace("portproxy.", "p."), 16006)
    assert COOKIES.for_service(kept, 16006) == kept


@given(anything.filter(lambda text: not re.search("s.*e.*s|auth|messages|csrf|token|portp", text)))
def test_where_no_name_is_withheld_nothing_is_touched(header: str) -> None:
    assert COOKIES.for_service(header, 16006) == header


# --- What a service sets -------------------------------------------------------------------------

attribute = st.one_of(
    st.builds(
        "{}={}".format,
        st.sampled_from([" Path", "path", " PATH ", " Domain", "domain"]),
        made.mixed(["/", "/x", '"', " ", "/alice/vision/proxy/16006", "..", "app.test"], "a/", 4),
    ),
    st.sampled_from([" HttpOnly", " Secure", " SameSite=None", " Expires=Thu, 01 Jan 2026", ""]),
)
set_cookie = st.builds(
    lambda pair, attributes: ";".join([pair, *attributes]),
    st.one_of(own_pair, st.builds("{}={}".format, st.sampled_from(WITHHELD), value), anything),
    st.lists(attribute, max_size=4),
)


def path_of(line: str) -> str:
    """The Path that a browser reads: the last one counts (RFC 6265 section 5.3)."""
    path = ""
    for one in line.split(";")[1:]:
        name, _, given_path = one.partition("=")
        assert name.strip(" \t").lower() != "domain"
        if name.strip(" \t").lower() == "path":
            path = given_path.strip(" \t")
    return path


@pytest.mark.promise("No orders to your origin or front-end by headers")
@given(set_cookie, st.booleans(), st.sampled_from(["path", "query"]))
def test_a_services_cookie_is_never_sent_above_its_prefix(
    line: str, needs_path: bool, form: str
) -> None:
    prefix = "/alice/vision/proxy/16006" if form == "path" else "/alice/vision"
    target = a_target(prefix=prefix, form="path" if form == "path" else "query")
    for one in COOKIES.for_visitor(line, target, needs_path=needs_path):
        path = path_of(one)
        assert path == prefix or path.startswith(prefix + "/") or not path.startswith("/")
        assert path.startswith("/") or not needs_path


@given(set_cookie)
def test_no_service_sets_a_cookie_of_the_apps(line: str) -> None:
    for one in COOKIES.for_visitor(line, a_target(), needs_path=False):
        name = one.partition("=")[0].strip(" \t").lower()
        assert is_the_services(name) or name.startswith("portproxy.16006.") or name == "csrftoken"
        if name == "csrftoken":  # for the scripts of this service's pages only
            assert path_of(one).startswith("/alice/vision/proxy/16006")


@given(set_cookie)
def test_what_was_mapped_stays_as_it_is(line: str) -> None:
    for one in COOKIES.for_visitor(line, a_target(), needs_path=True):
        if not one.lstrip(" \t").startswith("portproxy.") and not one.startswith("csrftoken"):
            assert COOKIES.for_visitor(one, a_target(), needs_path=True) == [one]


@given(own_pair, st.sampled_from(["", "; HttpOnly", "; Expires=Thu, 01 Jan 2026 00:00:00 GMT"]))
def test_a_cookie_without_path_and_domain_passes_byte_by_byte(pair: str, rest: str) -> None:
    assume(not pair.lower().startswith("__"))
    passed = COOKIES.for_visitor(pair + rest, a_target(), needs_path=False)
    assert passed in ([pair + rest], [])  # not one whose value looks like the app's
    assert passed or "=" in pair.partition("=")[2]


@given(st.sampled_from([*WITHHELD, "SessionID", "__Host-session", "__Host-a"]), value)
def test_a_renamed_cookie_comes_back_under_its_own_name(name: str, value: str) -> None:
    assume("=" not in value)
    sent = COOKIES.for_visitor(f"{name}={value}; HttpOnly", a_target(), needs_path=False)
    assert sent == [f"portproxy.16006.{name}={value}; HttpOnly"]
    pair = sent[0].partition(";")[0]
    header = f"sessionid={SECRET}; {pair}; session={SECRET}; x=1"
    assert COOKIES.for_service(header, 16006) == f"{name}={value}; x=1"
    assert COOKIES.for_service(header, 16007) == "x=1"  # another port's is not told it


# --- Copies for handshakes -----------------------------------------------------------------------

URLS = a_view()._replace(strays=True)


@given(st.lists(set_cookie, max_size=4), st.lists(set_cookie, max_size=4))
def test_copies_are_one_short_cookie_for_one_service(first: list[str], second: list[str]) -> None:
    sent = ""
    for answer in (first, second):
        copy = set_copies(answer, URLS, COOKIES, visitors_cookies=sent)
        if copy is None:
            continue
        assert re.fullmatch(
            r"portproxy\.copy1=(16006\.[!#-+\--:<-\[\]-~]{1,768})?"
            r"; Path=/; HttpOnly; SameSite=Lax(; Max-Age=0)?",
            copy,
        )
        sent = copy.partition(";")[0]
        assert COOKIES.for_service(sent, 16006) == COOKIES.for_service(sent, 16007) == ""
        assert copied(sent, 16007) == ""  # another port's is not told it


SPACE = " \t"  # what browsers leave out around a name and a value (RFC 6265 section 5.2)


def _without_space(pair: str) -> tuple[str, str]:
    name, _, value = pair.partition("=")
    return name.strip(SPACE), value.strip(SPACE)


@given(st.lists(set_cookie, max_size=4))
def test_what_a_copy_holds_was_set_as_it_is(answer: list[str]) -> None:
    copy = set_copies(answer, URLS, COOKIES, visitors_cookies="")
    held = copied((copy or "").partition(";")[0], 16006)
    passed = [line for line in answer if COOKIES.for_visitor(line, a_target(), needs_path=False)]
    held_ones = {_without_space(pair) for pair in held.split("; ") if pair}
    assert held_ones <= {_without_space(line.partition(";")[0]) for line in passed}


@given(anything)
def test_whatever_is_sent_as_a_copy_is_no_header_of_its_own(sent: str) -> None:
    for cookie in (sent, f"portproxy.copy4=16006.{sent}"):
        assert re.search(r"[\x00-\x1f\x7f]", copied(cookie, 16006)) is None


# --- The host form on https ----------------------------------------------------------------------


@given(set_cookie)
def test_a_renamed_cookie_there_is_one_that_no_sibling_can_set(line: str) -> None:
    target = a_target(prefix="", form="host")
    for one in COOKIES.for_visitor(line, target, needs_path=False, of_this_host=True):
        name, _, rest = one.partition("=")
        if name.startswith("__Host-"):  # as browsers take it, RFC 6265bis section 4.1.3.2
            assert name.startswith("__Host-portproxy.16006.")
            assert rest.endswith("; Path=/; Secure")
            assert re.search(r";[ \t]*(domain|path)\b.*; Path=/; Secure", rest, re.I) is None
        else:
            assert is_the_services(name.strip(" \t")) or name.strip(" \t").lower() == "csrftoken"
