"""What a request asks for: a port, the service's part of the URL, and how the URL names the port.

Owns `Target`, and `port` in queries. Which requests have a target is left to `locator` and
`strays`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from urllib.parse import unquote_plus

from ..errors import InvalidPort

# `0` is a well-formed number outside every range, hence allowed here and refused by the range.
_PORT = re.compile(r"0|[1-9][0-9]{0,4}", re.ASCII)


class Form(str, Enum):
    """How a URL names a port. The rest of the package asks for what a form is like, not which."""

    QUERY = "query"
    PATH = "path"
    HOST = "host"

    __str__ = str.__str__

    def __init__(self, value: str) -> None:
        #: Each URL carries the port in its query, and a page's relative URLs lose it.
        self.has_port_in_query = value == "query"
        #: The port stands in the path, below the wrapped app's own.
        self.has_own_path = value == "path"
        #: The service's pages share no origin with the wrapped app.
        self.has_own_origin = value == "host"
        #: A page that is opened keeps this form, and with it its relative URLs and its cookies.
        self.keeps_pages = value != "query"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes.

    port: the TCP port of the service on 127.0.0.1; 0 to 99999 until it is checked.
    path_qs: path and query as the service is asked for them, byte-exact, with `port` cut out.
    prefix: what the visitor's URL has before that path, SCRIPT_NAME included, without a final
        slash: `/alice/vision` in the query form, `/alice/vision/proxy/16006` in the path form,
        empty in the host form. Of a stray: the prefix of the page that made it.
    params: the mount's parameters, decoded: `{"username": "alice", "project": "vision"}`. In the
        host form only those that the host name carries, in lower case.
    form: how the URL names the port; of a stray, the form of the page that made it.
    websocket: whether the request is a WebSocket handshake.
    is_astray: whether the request is a stray: its URL names no port, and looks like the app's. The
        page that made it does.
    is_guess: whether even that is not known: of a stray for one of the services that this browser
        opened lately.
    """

    port: int
    path_qs: str
    prefix: str
    params: Mapping[str, str]
    form: Form
    websocket: bool
    is_astray: bool = False
    is_guess: bool = False


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
    """A port written in plain ASCII decimal, without a sign, a leading zero or escapes, as int.

    Raises `InvalidPort` for everything else; linear in the length of `raw`.
    """
    if _PORT.fullmatch(raw) is None:
        raise InvalidPort(raw)
    return int(raw)
