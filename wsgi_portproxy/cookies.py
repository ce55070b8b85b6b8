"""Cookies across the two sides: the app's never reach a service, a service's never reach the app.

Both directions are textual: what may pass keeps its bytes, since services compare them (Streamlit's
uploads check a cookie against a header byte for byte). A service's own cookie of a name that is the
app's, such as `session`, is called `portproxy.16006.session` in the browser, so that both exist.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from .cookie_limits import CookieLimits
from .locate import Target

#: Begins the names of our own cookies: `portproxy.16006.session` is the cookie `session` of the
#: service on that port, `portproxy.hint3` remembers where a service was opened (see `strays`), and
#: `portproxy.copy3` has the cookies of one for handshakes at the root of the site (see `copies`).
OWN_PREFIX = "portproxy."
# In the host form on https, for what has a name of ours: browsers take it from this very host only,
# so that no sibling's page can set it for the domain that they share (RFC 6265bis section 4.1.3.2).
_OF_THIS_HOST = "__Host-"

#: Cookies by which common frameworks know a visitor; withheld unless told otherwise.
DEFAULT_WITHHELD = frozenset(
    {
        "sessionid",  # Django's session
        "csrftoken",  # Django's CSRF secret
        "messages",  # Django's messages, texts meant for the visitor
        "session",  # Flask, Starlette, Pyramid
        "remember_token",  # Flask-Login
        "auth_tkt",  # Pyramid, repoze.who
        "beaker.session.id",  # Beaker: Pylons, Bottle
        "session_id",  # CherryPy, Bottle plugins
    }
)

_LONGEST_PATH = 1024  # bytes; browsers ignore a longer one (RFC 6265bis section 5.6)
_LONGEST_KEPT = 8192  # characters of a Cookie field that is kept as it was filtered
# What every parser reads as one cookie and goes on behind: others raise, or stop there.
_PLAIN = re.compile(
    r"""(?!\$)[!#$%&'*+\-.^_`|~0-9A-Za-z]+[ \t]*=[ \t]*("?)[!#-+\--:<-\[\]-~]*\1[ \t]*""", re.ASCII
)
_RESERVED = frozenset(  # names that http.cookies takes for attributes
    {"comment", "domain", "expires", "httponly", "max-age", "partitioned", "path", "samesite"}
    | {"secure", "version"}
)
MAX_COOKIE_BYTES = 4096  # of name and value; RFC 6265 section 6.1, browsers ignore longer ones

# Between two cookies: `;`, a comma that may join two Cookie lines (gunicorn joins them so), and
# white space before what looks like a name, where Python's http.cookies sees another cookie.
_BETWEEN = re.compile(
    r"(;[\t-\r ]*|,(?=[^,;=]*=)[\t-\r ]*|(?<![\t-\r ,;=])[\t-\r ]+(?=[^\t-\r ,;=]+[\t-\r ]*=))"
)
_QUOTED = re.compile(r'[\t-\r ]*"(?:[^"\\]|\\.)*"')  # a quoted-string may hold all of these
_IN_NAMES = r"!#$%&'*+\-.^_`|~0-9A-Za-z"  # RFC 6265 section 4.1.1, RFC 9110 section 5.6.2
_NOT_TOKEN = re.compile(rf"[^{_IN_NAMES}]")
# Whatever a parser could take for a name: the last token before a `=`.
_NAME = re.compile(rf"(?<![{_IN_NAMES}])([{_IN_NAMES}]+)[^{_IN_NAMES}=]*=")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# Those of them that frameworks have their scripts read and send back: Django's, for AJAX.
_READ_BY_SCRIPTS = frozenset({"csrftoken"})
_HOST_PREFIX = "__host-"  # browsers take such a cookie for a whole origin only
_OF_THE_SITE = re.compile(rf"{re.escape(OWN_PREFIX)}(?:hint|copy)")
# What apps may put before their usual names (RFC 6265bis section 4.1.3).
_NAME_PREFIX = re.compile(r"^__(?:secure-|http-|host-(?:http-)?)")


class CookiePolicy:
    """Knows the withheld names. They are compared in lower case, without odd characters, and with
    and without a prefix that means something to browsers (`__Host-`).

    Parsers differ on what they strip from a name (white space, NBSP, quotes), so all of it is.
    """

    def __init__(self, withheld: Iterable[str]) -> None:
        if isinstance(withheld, str):
            raise TypeError("withhold_cookies must be a collection of names, not one string")
        self.withheld = frozenset(_bare(name) for name in withheld) - {""}
        self.limits = CookieLimits()

    def adding(self, names: object) -> CookiePolicy:
        """The same policy with more names withheld: what an authorizer says of itself.

        Anything but a collection of names counts as none: any callable may be an authorizer.
        """
        more = names if isinstance(names, (set, frozenset, list, tuple)) else ()
        return CookiePolicy([*self.withheld, *more])

    def for_service(self, cookie_header: str, port: int, *, of_this_host: bool = False) -> str:
        """A Cookie header without the withheld cookies; all other bytes and their order unchanged.

        A withheld name counts wherever a parser could see one: also within another cookie's quotes,
        behind a comma and behind a space. What follows such a cookie goes with it, up to the next
        `;`: it may be the rest of its value. Those that we renamed for this port have their own
        names again. `of_this_host`: as in `for_visitor`.
        """
        own = _own(port, of_this_host=of_this_host)
        if len(cookie_header) > _LONGEST_KEPT:
            return self._without_withheld(cookie_header, own)
        return _filtered(self, cookie_header, own)

    def _without_withheld(self, cookie_header: str, own: str) -> str:
        """`own`: what those that we renamed for this service begin with."""
        kept = []
        lost = None  # the separator before the first of those dropped since the last that was kept
        for separator, pair, is_withheld in self._pairs(cookie_header, own):
            if is_withheld:
                lost = separator if lost is None else lost
                continue
            if lost is not None and not (lost and separator.startswith(";")):
                separator = lost  # which stood between the two that are neighbours now
            kept += [separator, pair]
            lost = None
        return "".join(kept)

    def _pairs(self, cookie_header: str, own: str) -> Iterator[tuple[str, str, bool]]:
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
            # webob goes on to the next name in it, and behind quotes, which may end anywhere.
            if not is_withheld and (not _bare(name) or '"' in pair):
                is_withheld = any(map(self._withholds, _NAME.findall(pair)))
            if not is_quoted and self._could_be_withheld(name):
                if not is_rest and pair.startswith(own) and self._renames(name[len(own) :]):
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
    ) -> list[str]:
        """Set-Cookie values with the Path under the prefix and no Domain; none if it may not pass.

        Everything else keeps its bytes, but for a name that is the app's, which gets the port's in
        front. A Path that lies under the prefix already stays. `needs_path`: add a Path if there is
        none, because the one that browsers would assume lies above the prefix (RFC 6265 section
        5.1.4). `of_this_host`: the port has a host name of its own, on https. `secure`: the site is
        on https, which a service that is told http cannot know: add a Secure if there is none.
        """
        pair, *attributes = set_cookie.split(";")
        if _CONTROL.search(set_cookie) or not self._may_be_set(pair):
            return []
        kept, is_for_scripts = _scoped(attributes, target.prefix, needs_path=needs_path)
        if secure and len(_without(kept, "secure")) == len(kept):
            kept.append(" Secure")
        name = pair.partition("=")[0].strip(" \t")
        if not self._renames(name):
            return [";".join([pair, *kept])]
        renamed = _own(target.port, of_this_host=of_this_host) + pair.lstrip(" \t")
        if of_this_host:
            values = [";".join([renamed, *_without(kept, "path", "secure"), " Path=/; Secure"])]
        else:
            values = [";".join([renamed, *kept])]
        if is_for_scripts and name in _READ_BY_SCRIPTS and target.form in ("path", "host"):
            # A page's scripts look for it by its name, and find this one before the app's, whose
            # Path is shorter (RFC 6265 section 5.4) or which is another host's. No page of the app
            # is there, and no service is ever sent it.
            values.append(";".join([pair, *kept]))
        return values

    def is_one(self, set_cookie: str, target: Target) -> bool:
        """Whether a Set-Cookie may pass, and every parser finds one cookie in it: else the rest
        would be another, of any service's or the app's name."""
        pair = set_cookie.partition(";")[0].strip(" \t")
        if _BETWEEN.search(pair) is not None:
            return False
        return bool(self.for_visitor(set_cookie, target, needs_path=False))

    def withheld_of(self, cookie_header: str) -> str:
        """What a Cookie header holds of the app's own, by which it tells one visitor from another:
        the same with each of a page's requests."""
        pairs = (pair.strip() for pair in cookie_header.split(";"))
        return ";".join(sorted(filter(self._is_apps, pairs)))

    def _is_apps(self, pair: str) -> bool:
        name = pair.partition("=")[0]
        if name in _READ_BY_SCRIPTS:  # of which a service may set one of its own
            return False
        return self._withholds(name) and not _is_ours(_bare(name))

    def sent(self, cookie_header: str) -> dict[str, int]:
        """Of each cookie of a Cookie header its bytes, without ours for the whole site."""
        pairs = (pair.strip() for pair in cookie_header.split(";"))
        names = ((pair.partition("=")[0].strip(" \t"), pair) for pair in pairs)
        return {name: len(pair) for name, pair in names if not _OF_THE_SITE.match(name)}

    def withholds_any(self, cookie_header: str) -> bool:
        """Whether a Cookie header holds a cookie by which the app could know the visitor."""
        names = (pair.partition("=")[0] for pair in re.split("[;,]", cookie_header))
        return any(self._withholds(name) for name in names if not _is_ours(_bare(name)))

    def _may_be_set(self, pair: str) -> bool:
        """Whether a service may set the cookie `name=value`, be it by another name.

        Not one without a name; not one in whose value some of the parsers that the app may use
        would find a withheld name, nor one whose name only some of them would take for such; nor
        one so large that browsers would ignore it.
        """
        name, equals, value = pair.partition("=")
        if not (equals and _bare(name)) or len(pair) > MAX_COOKIE_BYTES:
            return False
        if self._renames(name.strip(" \t")):
            return not any(map(self._withholds, _NAME.findall(value)))
        if _bare(name).startswith(_HOST_PREFIX):
            return False
        return not any(map(self._withholds, [name, *_NAME.findall(pair)]))

    def _renames(self, name: str) -> bool:
        """Whether a service's cookie has another name in the browser: one that is the app's, and
        `__Host-`, which browsers accept for a whole origin only. What two parsers could read as two
        names is not renamed, and so does not pass."""
        if _NOT_TOKEN.search(name) is not None:
            return False
        return self._withholds(name) or _bare(name).startswith(_HOST_PREFIX)

    def _could_be_withheld(self, name: str) -> bool:
        """Whether some parser takes a name as it was sent for a withheld one: webob's reads the
        cookie `sessionid` in `a"sessionid=S`."""
        return self._withholds(name) or any(map(self._withholds, _NOT_TOKEN.split(name)))

    def _withholds(self, name: str) -> bool:
        bare = _bare(name)
        if _is_ours(bare):
            return True
        return bare in self.withheld or _NAME_PREFIX.sub("", bare) in self.withheld


@lru_cache(maxsize=256)  # browsers send the same Cookie field again with each request of a page
def _filtered(policy: CookiePolicy, cookie_header: str, own: str) -> str:
    return policy._without_withheld(cookie_header, own)


def is_plain(set_cookie: str) -> bool:
    """Whether every parser reads a Set-Cookie's pair, sent back beside others, as just that."""
    pair = set_cookie.partition(";")[0].strip(" \t")
    name = pair.partition("=")[0].rstrip(" \t").lower()
    return _PLAIN.fullmatch(pair) is not None and name not in _RESERVED


def _own(port: int, *, of_this_host: bool) -> str:
    """What begins the name of a cookie that was renamed for a port."""
    return f"{_OF_THIS_HOST if of_this_host else ''}{OWN_PREFIX}{port}."


def _is_ours(bare: str) -> bool:
    return bare.startswith(OWN_PREFIX) or _NAME_PREFIX.sub("", bare).startswith(OWN_PREFIX)


def _without(attributes: list[str], *names: str) -> list[str]:
    return [one for one in attributes if one.partition("=")[0].strip(" \t").lower() not in names]


def without_own(cookie_header: str) -> str:
    """A Cookie header without our own cookies, for who asks the app about its visitor: they change
    with every page of a service, and are the services'."""
    pairs = cookie_header.split(";")
    theirs = (pair for pair in pairs if not _is_ours(_bare(pair.partition("=")[0])))
    return ";".join(theirs).lstrip()


def _scoped(attributes: list[str], prefix: str, *, needs_path: bool) -> tuple[list[str], bool]:
    """The attributes of a cookie that is kept to `prefix`, and whether scripts may read it and its
    Path says that it is this prefix's."""
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
        if name not in ("domain", "priority"):  # the latter would keep it longer than the app's
            kept.append(attribute)
    if needs_path and not path.startswith("/"):
        kept.append(f" Path={prefix}/")
    return kept, path.startswith("/") and not http_only


def _moved(attribute: str, path: str, prefix: str) -> str:
    """A Path attribute, whose value is `path`, with that path under the prefix."""
    if not path.startswith("/") or path == prefix or path.startswith(prefix + "/"):
        return attribute
    start = attribute.index("/")
    return attribute[:start] + prefix + attribute[start:]


def _bare(name: str) -> str:
    return _NOT_TOKEN.sub("", name).lower()
