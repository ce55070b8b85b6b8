"""Recognises requests that come back to us, by the name that we leave in Via.

Owns that name. Requests for the server's own port are refused by `policy.ports`; this finds those
that come back by another way.
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

    Checked for every request, those for the app included: through a front end's port, or another
    port of the server, the app would otherwise be opened as a service, from 127.0.0.1, with a
    visitor's headers.
    """
    if "HTTP_VIA" in environ and pseudonym(environ) in environ["HTTP_VIA"]:
        raise Loop(
            "This address leads back to this application.",
            "Either the port belongs to the application itself, or the service forwards requests "
            "back here.",
        )


def via(environ: WSGIEnvironment) -> tuple[str, str]:
    """The Via header for the service: the visitor's, and our name (RFC 9110 section 7.6.3)."""
    ours = f"1.1 {pseudonym(environ)}"
    received = environ.get("HTTP_VIA")
    return "Via", f"{received}, {ours}" if received else ours


def pseudonym(environ: WSGIEnvironment) -> str:
    """Our name in Via: the same in all workers and on all ports of a server, and different for
    every other server, on this machine too.

    A digest of the host name, so that it stays secret, and the process; of several workers, their
    parent.
    """
    return _pseudonym(bool(environ.get("wsgi.multiprocess")))


@lru_cache(maxsize=2)
def _pseudonym(is_one_of_several: bool) -> str:
    process = os.getppid() if is_one_of_several else os.getpid()
    name = f"{socket.gethostname()}:{process}:{_start_of(process)}"
    return f"portproxy-{hashlib.sha256(name.encode('utf-8')).hexdigest()[:12]}"


os.register_at_fork(after_in_child=_pseudonym.cache_clear)


def _start_of(process: int) -> str:
    """When a process started, since its number may be used again, and is the same in every
    container; "" if the system does not say (proc(5), field 22)."""
    try:
        with open(f"/proc/{process}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
