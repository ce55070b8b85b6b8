"""The settings of a `PortProxy` as values: their names, their defaults, and what is none.

Each value checks itself when it is made, so that a deployment learns of a mistake when it starts,
and not from a visitor. An error names the setting, what was given and what is expected.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from .errors import SettingFailed
from .locate.target import Target
from .rewrite.cookies import DEFAULT_WITHHELD
from .rewrite.pages import PageAdapter
from .rewrite.pages.adapters import DEFAULT_PAGE_ADAPTERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What may differ from port to port.

    name: what it is called in the log and in metrics, such as `"TensorBoard"`.
    preserve_host: whether the service is told the host and scheme that the visitor sees. Otherwise
        it is told that it is `http://localhost:16006`.
    strip_prefix: whether the service is asked for what follows its prefix. False for one that was
        started with its full path (`/alice/vision/proxy/16006`) as the base path.
    ipv6: whether it is also reached on [::1], where nothing listens on 127.0.0.1. Another user of
        the machine could be the one who listens there.
    page_adapters: what corrects the data that it writes into its pages, see `PageAdapter`. Empty:
        its pages are never looked at.
    """

    name: str = ""
    preserve_host: bool = False
    strip_prefix: bool = True
    ipv6: bool = False
    page_adapters: Collection[PageAdapter] = DEFAULT_PAGE_ADAPTERS
    #: Those of them that have the service told headers.
    header_adapters: tuple[PageAdapter, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if type(self.name) is not str:
            raise TypeError(f"name takes a str, not {self.name!r}")
        for setting in ("preserve_host", "strip_prefix", "ipv6"):
            _one_of(setting, getattr(self, setting), (True, False))
        for adapter in self.page_adapters:
            if not isinstance(adapter, PageAdapter):
                raise TypeError(f"page_adapters takes PageAdapter values, not {adapter!r}")
        call_in_hub = tuple(one for one in self.page_adapters if one.request_headers)
        object.__setattr__(self, "header_adapters", call_in_hub)


#: The `Service` of every port, of each by its number (others get `Service()`), or what a callable
#: returns for a `Target`. The callable is asked once a request, after the authorizer; if it raises
#: or returns anything else, the answer is 500 and nothing is sent.
Services: TypeAlias = "Service | Mapping[int, Service] | Callable[[Target], Service]"


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlForms:
    """How URLs name a port.

    path_segment: the word of the path form, `{mount}/proxy/{port}/`.
    host_template: a host name for each port, such as `"{port}.ports.example.com"`, at which
        services have an origin of their own; it may also carry the mount's parameters. None: no
        such form.
    isolate: open services at their host names only: browsers that navigate to the other forms are
        sent there, everything else in them is refused.
    redirect_browsers: whether a browser that navigates to `?port=` is sent to the path form, where
        relative URLs work.
    find_strays: whether root-absolute URLs of a service's pages (`/static/app.js`) find their way
        back to it.
    """

    path_segment: str = "proxy"
    host_template: str | None = None
    isolate: bool = False
    redirect_browsers: bool = True
    find_strays: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.path_segment, str):
            raise TypeError(f"path_segment takes one path segment, not {self.path_segment!r}")
        template = self.host_template
        if template is not None and not isinstance(template, str):
            raise TypeError(f"host_template takes a name with {{port}} in it, not {template!r}")
        for name in ("isolate", "redirect_browsers", "find_strays"):
            _one_of(name, getattr(self, name), (True, False))
        if self.isolate and template is None:
            raise ValueError("isolate needs a host_template, at whose names services are isolated")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """In seconds.

    connect: for a service to accept a connection; on loopback that is instant or never.
    head: for the head of its response to come, connecting and the redirects that are followed
        included. Each part of an upload that the service takes begins it anew.
    stream_idle: of silence after which a response that has begun is cut off, visibly. None: never,
        since event streams may be silent for hours.
    tunnel_idle: of silence after which a WebSocket is cut.
    """

    connect: float = 3.0
    head: float = 60.0
    stream_idle: float | None = None
    tunnel_idle: float = 3600.0

    def __post_init__(self) -> None:
        for name in ("connect", "head", "tunnel_idle", "stream_idle"):
            seconds = getattr(self, name)
            if seconds is None and name == "stream_idle":
                continue
            if not _is_number(seconds) or not seconds > 0:
                raise ValueError(f"{name} takes more than 0 seconds, not {seconds!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of one process.

    requests_per_port: requests for one port that may hold a thread of the server at a time; further
        ones wait for a moment and are refused (503). None: half of the server's threads, where
        their number is known, else any number.
    request_body: bytes that the body of a request may have (413). None: any number.
    tunnels: WebSockets, and streams that left their thread, open at a time. None: what the limit on
        descriptors allows, at two each, less some for the server.
    tunnels_per_port: of those, to one port. None: a quarter.
    """

    requests_per_port: int | None = None
    request_body: int | None = None
    tunnels: int | None = None
    tunnels_per_port: int | None = None

    def __post_init__(self) -> None:
        for name, least in (
            ("requests_per_port", 1),
            ("request_body", 0),
            ("tunnels", 0),
            ("tunnels_per_port", 0),
        ):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < least):
                raise ValueError(f"{name} takes a number from {least} on, or None, not {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Withhold:
    """What stays on this side, beside what always does.

    cookies: names of the wrapped app's own cookies, never sent to a service nor set by one. Those
        that an authorizer of `contrib` knows are added.
    authorization: whether the Authorization header is the app's own too.
    headers: names of further headers that no service is sent, `X-Corp-User` or `X-Corp-*`: those by
        which your front end says who the visitor is.
    response_headers: likewise of a service's responses: orders to your front end.
    early_hints: whether a service's 103 (RFC 8297) is kept from the visitor. nginx before 1.29
        takes it for the response, and its own rules for headers miss what follows.
    """

    cookies: Collection[str] = field(default=DEFAULT_WITHHELD)
    authorization: bool = False
    headers: Collection[str] = ()
    response_headers: Collection[str] = ()
    early_hints: bool = True

    def __post_init__(self) -> None:
        for name in ("cookies", "headers", "response_headers"):
            names = getattr(self, name)
            if isinstance(names, str) or not all(type(one) is str for one in names):
                raise TypeError(f"{name} takes a collection of names, not {names!r}")
        _one_of("authorization", self.authorization, (True, False))
        _one_of("early_hints", self.early_hints, (True, False))


class ServiceOf:
    """The `Service` of each target, as the setting `services` says. Raises `TypeError`."""

    def __init__(self, services: Services | None) -> None:
        self._constant = services if isinstance(services, Service) else None
        self._by_port: Mapping[int, Service] = {}
        self._asked: Callable[[Target], Service] | None = None
        if services is None:
            self._constant = Service()
        elif isinstance(services, Mapping):
            for port, service in services.items():
                if type(port) is not int or not isinstance(service, Service):
                    raise TypeError(f"services takes {{port: Service}}, not {port!r}: {service!r}")
            self._by_port = services
        elif not isinstance(services, Service):
            check_callable("services", services, "services(target)", 1)
            self._asked = services

    def __call__(self, target: Target) -> Service:
        """Raises `SettingFailed`."""
        if self._constant is not None:
            return self._constant
        if self._asked is None:
            return self._by_port.get(target.port) or Service()
        try:
            service: object = self._asked(target)
        except Exception as error:
            raise SettingFailed(target.port, detail="the services callable raised") from error
        if not isinstance(service, Service):
            detail = f"the services callable returned {type(service).__name__}"
            raise SettingFailed(target.port, detail=detail)
        return service


def check_callable(name: str, given: Any, expected: str, parameters: int) -> None:
    """Return if `given` can be called as `expected` says, with so many positional arguments.

    Raises `TypeError` for what is none, for a coroutine function, which WSGI cannot wait for, and
    for a wrong number of parameters, as far as Python tells.
    """
    if not callable(given):
        raise TypeError(f"{name} takes a callable, {expected}, not {given!r}")
    function = given if inspect.isroutine(given) else type(given).__call__
    if inspect.iscoroutinefunction(given) or inspect.iscoroutinefunction(function):
        raise TypeError(f"{name} takes a plain function, {expected}, not a coroutine: {given!r}")
    try:
        signature = inspect.signature(given)
    except (TypeError, ValueError):
        return  # some built-in ones tell nothing
    try:
        signature.bind(*range(parameters))
    except TypeError:
        raise TypeError(f"{name} is called as {expected}, and {given!r} cannot be") from None


def _one_of(name: str, value: object, allowed: Iterable[object]) -> None:
    if not any(value is one or (isinstance(one, str) and value == one) for one in allowed):
        expected = " or ".join(map(repr, allowed))
        raise ValueError(f"{name} takes {expected}, not {value!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
