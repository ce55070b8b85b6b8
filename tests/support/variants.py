"""The test apps with all their settings in one gunicorn: a port for each.

A test asks for one by its name in `VARIANTS`: the fixture `variants` of tests/http/conftest.py
gives the `Server` of `variants["hosted"]`, and `noted(variants["hosted"])` is it with the notes of
this test's requests. They share the process and its log, which is looked at when all is over.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from . import hostapp, pageapp
from .notes import Notes
from .ports import free_port
from .servers import Server, gunicorn

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

VARIANTS: dict[str, WSGIApplication] = {
    "application": hostapp.application,
    "mounted": DispatcherMiddleware(NotFound(), {"/apps": hostapp.application}),
    "hinting": hostapp.hinting,
    "named": hostapp.named,
    "unnamed": hostapp.unnamed,
    "withholding": hostapp.withholding,
    "plain": pageapp.plain,
    "pages_mounted": DispatcherMiddleware(NotFound(), {"/apps": pageapp.plain}),
    "impatient": pageapp.impatient,
    "without_strays": pageapp.without_strays,
    "in_place": pageapp.in_place,
    "hosted": pageapp.hosted,
    "hosted_below": DispatcherMiddleware(NotFound(), {"/apps": pageapp.hosted}),
    "carrying": pageapp.carrying,
    "isolated": pageapp.isolated,
    "by_project": pageapp.by_project,
    "external": pageapp.external,
    "full_path": pageapp.full_path,
    "adapting": pageapp.adapting,
    "not_adapting": pageapp.not_adapting,
    "on_ipv6": pageapp.on_ipv6,
}
_PORTS = "VARIANT_PORTS"  # in the environment of the server: the name of each port's variant
# How callables of the variants fail on purpose, as it is logged.
_DELIBERATE = re.compile(
    r"^(?:RuntimeError: a database is down|RuntimeError: /srv/secret\.py"
    r"|TypeError: adapt\(\) must return bytes, not str)$",
    re.MULTILINE,
)


class Host(NamedTuple):
    """A server, and what its app noted of this test's requests."""

    port: int
    notes: Notes


def noted(server: Server) -> Host:
    return Host(server.port, Notes(server))


@contextmanager
def serving() -> Iterator[Mapping[str, Server]]:
    """All variants, until the end of the block. Then the log shows no traceback but those that the
    tests are about, whatever services and visitors did."""
    first, *others = VARIANTS
    ports = {name: free_port() for name in others}
    bound = [option for port in ports.values() for option in ("-b", f"127.0.0.1:{port}")]
    env = {_PORTS: json.dumps({port: name for name, port in ports.items()})}
    with gunicorn("tests.support.variants:by_port", options=(*bound,), env=env) as server:
        yield {first: server, **{name: replace(server, port=ports[name]) for name in others}}
        output = server.output()
        assert "ResourceWarning" not in output
        for told in output.split("Traceback (most recent call last):")[1:]:
            assert _DELIBERATE.search(told), told[:4000]


@cache
def _names() -> dict[str, str]:
    names: dict[str, str] = json.loads(os.environ[_PORTS])
    return names


def by_port(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """What gunicorn serves: the variant whose port the visitor came to."""
    name = _names().get(environ["SERVER_PORT"], next(iter(VARIANTS)))
    return VARIANTS[name](environ, start_response)
