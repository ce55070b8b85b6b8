"""Caddy in front of a server, with the README's Caddyfile."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .ports import free_port
from .readme import block, blocks, substituted
from .servers import Server, running, speaks_http
from .tls import Tls, speaks_tls
from .waiting import until

CADDY = Path(sys.executable).with_name("caddy")  # from the package caddyserver

# It asks nobody for a certificate, listens on no other port, and writes nothing outside its folder.
_STORED = "\tpersist_config off\n"
_OURS = """\
	admin off
	auto_https off
	persist_config off
	skip_install_trust
"""


@dataclass
class Caddy(Server):
    """A running Caddy, and its Caddyfile."""

    config: Path

    def reload(self) -> None:
        """As `systemctl reload caddy` with other settings: return once they are in effect."""
        text = self.config.read_text()
        self.config.write_text(substituted(text, {_STORED: f"{_STORED}\tgrace_period 1h\n"}))
        os.kill(self.pid, signal.SIGUSR1)
        until(lambda: "successfully reloaded config" in self.output(), "Caddy has reloaded")


@contextmanager
def caddy_of_readme(behind: int, tls: Tls | None, numbers: Sequence[int] = ()) -> Iterator[Caddy]:
    """Caddy on TLS as localhost, in front of the server on port `behind`: in README's Caddyfile,
    nothing but addresses, ports and the name are others, and the certificate is ours.

    tls: None: without TLS. numbers: two more ports, for the port form.
    """
    site = blocks("caddyfile")[0]
    port = free_port()
    ours = "\tbind 127.0.0.1\n"
    ours += f"\ttls {tls.certificate} {tls.key}\n" if tls else ""
    scheme = "https" if tls else "http"
    own = f"{scheme}://localhost"
    addresses = f"{own}:{port} {{\n"
    if numbers:
        names = zip(("app.example.com:26000", "app.example.com:26001"), numbers, strict=True)
        changed = {"app.example.com, ": f"{own}:{port}, "}
        changed |= {name: f"{own}:{number}" for name, number in names}
        line = block("# the port form", "caddyfile").partition("\n")[2]
        addresses = substituted(line, changed)
    site = substituted(
        site,
        {
            "{\n\tservers {\n": f"{{\n{_OURS}\tservers {{\n",
            "app.example.com {\n": addresses + ours,
            "reverse_proxy 127.0.0.1:8000 ": f"reverse_proxy 127.0.0.1:{behind} ",
        },
    )
    with tempfile.TemporaryDirectory(prefix="portproxy-caddy-") as folder:
        config = Path(folder, "Caddyfile")
        config.write_text(site)
        env = {"XDG_DATA_HOME": folder, "XDG_CONFIG_HOME": folder}
        command = [str(CADDY), "run", "--adapter", "caddyfile", "--config", str(config)]
        probe = speaks_tls(tls) if tls else speaks_http
        with running(command, port, env=env, probe=probe) as server:
            yield Caddy(server.port, server.pid, server.log, config)
