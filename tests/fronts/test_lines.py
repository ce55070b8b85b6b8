"""Lines of the README for nginx and Caddy whose want only hours, or luck, would show."""

from __future__ import annotations

import inspect
import re
import runpy

from tests.support.readme import blocks
from wsgi_portproxy import PortProxy

from .conftest import SETTINGS, Front

UNITS = {"s": 1, "m": 60, "h": 3600}


def seconds(language: str, directive: str) -> int:
    """What all blocks of a language together have for a directive."""
    line = rf"^\s*{directive} (\d+)([smh])\b"
    ((number, unit),) = re.findall(line, "\n".join(blocks(language)), re.MULTILINE)
    return int(number) * UNITS[unit]


def test_connections_wait_for_less_time_than_gunicorn_keeps_them() -> None:
    """A front-end does not repeat a POST on a connection that gunicorn closed meanwhile."""
    kept = runpy.run_path(str(SETTINGS))["keepalive"]
    assert seconds("nginx", "keepalive_timeout") < kept
    assert seconds("caddyfile", "keepalive") < kept


def test_a_silent_websocket_is_cut_by_nginx_no_sooner_than_by_us() -> None:
    ours = inspect.signature(PortProxy).parameters["tunnel_idle_timeout"].default
    assert seconds("nginx", "proxy_read_timeout") >= ours


def test_the_front_end_has_nothing_to_complain_of(front: Front) -> None:
    """Such as more connections than descriptors, or a name of a setting that is no longer used."""
    output = front.server.output()
    for sign in ("[warn]", "[emerg]", '"level":"error"', "deprecated", "open file resource limit"):
        assert sign not in output, output
