"""TLS in front of the host app, as sites have it: nginx, with a certificate made for the tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.nginx import nginx_with
from tests.support.ports import free_port
from tests.support.servers import Server
from tests.support.tls import speaks_tls, tls_files

# A browser has several hundred cookies of services, which nginx's default of 8 KiB does not hold.
# Over HTTP/2 it asks for all files of a page at once, up to nginx's 128: more than a port's share
# of the host app's 32 threads would wait, and on a busy machine be refused (503).
_MAIN = "events { worker_connections 512; }"
_HTTP = """\
  client_max_body_size 0;
  large_client_header_buffers 8 64k;
  http2_max_concurrent_streams 16;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  upstream app {{ server 127.0.0.1:{behind}; keepalive 8; }}
  server {{
    listen 127.0.0.1:{port} ssl http2;
    server_name localhost;
    ssl_certificate {tls.certificate};
    ssl_certificate_key {tls.key};
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
def tls_front(behind: int, port: int | None = None) -> Iterator[Front]:
    """TLS and HTTP/2 in front of the server on port `behind`, by any of its names.

    port: the one to listen on; None: any.
    """
    port = free_port() if port is None else port
    with tls_files() as tls:
        http = _HTTP.format(behind=behind, port=port, tls=tls)
        with nginx_with(port, _MAIN, http, speaks_tls(tls)) as server:
            yield Front(server, tls.authority)
