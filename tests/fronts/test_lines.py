"""Lines of the README for nginx and Caddy whose want only hours, or luck, would show."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from tests.support.readme import blocks
from tests.support.servers import Server
from tests.support.tls import Tls
from wsgi_portproxy import Timeouts

from .conftest import SETTINGS, STARTERS, started

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


@pytest.mark.parametrize("timeout", ["proxy_read_timeout", "send_timeout"])
def test_silence_is_cut_by_nginx_no_sooner_than_a_silent_websocket_by_us(timeout: str) -> None:
    ours = Timeouts().tunnel_idle
    assert seconds("nginx", timeout) >= ours


@pytest.mark.parametrize("name", STARTERS)
def test_the_front_end_has_nothing_to_complain_of(name: str, behind: Server, tls: Tls) -> None:
    """Such as more connections than descriptors. Newer nginx wants HTTP/2 on a line of its own."""
    with started(name, behind, tls) as front:
        lines = front.server.output().splitlines()
    complaints = [line for line in lines if "[warn]" in line or '"level":"error"' in line]
    assert [line for line in complaints if '"listen ... http2" directive' not in line] == []


def test_the_lines_for_the_port_form_in_the_settings_of_gunicorn(tmp_path: Path) -> None:
    text = SETTINGS.read_text("utf-8")
    uncommented = re.sub(r"^#     ", "", text, flags=re.MULTILINE)
    assert uncommented != text
    path = tmp_path / "gunicorn.conf.py"
    path.write_text(uncommented)
    assert runpy.run_path(str(path))["bind"] == [
        "127.0.0.1:8000",
        *(f"127.0.0.1:{number}" for number in range(26000, 26100)),
    ]
