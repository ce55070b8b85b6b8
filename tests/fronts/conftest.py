"""nginx and Caddy with the README's lines, on TLS, and who visits them.

Behind both is one gunicorn, with the settings of examples/gunicorn and the README's `ProxyFix`.
"""

from __future__ import annotations

import re
import resource
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import httpx
import pytest

from tests.support.caddy import Caddy, caddy_of_readme
from tests.support.nginx import Nginx, nginx_of_readme
from tests.support.readme import block
from tests.support.servers import ROOT, Server, gunicorn
from tests.support.tls import Tls, tls_files
from tests.support.urls import path_form
from tests.support.waiting import PATIENCE, until

SETTINGS = ROOT / "examples" / "gunicorn" / "gunicorn.conf.py"
Starter = Callable[[int, Tls], AbstractContextManager[Nginx | Caddy]]
STARTERS: dict[str, Starter] = {"nginx": nginx_of_readme, "caddy": caddy_of_readme}
# With the connection that each request came by, and what it says of it.
_ACCESS = '%({REMOTE_PORT}e)s %({connection}i)s "%(r)s" %(s)s'
_DESCRIPTORS = 8192  # the most that a process here needs


@dataclass(frozen=True)
class Front:
    """A front-end, and the gunicorn behind it."""

    name: str
    server: Nginx | Caddy
    behind: Server
    tls: Tls

    @property
    def authority(self) -> str:
        return f"localhost:{self.server.port}"

    @property
    def origin(self) -> str:
        return f"https://{self.authority}"

    def url(self, port: int, path: str) -> str:
        """Where the service on `port` has this path."""
        return f"{self.origin}{path_form(port, path)}"

    @contextmanager
    def visited(
        self, version: str, *, address: str = "127.0.0.1", fields: Mapping[str, str] | None = None
    ) -> Iterator[httpx.Client]:
        """A browser of sorts, signed in as alice, that speaks this version of HTTP only.

        `address`: its own. It sends no fields but these, Host, Cookie and those of a body.
        """

        def check(response: httpx.Response) -> None:
            assert response.http_version == version

        is_2 = version == "HTTP/2"
        transport = httpx.HTTPTransport(
            verify=self.tls.context(), http1=not is_2, http2=is_2, local_address=address
        )
        with httpx.Client(
            transport=transport, timeout=PATIENCE, event_hooks={"response": [check]}
        ) as client:
            for name in list(client.headers):
                del client.headers[name]
            client.headers.update(fields or {})
            client.cookies.set("user", "alice")
            yield client

    def ports_of(self, path: str, requests: int) -> list[str]:
        """By which ports of the front-end's these requests came to gunicorn, once all did; those
        with a `Connection` field do not count. 202: it left its thread."""
        line = re.compile(rf'^(\d+) - "\w+ \S*{re.escape(path)} HTTP/1\.1" 20[02]$', re.MULTILINE)

        def all_of_them() -> list[str]:
            found = line.findall(self.behind.output())
            return found if len(found) == requests else []

        return until(all_of_them, "all requests are in the log")


@pytest.fixture(scope="package")
def tls() -> Iterator[Tls]:
    with tls_files() as files:
        yield files


@pytest.fixture(scope="package")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The test app inside of the README's lines, which nobody reaches but through a front-end."""
    folder = tmp_path_factory.mktemp("app")
    (folder / "hello_wsgi.py").write_text("from tests.support.hostapp import application\n")
    (folder / "behind.py").write_text(block("# behind.py"))
    options = ["--config", str(SETTINGS), "--chdir", str(folder), "--workers", "1"]
    options += ["--access-logformat", _ACCESS]
    with (
        many_descriptors(),
        gunicorn(
            "behind:application", threads=16, options=(*options,), env={"PYTHONPATH": str(ROOT)}
        ) as server,
    ):
        yield server
        assert "Traceback" not in server.output()


@contextmanager
def many_descriptors() -> Iterator[None]:
    """In the block this process and those it starts may have as many as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="package", params=STARTERS)
def front(request: pytest.FixtureRequest, behind: Server, tls: Tls) -> Iterator[Front]:
    with started(request.param, behind, tls) as one:
        yield one


@contextmanager
def started(name: str, behind: Server, tls: Tls) -> Iterator[Front]:
    """A front-end with the README's lines, as every test gets one."""
    with STARTERS[name](behind.port, tls) as server:
        yield Front(name, server, behind, tls)


@pytest.fixture(params=["HTTP/1.1", "HTTP/2"])
def version(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def visitor(front: Front, version: str) -> Iterator[httpx.Client]:
    with front.visited(version) as client:
        yield client
