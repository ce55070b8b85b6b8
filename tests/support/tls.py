"""A certificate authority of our own, and a server's certificate for the names of the tests."""

from __future__ import annotations

import socket
import ssl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

NAMES = ("localhost", "127.0.0.1", "::1", "*.localhost", "app.test", "*.app.test")


@dataclass(frozen=True)
class Tls:
    """The PEM files: a server's key and certificate, and that of the authority which signed it."""

    key: Path
    certificate: Path
    authority: Path

    def context(self) -> ssl.SSLContext:
        """What a client needs to trust the server."""
        return ssl.create_default_context(cafile=self.authority)


@contextmanager
def tls_files() -> Iterator[Tls]:
    """A new authority and a certificate for `NAMES`, in a folder that goes with the block."""
    with tempfile.TemporaryDirectory(prefix="portproxy-tls-") as folder:
        files = Tls(*(Path(folder, f"{name}.pem") for name in ("key", "certificate", "authority")))
        authority = trustme.CA()
        issued = authority.issue_cert(*NAMES)
        issued.private_key_pem.write_to_path(files.key)
        for number, part in enumerate(issued.cert_chain_pems):
            part.write_to_path(files.certificate, append=number > 0)
        authority.cert_pem.write_to_path(files.authority)
        yield files


def speaks_tls(tls: Tls) -> Callable[[int], None]:
    """A probe for `servers.running`: raises OSError if the server on a port speaks no TLS as
    localhost."""
    context = tls.context()

    def probe(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
            context.wrap_socket(sock, server_hostname="localhost").close()

    return probe
