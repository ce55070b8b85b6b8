"""nginx in its two parts: the service behind all contestants, and two of the contestants.

Each runs in the foreground as the current user, with everything it writes in a folder of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.ports import free_port
from tests.support.servers import Server, running

from .answers import answers
from .heads import LARGE_PATH, SMALL, SMALL_PATH

LARGE = 512 << 20  # bytes

# For ever, as far as this is concerned: that a connection ends after 1,000 requests, as by default,
# would be noise.
_KEPT = "keepalive_timeout 1h; keepalive_requests 1000000000;"

_MAIN = """\
daemon off;
worker_processes 1;
{user}
pid {folder}/pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  sendfile on;
  {kept}
{servers}
}}
"""

_FILES = """\
  types {{ application/javascript js; }}
  default_type application/octet-stream;
  server {{
    listen 127.0.0.1:{port};
    root {folder}/files;
  }}"""

_PROXY = """\
  upstream files {{ server 127.0.0.1:{files}; keepalive 16; {kept} }}
  upstream sink {{ server 127.0.0.1:{sink}; keepalive 16; {kept} }}
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  client_max_body_size 0;
  proxy_buffering {buffering};
  proxy_request_buffering {buffering};
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://files; }}
    location /sink {{ proxy_pass http://sink; }}
  }}"""


def executable() -> str:
    """The nginx that scripts/nginx.sh found, or one that can be found now."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
    found = os.environ.get("NGINX") or shutil.which("nginx", path=path)
    if not found:
        raise SystemExit("There is no nginx; scripts/nginx.sh says how to get one.")
    return found


def version() -> str:
    done = subprocess.run([executable(), "-v"], capture_output=True, text=True, check=True)
    return done.stderr.strip().rpartition("/")[2]


@contextmanager
def file_server(folder: Path) -> Iterator[Server]:
    """The service: the small file and the large one, which is sparse."""
    files = folder / "files"
    files.mkdir(parents=True)
    (files / SMALL_PATH[1:]).write_bytes(SMALL)
    with (files / LARGE_PATH[1:]).open("wb") as large:
        large.truncate(LARGE)
    port = free_port()
    with _nginx(folder, port, _FILES.format(port=port, folder=folder)) as server:
        yield server


@contextmanager
def proxy(folder: Path, files: int, sink: int, *, buffering: bool) -> Iterator[Server]:
    folder.mkdir(parents=True)
    port = free_port()
    word = "on" if buffering else "off"
    text = _PROXY.format(port=port, files=files, sink=sink, buffering=word, kept=_KEPT)
    with _nginx(folder, port, text) as server:
        yield server


@contextmanager
def _nginx(folder: Path, port: int, servers: str) -> Iterator[Server]:
    user = "user root;" if os.geteuid() == 0 else ""  # else its worker could not read the folder
    configuration = folder / "nginx.conf"
    configuration.write_text(_MAIN.format(user=user, folder=folder, kept=_KEPT, servers=servers))
    command = [executable(), "-p", str(folder), "-c", str(configuration)]
    with running(command, port, probe=answers(SMALL_PATH)) as server:
        yield server
