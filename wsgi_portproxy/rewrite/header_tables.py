"""Decides which headers pass in each direction: tables with the reason beside each row.

Defines names only. `request_headers` and `response_headers` apply these tables; `url_headers` and
`cookies` map values. Names are compared in lower case, with every character except letters and
digits read as `-`: `X_Forwarded_User` and `X.Forwarded.User` reach CGI-like services as the same
variable.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

Headers = list[tuple[str, str]]
# RFC 9110 section 7.6.1 and RFC 9113 section 8.2.2: these describe one connection, not the message.
# `proxy-*` is covered by the prefixes below.
HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings"}
)
NOT_TO_SERVICE = HOP_BY_HOP | {
    "host",  # set by us: the told address
    "content-length",  # set by us, for the body that we send
    "content-type",  # WSGI has it outside HTTP_*
    "expect",  # answered by the server; a 100 from the service would come too late
    "forwarded",  # RFC 7239; only we know what is in front of the service
    "x-forwarded",
    "via",  # set by us, after the visitor's
    "proxy",  # CGI's HTTP_PROXY (CVE-2016-5385)
    "version",  # HTTP_VERSION, which gunicorn sets on HTTP/2 requests; no visitor sent it
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
    "client-cert",  # RFC 9440; also the next row
    "client-cert-chain",
    "x-endpoint-api-userinfo",  # Google's API gateways; also the next row
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
    # The requested URL or host: these would bypass the authorization.
    "x-rewrite-url",
    "x-host",
    "x-http-host-override",
    "x-script-name",
    "x-scheme",
    "x-url-scheme",
    "front-end-https",
    "x-middleware-subrequest",  # Next.js before 15.2.3 skips its own authorization
    "x-sendfile-type",  # how the service is to pass files to its front end (Rack)
    # A method other than the authorized one.
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
}
NOT_TO_SERVICE_PREFIXES = (
    "proxy-",
    "x-forwarded-",
    "x-original-",  # the request, as above: X-Original-URL, -URI, -Host, -Method
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
    "x-consumer-",  # Kong; also the next row
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
    "rstudio-connect-",  # Posit Connect's -Credentials; also the next row
    "posit-connect-",
    "teleport-",
    "ms-aspnetcore-",  # IIS; also the next row
    "x-iis-",
    "wl-proxy-",  # WebLogic
    "x-envoy-",  # Envoy: instructions, and which requests it treats as internal
    "x-accel-",  # nginx: instructions, and where a service's files are
    # These prove to the wrapped app who the visitor is: as valuable as its session cookie.
    "cf-access-",
    "x-amzn-oidc-",
    "x-goog-iap-",
    "x-ms-token-",
    "x-pomerium-",
)
NOT_TO_VISITOR = HOP_BY_HOP | {
    "date",  # set by the WSGI server, like the next row; werkzeug would send two
    "server",
    "status",  # PEP 3333 forbids it: CGI-like front ends would take it for the status
    "x-send-file",  # makes a front end send one of its own files; more in the prefixes
    # These act on the whole origin.
    "clear-site-data",  # logs the visitor out of the wrapped app
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
    "use-as-dictionary",  # RFC 9842: for any URL of the origin
    "cache-control",  # set by us, made private
    "cache-tag",  # instructions to shared caches, against `private`; more in the prefixes
    "cache-tags",
    "xkey",
    "x-xkey",
    "x-cache-tags",
    "x-key",
    "cdn-tag",
    "cf-edge-cache",
    "vercel-cache-tag",
    "cache-groups",  # RFC 9875; also the next row
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
    "secure-session-",  # binds the origin's sessions to this device (DBSC); also the next row
    "sec-session-",
    "attribution-reporting-",
    "ad-auction-",
    "surrogate-",
    "edge-",
    "netlify-",
    "akamai-",
    "fly-replay",  # makes Fly's proxy send the visitor's request to another app
    "proxy-",  # between a proxy and its client
    "x-portproxy-",
)
_LONGEST_KEPT = 2048  # characters of the longest value that is a cache key
_ODD = re.compile(r"[^a-z0-9]")
TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
NAMING_NO_HEADER = frozenset({"", "close", "keep-alive"})  # Connection options that name no header


class HeaderNames:
    """Header names from a setting: `X-Corp-User`, or `X-Corp-*` for all that begin with `X-Corp-`.

    They are compared like the names in the tables. Raises `TypeError` or `ValueError`, with the
    name of the `setting`.
    """

    def __init__(self, setting: str, names: Iterable[str]) -> None:
        if isinstance(names, str):
            raise TypeError(f"{setting} must be a collection of names, not one string")
        given = [*names]
        for name in given:
            if TOKEN.fullmatch(name) is None or "*" in name[:-1] or name == "*":
                raise ValueError(
                    f"{setting} takes header names such as X-User or X-User-*, not {name!r}"
                )
        self._names = frozenset(canonical_name(one) for one in given if not one.endswith("*"))
        self._prefixes = tuple(canonical_name(one[:-1]) for one in given if one.endswith("*"))

    def match(self, canonical: str) -> bool:
        return canonical in self._names or canonical.startswith(self._prefixes)


def connection_options(value: str) -> frozenset[str]:
    is_long = len(value) > _LONGEST_KEPT
    return _options.__wrapped__(value) if is_long else _options(value)


@lru_cache(maxsize=32)
def _options(value: str) -> frozenset[str]:
    """The names that a Connection header declares hop-by-hop, in the form for comparison."""
    return frozenset(_ODD.sub("-", option.strip().lower()) for option in value.split(","))


# Cached, since names are few and recur in every request and response. The cache is small, since a
# hostile service may send names of 64 KiB.


@lru_cache(maxsize=128)
def canonical_name(name: str) -> str:
    """A header name in the form for comparison."""
    return _ODD.sub("-", name.lower())
