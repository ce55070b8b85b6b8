"""Cookies across the two sides: the app's never reach a service, a service's never reach the app.

Both directions are textual: what may pass keeps its bytes, since services compare them (Streamlit's
uploads check a cookie against a header byte for byte). A service's own cookie of a name that is the
app's, such as `session`, is called `portproxy.16006.session` in the browser, so that both exist.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from .locate import Target

#: Begins the names of our own cookies: `portproxy.16006` remembers where a port was opened (see
#: `strays`), `portproxy.16006.session` is the cookie `session` of the service on that port, and
#: `portproxy.16006!session` the copy of it that reaches handshakes at the root of the site.
OWN_PREFIX = "portproxy."
_COPY = "!"
# Bytes of name and value of which such a copy is made, and of all copies beyond which no more are:
# they go along with all requests to the app, whose servers take about 8 KiB of a field and refuse
# everything beyond. Signed sessions are some hundred.
_MAX_COPY, _MAX_COPIES = 512, 1536

_COPIED = re.compile(rf"{re.escape(OWN_PREFIX)}[0-9]{{1,5}}{_COPY}[^;,]*")

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

# Browsers keep about 180 cookies of a site and evict the oldest: more than a few from a service
# would throw out the app's.
MAX_SET_COOKIES = 50
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

    def adding(self, names: object) -> CookiePolicy:
        """The same policy with more names withheld: what an authorizer says of itself.

        Anything but a collection of names counts as none: any callable may be an authorizer.
        """
        more = names if isinstance(names, (set, frozenset, list, tuple)) else ()
        return CookiePolicy([*self.withheld, *more])

    def for_service(self, cookie_header: str, port: int, *, astray: bool = False) -> str:
        """A Cookie header without the withheld cookies; all other bytes and their order unchanged.

        A withheld name counts wherever a parser could see one: also within another cookie's quotes,
        behind a comma and behind a space. Those that we renamed for this port have their own names
        again; of a request that is `astray` it is the copies that have.
        """
        return _filtered(self, cookie_header, f"{OWN_PREFIX}{port}{_COPY if astray else '.'}")

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
        for separator, pair in zip(["", *pieces[1::2]], pieces[::2], strict=True):
            position += len(separator)
            is_withheld = position < end_of_quotes
            name, equals, _ = pair.partition("=")
            if not is_withheld and self._could_be_withheld(name):
                if pair.startswith(own) and self._is_renamed(name[len(own) :], own):
                    yield separator, pair[len(own) :], False
                    position += len(pair)
                    continue
                is_withheld = True
                quotes = _QUOTED.match(cookie_header, position + len(name + equals))
                end_of_quotes = quotes.end() if quotes else 0
            yield separator, pair, is_withheld
            position += len(pair)

    def for_visitor(self, set_cookie: str, target: Target, *, needs_path: bool) -> list[str]:
        """Set-Cookie values with the Path under the prefix and no Domain; none if it may not pass.

        Everything else keeps its bytes, but for a name that is the app's, which gets the port's in
        front. A Path that lies under the prefix already stays. `needs_path`: add a Path if there is
        none, because the one that browsers would assume lies above the prefix (RFC 6265 section
        5.1.4).
        """
        pair, *attributes = set_cookie.split(";")
        if _CONTROL.search(set_cookie) or not self._may_be_set(pair):
            return []
        kept, is_for_scripts = _scoped(attributes, target.prefix, needs_path=needs_path)
        name = pair.partition("=")[0].strip(" \t")
        if not self._renames(name):
            return [";".join([pair, *kept])]
        renamed = f"{OWN_PREFIX}{target.port}." + pair.lstrip(" \t")
        values = [";".join([renamed, *kept])]
        if is_for_scripts and name in _READ_BY_SCRIPTS and target.form in ("path", "host"):
            # A page's scripts look for it by its name, and find this one before the app's, whose
            # Path is shorter (RFC 6265 section 5.4) or which is another host's. No page of the app
            # is there, and no service is ever sent it.
            values.append(";".join([pair, *kept]))
        return values

    def for_handshakes(
        self, set_cookie: str, target: Target, root: str, *, copied: int = 0
    ) -> list[str]:
        """A Set-Cookie value for the copy that a WebSocket handshake at the root of the site takes
        along; none if there is to be no copy.

        The service's page opens `ws://host/ws`, no browser follows a redirect of a handshake, and
        the cookie is kept to the prefix, out of its reach. Only what the service would get at its
        root is copied. Scripts do not see the copy, and no other service and no app reads it.
        `root`: SCRIPT_NAME as it stands in a URL. `copied`: bytes of the copies that there are.
        """
        pair, *attributes = set_cookie.split(";")
        if target.form != "path" or len(pair) > _MAX_COPY or copied + len(pair) > _MAX_COPIES:
            return []
        if _BETWEEN.search(pair.strip(" \t")):  # the rest would be another cookie, of any service's
            return []
        if not self.for_visitor(set_cookie, target, needs_path=False):
            return []
        kept, path = [], ""
        for attribute in attributes:
            name, _, value = attribute.partition("=")
            name = name.strip(" \t").lower()
            path = value.strip(' \t"') if name == "path" else path
            if name not in ("path", "domain", "httponly"):
                kept.append(attribute)
        if not path.startswith("/"):  # RFC 6265 section 5.1.4
            path = target.path.partition("?")[0].rpartition("/")[0] or "/"
        if path not in ("/", target.prefix, f"{target.prefix}/"):
            return []
        copy = f"{OWN_PREFIX}{target.port}{_COPY}" + pair.lstrip(" \t")
        return [";".join([copy, *kept, f" Path={root}/; HttpOnly"])]

    def withholds_any(self, cookie_header: str) -> bool:
        """Whether a Cookie header holds a cookie by which the app could know the visitor."""
        names = (pair.partition("=")[0] for pair in re.split("[;,]", cookie_header))
        apps = (name for name in names if not name.strip().startswith(OWN_PREFIX))
        return any(map(self._withholds, apps))

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

    def _is_renamed(self, name: str, own: str) -> bool:
        """Whether we made the name `own` + `name`: of a copy any may be."""
        return self._renames(name) or (own.endswith(_COPY) and bool(_bare(name)))

    def _could_be_withheld(self, name: str) -> bool:
        """Whether some parser takes a name as it was sent for a withheld one: webob's reads the
        cookie `sessionid` in `a"sessionid=S`."""
        return self._withholds(name) or any(map(self._withholds, _NOT_TOKEN.split(name)))

    def _withholds(self, name: str) -> bool:
        bare = _bare(name)
        if bare.startswith(OWN_PREFIX):
            return True
        return bare in self.withheld or _NAME_PREFIX.sub("", bare) in self.withheld


@lru_cache(maxsize=256)  # browsers send the same Cookie field again with each request of a page
def _filtered(policy: CookiePolicy, cookie_header: str, own: str) -> str:
    return policy._without_withheld(cookie_header, own)


def copied_bytes(cookie_header: str) -> int:
    """How much of a Cookie header are copies for handshakes."""
    return sum(map(len, _COPIED.findall(cookie_header)))


def without_own(cookie_header: str) -> str:
    """A Cookie header without our own cookies, for who asks the app about its visitor: they change
    with every page of a service, and are the services'."""
    pairs = cookie_header.split(";")
    return ";".join(pair for pair in pairs if not pair.lstrip().startswith(OWN_PREFIX)).lstrip()


def _scoped(attributes: list[str], prefix: str, *, needs_path: bool) -> tuple[list[str], bool]:
    """The attributes of a cookie that is kept to `prefix`, and whether scripts may read it and its
    Path says that it is this prefix's."""
    kept, path, http_only = [], "", False
    for attribute in attributes:
        name, _, value = attribute.partition("=")
        name = name.strip(" \t").lower()
        if name == "path":
            path = value.strip(" \t")
            attribute = _moved(attribute, path.strip('"'), prefix)
        http_only = http_only or name == "httponly"
        if name != "domain":
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
