"""The settings of a `PortProxy`: their names, defaults and valid values.

Each value is checked when it is made, so that a deployment fails at its start and not at a
visitor's request. An error names the setting, the value given and the values expected.
"""

from __future__ import annotations

import inspect
import ipaddress
from collections.abc import Callable, Collection, Container, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, Protocol, TypeAlias

from .errors import SettingFailed
from .locate.host_template import HostTemplate
from .locate.locator import Locator, MountOf
from .locate.mount import Mount
from .locate.port_template import PortTemplate, is_port_template
from .locate.target import Target
from .locate.visit import Visit
from .rewrite.cookies import DEFAULT_WITHHELD
from .rewrite.header_tables import HeaderNames
from .rewrite.pages import PageAdapter
from .rewrite.pages.adapters import DEFAULT_PAGE_ADAPTERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The settings that may differ from port to port.

    name: the service's name in the log and in metrics, such as `"TensorBoard"`.
    preserve_host: whether the service is told the host and scheme that the visitor sees. Otherwise
        it is told that its address is `http://localhost:16006`.
    strip_prefix: whether the prefix is removed from the path that the service gets. False for a
        service started with its full path (`/alice/vision/proxy/16006`) as the base path.
    ipv6: whether to try [::1] if nothing listens on 127.0.0.1. Another user of the machine could be
        listening there.
    page_adapters: correct the data that the service writes into its pages, see `PageAdapter`.
        Empty: its pages are never inspected.
    """

    name: str = ""
    preserve_host: bool = False
    strip_prefix: bool = True
    ipv6: bool = False
    page_adapters: Collection[PageAdapter] = DEFAULT_PAGE_ADAPTERS
    #: The page adapters that add headers to requests, and the names of these headers.
    header_adapters: tuple[PageAdapter, ...] = field(init=False, repr=False, compare=False)
    adapters_headers: HeaderNames | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if type(self.name) is not str:
            raise TypeError(f"name takes a str, not {self.name!r}")
        for setting in ("preserve_host", "strip_prefix", "ipv6"):
            _one_of(setting, getattr(self, setting), (True, False))
        for adapter in self.page_adapters:
            if not isinstance(adapter, PageAdapter):
                raise TypeError(f"page_adapters takes PageAdapter values, not {adapter!r}")
        with_headers = tuple(one for one in self.page_adapters if one.request_headers)
        names = tuple(name for one in with_headers for name in one.request_headers)
        object.__setattr__(self, "header_adapters", with_headers)
        object.__setattr__(self, "adapters_headers", _header_names(names) if names else None)


@lru_cache(maxsize=32)  # one object for equal names: a callable may make a `Service` each time
def _header_names(names: tuple[str, ...]) -> HeaderNames:
    return HeaderNames("request_headers", names)


#: One `Service` for every port, a `Service` by port number (other ports get `Service()`), or a
#: callable that returns the `Service` of a `Target`. The callable runs once per request, after the
#: authorizer; if it raises or returns anything else, the response is 500 and nothing is forwarded.
Services: TypeAlias = "Service | Mapping[int, Service] | Callable[[Target], Service]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """How this process listens for the port form itself, for development and small sites.

    A listener is opened when a visitor who may use the service is sent there, and its connections
    are passed on to the server's own listener, by which the server is reached. It ends with this
    process. The processes of one server share a number (SO_REUSEPORT). Linux only.

    address: the address to listen on, of this machine.
    proxy_protocol: whether each connection begins with a PROXY line that tells the visitor's
        address (version 1 of HAProxy's PROXY protocol), which the server must be set to read.
        Otherwise the server takes every visitor for this machine: let it not believe this
        machine's X-Forwarded-* then, if others can reach the address.
    listeners: how many are open at a time; then those that were not used for longest are closed.
    """

    address: str = "127.0.0.1"
    proxy_protocol: bool = False
    listeners: int = 64

    def __post_init__(self) -> None:
        try:
            ipaddress.ip_address(self.address)
        except ValueError:
            raise ValueError(
                f"address takes an IP address of this machine, not {self.address!r}"
            ) from None
        _one_of("proxy_protocol", self.proxy_protocol, (True, False))
        if type(self.listeners) is not int or self.listeners < 1:
            raise ValueError(f"listeners takes a number from 1 on, not {self.listeners!r}")

    @property
    def is_of_services(self) -> bool:
        """Whether services may listen on the address too."""
        address = ipaddress.ip_address(self.address)
        return address.is_unspecified or str(address) in ("127.0.0.1", "::1")


class Listeners(Protocol):
    """See `tunnel.listeners.Listeners`."""

    def is_relayed(self, number: int) -> bool: ...
    def open(self, number: int, visit: Visit) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlForms:
    """How URLs name a port.

    path_segment: the word of the path form, `{mount}/proxy/{port}/`.
    host_template: what gives each service its own root and origin. A host name for each port, such
        as `"{port}.ports.example.com"`, which may also contain the mount's parameters (the host
        form); or another port of the site's name, such as `"app.example.com:{port}"`,
        `":{port}"` for whatever name the site is visited by, or `":{port+20000}"` if the same
        number cannot be had (the port form). None: neither.
    isolate: whether services open at their own roots only. Browsers that navigate to the other
        forms are redirected there; all other requests in those forms are refused.
    redirect_browsers: where a browser that navigates to `?port=` is sent. True: to the service's
        own root, if it has one, else to the path form. `"path"`: to the path form, in which
        relative URLs work. False: nowhere.
    find_strays: whether root-absolute URLs of a service's pages (`/static/app.js`) are routed back
        to it.
    mount_of: the mount to which a port is reserved, see `MountOf`. Targets in the host and port
        forms then have its parameters, and the port has its own root for this mount only.
    port_range: in the port form, the ports whose numbers are services', whether they may be opened
        or not; all other numbers are the wrapped app's. None: those of `ports`, which must then not
        be a callable.
    listen: in the port form, has this process listen on a service's number itself, see `Listen`.
        None: the server or its front end listens.
    """

    path_segment: str = "proxy"
    host_template: str | None = None
    isolate: bool = False
    redirect_browsers: bool | Literal["path"] = True
    find_strays: bool = True
    mount_of: MountOf | None = None
    port_range: Container[int] | None = None
    listen: Listen | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.path_segment, str):
            raise TypeError(f"path_segment takes one path segment, not {self.path_segment!r}")
        template = self.host_template
        if template is not None and not isinstance(template, str):
            raise TypeError(f"host_template takes a name with {{port}} in it, not {template!r}")
        for name in ("isolate", "find_strays"):
            _one_of(name, getattr(self, name), (True, False))
        _one_of("redirect_browsers", self.redirect_browsers, (True, False, "path"))
        if self.mount_of is not None:
            check_callable("mount_of", self.mount_of, "mount_of(port)", 1)
        is_text = isinstance(self.port_range, (str, bytes, type))  # as in `PortPolicy`
        has_ports = not is_text and hasattr(self.port_range, "__contains__")
        if self.port_range is not None and not has_ports:
            raise TypeError(f"port_range takes a container of ints, not {self.port_range!r}")
        if self.listen is not None and not isinstance(self.listen, Listen):
            raise TypeError(f"listen takes a Listen, not {self.listen!r}")
        is_port = template is not None and is_port_template(template)
        for name in ("port_range", "listen"):
            if getattr(self, name) is not None and not is_port:
                raise ValueError(f"{name} requires a host_template such as ':{{port+20000}}'")
        for name in ("isolate", "mount_of"):
            if getattr(self, name) and template is None:
                raise ValueError(f"{name} requires a host_template")

    def locator(
        self,
        mount: Mount,
        ports: Container[int] | Callable[[Target], Container[int]],
        listeners: Listeners,
    ) -> Locator:
        """What finds ports in URLs of these forms. ports, listeners: see `template` and `Locator`.
        Raises `ValueError`."""
        return Locator(
            mount,
            path_segment=self.path_segment,
            template=self.template(mount.names, ports, listeners.is_relayed),
            mount_of=self.mount_of,
            opens=listeners.open if self.listen else None,
            redirect_browsers=self.redirect_browsers,
        )

    def template(
        self,
        names: frozenset[str],
        ports: Container[int] | Callable[[Target], Container[int]],
        is_relayed: Callable[[int], bool],
    ) -> HostTemplate | PortTemplate | None:
        """The compiled `host_template`. names: the mount's parameters. ports: those that may be
        opened. is_relayed: see `PortTemplate`. Raises `ValueError`."""
        if self.host_template is None:
            return None
        if not is_port_template(self.host_template):
            return HostTemplate(self.host_template, names)
        belongs = ports if self.port_range is None else self.port_range
        if not hasattr(belongs, "__contains__"):
            raise ValueError(
                "port_range must say which ports host_template is for, since ports is a callable"
            )
        template = PortTemplate(self.host_template, belongs, is_relayed)
        if self.listen is not None and template.offset == 0 and self.listen.is_of_services:
            raise ValueError(
                f"listen would take the services' own ports on {self.listen.address}: "
                "host_template needs an offset, such as ':{port+10000}'"
            )
        return template


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Timeouts in seconds.

    connect: for a service to accept a connection; on loopback that is instant or never.
    head: for the head of its response, including the time to connect and to follow redirects. Each
        part of an upload that the service accepts restarts it.
    stream_idle: for silence in a response that has begun, which is then visibly cut off. None:
        never, since event streams may be silent for hours.
    tunnel_idle: for silence on a WebSocket, which is then cut.
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
    """The limits of one process.

    requests_per_port: requests for one port that may hold a thread of the server at a time, where
        they cannot leave it. Further requests wait for a slot for some seconds, and are then
        refused (503). None: half of the server's threads if their number is known, otherwise no
        limit.
    request_body: bytes that the body of a request may have (413). None: no limit.
    tunnels: WebSockets, and requests that left their thread, in progress at a time. None: as many
        as the limit on descriptors allows, at two each, less some for the server.
    tunnels_per_port: the same for one port. None: half of `tunnels`.
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
    """What to withhold or drop, beyond the headers and cookies that always are.

    cookies: names of the wrapped app's cookies, which no service gets or sets. An authorizer from
        `contrib` adds the names that it knows.
    authorization: whether the Authorization header is withheld too.
    headers: names of further headers that no service gets, such as `X-Corp-User` or `X-Corp-*`, in
        which your front end identifies the visitor.
    response_headers: names of further headers to drop from responses: orders to your front end.
    early_hints: whether a service's 103 (RFC 8297) is dropped. nginx before 1.29 takes it for the
        response, so that its own rules for headers miss the real one.
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
    """Finds the `Service` of a target in the setting `services`. Raises `TypeError`."""

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
        """The `Service` of `target`. Raises `SettingFailed`."""
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
    """Check that `given` takes `parameters` positional arguments; `expected` shows the call.

    Raises `TypeError` if it is not callable, is a coroutine function, which WSGI cannot wait for,
    or takes another number of arguments, as far as Python can tell.
    """
    if not callable(given):
        raise TypeError(f"{name} takes a callable, {expected}, not {given!r}")
    function = given if inspect.isroutine(given) else type(given).__call__
    if inspect.iscoroutinefunction(given) or inspect.iscoroutinefunction(function):
        raise TypeError(f"{name} takes a plain function, {expected}, not a coroutine: {given!r}")
    try:
        signature = inspect.signature(given)
    except (TypeError, ValueError):
        return  # some built-in callables have no signature
    try:
        signature.bind(*range(parameters))
    except TypeError:
        raise TypeError(
            f"{name} is called as {expected}, which {given!r} does not accept"
        ) from None


def _one_of(name: str, value: object, allowed: Iterable[object]) -> None:
    if not any(value is one or (isinstance(one, str) and value == one) for one in allowed):
        expected = " or ".join(map(repr, allowed))
        raise ValueError(f"{name} takes {expected}, not {value!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
