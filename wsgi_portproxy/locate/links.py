"""Makes links to ports, for the wrapped app's views and templates.

Defines `url_for_port`, and how a request's environ names each `PortProxy` that it came through.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import unquote, urlsplit

from ..errors import AuthorizerFailed, PortProxyError, Refused
from ..names import LINKS_KEY
from .location import Location
from .locator import Locator, is_read, refuse_climbing
from .mount import Mount
from .request_target import quoted_script, raw_target
from .target import Form, Target, with_port
from .visit import Visit

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_LAST_PORT = 65535
_PATH = re.compile(r"/[\x21-\x7e]*")


class Links:
    """The links of one `PortProxy`."""

    def __init__(self, locator: Locator) -> None:
        self._locator = locator

    def added_to(self, environ: WSGIEnvironment) -> WSGIEnvironment:
        """A copy of `environ` in which `url_for_port` finds these links."""
        return {**environ, LINKS_KEY: (*environ.get(LINKS_KEY, ()), (self, environ))}

    def at_root(self, target: Target, visit: Visit) -> Location:
        """The redirect to a target in the form that gives it a root, which must be configured.

        Raises `Refused` if the target has none, or if the request is not a navigation by GET or
        HEAD: no other request can be redirected to another origin.
        """
        message = "On this site each service has its own address."
        url = self._locator.root_url(target, visit)
        if url is None:
            raise Refused(message, "This port has none, or not for this project.")
        if not (is_read(visit) and visit.is_navigation):
            raise Refused(message, f"Open it at {urlsplit(url).netloc}.")
        return Location(307, url)

    def base(self, target: Target, visit: Visit) -> str | None:
        """The absolute URL of a port's root, in the form of `target`, without a final slash; None
        if the port has none in that form."""
        if not target.form.has_own_origin:
            # Also from the query form: browsers are redirected to the path form.
            return visit.origin + self._locator.path_prefix(target.mount_path, target.port)
        try:
            authority = self._locator.root_authority(target.port, target.params, visit.environ)
        except AuthorizerFailed:
            return None
        return None if authority is None else f"{visit.address.scheme}://{authority}{visit.script}"

    def url(
        self, environ: WSGIEnvironment, port: int, path: str, given: Mapping[str, str]
    ) -> str | None:
        """The link; None if a parameter of the mount is neither in `given` nor in the URL."""
        mount = self._locator.mount
        known = {**self._params_of(environ), **given}
        if not mount.names <= known.keys():
            return None
        params = {name: known[name] for name in mount.names}
        _check_params(mount, params)
        authority = self._locator.root_authority(port, params, environ)
        if authority is not None and self._locator.leads_to_root(port):
            return f"{environ['wsgi.url_scheme']}://{authority}{quoted_script(environ)}{path}"
        base = quoted_script(environ) + "".join(f"/{part}" for part in mount.filled(params))
        is_sent = authority is not None and self._locator.prefers_root
        if self._locator.redirect_browsers and not is_sent:
            return self._locator.path_prefix(base, port) + path
        return with_port(Target(port, path, base, params, Form.QUERY, False))

    def _params_of(self, environ: WSGIEnvironment) -> Mapping[str, str]:
        """The mount's parameters in the request's URL; empty if it has none."""
        try:
            target = self._locator.by_host(Visit(environ))
        except PortProxyError:
            return {}
        if target is not None:
            return target.params
        segments = raw_target(environ).path.split("/")[1:]
        try:
            params = self._locator.mount.match([unquote(one, "latin-1") for one in segments])
        except PortProxyError:  # an ambiguous URL gives none
            return {}
        return {} if params is None else params


def _check_params(mount: Mount, params: Mapping[str, str]) -> None:
    """Raise `ValueError` unless a URL made from these parameters parses back to them."""
    for name in sorted(mount.names):
        if not isinstance(params[name], str):
            raise ValueError(f"the mount's parameters are strings: {name}={params[name]!r}")
    try:
        segments = [unquote(one, "latin-1") for one in mount.filled(params)]
        matched = mount.match(segments)
    except (PortProxyError, UnicodeError):  # the latter: lone surrogates
        matched = None
    if matched is None or any(matched[name] != params[name] for name in mount.names):
        raise ValueError("a mount parameter has an invalid value, such as '', '..' or 'a/b'")


#: An environ, or a request object of webob, werkzeug, Flask or Django.
EnvironOrRequest: TypeAlias = Any


def url_for_port(
    environ_or_request: EnvironOrRequest, port: int, path: str = "/", **params: str
) -> str:
    """The link to a port for a browser, in the form that the deployment prefers.

    That is the host or port form if there is one (an absolute URL), else the path form (both others
    are root-absolute, with SCRIPT_NAME), or the query form, if `UrlForms.redirect_browsers` is off
    or a visitor has to be sent to the service's own root (the port form of a port that is not
    reserved, and `Listen`). `path` is the
    service's path, escaped as in a URL, with a query and a fragment if needed. `params` are the
    mount's parameters; missing parameters are taken from the request's URL.

    Does not check whether the visitor may use the port. Raises `LookupError` if the request did not
    come through a `PortProxy`, and `ValueError` for an invalid port or path, a missing parameter,
    and a parameter that the mount would not match (empty, `..`, or with a slash); `PortProxyError`
    if `mount_of` fails.
    """
    environ: Any = getattr(environ_or_request, "environ", environ_or_request)
    try:
        ways = environ.get(LINKS_KEY)
    except AttributeError:
        raise TypeError(f"neither an environ nor a request: {environ_or_request!r}") from None
    if not ways:
        raise LookupError("this request did not come through a PortProxy")
    if type(port) is not int or not 0 < port <= _LAST_PORT:
        raise ValueError(f"not a port: {port!r}")
    if _PATH.fullmatch(path) is None:
        raise ValueError(
            f"the path must start with '/' and be escaped as in a URL, in visible ASCII: {path!r}"
        )
    try:
        refuse_climbing(path.partition("?")[0].partition("#")[0])
    except PortProxyError:
        raise ValueError(f"the path leads out of the service: {path!r}") from None
    for links, seen in reversed(ways):
        url: str | None = links.url(seen, port, path, params)
        if url is not None:
            return url
    raise ValueError(
        "this request's URL lacks parameters of the mount; pass them: url_for_port(..., name=value)"
    )
