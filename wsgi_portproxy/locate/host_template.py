"""Handles the host form: a host name for each port, such as `16006.ports.example.com`.

Maps a Host to a port, and a port to its host name. Unless the template shares its domain with the
app, as `p{port}.example.com` does, no name below its fixed part belongs to the app, well-formed or
not: services' pages live there and must not share an origin with the app.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from ..errors import NotFound
from .target import NO_PARAMS, Form

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_TEMPLATE = re.compile(
    r"(?P<name>[a-z0-9\-.]*(?:\{[A-Za-z_][A-Za-z0-9_]*\}[a-z0-9\-.]*)+)(?P<port>:[0-9]{1,5})?"
)
_PARAMETER = re.compile(r"\{(\w+)\}", re.ASCII)
# Characters of a label (RFC 1035 section 2.3.1, and `_`, which browsers allow). Lower case only:
# host names are case-insensitive, and browsers send them in lower case.
_VALUE = r"([a-z0-9_](?:[a-z0-9_-]*{}[a-z0-9_])?{})"
_FITTING = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?")
_MAX_LABEL = 63  # octets; RFC 1035 section 2.3.4
_MAX_NAME = 253  # same section, without the final dot; also keeps the patterns below fast
_PORT_OF_AUTHORITY = re.compile(r":[0-9]*$")


class Matched(NamedTuple):
    """A parsed host name: the port as written, and the mount's parameters in it."""

    port: str
    params: Mapping[str, str]


class HostTemplate:
    """A compiled template: a host name with `{port}` and any parameters of the mount.

    A port number in the template, as in `{port}.localhost:8000`, is used in generated links;
    incoming requests are matched by name only. Raises `ValueError` for an invalid template.
    """

    form = Form.HOST

    def __init__(self, template: str, mount_names: frozenset[str]) -> None:
        match = _TEMPLATE.fullmatch(template)
        if match is None:
            raise ValueError(
                f"host_template takes a host name with {{port}} in it, not {template!r}"
            )
        self._name, self._port = match["name"], match["port"]
        names = _PARAMETER.findall(self._name)
        if names.count("port") != 1 or len(set(names)) != len(names):
            raise ValueError(
                f"host_template takes {{port}} once, and no parameter twice: {template!r}"
            )
        self.names = frozenset(names) - {"port"}
        if not self.names <= mount_names:
            raise ValueError(
                f"host_template names a parameter that the mount does not have: {template!r}"
            )
        variable, fixed = self._name.rpartition("}")[::2]
        dot, suffix = fixed.partition(".")[1:]
        if not (dot and suffix.strip(".")) or "}{" in variable or ".." in self._name:
            raise ValueError(
                f"host_template needs text between its parameters, and a fixed domain: {template!r}"
            )
        self._below = dot + suffix
        self._order = names
        # `p{port}.example.com` leaves all other names of that domain to the app.
        mark = _PARAMETER.sub("", self._name.removesuffix(self._below))
        self._shares_domain = re.search("[a-z0-9]", mark) is not None
        # The two ways to split a name: if they differ, two readers could see different projects.
        self._shortest, self._longest = (
            re.compile(_pattern(self._name, lazy, digits=self._shares_domain)) for lazy in ("?", "")
        )

    def match(self, environ: WSGIEnvironment) -> Matched | None:
        """The port and parameters in the request's Host; None if the name is the wrapped app's.

        Raises `NotFound` for a name that is too long, ambiguous, or neither a port's nor the app's.
        """
        host = environ.get("HTTP_HOST") or environ.get("SERVER_NAME", "")
        name = _PORT_OF_AUTHORITY.sub("", host).removesuffix(".").lower()
        if not name.endswith(self._below):
            return None
        if len(name) > _MAX_NAME:
            raise NotFound("There is no such page.", detail="host name too long")
        match = self._shortest.fullmatch(name)
        if match is None:
            if self._shares_domain:
                return None
            if len(self._order) == 1:
                return Matched(name.removesuffix(self._below), NO_PARAMS)  # refused later
            raise NotFound("There is no such page.", detail="not a port's host name")
        other = self._longest.fullmatch(name)
        if other is None or other.groups() != match.groups():
            raise NotFound("There is no such page.", detail="ambiguous host name")
        values = dict(zip(self._order, match.groups(), strict=True))
        port = values.pop("port")
        return Matched(port, MappingProxyType(values) if values else NO_PARAMS)

    def authority(
        self, port: int, params: Mapping[str, str], environ: WSGIEnvironment
    ) -> str | None:
        """The authority of a link to a port; None if a parameter cannot be part of a host name.

        Includes the template's port number, else the one in the request's Host.
        """
        values = {**params, "port": str(port)}
        if not all(_FITTING.fullmatch(values.get(name, "")) for name in self._order):
            return None
        name = _PARAMETER.sub(lambda match: values[match[1]], self._name)
        made = self._shortest.fullmatch(name)
        expected = tuple(values[key] for key in self._order)
        longest = self._longest.fullmatch(name)
        if made is None or longest is None or not made.groups() == longest.groups() == expected:
            return None  # ambiguous, such as `a--b` with the separator `--`
        if len(name) > _MAX_NAME or any(len(label) > _MAX_LABEL for label in name.split(".")):
            return None
        shown = _PORT_OF_AUTHORITY.search(environ.get("HTTP_HOST", ""))
        return name + (self._port if self._port is not None else shown[0] if shown else "")


def _pattern(template: str, lazy: str, *, digits: bool) -> str:
    """The pattern of a template. `digits`: the port must be a number."""
    parts = re.split(r"(\{\w+\})", template)
    value = _VALUE.format(lazy, lazy)
    port = "([0-9]+)" if digits else value
    return "".join(
        (port if part == "{port}" else value) if part.startswith("{") else re.escape(part)
        for part in parts
    )
