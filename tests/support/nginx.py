"""nginx in front of a server, as a deployment has it."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .ports import free_port
from .servers import ROOT, Server, running

_CONFIG = """\
daemon off;
worker_processes 1;
{user}
pid {folder}/pid;
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
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
}}
"""


@contextmanager
def nginx(behind: int) -> Iterator[Server]:
    """nginx that keeps its connections to the server on port `behind`."""
    found = subprocess.run(
        [ROOT / "scripts" / "nginx.sh"], check=True, stdout=subprocess.PIPE, text=True
    )
    port = free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        user = "user root;" if os.geteuid() == 0 else ""
        config = folder / "nginx.conf"
        config.write_text(_CONFIG.format(folder=folder, behind=behind, port=port, user=user))
        command = [found.stdout.strip(), "-c", str(config), "-p", str(folder), "-e", "stderr"]
        with running(command, port) as server:
            yield server
