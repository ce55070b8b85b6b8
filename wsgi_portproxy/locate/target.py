"""Defines targets: the port that a request is for, the service's part of the URL, and the form.

Handles `port` in queries. `locator` and `strays` decide which requests have a target.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import NoReturn
from urllib.parse import unquote_plus

from ..errors import InvalidPort

# `0` is a well-formed number: it passes here, and the check of allowed ports refuses it.
_PORT = re.compile(r"0|[1-9][0-9]{0,4}", re.ASCII)


class ParameterUnknown(KeyError):
    """An address that names no mount has no parameters."""


class _Unknown(dict[str, str]):
    def __missing__(self, name: str) -> NoReturn:
        raise ParameterUnknown(name)


#: The parameters of a target whose URL names no mount, where nothing else is known either.
NO_PARAMS: Mapping[str, str] = MappingProxyType(_Unknown())


class Form(str, Enum):
    """How a URL names a port. Other modules test a form's properties, not which form it is."""

    QUERY = "query"
    PATH = "path"
    HOST = "host"
    PORT = "port"

    __str__ = str.__str__

    def __init__(self, value: str) -> None:
        #: Each URL carries the port in its query, and a page's relative URLs lose it.
        self.has_port_in_query = value == "query"
        #: The prefix names the port, in this many segments after the mount's: `/proxy/16006`.
        self.segments = 2 if value == "path" else 0
        self.has_own_path = self.segments > 0
        #: The service has its own root. Its pages share no origin with the wrapped app.
        self.has_own_origin = value in ("host", "port")
        #: The template names the hosts of this form, and cookies stay at one of them.
        self.has_own_host = value == "host"
        #: The site itself listens on the ports of this form.
        self.has_own_number = value == "port"
        #: The service's cookies reach pages of the wrapped app.
        self.shares_cookies = value in ("query", "port")
        #: A page stays in this form, and so keeps its relative URLs and its cookies.
        self.keeps_pages = value != "query"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes.

    port: the TCP port of the service on 127.0.0.1; 0 to 99999 until it is checked.
    path_qs: the path and query that the service is asked for, byte-exact, without `port`.
    prefix: the part of the visitor's URL before that path, with SCRIPT_NAME, without a final slash:
        `/alice/vision` in the query form, `/alice/vision/proxy/16006` in the path form, empty in
        the host and port forms. For a stray, the prefix of the page that made it.
    params: the mount's parameters, decoded: `{"username": "alice", "project": "vision"}`. In the
        host and port forms, those of the mount to which the port is reserved (`UrlForms.mount_of`);
        else in the host form those in the host name, in lower case, and in the port form those of
        the mount under which this browser was sent there; else none.
    form: how the URL names the port; for a stray, the form of the page that made it.
    websocket: whether the request is a WebSocket handshake.
    is_astray: whether the request is a stray: its URL names no port and looks like the app's, but
        the URL of the page that made it names one.
    is_guess: whether a stray's page is a guess: one of the services that this browser opened
        lately.
    """

    port: int
    path_qs: str
    prefix: str
    params: Mapping[str, str]
    form: Form
    websocket: bool
    is_astray: bool = False
    is_guess: bool = False

    @property
    def mount_path(self) -> str:
        """The mount's path at the beginning of the prefix: `/alice/vision`; "" in the host and
        port forms."""
        return self.prefix.rsplit("/", self.form.segments)[0] if self.form.segments else self.prefix


def with_port(target: Target) -> str:
    """The visitor's URL of a target in the query form, with the port in its query."""
    path = target.path_qs
    if not target.prefix and path[1:2] in ("/", "\\"):
        path = "/." + path  # `//host` at the beginning would be another site
    path, hash_mark, fragment = path.partition("#")
    resource, _, query = path.partition("?")
    _, query = cut_port(query)
    query = f"{query}&port={target.port}" if query else f"port={target.port}"
    return f"{target.prefix}{resource}?{query}{hash_mark}{fragment}"


def cut_port(query: str, *, most: int | None = None) -> tuple[list[str], str]:
    """The raw values of all `port` keys of a query string, and the query without these pairs.

    `most`: stop after this many ports. Keys are compared decoded, since every framework decodes
    them; values stay raw.
    """
    values, kept = [], []
    for pair in query.split("&"):
        key, _, value = pair.partition("=")
        if key == "port" or ("%" in key and unquote_plus(key) == "port"):
            values.append(value)
            if len(values) == most:
                break
        else:
            kept.append(pair)
    return values, "&".join(kept)


def parse_port(raw: str) -> int:
    """The number of a port in plain ASCII decimal, without a sign, a leading zero or escapes.

    Raises `InvalidPort` for everything else. Takes linear time.
    """
    if _PORT.fullmatch(raw) is None:
        raise InvalidPort(raw)
    return int(raw)
