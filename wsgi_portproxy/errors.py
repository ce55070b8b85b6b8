"""What can go wrong, whose fault it is, and which response the visitor gets.

    PortProxyError
    ├── RequestError             we do not pass the request on
    │   ├── NeedsOwnRoot         307  to the address at which the service's page works
    │   ├── BadRequest           400  cannot be understood
    │   │   └── InvalidPort      400  not a port
    │   ├── PortNotAllowed       403  a port that this deployment does not open
    │   ├── Refused              403  the authorizer said no
    │   ├── ForeignOrigin        403  sent by a page on another site
    │   ├── NotFound             404  the path leaves the mount
    │   ├── MethodNotAllowed     405  CONNECT, TRACE
    │   ├── LengthRequired       411  a chunked body that the server does not decode
    │   ├── BodyTooLarge         413  a body beyond this deployment's limit
    │   ├── Misdirected          421  sent to a host name that is not this site's
    │   ├── UpgradeRequired      426  another version of the WebSocket protocol
    │   ├── HeaderTooLarge       431  a header that would take long to read
    │   ├── NotImplementedHere   501  something this release or server cannot do
    │   ├── TooManyTunnels       503  no more WebSockets at the moment
    │   ├── TooManyRequests      503  it cannot leave its thread, and too many others hold theirs
    │   ├── Restarting           503  this process ends, and the service has not responded
    │   ├── Loop                 508  the request came back to us
    │   └── VisitorGone          400  the visitor left before the end
    ├── AuthorizerFailed         503  the authorizer raised, which counts as no
    ├── AuthorizerMisused        500  the authorizer returned an invalid value
    ├── SettingFailed            500  a setting's callable raised, or returned an invalid value
    └── ServiceError            502  the service is at fault
        ├── ServiceUnreachable   502  nothing listens on the port
        │   └── IPv6Only         502  something does, but on [::1] only
        ├── BadResponse          502  it responded, but not in valid HTTP/1
        ├── WantsHttps           502  it redirects to https forever
        ├── NoResponse           502  it closed the connection without a response
        ├── Overloaded           503  this process is out of descriptors or memory
        └── ServiceTimeout       504  no response in time

`message` and `hint` are the text for the visitor: constant, except for values that were validated
or escaped. They never contain exception texts, file names or user ids. `detail` is for the operator
and is only logged.
"""

from __future__ import annotations

import errno
import string
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar
from urllib.parse import quote


class PortProxyError(Exception):
    """Base class: `status` of the response, `message` and `hint` for the visitor, `detail` to log.

    port: the port of the request; None if no port could be found in it.
    log_extra: attributes of the log record, by name.
    """

    status: ClassVar[int] = 500
    port: int | None = None
    log_extra: Mapping[str, object] = MappingProxyType({})
    headers: tuple[tuple[str, str], ...] = ()

    def __init__(self, message: str, hint: str = "", *, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.detail = detail


class RequestError(PortProxyError):
    status = 400


class NeedsOwnRoot(RequestError):
    """The service's page cannot work under a path, and the service has a root of its own.

    headers: the redirect's, with the Location.
    """

    status = 307

    def __init__(self, headers: list[tuple[str, str]], *, detail: str) -> None:
        super().__init__("This service opens at its own address.", detail=detail)
        self.headers = tuple(headers)


class BadRequest(RequestError):
    status = 400


class InvalidPort(BadRequest):
    """The port is not written as a plain decimal number, or is given more than once."""

    SHOWN = 32  # characters of the value that the message repeats; enough to recognise a typo

    def __init__(self, raw: str, hint: str = "Give one whole number, such as ?port=16006.") -> None:
        shown = printable(raw[: self.SHOWN])[: self.SHOWN]
        super().__init__(f"Invalid port parameter: {shown}", hint)


class PortNotAllowed(RequestError):
    status = 403


class Refused(RequestError):
    status = 403


class ForeignOrigin(RequestError):
    status = 403


class NotFound(RequestError):
    status = 404


class MethodNotAllowed(RequestError):
    status = 405
    headers = (("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),)


class LengthRequired(RequestError):
    status = 411


class BodyTooLarge(RequestError):
    status = 413

    def __init__(self, limit: int) -> None:
        super().__init__(f"The request body exceeds the limit of {limit} bytes.")


class Misdirected(RequestError):
    status = 421


class HeaderTooLarge(RequestError):
    status = 431


class UpgradeRequired(RequestError):
    """RFC 6455 section 4.4: the response names the version that we support."""

    status = 426
    headers = (("Sec-WebSocket-Version", "13"),)


class TooManyTunnels(RequestError):
    status = 503
    headers = (("Retry-After", "30"),)


class TooManyRequests(RequestError):
    status = 503
    headers = (("Retry-After", "2"),)

    def __init__(self, port: int, *, detail: str = "") -> None:
        super().__init__(
            f"Too many requests to the service on port {port} are in progress.",
            "It may be busy or stuck. Try again in a moment, or restart it.",
            detail=detail,
        )


class Restarting(RequestError):
    """The process ends, and cannot wait any longer for the service."""

    status = 503
    headers = (("Retry-After", "2"),)

    def __init__(self) -> None:
        super().__init__("The application is restarting.", "Please try again in a moment.")


class NotImplementedHere(RequestError):
    status = 501


class Loop(RequestError):
    status = 508


class VisitorGone(RequestError):
    """The visitor closed the connection: nobody is left to read a response."""

    status = 400

    def __init__(self, detail: str = "") -> None:
        super().__init__("The request ended before its body was complete.", detail=detail)


class AuthorizerFailed(PortProxyError):
    status = 503
    headers = (("Retry-After", "5"),)

    def __init__(self, detail: str = "") -> None:
        super().__init__(
            "Access to this port could not be checked.",
            "Please try again in a moment.",
            detail=detail,
        )


class AuthorizerMisused(PortProxyError):
    status = 500

    def __init__(self, detail: str = "") -> None:
        super().__init__("Access to this port could not be checked.", detail=detail)


class SettingFailed(PortProxyError):
    status = 500

    def __init__(self, port: int, *, detail: str = "") -> None:
        super().__init__(
            f"This application's settings for port {port} are invalid.",
            "The administrator can find the reason in the application log.",
            detail=detail,
        )


class ServiceError(PortProxyError):
    status = 502


class ServiceUnreachable(ServiceError):
    """Nothing accepts connections on the port."""

    HINT = "Is the service running? Try: python3 -m http.server {port}"

    def __init__(self, port: int, *, detail: str = "") -> None:
        super().__init__(
            f"Failed to connect to service on port {port}.",
            self.HINT.format(port=port),
            detail=detail,
        )


class IPv6Only(ServiceUnreachable):
    """Something accepts connections, but on [::1] only: Node tools listen on the first address
    that `localhost` resolves to."""

    HINT = (
        "A service is listening on [::1]:{port} only, the IPv6 loopback. Start it on 127.0.0.1; "
        "most accept --host 127.0.0.1."
    )


class BadResponse(ServiceError):
    def __init__(self, port: int, *, detail: str = "") -> None:
        super().__init__(
            f"The service on port {port} did not send a valid HTTP response.",
            "Does it speak plain HTTP (not HTTPS, SSH or a database protocol) on this port?",
            detail=detail,
        )


class WantsHttps(ServiceError):
    """The redirects end if the service is told the visitor's address and that is on https."""

    def __init__(self, port: int, *, on_https: bool) -> None:
        hint = "The administrator can tell it the visitor's address with "
        if not on_https:
            hint = "This site uses http. Turn the redirect off in the service, or use https and "
        super().__init__(
            f"The service on port {port} redirects every request to https.",
            f"{hint}Service(preserve_host=True).",
        )


class NoResponse(ServiceError):
    def __init__(self, port: int, *, detail: str = "") -> None:
        super().__init__(
            f"The service on port {port} closed the connection without a response.",
            "It may have crashed or be restarting; its own output may say why.",
            detail=detail,
        )


class Overloaded(ServiceError):
    status = 503
    headers = (("Retry-After", "5"),)

    def __init__(self, port: int, *, detail: str = "") -> None:
        super().__init__(
            f"Unable to open a connection to the service on port {port} right now.",
            "Please try again in a moment.",
            detail=detail,
        )


class ServiceTimeout(ServiceError):
    status = 504

    def __init__(self, port: int, *, detail: str = "") -> None:
        super().__init__(
            f"The service on port {port} did not respond in time.",
            "It accepts connections but may be busy or stuck. Try again, or restart it.",
            detail=detail,
        )


_SHOWN_AS_IT_IS = " " + string.punctuation.replace("<", "").replace(">", "")
# Out of descriptors, ephemeral ports, buffers or memory: our own shortage, not the service's fault.
_SHORTAGE = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EAGAIN}
)


def from_connect_error(error: BaseException, port: int) -> ServiceError:
    """Map an error of `connect()`: timeouts to 504, our own shortages to 503, all else to 502."""
    if isinstance(error, TimeoutError):
        return ServiceTimeout(port, detail="connect timed out")
    number = error.errno if isinstance(error, OSError) else None
    if number in _SHORTAGE:
        return Overloaded(port, detail=f"connect: {errno.errorcode[number]}")
    return ServiceUnreachable(port, detail=f"connect: {errno.errorcode.get(number or 0, 'failed')}")


def printable(text: str) -> str:
    """`text` from a URL with everything except visible ASCII percent-encoded, and `<` and `>` too.

    Our pages escape what they show; this protects the log, and apps that insert a plain-text error
    into their own pages.
    """
    return quote(text, safe=_SHOWN_AS_IT_IS, errors="backslashreplace")
