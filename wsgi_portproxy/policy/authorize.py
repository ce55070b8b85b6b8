"""Step 3: ask the deployment's authorizer whether this visitor may use this port.

Owns the contract and that it fails closed: whatever is not a plain yes sends nothing to a service.
"""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias, Union
from urllib.parse import urljoin, urlsplit

from webob import Request

from ..errors import AuthorizerFailed, AuthorizerMisused, Refused
from ..locate.origin import own_origin
from ..locate.target import Target
from ..rewrite.cookies import CookiePolicy
from ..subrequest import CapturedResponse

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

#: `authorizer(request, target)`: True lets the request through, False answers 403, a WSGI
#: application is the refusal to send. Called exactly once a request, for every method and for
#: WebSocket handshakes, before any connection is made. If it raises, the answer is 503 and the
#: exception is logged; anything else returned is 500 and logged. `request` is a `webob.Request`
#: without a body (that belongs to the service) over a copy of the environ.
Authorizer: TypeAlias = Callable[[Request, Target], Union[bool, "WSGIApplication"]]

_REFUSED = "You do not have access to port {port} here."
#: Hints where a refusal at a port's own host name would say nothing of the reason.
NO_SESSION = (
    "You are not signed in on this host name. Sign in to the application first. If you already "
    "have, its session cookie is limited to its own host name: the administrator can set the "
    "cookie's Domain to the domain that both names share."
)
SIGN_IN_AGAIN = "Sign in to the application, then open this address again."


def authorize(
    authorizer: Authorizer, environ: WSGIEnvironment, target: Target, cookies: CookiePolicy
) -> CapturedResponse | None:
    """None if the visitor may use the target, else the answer to give (a WSGI application).

    Raises `Refused` (False, or where an answer could only mislead), `AuthorizerFailed` (it raised),
    `AuthorizerMisused` (neither a bool nor a WSGI application that works was returned).
    """
    try:
        verdict = authorizer(Request(without_body(environ)), target)
    except Exception as error:
        raise AuthorizerFailed("the authorizer raised") from error
    if verdict is True:
        return None
    refusal = None if verdict is False else _as_response(verdict, environ)
    hint = _host_hint(refusal, environ, cookies) if target.form == "host" else ""
    # A WebSocket client can follow no login redirect and show no page: 403 is all it can read.
    if refusal is None or hint or target.websocket:
        if refusal is not None:
            refusal.close()
        raise Refused(_REFUSED.format(port=target.port), hint)
    return refusal


def _host_hint(
    refusal: CapturedResponse | None, environ: WSGIEnvironment, cookies: CookiePolicy
) -> str:
    """Why a refusal at a port's own host name cannot be given out as it is; "" if it can.

    The app's session may not reach that name, and then its login is of no use there: a redirect to
    `/login` would lead to this port again, and a page would say nothing of the reason.
    """
    location = refusal.header("location") if refusal is not None else None
    if location is not None and not _leads_back(location, environ):
        return ""  # to the login at the app's own host name, say
    if refusal is not None and refusal.header("www-authenticate") is not None:
        return ""  # asks for credentials, and those are of use at this host name
    if not cookies.withholds_any(environ.get("HTTP_COOKIE", "")):
        return NO_SESSION
    return SIGN_IN_AGAIN if location is not None else ""


def _leads_back(location: str, environ: WSGIEnvironment) -> bool:
    """Whether a redirect stays at the host name that was asked."""
    try:
        there = urlsplit(urljoin(own_origin(environ) + "/", location))
    except ValueError:  # `http://[`: to nowhere
        return False
    return there.netloc.lower() == urlsplit(own_origin(environ)).netloc


def _as_response(verdict: object, environ: WSGIEnvironment) -> CapturedResponse:
    """The refusal that an authorizer returned, begun: a mock or a class must not pass for one."""
    if isinstance(verdict, CapturedResponse):
        return verdict
    problem = f"the authorizer returned {type(verdict).__name__}, not True, False or a WSGI app"
    if inspect.iscoroutine(verdict):
        verdict.close()  # this message is clearer than the warning that nobody awaited it
    if not callable(verdict) or isinstance(verdict, type):
        raise AuthorizerMisused(problem)
    try:
        return CapturedResponse(verdict, without_body(environ))
    except Exception as error:
        # A method that the authorizer forgot to call ends here too.
        raise AuthorizerMisused(problem) from error


def without_body(environ: WSGIEnvironment) -> WSGIEnvironment:
    """A copy of `environ` whose body is empty.

    Frameworks read the body as soon as a form is asked for; what they took would be missing at the
    service.
    """
    copied = dict(environ)
    copied["wsgi.input"] = io.BytesIO()
    copied["wsgi.input_terminated"] = True
    copied["CONTENT_LENGTH"] = "0"
    copied.pop("HTTP_TRANSFER_ENCODING", None)
    return copied
