"""Recognises requests that come back to us, by the name that we leave in Via.

Defines that name. `policy.ports` refuses requests for the server's own port; this module finds
requests that come back another way.
"""

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
    """Raise `Loop` if this server itself sent the request (RFC 9110 section 7.6.3).

    Every request is checked, including requests for the app. Otherwise the app could be opened as a
    service through a front end's port or another port of the server, from 127.0.0.1 and with a
    visitor's headers.
    """
    if "HTTP_VIA" in environ and pseudonym(environ) in environ["HTTP_VIA"]:
        raise Loop(
            "This address leads back to this application.",
            "Either the port belongs to this application, or the service forwards requests back "
            "to it.",
        )


def via(environ: WSGIEnvironment) -> tuple[str, str]:
    """The Via header for the service: the visitor's, and our name (RFC 9110 section 7.6.3)."""
    ours = f"1.1 {pseudonym(environ)}"
    received = environ.get("HTTP_VIA")
    return "Via", f"{received}, {ours}" if received else ours


def pseudonym(environ: WSGIEnvironment) -> str:
    """Our name in Via: the same in all workers and on all ports of a server.

    Every other server has a different name, on this machine too. The name is a digest, so that the
    host name stays secret: of the host name and the process, or of the host name and the parent
    process if there are several workers.
    """
    return _pseudonym(bool(environ.get("wsgi.multiprocess")))


@lru_cache(maxsize=2)
def _pseudonym(is_one_of_several: bool) -> str:
    process = os.getppid() if is_one_of_several else os.getpid()
    name = f"{socket.gethostname()}:{process}:{_start_of(process)}"
    return f"portproxy-{hashlib.sha256(name.encode('utf-8')).hexdigest()[:12]}"


os.register_at_fork(after_in_child=_pseudonym.cache_clear)


def _start_of(process: int) -> str:
    """The start time of a process; "" if the system does not report it (proc(5), field 22).

    A process number is not enough: it may be reused, and is the same in every container.
    """
    try:
        with open(f"/proc/{process}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
