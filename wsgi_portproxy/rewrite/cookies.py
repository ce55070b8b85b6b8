"""Keeps cookies apart: the app's never reach a service, and a service cannot set them.

Works on text in both directions, so that cookies that pass keep their bytes: Streamlit's uploads
check a cookie against a header byte for byte. A service's cookie with the name of one of the app's,
such as `session`, is called `portproxy.16006.session` in the browser, so that both can exist.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator

from ..locate.target import Target
from ..names import COOKIE_PREFIX
from .cookie_limits import CookieLimits
from .set_cookie import parse_set_cookie

# Put before our cookie names in the host form on https: browsers accept such a cookie from this
# host only, so no page of a sibling host can set it for their shared domain (RFC 6265bis section
# 4.1.3.2).
_OF_THIS_HOST = "__Host-"

#: Cookies by which common frameworks recognise a visitor; withheld by default.
DEFAULT_WITHHELD = frozenset(
    {
        "sessionid",  # Django's session
        "csrftoken",  # Django's CSRF secret
        "messages",  # Django's messages to the visitor
        "session",  # Flask, Starlette, Pyramid
        "remember_token",  # Flask-Login
        "auth_tkt",  # Pyramid, repoze.who
        "beaker.session.id",  # Beaker: Pylons, Bottle
        "session_id",  # CherryPy, Bottle plugins
    }
)

_LONGEST_PATH = 1024  # bytes; browsers ignore a longer one (RFC 6265bis section 5.6)
# A cookie that every parser reads as one cookie, and after which it reads on. Others make some
# parsers raise or stop.
_PLAIN = re.compile(
    r"""(?!\$)[!#$%&'*+\-.^_`|~0-9A-Za-z]+[ \t]*=[ \t]*("?)[!#-+\--:<-\[\]-~]*\1[ \t]*""", re.ASCII
)
_RESERVED = frozenset(  # names that http.cookies reads as attributes
    {"comment", "domain", "expires", "httponly", "max-age", "partitioned", "path", "samesite"}
    | {"secure", "version"}
)
MAX_COOKIE_BYTES = 4096  # of name and value; RFC 6265 section 6.1, browsers ignore longer ones

# Separators of cookies: `;`, a comma that may join two Cookie lines (gunicorn does this), and
# white space before a possible name, where Python's http.cookies begins another cookie.
_BETWEEN = re.compile(
    r"(;[\t-\r ]*|,(?=[^,;=]*=)[\t-\r ]*|(?<![\t-\r ,;=])[\t-\r ]+(?=[^\t-\r ,;=]+[\t-\r ]*=))"
)
_QUOTED = re.compile(r'[\t-\r ]*"(?:[^"\\]|\\.)*"')  # a quoted-string may contain any separator
_IN_NAMES = r"!#$%&'*+\-.^_`|~0-9A-Za-z"  # RFC 6265 section 4.1.1, RFC 9110 section 5.6.2
_NOT_TOKEN = re.compile(rf"[^{_IN_NAMES}]")
# Text that a parser could read as a name: the last token before a `=`.
_NAME = re.compile(rf"(?<![{_IN_NAMES}])([{_IN_NAMES}]+)[^{_IN_NAMES}=]*=")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# Cookies that a framework's JavaScript reads and echoes: Django's, for AJAX.
_READ_BY_SCRIPTS = frozenset({"csrftoken"})
_HOST_PREFIX = "__host-"  # browsers accept such a cookie only for a whole origin
_OF_THE_SITE = re.compile(rf"{re.escape(COOKIE_PREFIX)}(?:hint|copy)")
# Prefixes that apps may put before their usual names (RFC 6265bis section 4.1.3).
_NAME_PREFIX = re.compile(r"__(?:secure-|http-|host-(?:http-)?)")


# The Cookie headers that browsers send (RFC 6265 section 4.2.1). All parsers read them alike.
_PLAIN_COOKIE = rf"[{_IN_NAMES}]+=[!#-+\--:<-\[\]-~]*"
_PLAIN_HEADER = re.compile(rf"{_PLAIN_COOKIE}(?:; {_PLAIN_COOKIE})*")


class CookiePolicy:
    """Decides which cookies pass in each direction, by the withheld names.

    Names are compared in lower case, without non-token characters, and both with and without a
    prefix that has a meaning to browsers (`__Host-`). Parsers differ in the characters that they
    strip from a name (white space, NBSP, quotes), so we strip all of them.
    """

    def __init__(self, withheld: Iterable[str]) -> None:
        self.withheld = frozenset(_bare_name(name) for name in withheld) - {""}
        self.limits = CookieLimits()
        names = [rf"{re.escape(COOKIE_PREFIX)}[^=]*", *map(re.escape, sorted(self.withheld))]
        self._withheld_plain = re.compile(
            rf"; (?:{_NAME_PREFIX.pattern})?(?:{'|'.join(names)})=[^;]*", re.ASCII | re.IGNORECASE
        )

    def for_service(
        self, cookie_header: str, port: int, *, of_this_host: bool = False, shared: bool = False
    ) -> str:
        """A Cookie header without the withheld cookies; all other bytes and their order stay.

        A withheld name counts wherever a parser could find it: also within another cookie's quotes,
        after a comma and after a space. The text after such a cookie, up to the next `;`, is
        removed too, since it may belong to the value. Cookies that we renamed for this port get
        their original names back.

        of_this_host: as in `for_visitor`. shared: whether services share their cookies with each
        other, as in the port form. Then a renamed cookie takes the place of any other of its name.
        """
        own = _own(port, of_this_host=of_this_host)
        if shared and own in cookie_header:
            cookie_header = _without_twins(cookie_header, own)
        if own not in cookie_header and _PLAIN_HEADER.fullmatch(cookie_header):
            return self._withheld_plain.sub("", f"; {cookie_header}")[2:]
        kept = []
        lost = None  # the separator in front of the removed cookies
        for separator, pair, is_withheld in self._pairs(cookie_header, own, shared=shared):
            if is_withheld:
                lost = separator if lost is None else lost
                continue
            if lost is not None and not (lost and separator.startswith(";")):
                separator = lost  # it now stands between the two neighbours
            kept += [separator, pair]
            lost = None
        return "".join(kept)

    def _pairs(
        self, cookie_header: str, own: str, *, shared: bool
    ) -> Iterator[tuple[str, str, bool]]:
        """The separator before each pair, the pair, and whether it is withheld."""
        pieces = _BETWEEN.split(cookie_header)
        position = end_of_quotes = 0
        is_withheld = False
        for separator, pair in zip(["", *pieces[1::2]], pieces[::2], strict=True):
            position += len(separator)
            is_rest = is_withheld and not separator.startswith(";")
            is_quoted = position < end_of_quotes
            is_withheld = is_rest or is_quoted
            name, equals, _ = pair.partition("=")
            # webob skips an empty name and reads the next one. It also reads names after quotes,
            # which may end anywhere.
            if not is_withheld and (not _bare_name(name) or '"' in pair):
                is_withheld = any(map(self._withholds, _NAME.findall(pair)))
            if not is_quoted and self._could_be_withheld(name):
                if not is_rest and self._is_renamed(name, own, shared=shared):
                    yield separator, pair[len(own) :], False
                    position += len(pair)
                    continue
                is_withheld = True
                quotes = _QUOTED.match(cookie_header, position + len(name + equals))
                end_of_quotes = quotes.end() if quotes else 0
            yield separator, pair, is_withheld
            position += len(pair)

    def for_visitor(
        self,
        set_cookie: str,
        target: Target,
        *,
        needs_path: bool,
        of_this_host: bool = False,
        secure: bool = False,
        sent: Container[str] = (),
    ) -> list[str]:
        """Set-Cookie values with the Path under the prefix and no Domain; none if it may not pass.

        All other bytes stay, except that a name of the app's gets the port's prefix. A Path that
        already lies under the prefix stays.

        needs_path: add a Path if there is none, because the one that browsers would assume lies
            above the prefix (RFC 6265 section 5.1.4).
        of_this_host: the port has its own host name, on https.
        sent: the names of the cookies that the visitor sent.
        secure: the site is on https. Add a Secure if there is none, since a service that is told
            http cannot know this.
        """
        pair, *attributes = set_cookie.split(";")
        if _CONTROL.search(set_cookie) or not self._may_be_set(pair):
            return []
        kept, is_for_scripts = _scoped(attributes, target.prefix, needs_path=needs_path)
        if secure and len(_without(kept, "secure")) == len(kept):
            kept.append(" Secure")
        name = pair.partition("=")[0].strip(" \t")
        # Where services share their cookies, one that no script reads is this port's alone.
        is_apart = target.form.has_own_number and _NOT_TOKEN.search(name) is None
        is_removed = is_apart and parse_set_cookie(set_cookie, "").expired  # under either name
        is_own = is_apart and (is_removed or _is_http_only(kept))
        own = _own(target.port, of_this_host=of_this_host)
        if not (is_own or self._renames(name)):
            values = [";".join([pair, *kept])]
            if is_apart and own + name in sent:  # else that one would go on in its place
                place = " Path=/; Secure" if of_this_host else f" Path={target.prefix}/"
                values.append(f"{own}{name}=; Max-Age=0;{place}")
            return values
        renamed = own + pair.lstrip(" \t")
        if of_this_host:
            values = [";".join([renamed, *_without(kept, "path", "secure"), " Path=/; Secure"])]
        else:
            values = [";".join([renamed, *kept])]
        if is_removed and not self._renames(name):
            values.append(";".join([pair, *kept]))
        # Where services share their cookies, it must not take the place of the app's own.
        is_free = not target.form.shares_cookies or name not in sent
        has_copy = target.form.keeps_pages and is_free
        if is_for_scripts and name in _READ_BY_SCRIPTS and has_copy:
            # A page's scripts look for the original name, and find this cookie before the app's,
            # which has a shorter Path (RFC 6265 section 5.4) or belongs to another host. No page of
            # the app lies under this Path, and no service ever gets this cookie.
            values.append(";".join([pair, *kept]))
        return values

    def is_one(self, set_cookie: str, target: Target) -> bool:
        """Whether a Set-Cookie may pass and every parser finds exactly one cookie in it.

        A second cookie could have any name, even one of the app's.
        """
        pair = set_cookie.partition(";")[0].strip(" \t")
        if _BETWEEN.search(pair) is not None:
            return False
        return bool(self.for_visitor(set_cookie, target, needs_path=False))

    def withheld_of(self, cookie_header: str) -> str:
        """The app's own cookies in a Cookie header.

        They distinguish visitors, and are the same in all requests of a page.
        """
        pairs = (pair.strip() for pair in cookie_header.split(";"))
        return ";".join(sorted(filter(self._is_apps, pairs)))

    def _is_apps(self, pair: str) -> bool:
        name = pair.partition("=")[0]
        if name in _READ_BY_SCRIPTS:  # may also be a service's own
            return False
        return self._withholds(name) and not _is_ours(_bare_name(name))

    def sent(self, cookie_header: str) -> dict[str, int]:
        """The size in bytes of each cookie in a Cookie header, except the hints and copies, for
        which there is room.
        """
        pairs = (pair.strip() for pair in cookie_header.split(";"))
        names = ((pair.partition("=")[0].strip(" \t"), pair) for pair in pairs)
        return {name: len(pair) for name, pair in names if not _OF_THE_SITE.match(name)}

    def withholds_any(self, cookie_header: str) -> bool:
        """Whether a Cookie header has a cookie by which the app could recognise the visitor."""
        names = (pair.partition("=")[0] for pair in re.split("[;,]", cookie_header))
        return any(self._withholds(name) for name in names if not _is_ours(_bare_name(name)))

    def _may_be_set(self, pair: str) -> bool:
        """Whether a service may set the cookie `name=value`, perhaps renamed.

        It may not if the cookie has no name, if some parser that the app may use would find a
        withheld name in the value, if only some parsers would read its name as a withheld one, or
        if it is so large that browsers would ignore it.
        """
        name, equals, value = pair.partition("=")
        if not (equals and _bare_name(name)) or len(pair) > MAX_COOKIE_BYTES:
            return False
        if self._renames(name.strip(" \t")):
            return not any(map(self._withholds, _NAME.findall(value)))
        if _bare_name(name).startswith(_HOST_PREFIX):
            return False
        return not any(map(self._withholds, [name, *_NAME.findall(pair)]))

    def _renames(self, name: str) -> bool:
        """Whether a service's cookie is renamed in the browser.

        A cookie is renamed if it has a name of the app's, or begins with `__Host-`, which browsers
        accept for a whole origin only. A name that two parsers could read differently is not
        renamed; `_may_be_set` drops that cookie.
        """
        if _NOT_TOKEN.search(name) is not None:
            return False
        return self._withholds(name) or _bare_name(name).startswith(_HOST_PREFIX)

    def _is_renamed(self, name: str, own: str, *, shared: bool) -> bool:
        """Whether a name, as sent, is one that we gave to a cookie of this port."""
        if not name.startswith(own):
            return False
        original = name[len(own) :]
        if shared and original:
            return _NOT_TOKEN.search(original) is None
        return self._renames(original)

    def _could_be_withheld(self, name: str) -> bool:
        """Whether some parser reads a name, as sent, as a withheld one.

        webob finds the cookie `sessionid` in `a"sessionid=S`.
        """
        if self._withholds(name):
            return True
        tokens = _NOT_TOKEN.split(name)
        return len(tokens) > 1 and any(map(self._withholds, tokens))

    def _withholds(self, name: str) -> bool:
        bare = _bare_name(name)
        if _is_ours(bare):
            return True
        return bare in self.withheld or _without_prefix(bare) in self.withheld


def is_plain(set_cookie: str) -> bool:
    """Whether every parser reads the pair of a Set-Cookie as one cookie if it is sent back with
    others."""
    pair = set_cookie.partition(";")[0].strip(" \t")
    name = pair.partition("=")[0].rstrip(" \t").lower()
    return _PLAIN.fullmatch(pair) is not None and name not in _RESERVED


def _own(port: int, *, of_this_host: bool) -> str:
    """The name prefix of cookies that are renamed for a port."""
    return f"{_OF_THIS_HOST if of_this_host else ''}{COOKIE_PREFIX}{port}."


def _without_twins(cookie_header: str, own: str) -> str:
    """A Cookie header without the cookies that have the original name of one renamed for a port."""
    pairs = cookie_header.split(";")
    names = [pair.partition("=")[0].strip(" \t") for pair in pairs]
    renamed = {name[len(own) :] for name in names if name.startswith(own)}
    kept = (pair for name, pair in zip(names, pairs, strict=True) if name not in renamed)
    return ";".join(kept).lstrip(" \t")


def of_this_port(value: str, cookie_header: str, port: int, *, of_this_host: bool) -> str:
    """The value of a header in which a page's scripts echo a cookie, such as `X-CSRFToken`.

    Where services share their cookies, scripts find the wrapped app's under that name. Then the
    service gets the value of its own, and does not see the app's.
    """
    pairs = [pair.strip(" \t").partition("=") for pair in cookie_header.split(";")]
    own = _own(port, of_this_host=of_this_host)
    for name in _READ_BY_SCRIPTS:
        of_service = [text for renamed, _, text in pairs if renamed == own + name]
        if of_service and any(one == name and text == value for one, _, text in pairs):
            return of_service[0]
    return value


def _is_http_only(attributes: list[str]) -> bool:
    return len(_without(attributes, "httponly")) < len(attributes)


def _is_ours(bare: str) -> bool:
    return bare.startswith(COOKIE_PREFIX) or _without_prefix(bare).startswith(COOKIE_PREFIX)


def _without(attributes: list[str], *names: str) -> list[str]:
    return [one for one in attributes if one.partition("=")[0].strip(" \t").lower() not in names]


def without_own(cookie_header: str) -> str:
    """A Cookie header without our own cookies, for asking the app about its visitor.

    Ours change with every page of a service, and say nothing about the visitor.
    """
    pairs = cookie_header.split(";")
    theirs = (pair for pair in pairs if not _is_ours(_bare_name(pair.partition("=")[0])))
    return ";".join(theirs).lstrip()


def _scoped(attributes: list[str], prefix: str, *, needs_path: bool) -> tuple[list[str], bool]:
    """The attributes that confine a cookie to `prefix`, and whether it has a Path and scripts may
    read it."""
    kept, path, http_only = [], "", False
    for attribute in attributes:
        name, _, value = attribute.partition("=")
        name = name.strip(" \t").lower()
        if name == "path" and len(value) > _LONGEST_PATH:
            needs_path = True
            continue
        if name == "path":
            path = value.strip(" \t")
            attribute = _moved(attribute, path.strip('"'), prefix)
        http_only = http_only or name == "httponly"
        if name not in ("domain", "priority"):  # Priority would make it outlive the app's
            kept.append(attribute)
    if needs_path and not path.startswith("/"):
        kept.append(f" Path={prefix}/")
    return kept, path.startswith("/") and not http_only


def _moved(attribute: str, path: str, prefix: str) -> str:
    """A Path attribute with its value `path` moved under the prefix."""
    if not path.startswith("/") or path == prefix or path.startswith(prefix + "/"):
        return attribute
    start = attribute.index("/")
    return attribute[:start] + prefix + attribute[start:]


def _without_prefix(bare: str) -> str:
    prefix = _NAME_PREFIX.match(bare)
    return bare if prefix is None else bare[prefix.end() :]


def _bare_name(name: str) -> str:
    return _NOT_TOKEN.sub("", name).lower()
