"""Step 3: ask the deployment's authorizer whether this visitor may use this port.

Defines the contract, which fails closed: nothing is sent to the service unless the verdict is True
or an `Allowed`.
"""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, Union
from urllib.parse import urljoin, urlsplit

from webob import Request

from ..errors import AuthorizerFailed, AuthorizerMisused, Refused
from ..locate.locator import Locator
from ..locate.origin import own_address
from ..locate.target import ParameterUnknown, Target
from ..rewrite.cookies import CookiePolicy
from ..subrequest import CapturedResponse

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment


@dataclass(frozen=True, slots=True)
class Allowed:
    """A verdict that lets the request through and says whose it is.

    visitor: a name of yours for the visitor, such as a user's id, by which `PortProxy.revoke` finds
        the request if it lasts.
    """

    visitor: str


#: `authorizer(request, target)`: True or `Allowed` lets the request through, False sends a 403, a
#: WSGI application is the refusal to send. Called once when a request has come, for every method
#: and for WebSocket handshakes, before any connection is made; of requests that last, it is asked
#: again (`recheck_after`), in a thread of its own, with the cookies and headers that they came
#: with. If it raises, the response is 503 and the exception is logged; any other return value is
#: logged and gives 500. `request` is a `webob.Request` over a copy of the environ, without the body
#: (which belongs to the service).
Authorizer: TypeAlias = Callable[[Request, Target], Union[bool, Allowed, "WSGIApplication"]]


class Verdict(NamedTuple):
    """What an authorizer said. refusal: the response to send; None: the visitor may use the port.
    visitor: see `Allowed`."""

    refusal: CapturedResponse | None = None
    visitor: str = ""


@dataclass(frozen=True, slots=True)
class AuthorizerFacts:
    """Facts about an authorizer, from its attributes of these names. All are optional.

    withhold_cookies: names of the app's own cookies. hosts: the host names that the app answers to.
    parameters: the mount's parameters that it needs in `Target.params`, in every form.
    """

    withhold_cookies: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    parameters: frozenset[str] = frozenset()

    def check_parameters(self, locator: Locator) -> None:
        """Raise `ValueError` if a URL form would not carry a parameter that is needed."""
        lacking = sorted(self.parameters - locator.mount.names)
        if lacking:
            raise ValueError(f"the authorizer needs {lacking}, which mount does not have")
        if not self.parameters <= locator.carried:
            raise ValueError(
                f"the authorizer needs {sorted(self.parameters)}, which host_template has to carry "
                "too, as in '{port}--{project}--{username}.ports.example.com', or mount_of to know"
            )


def facts_of(authorizer: Authorizer) -> AuthorizerFacts:
    """The facts about an authorizer. Attributes that are not collections of names are ignored."""

    def names(attribute: str) -> tuple[str, ...]:
        given = getattr(authorizer, attribute, ())
        if not isinstance(given, (set, frozenset, list, tuple)):
            return ()
        return tuple(one for one in given if isinstance(one, str))

    return AuthorizerFacts(
        names("withhold_cookies"), names("hosts"), frozenset(names("parameters"))
    )


_YES = Verdict()
_REFUSED = "You do not have access to port {port} here."
#: Advice in refusals at a port's own address: the app's page would not explain the reason.
NO_SESSION = (
    "You are not signed in on this host name. Sign in to the application first. If you already "
    "have, its session cookie is limited to its own host name: the administrator can set the "
    "cookie's Domain to the domain that both names share."
)
SIGN_IN_AGAIN = "Sign in to the application, then open this address again."
OPEN_FROM_PROJECT = "This address does not say for which project. Open it from the project's page."


def authorize(
    authorizer: Authorizer, environ: WSGIEnvironment, target: Target, cookies: CookiePolicy
) -> Verdict:
    """Whether the visitor may use the target.

    Raises `Refused` (for False, or if the authorizer's response could only mislead),
    `AuthorizerFailed` (it raised) and `AuthorizerMisused` (it returned neither a bool nor a working
    WSGI application).
    """
    try:
        verdict = authorizer(Request(without_body(environ)), target)
    except Exception as error:
        if isinstance(error, ParameterUnknown):
            raise Refused(_REFUSED.format(port=target.port), OPEN_FROM_PROJECT) from error
        raise AuthorizerFailed("the authorizer raised") from error
    if verdict is True:
        return _YES
    if isinstance(verdict, Allowed):
        return Verdict(visitor=verdict.visitor)
    refusal = None if verdict is False else _as_response(verdict, environ)
    hint = _hint(refusal, environ, cookies, target) if target.form.has_own_origin else ""
    # A WebSocket client cannot follow a login redirect or show a page: it only understands a 403.
    if refusal is None or hint or target.websocket:
        if refusal is not None:
            refusal.close()
        raise Refused(_REFUSED.format(port=target.port), hint)
    return Verdict(refusal)


def _hint(
    refusal: CapturedResponse | None,
    environ: WSGIEnvironment,
    cookies: CookiePolicy,
    target: Target,
) -> str:
    """Why a refusal at a port's own address cannot be sent as it is; "" if it can.

    The app's session may not reach that host name. Then its login does not help: a redirect to
    `/login` would lead to this port again, and a page would not explain the reason.
    """
    location = refusal.header("location") if refusal is not None else None
    if location is not None and not _leads_back(location, environ):
        return ""  # probably to the login at the app's own host name
    if refusal is not None and refusal.header("www-authenticate") is not None:
        return ""  # asks for credentials, which work at this host name
    if not cookies.withholds_any(environ.get("HTTP_COOKIE", "")):
        return NO_SESSION if target.form.has_own_host else SIGN_IN_AGAIN
    return SIGN_IN_AGAIN if location is not None else ""


def _leads_back(location: str, environ: WSGIEnvironment) -> bool:
    """Whether a redirect stays at the address of the request."""
    try:
        there = urlsplit(urljoin(own_address(environ).origin + "/", location))
    except ValueError:  # such as `http://[`, which leads nowhere
        return False
    return there.netloc.lower() == own_address(environ).authority


def _as_response(verdict: object, environ: WSGIEnvironment) -> CapturedResponse:
    """An authorizer's refusal, called at once: a mock or a class must not pass for an app."""
    if isinstance(verdict, CapturedResponse):
        return verdict
    problem = (
        f"the authorizer returned {type(verdict).__name__}, not True, False, Allowed or a WSGI app"
    )
    if inspect.iscoroutine(verdict):
        verdict.close()  # our message is clearer than the "never awaited" warning
    if not callable(verdict) or isinstance(verdict, type):
        raise AuthorizerMisused(problem)
    try:
        return CapturedResponse(verdict, without_body(environ))
    except Exception as error:
        # A method that the authorizer forgot to call ends here too.
        raise AuthorizerMisused(problem) from error


def without_body(environ: WSGIEnvironment) -> WSGIEnvironment:
    """A copy of `environ` whose body is empty.

    Frameworks read the body as soon as an app looks at a form, and the service would not get it.
    """
    copied = dict(environ)
    copied["wsgi.input"] = io.BytesIO()
    copied["wsgi.input_terminated"] = True
    copied["CONTENT_LENGTH"] = "0"
    copied.pop("HTTP_TRANSFER_ENCODING", None)
    return copied
