"""Which header fields pass, in both directions, as tables with the reason beside each row.

Owns names and what becomes of each; URLs inside values are `urlfields`'s, cookies are `cookies`'s.
Names are compared in lower case with every odd character read as `-`: `X_Forwarded_User` and
`X.Forwarded.User` reach CGI-like services as the same variable.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import compress
from operator import itemgetter
from typing import TYPE_CHECKING

from .cookie_limits import MAX_SET_COOKIES
from .cookies import CookiePolicy, is_plain
from .copies import copied, set_copies
from .locate import Target, is_browser
from .rewrite import View
from .set_cookie import SetCookie, parse_set_cookie
from .urlfields import URLS_TO_SERVICE, URLS_TO_VISITOR, link_to_visitor

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Headers = list[tuple[str, str]]

# RFC 9110 section 7.6.1 and RFC 9113 section 8.2.2: they speak of one connection, not of the
# message. `proxy-*` is covered by the prefixes below.
HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings"}
)

NOT_TO_SERVICE = HOP_BY_HOP | {
    "host",  # ours, by identity
    "content-length",  # ours, by what is read
    "content-type",  # WSGI has it outside HTTP_*
    "expect",  # answered by the server; a 100 from the service would come too late
    "forwarded",  # RFC 7239; only we know who is in front of the service
    "x-forwarded",
    "via",  # ours, with what came
    "proxy",  # CGI's HTTP_PROXY (CVE-2016-5385)
    "version",  # gunicorn's HTTP_VERSION of an HTTP/2 request, which no visitor sent
    # Who the visitor is, for services that trust a proxy.
    "x-auth-user",
    "x-auth-username",
    "x-auth-email",
    "x-auth-groups",
    "x-auth-roles",
    "x-user",
    "x-username",
    "x-user-id",
    "x-user-name",
    "x-user-email",
    "x-user-groups",
    "x-user-roles",
    "x-email",
    "x-groups",
    "x-user-role",
    "x-role",
    "x-roles",
    "x-auth-name",
    "x-auth-userid",
    "x-jwt-assertion",
    "x-serverless-authorization",
    "tailscale-app-capabilities",
    "l5d-client-id",
    "x-userinfo",  # Kong's OIDC plugin, lua-resty-openidc
    "x-anonymous-consumer",  # Kong
    "x-proxy-user",
    "x-ms-client-principal",
    "x-client-dn",
    "x-client-verify",
    "x-arr-clientcert",  # Azure
    "client-cert",  # RFC 9440, as the next
    "client-cert-chain",
    "x-endpoint-api-userinfo",  # Google's API gateways, as the next
    "x-apigateway-api-userinfo",
    # Where the visitor is.
    "x-real-ip",
    "x-client-ip",
    "client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "fastly-client-ip",
    "fly-client-ip",
    "cf-connecting-ipv6",
    "incap-client-ip",
    "x-sucuri-clientip",
    "do-connecting-ip",
    "x-azure-clientip",
    "x-azure-socketip",
    "x-nf-client-connection-ip",
    "x-originating-ip",
    # What is asked for, and at which address; would bypass what was judged.
    "x-rewrite-url",
    "x-host",
    "x-http-host-override",
    "x-script-name",
    "x-gradio-server",
    "x-scheme",
    "x-url-scheme",
    "front-end-https",
    "x-middleware-subrequest",  # Next.js before 15.2.3 takes it for its own, and asks nobody
    "x-sendfile-type",  # how the service is to hand files to its front-end (Rack); as the next two
    # Another method than was judged.
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
}
NOT_TO_SERVICE_PREFIXES = (
    "proxy-",
    "x-forwarded-",
    "x-original-",  # likewise what is asked for: X-Original-URL, -URI, -Host, -Method
    "x-portproxy-",
    "remote-",  # who the visitor is, as above: Authelia's Remote-User, -Groups, -Name, -Email
    "x-remote-",
    "x-auth-request-",  # oauth2-proxy
    "x-authentik-",
    "x-goog-authenticated-user-",
    "x-ms-client-principal-",
    "tailscale-user-",
    "ssl-client-",
    "x-ssl-",
    "x-client-cert",
    "x-amzn-mtls-",
    "x-authenticated-",  # Kong's -Userid and -Scope, and others' -User
    "x-consumer-",  # Kong, as the next
    "x-credential-",
    "x-webauth-",  # Grafana, Gitea
    "x-authelia-",
    "x-vouch-",
    "x-shib-",
    "x-appengine-user-",
    "x-saml-",
    "x-sso-",
    "oidc-",  # mod_auth_openidc: OIDC_CLAIM_sub, OIDC_access_token
    "shib-",  # Shibboleth
    "mellon-",
    "kubeflow-",
    "impersonate-",  # Kubernetes
    "rstudio-connect-",  # Posit Connect's -Credentials, as the next
    "posit-connect-",
    "teleport-",
    "ms-aspnetcore-",  # IIS, as the next
    "x-iis-",
    "wl-proxy-",  # WebLogic
    "x-envoy-",  # Envoy: orders to it, and whom it believes to come from inside
    "x-accel-",  # nginx: where a service's files are, and orders to it
    # Proof for the wrapped app of who the visitor is: as good as its session cookie.
    "cf-access-",
    "x-amzn-oidc-",
    "x-goog-iap-",
    "x-ms-token-",
    "x-pomerium-",
)

# What is filtered on the way, one by one. A visitor's `Connection` may name these two without
# effect: a service that compares them would take what has none for its own.
_NEVER_HOP_BY_HOP = frozenset({"origin", "referer"})
_FILTERED_TO_SERVICE = frozenset(
    {"cookie", "authorization", *(name.lower() for name, _ in URLS_TO_SERVICE.values())}
)

NOT_TO_VISITOR = HOP_BY_HOP | {
    "date",  # the WSGI server's to say; werkzeug would send two. Likewise the next
    "server",
    "status",  # PEP 3333 forbids it: CGI-like front ends would take it for the status
    "x-send-file",  # tells a front-end server to send a file of its own; more in the prefixes
    "clear-site-data",  # logs the visitor out of the wrapped app; all below act on the whole origin
    "strict-transport-security",
    "expect-ct",
    "alt-svc",
    "nel",
    "report-to",
    "reporting-endpoints",
    "accept-ch",
    "accept-ch-lifetime",
    "critical-ch",
    "origin-agent-cluster",
    "set-login",
    "idp-signin-status",
    "shared-storage-write",
    "observe-browsing-topics",
    "activate-storage-access",
    "use-as-dictionary",  # RFC 9842: for every URL of the origin that it cares to name
    "cache-control",  # ours, made private
    "cache-tag",  # instructions to shared caches, against `private`; more in the prefixes
    "cache-tags",
    "xkey",
    "x-xkey",
    "x-cache-tags",
    "x-key",
    "cdn-tag",
    "cf-edge-cache",
    "vercel-cache-tag",
    "cache-groups",  # RFC 9875, as the next
    "cache-group-invalidation",
    "set-cookie2",  # RFC 2965
    "x-appengine-blobkey",  # App Engine's X-Sendfile
    "x-arr-disable-session-affinity",
}
NOT_TO_VISITOR_PREFIXES = (
    "x-accel-",  # nginx: internal redirects to the app's protected files
    "x-sendfile",
    "x-lighttpd-",
    "x-litespeed-",
    "x-reproxy-",
    "x-envoy-",
    "public-key-pins",
    "secure-session-",  # binds the origin's sessions to this device (DBSC), as the next
    "sec-session-",
    "attribution-reporting-",
    "ad-auction-",
    "surrogate-",
    "edge-",
    "netlify-",
    "akamai-",
    "fly-replay",  # has Fly's proxy send the visitor's request to another app
    "proxy-",  # between a proxy and its client
    "x-portproxy-",
)

_LONGEST_KEPT = 2048  # characters of a value by which something is kept
_ODD = re.compile(r"[^a-z0-9]")
_NAME_OF = itemgetter(0)
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# Nothing that browsers would resolve, decode or strip: `..%2f`, `%2e`, `\\`, tabs.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._~-]*")
_SAY_NOTHING = frozenset({"", "close", "keep-alive"})  # of other fields
_SHARED_DIRECTIVES = frozenset({"public", "s-maxage", "proxy-revalidate"})


class HeaderNames:
    """Names of header fields that a deployment gives: `X-Corp-User`, or `X-Corp-*` for all that
    begin so. They are compared as those of the tables here.

    Raises `TypeError` or `ValueError`, with the name of the `setting`.
    """

    def __init__(self, setting: str, names: Iterable[str]) -> None:
        if isinstance(names, str):
            raise TypeError(f"{setting} must be a collection of names, not one string")
        given = [*names]
        for name in given:
            if _TOKEN.fullmatch(name) is None or "*" in name[:-1] or name == "*":
                raise ValueError(f"{setting} takes names such as X-User or X-User-*: {name!r}")
        self._names = frozenset(_canonical(one) for one in given if not one.endswith("*"))
        self._prefixes = tuple(_canonical(one[:-1]) for one in given if one.endswith("*"))

    def match(self, canonical: str) -> bool:
        return canonical in self._names or canonical.startswith(self._prefixes)


def request_headers(
    environ: WSGIEnvironment,
    view: View,
    cookies: CookiePolicy,
    *,
    withhold_authorization: bool,
    withheld: HeaderNames | None = None,
) -> Headers:
    """The fields for the service but those that announce the body. Nothing is added for show.

    Host first, then the visitor's as they are, then those that are filtered, then X-Forwarded-* and
    its like.
    """
    # Most of an environ is no field. Those that pass are picked out without a loop of our own: this
    # runs for every request, over some thirty keys.
    names = _names_to_service(tuple(environ), withheld)
    pairs = zip(names, environ.values(), strict=True)
    passing: Iterable[tuple[str, str]] = compress(pairs, names)
    named = _connection_options(environ.get("HTTP_CONNECTION", ""))
    if not named <= _SAY_NOTHING:
        passing = [field for field in passing if _canonical(field[0]) not in named]
    headers = [("Host", view.told.authority), *passing]

    def is_withheld(canonical: str) -> bool:
        return withheld is not None and withheld.match(canonical)

    if (content_type := environ.get("CONTENT_TYPE")) and not is_withheld("content-type"):
        headers.append(("Content-Type", content_type))
    if (cookie := environ.get("HTTP_COOKIE")) and not is_withheld("cookie"):
        port = view.target.port
        kept = cookies.for_service(cookie, port, of_this_host=view.of_this_host)
        if view.target.form == "stray" and (copies := copied(cookie, port)):
            kept = f"{kept}; {copies}" if kept.strip() else copies
        if kept.strip():
            headers.append(("Cookie", kept))
    for key, (name, to_service) in URLS_TO_SERVICE.items():
        value = environ.get(key)
        if value is None:
            continue
        canonical = _canonical(name)
        if canonical not in named - _NEVER_HOP_BY_HOP and not is_withheld(canonical):
            headers.append((name, to_service(view, value)))
    authorization = environ.get("HTTP_AUTHORIZATION")
    withhold_authorization = withhold_authorization or is_withheld("authorization")
    if authorization is not None and not withhold_authorization and "authorization" not in named:
        headers.append(("Authorization", authorization))
    if remote := environ.get("REMOTE_ADDR"):
        headers.append(("X-Forwarded-For", remote))
    headers.append(("X-Forwarded-Proto", view.told.scheme))
    if view.external:
        headers.append(("X-Forwarded-Host", view.told.authority))
    elif view.target.form in ("path", "host") and is_browser(environ):
        # The one way to tell Gradio where its visitors are: the addresses of files that it makes
        # for them, in pages and event streams, begin with this (its route_utils).
        headers.append(("X-Gradio-Server", view.origin + view.target.prefix))
    if view.target.prefix and not view.base:  # who was told its full path would add it twice
        headers.append(("X-Forwarded-Prefix", view.target.prefix))
    return headers


def response_headers(
    fields: Headers,
    view: View,
    cookies: CookiePolicy,
    *,
    needs_path: bool,
    visitors_cookies: str = "",
    visitor: Callable[[], str] = str,
    processes: Callable[[], int] = lambda: 1,
    dropped: HeaderNames | None = None,
) -> Headers:
    """The fields for the visitor: the service's, mapped, without what speaks to others than this
    page. `needs_path` as in `CookiePolicy.for_visitor`; `visitors_cookies`: the Cookie field of the
    request; `visitor`: who it is, as in `CookieLimits.allow`; `processes`: how many the server has.
    Content-Length is kept once."""
    pass_as_they_are, are_looked_at = _fates(tuple(map(_NAME_OF, fields)), dropped)
    headers: Headers = [*compress(fields, pass_as_they_are)]
    cache_control, connection, lengths, set_cookies = [], [], [], []
    for name, value in compress(fields, are_looked_at):
        canonical = _canonical(name)
        if canonical == "content-length":
            if name.lower() == canonical:  # by another spelling it frames nothing
                lengths.append((name, value.partition(",")[0].strip(" \t")))
        elif canonical == "connection":
            connection.append(value)
        elif canonical == "cache-control":
            cache_control.append(value)
        elif canonical == "set-cookie":
            if name.lower() == canonical:  # nobody reads it by another spelling
                set_cookies.append(value)
        elif canonical in URLS_TO_VISITOR:
            headers.append((name, URLS_TO_VISITOR[canonical](view, value)))
        elif _KEPT_IF[canonical](view, value):
            headers.append((name, value))
    if connection and not (named := _connection_options(",".join(connection))) <= _SAY_NOTHING:
        headers = [field for field in headers if _canonical(field[0]) not in named]
    if set_cookies:
        headers += _set_cookies(
            set_cookies, view, cookies, needs_path, visitors_cookies, visitor(), processes()
        )
    return [*headers, *lengths[:1], ("Cache-Control", private(cache_control))]


def _set_cookies(
    values: list[str],
    view: View,
    cookies: CookiePolicy,
    needs_path: bool,
    visitors_cookies: str,
    visitor: str,
    processes: int,
) -> Headers:
    """The Set-Cookie fields of an answer that sets some, as many as services may have."""
    target = view.target
    visitor = cookies.withheld_of(visitors_cookies) or visitor
    known = cookies.sent(visitors_cookies)
    pages = target.prefix if target.form == "query" else None
    headers: Headers = []
    passed = []
    for value in values:
        scoped = cookies.for_visitor(
            value,
            target,
            needs_path=needs_path,
            of_this_host=view.of_this_host,
            secure=view.is_https,
        )
        if pages is not None and not all(map(is_plain, scoped)):
            continue
        if not scoped or len(headers) + len(scoped) > MAX_SET_COOKIES:
            continue
        made = [_with_path(parse_set_cookie(one, ""), target) for one in scoped]
        if all(
            cookies.limits.allow(
                visitor,
                one,
                is_known=one.name in known and one.path == f"{target.prefix}/",
                pages=pages,
                sent=known,
                processes=processes,
            )
            for one in made
        ):
            # What was let pass as a removal is to be one in the browser.
            ends = ["; Max-Age=0" if one.expired and not one.is_sure else "" for one in made]
            headers += [("Set-Cookie", one + end) for one, end in zip(scoped, ends, strict=True)]
            passed.append(value)
    if passed and view.strays:
        copies = set_copies(passed, view, cookies, visitors_cookies=visitors_cookies)
        if copies is not None:
            headers.append(("Set-Cookie", copies))
    return headers


def _with_path(cookie: SetCookie, target: Target) -> SetCookie:
    """With the Path that browsers take where none is said (RFC 6265 section 5.1.4)."""
    if cookie.path.startswith("/"):
        return cookie
    visited = target.prefix + target.path.partition("?")[0]
    return cookie._replace(path=visited.rpartition("/")[0])


def _names_no_ambient_login(view: View, value: str) -> bool:
    """Negotiate and NTLM would send the visitor's desktop login, unasked, to the service."""
    schemes = value.lower().replace(",", " ").split()
    return "negotiate" not in schemes and "ntlm" not in schemes


def _scope_is_under_prefix(view: View, value: str) -> bool:
    scope = value.removeprefix(view.target.prefix + "/")
    return scope != value and _PLAIN_PATH.fullmatch(scope) is not None and ".." not in scope


_KEPT_IF: dict[str, Callable[[View, str], bool]] = {
    "www-authenticate": _names_no_ambient_login,
    "service-worker-allowed": _scope_is_under_prefix,
}
_LOOKED_AT = frozenset(
    {"cache-control", "connection", "content-length", "set-cookie", *URLS_TO_VISITOR, *_KEPT_IF}
)


def visitor_of(environ: WSGIEnvironment) -> str:
    """By what a visitor is told from others who has no cookie of the app's, and what no service can
    change: the same for all that a browser asks for."""
    keys = ("REMOTE_USER", "HTTP_REMOTE_USER", "HTTP_X_FORWARDED_USER", "HTTP_X_REMOTE_USER")
    named = "\n".join(str(environ.get(key, "")) for key in keys)
    if named.strip():
        return named
    return f"{environ.get('REMOTE_ADDR')}\n{environ.get('HTTP_USER_AGENT')}"


def early_hints(
    environ: WSGIEnvironment, view: View, dropped: HeaderNames | None = None
) -> Callable[[Headers], None] | None:
    """Passes on what of a 103 may reach the visitor: Link (RFC 8297), which browsers act on.

    None where the server has no way to, or the deployment drops the field.
    """
    if not environ.get("wsgi.early_hints") or (dropped is not None and dropped.match("link")):
        return None
    send: Callable[[Headers], None] = environ["wsgi.early_hints"]

    def pass_on(fields: Headers) -> None:
        links = [field for field in fields if field[0].lower() == "link"]
        if links:
            send([(name, link_to_visitor(view, value)) for name, value in links])

    return pass_on


def private(values: Sequence[str]) -> str:
    """A Cache-Control that keeps an answer to the visitor who was authorized for it.

    Without it a shared cache in front of the app may keep the answer and serve it to everybody
    (RFC 9111 sections 3 and 4.2.2). What the service says to the visitor's own cache stays.
    """
    if not values:
        return "private"
    directives = [
        directive.strip() for value in values for directive in value.split(",") if directive.strip()
    ]
    kept = [d for d in directives if _directive(d) not in _SHARED_DIRECTIVES]
    # `private="set-cookie"` keeps that field private only (RFC 9111 section 5.2.2.7).
    if not any(d.lower() in ("private", "no-store") for d in kept):
        kept.insert(0, "private")
    return ", ".join(kept)


def _directive(text: str) -> str:
    return text.partition("=")[0].strip().lower()


def _connection_options(value: str) -> frozenset[str]:
    is_long = len(value) > _LONGEST_KEPT
    return _options.__wrapped__(value) if is_long else _options(value)


@lru_cache(maxsize=32)
def _options(value: str) -> frozenset[str]:
    """The fields that a Connection field declares hop-by-hop, in the form used for comparing."""
    return frozenset(_ODD.sub("-", option.strip().lower()) for option in value.split(","))


# Names are few, and come again with every request and answer: what becomes of one is kept. Not of
# many, since a hostile service may send such of 64 KiB.


@lru_cache(maxsize=128)
def _canonical(name: str) -> str:
    """A field name in the form for comparing."""
    return _ODD.sub("-", name.lower())


@lru_cache(maxsize=64)
def _fates(names: tuple[str, ...], dropped: HeaderNames | None) -> tuple[list[bool], list[bool]]:
    """Of each field of an answer whether it passes whatever its value, and whether what becomes of
    it depends on its value. A service has the same fields in most of its answers."""
    are_looked_at = [_is_looked_at(name, dropped) for name in names]
    return [_passes_to_visitor(name, dropped) for name in names], are_looked_at


def _is_looked_at(name: str, dropped: HeaderNames | None) -> bool:
    canonical = _canonical(name)
    # Content-Length is the message's framing, whatever a deployment says of it.
    is_dropped = dropped is not None and dropped.match(canonical)
    return canonical in _LOOKED_AT and (canonical == "content-length" or not is_dropped)


def _passes_to_visitor(name: str, dropped: HeaderNames | None) -> bool:
    """Whether a service's field passes, whatever its value."""
    canonical = _canonical(name)
    return not (
        (dropped is not None and dropped.match(canonical))
        or canonical in _LOOKED_AT
        or canonical in NOT_TO_VISITOR
        or canonical.startswith(NOT_TO_VISITOR_PREFIXES)
        or canonical.endswith("cdn-cache-control")  # RFC 9213, and each CDN has its own
    )


@lru_cache(maxsize=64)  # a browser's requests have the same keys, but for a few kinds of them
def _names_to_service(keys: tuple[str, ...], withheld: HeaderNames | None) -> list[str]:
    """`_name_to_service` of each key of an environ."""
    return [_name_to_service(key, withheld) for key in keys]


def _name_to_service(key: str, withheld: HeaderNames | None) -> str:
    """The field name for a WSGI key such as HTTP_ACCEPT; "" if it is none, or one that does not
    pass as it is. Names are the usual spelling, since WSGI does not hand over the visitor's."""
    if not key.startswith("HTTP_"):
        return ""
    name = "-".join(part.capitalize() for part in key[5:].split("_"))
    canonical = _canonical(name)
    if canonical in NOT_TO_SERVICE or canonical.startswith(NOT_TO_SERVICE_PREFIXES):
        return ""
    if withheld is not None and withheld.match(canonical):
        return ""
    if canonical in _FILTERED_TO_SERVICE or _TOKEN.fullmatch(name) is None:
        return ""
    return name.replace("Sec-Websocket-", "Sec-WebSocket-")
