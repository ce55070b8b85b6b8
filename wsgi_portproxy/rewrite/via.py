"""TODO."""

from __future__ import annotations

import hashlib
import os
import socket
from functools import lru_cache
from typing import TYPE_CHECKING

from ..errors import Loop

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


def check_no_loop(environ: WSGIEnvironment) -> None:
    """Return unless the request was sent by this server itself (RFC 9110 section 7.6.3).

    To be asked of every request, one for the app itself too: by way of a front-end's port, or of
    one that the server listens on besides, the app would be opened as a service, from 127.0.0.1,
    with a visitor's fields. Raises `Loop`.
    """
    if "HTTP_VIA" in environ and pseudonym(environ) in environ["HTTP_VIA"]:
        raise Loop(
            "This address leads back to this application.",
            "Either the port belongs to the application itself, or the service forwards requests "
            "back here.",
        )


def via(environ: WSGIEnvironment) -> tuple[str, str]:
    """The Via field for the service: what came, and us (RFC 9110 section 7.6.3)."""
    ours = f"1.1 {pseudonym(environ)}"
    received = environ.get("HTTP_VIA")
    return "Via", f"{received}, {ours}" if received else ours


def pseudonym(environ: WSGIEnvironment) -> str:
    """Our name in Via: the same in all workers of a server and on all of its ports, another for
    another server's, also on this machine.

    From the host name, which is not told, and the process: of several workers, their parent.
    """
    return f"portproxy-{_digest(os.getppid() if environ.get('wsgi.multiprocess') else os.getpid())}"


@lru_cache(maxsize=16)
def _digest(process: int) -> str:
    name = f"{socket.gethostname()}:{process}:{_start_of(process)}"
    return hashlib.sha256(name.encode("utf-8")).hexdigest()[:12]


def _start_of(process: int) -> str:
    """When a process began, since its number may be another's later, and in each container is the
    same; "" where the system does not tell (proc(5), field 22)."""
    try:
        with open(f"/proc/{process}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
