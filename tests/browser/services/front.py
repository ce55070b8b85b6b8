"""TLS in front of the host app, as sites have it: nginx, with a certificate made for the tests."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trustme

from tests.support.ports import free_port
from tests.support.servers import ROOT, Server, running

# A browser has several hundred cookies of services, which nginx's default of 8 KiB does not hold.
# Over HTTP/2 it asks for all files of a page at once, up to nginx's 128: more than a port's share
# of the host app's 32 threads would wait, and on a busy machine be refused (503).
_CONFIG = """\
daemon off;
worker_processes 1;
{user}
pid {folder}/pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  client_max_body_size 0;
  large_client_header_buffers 8 64k;
  http2_max_concurrent_streams 16;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  upstream app {{ server 127.0.0.1:{behind}; keepalive 8; }}
  server {{
    listen 127.0.0.1:{port} ssl http2;
    server_name localhost;
    ssl_certificate {folder}/site.pem;
    ssl_certificate_key {folder}/site.key;
    location / {{
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_buffering off;
      proxy_request_buffering off;
      proxy_buffer_size 64k;
      proxy_buffers 8 64k;
      proxy_read_timeout 1h;
    }}
  }}
}}
"""


@dataclass(frozen=True)
class Front:
    """nginx, and the file with the certificate of the authority that clients have to trust."""

    server: Server
    authority: Path

    @property
    def site(self) -> str:
        return f"https://localhost:{self.server.port}"


@contextmanager
def tls_front(behind: int) -> Iterator[Front]:
    """TLS and HTTP/2 in front of the server on port `behind`, by any of its names."""
    nginx = find_nginx()
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="portproxy-front-") as name:
        folder = Path(name)
        authority = _certify(folder)
        config = folder / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""
        config.write_text(_CONFIG.format(folder=folder, behind=behind, port=port, user=user))
        command = [nginx, "-c", str(config), "-p", str(folder), "-e", "stderr"]
        with running(command, port, probe=partial(_answers, authority=authority)) as server:
            yield Front(server, authority)


def find_nginx() -> str:
    """The path of an nginx. Raises if there is none."""
    found = subprocess.run(
        [ROOT / "scripts" / "nginx.sh"], check=True, stdout=subprocess.PIPE, text=True
    )
    return found.stdout.strip()


def _answers(port: int, authority: Path) -> None:
    """Raises OSError until nginx on `port` speaks TLS that whoever trusts `authority` accepts."""
    trust = ssl.create_default_context(cafile=authority)
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as sock,
        trust.wrap_socket(sock, server_hostname="localhost"),
    ):
        pass


def _certify(folder: Path) -> Path:
    """Put a certificate and its key there, and that of the authority, whose path is returned."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "*.localhost", "*.app.test")
    certificate.private_key_pem.write_to_path(folder / "site.key")
    for number, part in enumerate(certificate.cert_chain_pems):
        part.write_to_path(folder / "site.pem", append=number > 0)
    path = folder / "authority.pem"
    authority.cert_pem.write_to_path(path)
    return path
