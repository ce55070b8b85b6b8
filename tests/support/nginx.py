"""nginx in front of a server, as a deployment has it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .ports import free_port
from .readme import block, blocks, substituted
from .servers import ROOT, Server, running, speaks_http
from .tls import Tls, speaks_tls
from .waiting import until

# All that a configuration needs to run here. `main` has the events block, `http` the servers.
_CONFIG = """\
daemon off;
worker_processes 1;
{user}
pid {folder}/pid;
error_log stderr warn;
{main}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
{http}
}}
"""

_KEEPING = """\
  upstream app {{ server 127.0.0.1:{behind}; keepalive 8; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
"""


# With the descriptors that most systems give a process which does not ask for more.
_WITH_FEW = ["sh", "-c", 'ulimit -S -n 1024 && exec "$@"', "sh"]


@dataclass
class Nginx(Server):
    """A running nginx."""

    def reload(self) -> None:
        """As `systemctl reload nginx`: return once a new worker has replaced the old one."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        old = set(children.read_text().split())
        os.kill(self.pid, signal.SIGHUP)
        until(lambda: set(children.read_text().split()) - old, "nginx has a new worker")


@contextmanager
def nginx(behind: int) -> Iterator[Server]:
    """nginx that keeps its connections to the server on port `behind`."""
    port = free_port()
    http = _KEEPING.format(behind=behind, port=port)
    with nginx_with(port, "events { worker_connections 256; }", http) as server:
        yield server


@contextmanager
def nginx_of_readme(
    behind: int, tls: Tls | None, numbers: Sequence[int] = (), *, tells_port: bool = False
) -> Iterator[Nginx]:
    """nginx on TLS as localhost, in front of the server on port `behind`, with the README's lines:
    of these, nothing but addresses, ports, the name and the certificate's paths are others.

    tls: None: without TLS. numbers: two more ports, for the port form. tells_port: whether the
    server is told the connection's port.
    """
    main, http = blocks("nginx")[:2]
    port = free_port()
    if numbers:
        listen = block("# the port form", "nginx").partition("\n")[2]
        more = zip(("26000", "26001"), numbers, strict=True)
        changed = {f"listen {old} ": f"listen 127.0.0.1:{number} " for old, number in more}
        http = with_lines(http, "listen 443 ", substituted(listen, changed))
    if tells_port:
        told = block("# the port of the connection", "nginx").partition("\n")[2]
        http = with_lines(http, "proxy_set_header Host $http_host;", told)
    http = substituted(
        http,
        {
            "server 127.0.0.1:8000;": f"server 127.0.0.1:{behind};",
            "listen 443 ": f"listen 127.0.0.1:{port} ",
            "server_name app.example.com;": "server_name localhost;",
            "/etc/ssl/certs/app.example.com.pem": str(tls.certificate) if tls else "none",
            "/etc/ssl/private/app.example.com.key": str(tls.key) if tls else "none",
        },
    )
    if tls is None:
        http = re.sub(r"^ +ssl_certificate.*\n", "", http, flags=re.MULTILINE)
        http = http.replace(" ssl http2;", ";")
    with nginx_with(port, main, http, speaks_tls(tls) if tls else speaks_http) as server:
        yield server


def with_lines(config: str, after: str, lines: str) -> str:
    """A configuration with lines after the one line that has `after`."""
    [position] = [found.end() for found in re.finditer(rf".*{re.escape(after)}.*\n", config)]
    return config[:position] + lines + config[position:]


@contextmanager
def nginx_with(
    port: int, main: str, http: str, probe: Callable[[int], object] = speaks_http
) -> Iterator[Nginx]:
    """nginx with a configuration of one's own, on `port`.

    main, http: what is to be outside of the http block, and in it. probe: raises OSError until it
    answers as it should.
    """
    found = subprocess.run(
        [ROOT / "scripts" / "nginx.sh"], check=True, stdout=subprocess.PIPE, text=True
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Else its worker could not read the folder.
        user = "user root;" if os.geteuid() == 0 else ""
        config = folder / "nginx.conf"
        config.write_text(_CONFIG.format(folder=folder, user=user, main=main, http=http))
        program = found.stdout.strip()
        command = [*_WITH_FEW, program, "-c", str(config), "-p", str(folder), "-e", "stderr"]
        with running(command, port, probe=probe) as server:
            yield Nginx(server.port, server.pid, server.log)
